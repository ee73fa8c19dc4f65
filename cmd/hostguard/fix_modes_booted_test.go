package main

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/internal/posixacl"
)

// modeBreakages let in too many in more ways than those of breakages.
func modeBreakages() []breakage {
	var list []breakage
	add := func(name, rule, do, undo string) {
		list = append(list, breakage{name, commands(strings.Split(do, "\n")...), commands(strings.Split(undo, "\n")...), map[string]want{rule: fails()}})
	}
	add("a log is a user's own", "LOG-002", "install -m 640 -o operator -g users /dev/null /var/log/auth.log.1", "rm /var/log/auth.log.1")
	add("a log is reached over a link of root's", "LOG-002", "install -m 666 /dev/null /var/lib/elsewhere\nln -s /var/lib/elsewhere /var/log/syslog.1", "rm /var/log/syslog.1 /var/lib/elsewhere")
	add("the folder for copies is missing", "LRD-003", "rmdir /srv/tc_logs", "install -d -m 750 -g tclogs /srv/tc_logs")
	add("a copy is a user's own", "LRD-003", "install -m 664 -o operator -g users /dev/null /srv/tc_logs/ecc+a-2026-01-31.gz", "rm /srv/tc_logs/ecc+a-2026-01-31.gz")
	add("the folder and a copy are everybody's", "LRD-003", "chmod 777 /srv/tc_logs\ninstall -m 666 /dev/null /srv/tc_logs/ecc+a-2026-01-31.gz", "rm /srv/tc_logs/ecc+a-2026-01-31.gz\nchmod 750 /srv/tc_logs")
	return list
}

// Owners, links and access lists, too: fix takes away what lets in too many, and
// undo brings back every bit and entry.
func TestFixModes(t *testing.T) {
	h := bootGood(t)
	for _, b := range modeBreakages() {
		for rule := range b.wants {
			t.Run(b.name, func(t *testing.T) {
				h := h.For(t)
				defer b.undo(h)
				b.apply(h)
				if !fixAndUndo(t, h, rule) {
					t.Error("it is not mended")
				}
			})
		}
	}
	t.Run("access lists", func(t *testing.T) {
		h := h.For(t)
		// As setfacl -m u:1:rw,g:4:r,m::rw writes it, and one that holds somebody off.
		list := func(entries ...uint32) []byte {
			value := []byte{2, 0, 0, 0}
			for i := 0; i < len(entries); i += 3 {
				id := entries[i+2]
				value = append(value, byte(entries[i]), 0, byte(entries[i+1]), 0, byte(id), byte(id>>8), byte(id>>16), byte(id>>24))
			}
			return value
		}
		const none = ^uint32(0)
		lets := list(1, 6, none, 2, 6, 1, 2, 0, 2, 4, 4, none, 8, 4, 4, 16, 6, none, 32, 0, none)
		for _, c := range []struct {
			name, rule, attribute string
			value                 []byte
			keeps                 bool
		}{
			{"/var/log/auth.log", "LOG-002", posixacl.Access, lets, true},
			{"/srv/tc_logs", "LRD-003", posixacl.Access, lets, false},
			{"/srv/tc_logs", "LRD-003", posixacl.Default, lets, false},
		} {
			before := h.Must("stat", "--format=%a", c.name)
			if err := unix.Setxattr(h.Path(c.name), c.attribute, c.value, 0); err != nil {
				t.Fatal(err)
			}
			if !fixAndUndo(t, h, c.rule) {
				t.Errorf("%s: it is not mended", c.name)
			}
			if err := unix.Removexattr(h.Path(c.name), c.attribute); err != nil {
				t.Errorf("undo did not bring back the access list of %s: %v", c.name, err)
			}
			h.Must("chmod", strings.TrimSpace(before), c.name)
		}
	})
	// What else lies in the folder is not touched: somebody may have named a
	// folder in use.
	t.Run("a folder in use", func(t *testing.T) {
		h := h.For(t)
		h.Must("install", "-d", "-m", "755", "/srv/tc_logs/etc")
		h.Must("install", "-m", "666", "/dev/null", "/srv/tc_logs/passwd")
		before := observe(t, h)
		result, _ := fixed(t, h, "--only", "LRD-003")
		if result.Outcome != nothingToDo || len(result.Person) == 0 {
			t.Errorf("%s, %+v", result.Outcome, result.Person)
		}
		if diff := cmp.Diff(before, observe(t, h)); diff != "" {
			t.Errorf("it was changed (-before +after):\n%s", diff)
		}
	})
}
