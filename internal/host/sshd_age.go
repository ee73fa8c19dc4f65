package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hostguard/hostguard/internal/sshdconf"
)

// StaleSince returns when sshd's configuration last changed and by which file,
// folder or link, and when the daemon last read it. It returns zero times for a
// daemon that does not run.
func (h *Host) StaleSince(d *SSHD) (changed, read time.Time, by string, err error) {
	if d.PID == 0 || d.Config == nil {
		return time.Time{}, time.Time{}, "", nil
	}
	read = d.Started
	// A reload starts the program anew in the same process: only its pid file
	// is younger then.
	tells := false
	if e, err := d.Config.For(sshdconf.Connection{}); err == nil {
		name := e.Get("pidfile").Text()
		if data, err := h.ReadFile(name); err == nil && strings.TrimSpace(string(data)) == strconv.Itoa(d.PID) {
			if info, err := h.Stat(name); err == nil {
				tells = true
				if info.ModTime().After(read) {
					read = info.ModTime()
				}
			}
		}
	}
	missing := false // by is the folder above one that is not there
	look := func(name string, stat func(string) (fs.FileInfo, error), above bool) error {
		info, err := stat(name)
		if err != nil {
			return err
		}
		if at := time.Unix(info.Sys().(*syscall.Stat_t).Ctim.Unix()); at.After(changed) {
			changed, by, missing = at, name, above
		}
		return nil
	}
	for _, name := range slices.Concat(d.Config.Files, d.Config.Folders) {
		err := look(name, h.Stat, false)
		for above := name; isMissing(err) && above != "/"; {
			above = path.Dir(above)
			err = look(above, h.Stat, true)
		}
		for _, link := range h.linksOn(name) {
			if err == nil {
				err = look(link, h.Lstat, false)
			}
		}
		if err != nil {
			return changed, read, by, fmt.Errorf("cannot tell when sshd's configuration changed: %w", err)
		}
	}
	if changed.After(read) {
		switch {
		case missing:
			return changed, read, by, fmt.Errorf("cannot tell whether sshd has read its configuration: %s changed after it started, and a folder below, where sshd would include files from, is not there", by)
		case !tells:
			return changed, read, by, fmt.Errorf("cannot tell whether sshd has read %s, which changed after it started: no pid file shows when it was reloaded (PidFile)", by)
		}
	}
	return changed, read, by, nil
}

func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// linksOn are the symbolic links on the way to a file. What cannot be seen is
// left out: the file itself cannot, then.
func (h *Host) linksOn(name string) (links []string) {
	at := "/"
	for todo := names(name); len(todo) > 0 && len(links) < maxLinks; {
		next := path.Join(at, todo[0])
		todo = todo[1:]
		text, err := h.Readlink(next)
		if err != nil {
			at = next
			continue
		}
		links = append(links, next)
		if path.IsAbs(text) {
			at = "/"
		}
		todo = append(names(text), todo...)
	}
	return links
}
