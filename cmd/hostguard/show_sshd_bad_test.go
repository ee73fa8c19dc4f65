package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
)

const (
	badConfigTime = 10 * time.Second // on a busy machine; alone it is below one
	badConfigPeak = 192 << 10        // KiB
)

// Whatever stands in sshd's configuration, show sshd ends in bounded time and
// memory, and says which line or file is at fault.
func TestShowSSHDBadInput(t *testing.T) {
	t.Parallel()
	const main = "etc/ssh/sshd_config"
	fan := map[string]string{main: "Include /etc/ssh/0/*\n"}
	for depth := range 16 {
		for i := range 4 {
			fan[fmt.Sprintf("etc/ssh/%d/%d", depth, i)] = fmt.Sprintf("Include /etc/ssh/%d/*\n", depth+1)
		}
	}
	many := map[string]string{main: includeDropIns}
	for i := range 10_000 {
		many[fmt.Sprintf("etc/ssh/sshd_config.d/%05d.conf", i)] = "MaxSessions 7\n"
	}
	measure := buildMeasure(t)
	for name, c := range map[string]struct {
		files map[string]string
		make  func(root string) error
		args  []string
		code  int
		says  string // on the standard error
		lines string // among the lines
	}{
		"a refused line": {map[string]string{main: "Port 22\nFoo yes\n"}, nil, nil, exitIncomplete,
			`sshd refuses its configuration: /etc/ssh/sshd_config:2: sshd 9.2 does not know the keyword "Foo"`, ""},
		"a byte order mark":        {map[string]string{main: "\ufeffPort 22\n"}, nil, nil, exitIncomplete, "/etc/ssh/sshd_config:1: ", ""},
		"a file includes itself":   {map[string]string{main: "Include /etc/ssh/sshd_config\n"}, nil, nil, exitIncomplete, "/etc/ssh/sshd_config:1: Include goes deeper than 16 files", ""},
		"a loop of two":            {map[string]string{main: "Include /etc/ssh/a\n", "etc/ssh/a": "Include /etc/ssh/sshd_config\n"}, nil, nil, exitIncomplete, "Include goes deeper than 16 files", ""},
		"four files each, 16 deep": {fan, nil, nil, exitIncomplete, "too many lines to follow", ""},
		"100,000 lines":            {map[string]string{main: strings.Repeat("AcceptEnv LANG\n", 100_000)}, nil, []string{"--origin"}, 0, "", "acceptenv LANG"},
		"100,000 Match lines":      {map[string]string{main: strings.Repeat("Match User x\n", 100_000) + "Banner /b\n"}, nil, []string{"--user", "x", "--format", "json"}, 0, "", `"value": "/b",`},
		"100,000 shadowed lines":   {map[string]string{main: strings.Repeat("Banner /b\n", 100_000)}, nil, []string{"--origin"}, 0, "", "and 99994 more"},
		"10,000 drop-ins":          {many, nil, []string{"--origin"}, 0, "", "/etc/ssh/sshd_config.d/00000.conf:1; without effect: 7 (/etc/ssh/sshd_config.d/00001.conf:1)"},
		"a line of 3 MB":           {map[string]string{main: "Banner " + strings.Repeat("x", 3<<20) + "\n"}, nil, nil, 0, "", "xxxxxxxx\n"},
		"more than is read":        {map[string]string{main: strings.Repeat("#"+strings.Repeat("x", 1023)+"\n", 5<<10)}, nil, nil, exitIncomplete, "cannot read /etc/ssh/sshd_config: ", ""},
		"a FIFO": {nil, func(root string) error { return unix.Mkfifo(filepath.Join(root, main), 0o644) }, nil, exitIncomplete,
			"cannot read /etc/ssh/sshd_config: ", ""},
		"a FIFO among the drop-ins": {map[string]string{main: includeDropIns, "etc/ssh/sshd_config.d/0.conf": "Port 22\n"}, func(root string) error {
			return unix.Mkfifo(filepath.Join(root, "etc/ssh/sshd_config.d/1.conf"), 0o644)
		}, nil, exitIncomplete, "/etc/ssh/sshd_config.d/1.conf (included at /etc/ssh/sshd_config:1)", ""},
		"a socket": {nil, func(root string) error { return unix.Mknod(filepath.Join(root, main), unix.S_IFSOCK|0o644, 0) }, nil, exitIncomplete, "cannot read /etc/ssh/sshd_config: ", ""},
		"no file":  {map[string]string{}, nil, nil, exitIncomplete, "cannot read /etc/ssh/sshd_config: ", ""},
		"a folder as drop-in, empty to sshd": {map[string]string{main: includeDropIns + "MaxSessions 3\n"}, func(root string) error {
			return os.MkdirAll(filepath.Join(root, "etc/ssh/sshd_config.d/x.conf"), 0o755)
		}, nil, 0, "", "maxsessions 3"},
		"a link out of the tree": {map[string]string{main: includeDropIns}, func(root string) error {
			os.MkdirAll(filepath.Join(root, "etc/ssh/sshd_config.d"), 0o755)
			return os.Symlink("../../../../../../../../../../etc/hostname", filepath.Join(root, "etc/ssh/sshd_config.d/x.conf"))
		}, nil, exitIncomplete, "/etc/ssh/sshd_config.d/x.conf (included at /etc/ssh/sshd_config:1)", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.make != nil {
				lab.Need(t, lab.Root)
			}
			root := smallTree(t, c.files)
			if err := os.MkdirAll(filepath.Join(root, "etc/ssh"), 0o755); err != nil {
				t.Fatal(err)
			}
			if c.make != nil {
				if err := c.make(root); err != nil {
					t.Fatal(err)
				}
			}
			figures := filepath.Join(t.TempDir(), "figures")
			cmd := exec.Command(measure, append([]string{figures, "hostguard", "show", "sshd", "--root", root, "--timeout", "30s"}, c.args...)...)
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			cmd.Run()
			data, err := os.ReadFile(figures)
			if err != nil {
				t.Fatal(err)
			}
			cost := readCost(t, data)
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if !strings.Contains(errs.String(), c.says) {
				t.Errorf("standard error: %.600s\nwant %s", errs.String(), c.says)
			}
			if !strings.Contains(out.String(), c.lines) || c.lines == "" && out.Len() > 0 {
				t.Errorf("standard output: %.600s\nwant %s", out.String(), c.lines)
			}
			if errs.Len() > 4<<10 {
				t.Errorf("%d bytes of words", errs.Len())
			}
			if cost.took() > badConfigTime || cost.PeakKiB > badConfigPeak {
				t.Errorf("took %v and %d KiB", cost.took(), cost.PeakKiB)
			}
			t.Logf("%v, %d KiB", cost.took(), cost.PeakKiB)
		})
	}
}

