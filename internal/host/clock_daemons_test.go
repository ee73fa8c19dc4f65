package host

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/timeconf"
)

func TestChronydArguments(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]struct {
		file       string
		directives []string
	}{
		"-F 1":                        {},
		"-F1 -f /x":                   {file: "/x"},
		"-f/x -4":                     {file: "/x"},
		"-4xf /x":                     {file: "/x"},
		"-u _chrony -f /a -f /b":      {file: "/b"},
		"-f":                          {},
		"-q server\x20a":              {directives: []string{"server", "a"}},
		"-- -f":                       {directives: []string{"-f"}},
		"-t 3 -l /log -L 0 -n server": {directives: []string{"server"}},
	} {
		file, directives := chronydArguments(strings.Fields(command))
		if file != want.file || !slices.Equal(directives, want.directives) {
			t.Errorf("%q: %q, %q", command, file, directives)
		}
	}
}

func TestOptionValue(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{
		"-g -c /a": "/a", "-c/a": "/a", "--configfile=/a": "/a", "--configfile /a": "/a", "-c /a -c /b": "/b", "-c": "", "-g": "", "": "",
	} {
		if got := optionValue(strings.Fields(command), "-c", "--configfile"); got != want {
			t.Errorf("%q: %q, want %q", command, got, want)
		}
	}
}

// clockTree writes files below a new root; a content "-> TARGET" makes a link.
func clockTree(t *testing.T, files map[string]string) *Host {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, found := strings.CutPrefix(content, "-> "); found {
			err = os.Symlink(target, full)
		} else {
			err = os.WriteFile(full, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return New(Options{Root: root})
}

const (
	wantedBy  = "[Install]\nWantedBy=multi-user.target\n"
	libUnits  = "/usr/lib/systemd/system/"
	etcWanted = "/etc/systemd/system/multi-user.target.wants/"
)

func baseUnits(more map[string]string) map[string]string {
	files := map[string]string{
		libUnits + "default.target":    "-> multi-user.target",
		libUnits + "multi-user.target": "[Unit]\n",
	}
	for name, content := range more {
		files[name] = content
	}
	return files
}

func TestTimeSourcesOfAFileTree(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		files   map[string]string
		daemons string
		sources string
		unseen  bool
	}{
		"none": {baseUnits(nil), "", "", false},
		"chrony of Debian, links absolute": {baseUnits(map[string]string{
			libUnits + "chrony.service":           wantedBy + "Alias=chronyd.service\n",
			etcWanted + "chrony.service":          "-> /lib/systemd/system/chrony.service",
			"/lib":                                "-> usr/lib",
			"/etc/systemd/system/chronyd.service": "-> /lib/systemd/system/chrony.service",
			"/etc/chrony/chrony.conf":             "pool a iburst\nconfdir /etc/chrony/conf.d\n",
			"/etc/chrony/conf.d/x.conf":           "server b\n",
		}), "chrony chrony.service enabled", "pool a, server b", false},
		"chrony of Red Hat": {baseUnits(map[string]string{
			libUnits + "chronyd.service":  wantedBy,
			etcWanted + "chronyd.service": "-> /usr/lib/systemd/system/chronyd.service",
			"/etc/chrony.conf":            "server a\n",
		}), "chrony chronyd.service enabled", "server a", false},
		"an enabled one counts, an installed one does not": {baseUnits(map[string]string{
			libUnits + "ntpsec.service":            wantedBy,
			etcWanted + "ntpsec.service":           "-> /usr/lib/systemd/system/ntpsec.service",
			libUnits + "systemd-timesyncd.service": wantedBy,
			"/etc/ntpsec/ntp.conf":                 "pool a\n", "/etc/ntpsec/ntp.d/x.conf": "server b\n", "/etc/ntp.conf": "server no\n",
		}), "systemd-timesyncd systemd-timesyncd.service disabled, ntpsec ntpsec.service enabled", "pool a, server b", false},
		"a masked one is not installed": {baseUnits(map[string]string{
			libUnits + "chrony.service": wantedBy, "/etc/systemd/system/chrony.service": "-> /dev/null",
		}), "", "", false},
		"timesyncd without servers": {baseUnits(map[string]string{
			libUnits + "systemd-timesyncd.service": wantedBy, etcWanted + "systemd-timesyncd.service": "-> /usr/lib/systemd/system/systemd-timesyncd.service",
		}), "systemd-timesyncd systemd-timesyncd.service enabled", "", true},
		"timesyncd with servers": {baseUnits(map[string]string{
			libUnits + "systemd-timesyncd.service": wantedBy, etcWanted + "systemd-timesyncd.service": "-> /usr/lib/systemd/system/systemd-timesyncd.service",
			"/etc/systemd/timesyncd.conf.d/x.conf": "[Time]\nNTP=a b\n",
		}), "systemd-timesyncd systemd-timesyncd.service enabled", "server a, server b", false},
		"classic ntpd": {baseUnits(map[string]string{
			libUnits + "ntp.service": wantedBy, etcWanted + "ntp.service": "-> /usr/lib/systemd/system/ntp.service", "/etc/ntp.conf": "server a\n",
		}), "ntpd ntp.service enabled", "server a", false},
		"openntpd": {baseUnits(map[string]string{
			libUnits + "openntpd.service": wantedBy, etcWanted + "openntpd.service": "-> /usr/lib/systemd/system/openntpd.service", "/etc/openntpd/ntpd.conf": "servers a\n",
		}), "openntpd openntpd.service enabled", "pool a", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := clockTree(t, tt.files)
			daemons, err := h.TimeDaemons(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range daemons {
				got = append(got, d.Kind+" "+d.Unit+" "+d.State)
			}
			if strings.Join(got, ", ") != tt.daemons {
				t.Errorf("daemons %q, want %q", got, tt.daemons)
			}
			masked, err := h.MaskedTimeDaemons(t.Context())
			if isMasked := strings.Contains(name, "masked"); err != nil || isMasked != (len(masked) == 1 && masked[0].Path == "/etc/systemd/system/chrony.service") {
				t.Errorf("masked: %v %v", masked, err)
			}
			all, err := h.TimeSources(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var sources []string
			unseen := false
			for _, s := range all {
				unseen = unseen || s.Unseen != ""
				for _, source := range s.Sources {
					sources = append(sources, string(source.Kind)+" "+source.Name)
				}
			}
			if strings.Join(sources, ", ") != tt.sources || unseen != tt.unseen {
				t.Errorf("sources %q, unseen %v, want %q, %v", sources, unseen, tt.sources, tt.unseen)
			}
		})
	}
}

func TestTimeSourcesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	h := clockTree(t, baseUnits(map[string]string{
		libUnits + "chrony.service": wantedBy, etcWanted + "chrony.service": "-> /usr/lib/systemd/system/chrony.service",
		"/etc/chrony/chrony.conf/folder": "in place of a file",
	}))
	if all, err := h.TimeSources(t.Context()); !errors.Is(err, ErrNotRegular) {
		t.Errorf("%+v, %v, want an error", all, err)
	}
}

var _ timeconf.Files = (*Host)(nil)

func TestKernelClock(t *testing.T) {
	t.Parallel()
	c, err := New(Options{}).KernelClock(t.Context())
	if err != nil || c.MaxError < 0 || c.Synchronised != (c.Status&0x40 == 0) {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := clockTree(t, nil).KernelClock(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("of a file tree: %v", err)
	}
}
