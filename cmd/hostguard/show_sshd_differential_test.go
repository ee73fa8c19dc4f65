package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/sshdconf"
	"github.com/hostguard/hostguard/internal/sshdconf/sshdtest"
)

// The whole command against the real sshd: in trees with generated files,
// drop-in folders, unit files and connections, what show sshd --root prints is
// byte for byte what sshd prints there; where sshd refuses, the same lines are
// named in the same order.
//
// HOSTGUARD_SSHD_CASES and HOSTGUARD_SEED are those of internal/sshdconf's test
// of its own reading; HOSTGUARD_SSHD_ROOT is a tree of another release.
func TestShowSSHDAgreesWithSSHD(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.SSHD, lab.Root)
	cases := 250
	if text := os.Getenv("HOSTGUARD_SSHD_CASES"); text != "" {
		var err error
		if cases, err = strconv.Atoi(text); err != nil {
			t.Fatalf("HOSTGUARD_SSHD_CASES: %v", err)
		}
	}
	first := lab.Seed(t)
	var mu sync.Mutex
	var wg sync.WaitGroup
	accepted, refused, failed := 0, 0, 0
	classes := map[string]int{}
	next := make(chan uint64)
	for range 2 {
		tree := newSSHDTree(t)
		wg.Go(func() {
			for seed := range next {
				c := newSSHDCase(t, tree, seed)
				ok, diff := c.try()
				mu.Lock()
				for _, name := range sshdtest.Classes(c.files, c.args) {
					classes[name]++
				}
				switch {
				case ok:
					accepted++
				default:
					refused++
				}
				if diff != "" {
					if failed++; failed <= 5 {
						t.Errorf("HOSTGUARD_SEED=%d HOSTGUARD_SSHD_CASES=1\n%s", seed, diff)
					}
				}
				mu.Unlock()
			}
		})
	}
	for i := range cases {
		next <- first + uint64(i)
	}
	close(next)
	wg.Wait()
	t.Logf("%d accepted, %d refused, %d differ", accepted, refused, failed)
	for _, name := range slices.Sorted(maps.Keys(classes)) {
		t.Logf("%6d with %s", classes[name], name)
	}
	if cases >= 250 && (accepted < cases/5 || refused < cases/20) {
		t.Errorf("%d accepted and %d refused: the generator is lopsided", accepted, refused)
	}
}

// sshdTree is a Debian in which sshd can be asked.
type sshdTree struct {
	root    string
	version sshdconf.Version
}

