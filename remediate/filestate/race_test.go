package filestate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// races is how many rounds each of the four races has: 1,000 in all, and 20,000
// for make prove.
func races(t testing.TB) int {
	t.Helper()
	all := 1000
	if text := os.Getenv("HOSTGUARD_RACES"); text != "" {
		n, err := strconv.Atoi(text)
		must(t, err)
		all = n
	}
	return all / 4
}

// An admin edits a file while hostguard changes it and takes the change back,
// over and over. Each of his saves is still there when he reads the file the
// next time, or lies in a file that a message named: none is lost. One writes a
// new file and renames it over the old one (vim, sed -i), one appends in place
// (>>), one reads, truncates and writes (nano), one moves the old file away
// first (vim with backupcopy=no).
func TestNoEditIsLost(t *testing.T) {
	t.Parallel()
	for name, save := range map[string]func(full string, next func(data []byte) []byte) error{
		"renamed":    saveByRename,
		"appended":   saveInPlace,
		"rewritten":  saveTruncated,
		"moved away": saveByBackup,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			race(t, save)
		})
	}
}

func saveByRename(full string, next func([]byte) []byte) error {
	data, err := os.ReadFile(full)
	if err != nil {
		return err
	}
	if err := os.WriteFile(full+".editor", next(data), 0o644); err != nil {
		return err
	}
	return os.Rename(full+".editor", full)
}

func saveInPlace(full string, next func([]byte) []byte) error {
	f, err := os.OpenFile(full, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	lines := next(data)
	if len(data) > 32<<10 { // tidies up, now and then
		if err := f.Truncate(0); err != nil {
			return err
		}
		_, err = f.Write(lines)
		return err
	}
	_, err = f.Write(lines[bytes.LastIndexByte(lines[:len(lines)-1], '\n')+1:])
	return err
}

func saveTruncated(full string, next func([]byte) []byte) error {
	f, err := os.OpenFile(full, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(next(data), 0)
	return err
}

func saveByBackup(full string, next func([]byte) []byte) error {
	if err := os.Rename(full, full+"~"); err != nil {
		return err
	}
	data, err := os.ReadFile(full + "~")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(full, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(next(data))
	return err
}

// admin saves without end, and remembers which of his saves he did not find
// when he read the file the next time.
type admin struct {
	saves   int
	missing []string
	last    string
}

func (a *admin) run(full string, save func(string, func([]byte) []byte) error, stop <-chan struct{}) {
	for n := 1; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		line := fmt.Sprintf("edit %d\n", n)
		missing := false
		err := save(full, func(data []byte) []byte {
			missing = a.last != "" && !bytes.Contains(data, []byte("\n"+a.last))
			lines := bytes.SplitAfter(data, []byte("\n"))
			kept := bytes.Join(lines[max(0, len(lines)-40):], nil)
			return append(append([]byte("# a file\n"), bytes.TrimPrefix(kept, []byte("# a file\n"))...), line...)
		})
		if err == nil {
			if missing {
				a.missing = append(a.missing, a.last)
			}
			a.saves++
			a.last = line
		}
		time.Sleep(time.Duration((n%7)*(n%7)) * 50 * time.Microsecond)
	}
}

func race(t *testing.T, save func(string, func([]byte) []byte) error) {
	root := newRoot(t)
	full := filepath.Join(root, thing)
	must(t, os.WriteFile(full, []byte("# a file\n"), 0o644))
	var editor admin
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { editor.run(full, save, stop); close(stopped) }()
	conflicts, changes, rounds := 0, 0, 0
	for n := 0; rounds < races(t); n++ {
		from, err := Observe(root, thing)
		if err != nil || from.Type != File {
			continue
		}
		rounds++
		// The change adds a line of ours; an admin's lines stay in it.
		to := from.WithContent(append(bytes.Clone(from.Content), fmt.Sprintf("ours %d\n", n)...))
		tx := fmt.Sprintf("race-%d", n)
		moved := Move(root, thing, from, to, tx)
		if moved == nil {
			moved = Settle(root, thing, from, to, tx)
		}
		if moved == nil && n%2 == 0 {
			if moved = Clean(root, thing, from, to, tx); moved == nil {
				changes++
			}
		} else {
			moved = errors.Join(moved, Back(root, thing, from, to, tx))
		}
		if moved != nil {
			if !errors.Is(moved, ErrConflict) {
				t.Errorf("round %d: %v", n, moved)
			}
			conflicts++
		}
	}
	close(stop)
	<-stopped
	var all []byte
	kept := 0
	entries, err := os.ReadDir(filepath.Join(root, "etc"))
	must(t, err)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(root, "etc", e.Name()))
		must(t, err)
		switch {
		case strings.Contains(e.Name(), ".kept"):
			kept++
			all = append(all, data...)
		case e.Name() == "thing":
			all = append(all, data...)
		case strings.Contains(e.Name(), "hostguard"):
			t.Errorf("%s stays", e.Name())
		}
	}
	if !bytes.Contains(all, []byte("\n"+editor.last)) {
		editor.missing = append(editor.missing, editor.last)
	}
	lost := 0
	for _, line := range editor.missing {
		if !bytes.Contains(all, []byte("\n"+line)) {
			lost++
			t.Errorf("lost: %s", line)
		}
	}
	t.Logf("%d saves; %d rounds: %d changes, %d conflicts; %d saves were not in place at the next look, %d of them in %d files kept; %d lost",
		editor.saves, rounds, changes, conflicts, len(editor.missing), len(editor.missing)-lost, kept, lost)
	if changes == 0 || editor.saves == 0 {
		t.Error("nobody raced")
	}
}
