package services

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/host"
)

// Repair is what a failing verdict of this family tells a remediator: see
// checks.Verdict.Repair.
type Repair struct {
	Kind   string   // of server-kind: which kind of server; empty otherwise
	Units  []string // units behind what is stray, by their own names, sorted
	Others []string // what is stray with no unit behind it that could be stopped, for people
}

// unit notes a unit that is stray.
func (r *Repair) unit(name string) {
	if i, known := slices.BinarySearch(r.Units, name); !known {
		r.Units = slices.Insert(r.Units, i, name)
	}
}

func (r *Repair) other(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(r.Others, text) {
		r.Others = append(r.Others, text)
	}
}

// process notes a stray process: by its unit, where systemd can stop that. A
// session or a user's own service manager is no such unit.
func (r *Repair) process(p host.Process) {
	if strings.HasSuffix(p.Unit, ".service") && !strings.HasPrefix(p.Unit, "user@") {
		r.unit(p.Unit)
		return
	}
	r.other("process %d, %s", p.PID, programOf(p))
}

// socket notes a stray listener.
func (r *Repair) socket(s host.Socket) {
	ours := strings.HasSuffix(s.Unit, ".service") && !strings.HasPrefix(s.Unit, "user@") || strings.HasSuffix(s.Unit, ".socket")
	switch {
	case s.Container != "":
		r.other("%v, of the container %.12s", s, s.Container)
	case ours:
		r.unit(s.Unit)
	default:
		r.other("%v, of %s (process %d)", s, s.Exe, s.PID)
	}
}

// KindOfUnit returns which kind of server a unit is by its name, whatever check
// found it; empty: it is not known.
func KindOfUnit(name string) (string, error) {
	k, err := known()
	if err != nil {
		return "", err
	}
	return k.unit(name), nil
}

// KindOfProgram is KindOfUnit for the path of a program.
func KindOfProgram(exe string) (string, error) {
	k, err := known()
	if err != nil {
		return "", err
	}
	return k.program(exe), nil
}
