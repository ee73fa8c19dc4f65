package unitfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/unitfile"
)

// tree writes files ("/path": content) and links ("/path": "-> target") below
// a new folder, with a default.target that leads to multi-user.target.
func tree(t *testing.T, files map[string]string) *host.Host {
	t.Helper()
	root := t.TempDir()
	base := map[string]string{
		"/usr/lib/systemd/system/default.target":    "-> multi-user.target",
		"/usr/lib/systemd/system/multi-user.target": "[Unit]\nRequires=basic.target\n",
		"/usr/lib/systemd/system/basic.target":      "[Unit]\nWants=sockets.target timers.target\n",
		"/usr/lib/systemd/system/sockets.target":    "[Unit]\nDescription=x\n",
		"/usr/lib/systemd/system/timers.target":     "[Unit]\nDescription=x\n",
	}
	for _, set := range []map[string]string{base, files} {
		for name, content := range set {
			full := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
				t.Fatal(err)
			}
			_ = os.Remove(full)
			var err error
			if target, isLink := strings.CutPrefix(content, "-> "); isLink {
				err = os.Symlink(target, full)
			} else {
				mode := os.FileMode(0o644)
				if strings.HasPrefix(name, "/etc/init.d/") {
					mode = 0o755
				}
				err = os.WriteFile(full, []byte(content), mode)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return host.New(host.Options{Root: root})
}

// TestAtBoot holds what the next boot starts, hard case 34.
func TestAtBoot(t *testing.T) {
	t.Parallel()
	const (
		lib     = "/usr/lib/systemd/system/"
		etc     = "/etc/systemd/system/"
		service = "[Service]\nExecStart=/bin/true\n"
	)
	for name, test := range map[string]struct {
		files map[string]string
		unit  string
		want  string // what starts it; empty: nothing
	}{
		"enabled": {
			map[string]string{lib + "a.service": service, etc + "multi-user.target.wants/a.service": "-> " + lib + "a.service"},
			"a.service", etc + "multi-user.target.wants/a.service",
		},
		"disabled": {map[string]string{lib + "a.service": service + "[Install]\nWantedBy=multi-user.target\n"}, "a.service", ""},
		"link to a file that is gone": {
			map[string]string{etc + "multi-user.target.wants/a.service": "-> " + lib + "a.service"}, "a.service", "",
		},
		"masked though links are left": {
			map[string]string{lib + "a.service": service, etc + "a.service": "-> /dev/null", etc + "multi-user.target.wants/a.service": "-> " + lib + "a.service"},
			"a.service", "",
		},
		"masked until the next boot only": {
			map[string]string{lib + "a.service": service, "/run/systemd/system/a.service": "-> /dev/null", etc + "multi-user.target.wants/a.service": "-> " + lib + "a.service"},
			"a.service", etc + "multi-user.target.wants/a.service",
		},
		"enabled until the next boot only": {
			map[string]string{lib + "a.service": service, "/run/systemd/system/multi-user.target.wants/a.service": "-> " + lib + "a.service"},
			"a.service", "",
		},
		"an alias link alone starts nothing, though is-enabled says enabled": {
			map[string]string{lib + "a.service": service + "[Install]\nAlias=b.service\nWantedBy=multi-user.target\n", etc + "b.service": "-> " + lib + "a.service"},
			"a.service", "",
		},
		"pulled in under an alias": {
			map[string]string{lib + "a.service": service, etc + "b.service": "-> " + lib + "a.service", etc + "multi-user.target.wants/b.service": "-> " + lib + "a.service"},
			"a.service", etc + "multi-user.target.wants/b.service",
		},
		"wanted by a target that is not started": {
			map[string]string{lib + "a.service": service, lib + "rescue.target": "[Unit]\n", etc + "rescue.target.wants/a.service": "-> " + lib + "a.service"},
			"a.service", "",
		},
		"wanted by default.target itself": {
			map[string]string{lib + "a.service": service, etc + "default.target.wants/a.service": "-> " + lib + "a.service"},
			"a.service", etc + "default.target.wants/a.service",
		},
		"administrator's default.target": {
			map[string]string{lib + "a.service": service, lib + "graphical.target": "[Unit]\n", etc + "default.target": "-> " + lib + "graphical.target", etc + "multi-user.target.wants/a.service": "-> " + lib + "a.service"},
			"a.service", "",
		},
		"required by an enabled service": {
			map[string]string{lib + "a.service": service, lib + "b.service": "[Unit]\nRequires=\\\n  a.service\n" + service, etc + "multi-user.target.wants/b.service": "-> " + lib + "b.service"},
			"a.service", lib + "b.service (Requires=)",
		},
		"wanted by a drop-in": {
			map[string]string{lib + "a.service": service, etc + "multi-user.target.d/x.conf": "[Unit]\nWants=a.service\n"},
			"a.service", lib + "multi-user.target (Wants=)",
		},
		"instance of a template": {
			map[string]string{lib + "a@.service": service, etc + "multi-user.target.wants/a@x.service": "-> " + lib + "a@.service"},
			"a@x.service", etc + "multi-user.target.wants/a@x.service",
		},
		"instance by specifier": {
			map[string]string{lib + "a@.service": service, lib + "b@.service": "[Unit]\nWants=a@%i.service\n" + service, etc + "multi-user.target.wants/b@x.service": "-> " + lib + "b@.service"},
			"a@x.service", lib + "b@.service (Wants=)",
		},
		"socket only": {
			map[string]string{lib + "a.service": service, lib + "a.socket": "[Socket]\nListenStream=1\n", etc + "sockets.target.wants/a.socket": "-> " + lib + "a.socket"},
			"a.service", "",
		},
		"generated": {
			map[string]string{"/run/systemd/generator/a.service": service, "/run/systemd/generator/multi-user.target.wants/a.service": "-> ../a.service"},
			"a.service", "/run/systemd/generator/multi-user.target.wants/a.service",
		},
		"static link of the distribution": {
			map[string]string{lib + "a.service": service, lib + "multi-user.target.wants/a.service": "-> ../a.service"},
			"a.service", lib + "multi-user.target.wants/a.service",
		},
		"static link taken away by the administrator": {
			map[string]string{lib + "a.service": service, lib + "multi-user.target.wants/a.service": "-> ../a.service", etc + "multi-user.target.wants/a.service": "-> /dev/null"},
			"a.service", "",
		},
		"units that want each other": {
			map[string]string{lib + "a.service": "[Unit]\nWants=b.service\n", lib + "b.service": "[Unit]\nWants=a.service\n", etc + "multi-user.target.wants/b.service": "-> " + lib + "b.service"},
			"a.service", lib + "b.service (Wants=)",
		},
		"SysV script": {
			map[string]string{"/etc/init.d/a": "#!/bin/sh\n", "/etc/rc2.d/S01a": "-> ../init.d/a"}, "a.service", "/etc/rc2.d/S01a",
		},
		"SysV script that is off": {
			map[string]string{"/etc/init.d/a": "#!/bin/sh\n", "/etc/rc2.d/K01a": "-> ../init.d/a"}, "a.service", "",
		},
		"SysV script behind a unit": {
			map[string]string{"/etc/init.d/a": "#!/bin/sh\n", "/etc/rc2.d/S01a": "-> ../init.d/a", lib + "a.service": service}, "a.service", "",
		},
		"SysV script masked by the distribution": {
			map[string]string{"/etc/init.d/a": "#!/bin/sh\n", "/etc/rc2.d/S01a": "-> ../init.d/a", lib + "a.service": "-> /dev/null"}, "a.service", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, err := unitfile.Open(tree(t, test.files))
			if err != nil {
				t.Fatal(err)
			}
			if got := files.AtBoot()[test.unit]; got != test.want {
				t.Errorf("%s is started by %q, want %q", test.unit, got, test.want)
			}
		})
	}
}

func TestTreesThatTellNothing(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"default.target masked":   {"/etc/systemd/system/default.target": "-> /dev/null"},
		"default.target dangling": {"/etc/systemd/system/default.target": "-> nowhere.target"},
		"default.target in a loop": {
			"/etc/systemd/system/default.target": "-> x.target", "/etc/systemd/system/x.target": "-> default.target",
		},
	} {
		if _, err := unitfile.Open(tree(t, files)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := unitfile.Open(host.New(host.Options{Root: t.TempDir()})); err == nil {
		t.Error("an empty tree: no error")
	}
}

func TestHostileFiles(t *testing.T) {
	t.Parallel()
	h := tree(t, map[string]string{
		"/etc/systemd/system/loop.service": "-> loop.service",
		"/etc/systemd/system/kind.service": "-> kind.socket",
		"/etc/systemd/system/out.service":  "-> ../../../../../../etc/passwd",
	})
	files, err := unitfile.Open(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"loop.service", "kind.service", "out.service"} {
		if u, err := files.Unit(name); err != nil || u.State != "bad" {
			t.Errorf("%s: %+v, %v; want bad", name, u, err)
		}
	}
	for _, name := range []string{"", "x", "x.y", "../x.service", "x\n.service", "@.service", ".service"} {
		if _, err := files.Unit(name); err == nil {
			t.Errorf("%q counts as a unit's name", name)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	const text = "\uFEFF; comment\nlost=1\n[Unit]\r\nWants=a.service \\\n# in between\n  b.service\nDescription = x = y\nnothing\n\n[Install]\nAlias=\n"
	want := []unitfile.Entry{
		{Section: "Unit", Key: "Wants", Value: "a.service  b.service", Line: 4},
		{Section: "Unit", Key: "Description", Value: "x = y", Line: 7},
		{Section: "Install", Key: "Alias", Line: 11},
	}
	if diff := cmp.Diff(want, unitfile.Parse([]byte(text))); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("[Unit]\nWants=a\\\n b\n# c\n[x\n=\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := strings.Count(string(data), "\n") + 1
		for _, e := range unitfile.Parse(data) {
			if e.Line < 1 || e.Line > lines || strings.ContainsRune(e.Value, '\n') {
				t.Errorf("%+v of %d lines", e, lines)
			}
		}
	})
}