// Values are handed through as sshd does when a program reads them; a terminal,
// and the forms of our own, get no escape codes.
func TestShowSSHDHostileValues(t *testing.T) {
	t.Parallel()
	const text = "Banner /\xff\x1b[2J\u202e\nAllowUsers \"a\u00e9\x9b\"\nMatch User \x1b]0;x\a\nMaxAuthTries 1\n"
	root := smallTree(t, map[string]string{"etc/ssh/sshd_config": text, "etc/ssh/sshd_config.d/\x1b[31m.conf": ""})
	plain, errs, code := runCommand("show", "sshd", "--root", root)
	if code != 0 || !strings.Contains(plain, "\nbanner /\xff\x1b[2J\u202e\n") || !strings.Contains(plain, "\nallowusers a\u00e9\x9b\n") {
		t.Errorf("exit code %d, %q", code, plain)
	}
	safe := map[string]string{"notes": errs}
	for name, args := range map[string][]string{"origin": {"--origin"}, "json": {"--format", "json"}, "asked": {"--user", "\x1b]0;x\a", "--origin"}} {
		out, errs, code := runCommand(append([]string{"show", "sshd", "--root", root}, args...)...)
		if code != 0 {
			t.Errorf("%s: exit code %d: %s", name, code, errs)
		}
		safe[name], safe[name+", notes"] = out, errs
		if name == "json" && !json.Valid([]byte(out)) {
			t.Error("no JSON")
		}
	}
	for name, out := range safe {
		if i := strings.IndexFunc(out, unprintable); i >= 0 {
			t.Errorf("%s: %q", name, out[max(0, i-20):min(len(out), i+20)])
		}
	}
}
