package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/lab"
)

// Rules that are added and deleted while they are read: each list is one that
// the kernel held at some moment, none is torn and no rule comes twice.
func TestRulesDeletedWhileBeingRead(t *testing.T) {
	lab.LockAudit(t)
	const n = 40 // the kernel takes a while to delete one
	dir, key := t.TempDir(), fmt.Sprintf("hgt%d", os.Getpid())
	pass := map[string]string{}
	for _, verb := range []string{"-a", "-d"} {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%s always,exit -F path=%s/f%d -F perm=wa -F key=%s\n", verb, dir, i, key)
		}
		pass[verb] = filepath.Join(dir, "rules"+verb)
		if err := os.WriteFile(pass[verb], []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listed := func() (ours []string, others int) {
		t.Helper()
		rules, err := New(Options{}).AuditLoaded(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range rules {
			if slices.Contains(rules[i].Keys(), key) {
				place, _ := rules[i].Place()
				ours = append(ours, place)
			} else {
				others++
			}
		}
		return ours, others
	}
	_, others := listed()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 3 {
			lab.Exec(t, "auditctl", "-R", pass["-a"])
			lab.Exec(t, "auditctl", "-R", pass["-d"])
		}
	}()
	t.Cleanup(func() { <-done; lab.Exec(t, "auditctl", "-D", "-k", key) })
	sizes := map[int]bool{}
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		ours, rest := listed()
		sizes[len(ours)] = true
		if rest != others || len(ours) > n {
			t.Fatalf("%d rules of the test, %d others, which were %d", len(ours), rest, others)
		}
		// They are added in their order and deleted in it: what is there follows on.
		for i := 1; i < len(ours); i++ {
			var a, b int
			fmt.Sscanf(filepath.Base(ours[i-1]), "f%d", &a)
			fmt.Sscanf(filepath.Base(ours[i]), "f%d", &b)
			if b != a+1 {
				t.Fatalf("%s follows %s", ours[i], ours[i-1])
			}
		}
	}
	if len(sizes) < 3 {
		t.Logf("lists of %v rules: they were never read half-way", sizes)
	}
}

// A list that is longer than the queue holds comes whole.
func TestManyLoadedRules(t *testing.T) {
	lab.LockAudit(t)
	const n = 1000
	dir, key := t.TempDir(), fmt.Sprintf("hgt%d", os.Getpid())
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "-a always,exit -F path=%s/f%d -F perm=wa -F key=%s\n", dir, i, key)
	}
	file := filepath.Join(dir, "rules")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.RemoveAll(dir) // takes the rules on what is in it along, at once
		if left := lab.Exec(t, "auditctl", "-l", "-k", key).Stdout; strings.Contains(left, key) {
			t.Errorf("rules are left in the kernel:\n%.200s", left)
		}
	})
	if r := lab.Exec(t, "auditctl", "-R", file); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	link, err := openAuditLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	// A short queue: the kernel's thread waits for us again and again.
	if err := unix.SetsockoptInt(link.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<10); err != nil {
		t.Fatal(err)
	}
	var listing auditrule.Listing
	if err := link.receiveRules(listing.Add); err != nil {
		t.Fatal(err)
	}
	ours := 0
	for _, r := range listing.Rules() {
		if place, _ := r.Place(); slices.Contains(r.Keys(), key) {
			if place != fmt.Sprintf("%s/f%d", dir, ours) {
				t.Fatalf("rule %d is about %s", ours, place)
			}
			ours++
		}
	}
	if ours != n {
		t.Errorf("%d rules, want %d", ours, n)
	}
}

// What is no rule ends the list with an error.
func TestListRefuses(t *testing.T) {
	t.Parallel()
	for name, body := range map[string][]byte{"nothing": nil, "three bytes": {1, 2, 3}} {
		if err := netlinkError(body); err == nil {
			t.Errorf("%s is taken for agreement", name)
		}
	}
	if err := netlinkError([]byte{0xff, 0xff, 0xff, 0xff}); !errors.Is(err, unix.EPERM) {
		t.Error(err)
	}
	s := newSlots()
	s.headers[0].Namelen = unix.SizeofSockaddrNetlink
	for n, bad := range map[uint32]bool{0: true, 15: true, 16: false, auditBuffer: false, auditBuffer + 1: true} {
		s.headers[0].n = n
		if msg, err := s.message(0); (err != nil) != bad || !bad && len(msg) != int(n) {
			t.Errorf("a message of %d bytes: %d %v", n, len(msg), err)
		}
	}
	s.headers[0].n, s.senders[0].Pid = 100, 4711 // another process's
	if msg, err := s.message(0); msg != nil || err != nil {
		t.Errorf("%d %v", len(msg), err)
	}
}
