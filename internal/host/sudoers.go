package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/sudoersconf"
)

const (
	sudoersFile   = "/etc/sudoers"
	sudoRSFile    = "/etc/sudoers-rs" // sudo-rs reads it in place of the other one
	doasFile      = "/etc/doas.conf"
	doasDebianDir = "/etc/doas.d" // opendoas reads it on some distributions
)

type sudoFacts struct {
	sudoers fact[Sudoers]
}

// Sudoers is who may become another user by sudo(8).
type Sudoers struct {
	Policies []*sudoersconf.Policy // of the files that there are
	// Elsewhere names sources of rules that were not read: "sss in
	// /etc/nsswitch.conf", "/etc/doas.conf".
	Elsewhere []string
}

// Sudoers reads sudo's rules. Without any file of rules it is empty: sudo then
// lets nobody do anything.
func (h *Host) Sudoers(ctx context.Context) (Sudoers, error) {
	return h.sudoers.get(ctx, func(context.Context) (Sudoers, error) { return h.readSudoers() })
}

func (h *Host) readSudoers() (Sudoers, error) {
	var s Sudoers
	for _, file := range []string{sudoersFile, sudoRSFile} {
		p, err := sudoersconf.Load(sudoersSource{h}, file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return s, fmt.Errorf("cannot read sudo's rules: %w", err)
		}
		s.Policies = append(s.Policies, p)
	}
	for _, other := range []string{doasFile, doasDebianDir} {
		there, err := h.Exists(other)
		if err != nil {
			return s, err
		}
		if there {
			s.Elsewhere = append(s.Elsewhere, other)
		}
	}
	data, err := h.ReadFile(nsswitchFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("cannot tell where sudo's rules come from: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		database, sources, _ := strings.Cut(line, ":")
		if strings.TrimSpace(database) != "sudoers" {
			continue
		}
		for _, source := range sourceNames(sources) {
			if name := source + " in " + nsswitchFile; source != "files" && !slices.Contains(s.Elsewhere, name) {
				s.Elsewhere = append(s.Elsewhere, name)
			}
		}
	}
	return s, nil
}

// sudoersSource lets the parser read the host's files.
type sudoersSource struct{ *Host }

func (s sudoersSource) Names(dir string) ([]string, error) {
	entries, err := s.ReadDir(dir)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}