func newSSHDTree(t *testing.T) *sshdTree {
	t.Helper()
	tree := &sshdTree{root: os.Getenv("HOSTGUARD_SSHD_ROOT")}
	if tree.root == "" {
		tree.root = lab.Tree(t)
	} else {
		tree.root = overlay(t, tree.root)
	}
	for _, dir := range []string{"/run/sshd", "/etc/systemd/system/ssh.service.d"} {
		if err := os.MkdirAll(filepath.Join(tree.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if keys, _ := filepath.Glob(tree.real("/etc/ssh/ssh_host_*_key")); len(keys) == 0 {
		if out, err := exec.Command("ssh-keygen", "-A", "-f", tree.root).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	_, banner, _ := tree.sshd("-?")
	var ok bool
	if tree.version, ok = sshdconf.ParseVersion(banner[max(0, strings.Index(banner, "OpenSSH_")):]); !ok {
		t.Fatalf("no version in %q", banner)
	}
	return tree
}

// overlay is a writable copy of a tree, which goes with the test.
func overlay(t *testing.T, base string) string {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"root", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(dir, "root")
	if err := unix.Mount("overlay", root, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", base, dir, dir)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	})
	return root
}

func (s *sshdTree) real(name string) string { return filepath.Join(s.root, name) }

// sshd runs the tree's own sshd in the tree.
func (s *sshdTree) sshd(args ...string) (stdout, stderr string, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/usr/sbin/sshd", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: s.root}
	cmd.Env, cmd.Dir = []string{"PATH=/usr/sbin:/usr/bin"}, "/"
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return out.String(), errs.String(), err == nil
}

// sshdCase is a generated configuration and a connection.
type sshdCase struct {
	t     *testing.T
	tree  *sshdTree
	files map[string]string
	args  []string // of the daemon, by its unit
	conn  sshdconf.Connection
}

func newSSHDCase(t *testing.T, tree *sshdTree, seed uint64) *sshdCase {
	g := sshdtest.New(seed, tree.version)
	c := &sshdCase{t: t, tree: tree, files: g.Files("/etc/ssh", "sshd_config.d"), args: g.Arguments()}
	c.conn = g.Connection(strings.Join(slices.Collect(maps.Values(c.files)), "\n"))
	if c.conn.Addr == "garbage" { // a usage error of ours
		c.conn.Addr = "192.0.2.1"
	}
	return c
}

// plant writes the files, having removed those of the case before.
func (c *sshdCase) plant() error {
	for _, old := range []string{"sshd_config", "sshd_config.d", "e", "chain*"} {
		found, _ := filepath.Glob(c.tree.real("/etc/ssh/" + old))
		for _, name := range found {
			if err := os.RemoveAll(name); err != nil {
				return err
			}
		}
	}
	unit := "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D"
	for _, a := range c.args {
		unit += " " + quoteWord(a)
	}
	files := maps.Clone(c.files)
	files["/etc/systemd/system/ssh.service.d/test.conf"] = unit + "\n"
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(c.tree.real(name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(c.tree.real(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// quoteWord writes a word of ExecStart=.
func quoteWord(w string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(w) + `"`
}

// try returns whether sshd accepts the case, and how the answers differ.
func (c *sshdCase) try() (accepted bool, diff string) {
	if err := c.plant(); err != nil {
		return false, err.Error()
	}
	want, said, ok := c.tree.sshd(slices.Concat([]string{"-T"}, c.args, sshdtest.ConnectionArgs(c.conn))...)
	got, errs, code := runCommand(append([]string{"show", "sshd", "--root", c.tree.root}, connectionFlagsOf(c.conn)...)...)
	describe := func(what string) string {
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(c.files)) {
			fmt.Fprintf(&b, "--- %s\n%s\n", name, sshdtest.Numbered(c.files[name]))
		}
		fmt.Fprintf(&b, "--- options %q connection %+v\n%s\n--- sshd says\n%s--- we say (exit code %d)\n%s", c.args, c.conn, what, said, code, errs)
		return b.String()
	}
	switch {
	case !ok && said == "":
		return true, "" // it crashed: 10.0 does when a subsystem stands in a Match block alone
	case !ok && strings.Contains(said, "not in connection test specification"):
		// sshd -T demands a port where a Match line names one; we take none for no.
		if code != 0 || !strings.Contains(errs, "--lport is not given") && c.asked() {
			return true, describe("no word about the port")
		}
		return true, ""
	case !ok:
		want := sshdtest.Places(said, "/etc/ssh/sshd_config", false)
		if code != exitIncomplete || got != "" {
			return false, describe("sshd refuses, we do not")
		}
		if places := c.refused(); !sshdtest.SamePlaces(want, places, said) || len(places) > 0 && !strings.Contains(errs, strings.TrimSuffix(places[0], ":0")+": ") {
			return false, describe(fmt.Sprintf("problems: sshd %q, ours %q", want, places))
		}
		return false, ""
	case code != exitOK:
		return true, describe("sshd accepts, we do not")
	}
	if diff := sshdtest.LineDiff(want, got); diff != "" {
		return true, describe(diff)
	}
	return true, ""
}

func (c *sshdCase) asked() bool { return len(connectionFlagsOf(c.conn)) > 0 }

// refused are the places that the JSON form names as those at fault.
func (c *sshdCase) refused() []string {
	out, _, _ := runCommand(append([]string{"show", "sshd", "--root", c.tree.root, "--format", "json"}, connectionFlagsOf(c.conn)...)...)
	var shown shownSSHD
	if err := json.Unmarshal([]byte(out), &shown); err != nil {
		c.t.Error(err)
	}
	places := []string{}
	for _, p := range shown.Refused {
		switch {
		case p.Place != nil:
			places = append(places, p.Place.String())
		case strings.HasPrefix(p.Text, "command line"):
			places = append(places, sshdconf.CommandLine+":0")
		}
	}
	return slices.Compact(places)
}

func connectionFlagsOf(c sshdconf.Connection) []string {
	var args []string
	for _, f := range [][2]string{{"--user", c.User}, {"--addr", c.Addr}, {"--host", c.Host}, {"--laddr", c.LocalAddr}, {"--rdomain", c.RDomain}} {
		if f[1] != "" {
			args = append(args, f[0], f[1])
		}
	}
	if c.LocalPort != 0 {
		args = append(args, "--lport", strconv.Itoa(c.LocalPort))
	}
	if c.InvalidUser {
		args = append(args, "--invalid-user")
	}
	return args
}

// runCommand runs hostguard in this process.
func runCommand(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	root := rootCommand()
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	var exit exitError
	switch {
	case errors.As(err, &exit):
		code, err = exit.code, exit.err
	case err != nil:
		code = exitUsage
	}
	if err != nil {
		fmt.Fprintln(&errs, err)
	}
	return out.String(), errs.String(), code
}
