// Package unitstate moves units of systemd from one state to another and back:
// the links that enable them, and whether they run.
//
// It makes and removes the links itself and lets systemd read them again,
// instead of asking systemd to enable or disable. What `systemctl disable`
// takes away `systemctl enable` does not always bring back: links that an
// administrator made by hand, what lies in an emptied .wants folder, the
// sequence numbers of init scripts. A state here holds each link as it was, so
// that undo is exact. Presets are not touched.
//
// Each kind of unit has a defined answer (systemd.unit(5), systemctl(1)):
//
//	enabled, alias   its links in .wants, .requires and .upholds folders and its aliases go; the file stays
//	linked           the same; the link to the file itself stays, or the unit would be unknown afterwards
//	init script      its S links of runlevels 2 to 5 become K links, as update-rc.d makes them
//	instance         its own links only; the template and other instances stay
//	static           stopped, unless something that stays starts it at boot: then a person is told by what
//	masked           stopped; the mask stays. A masked unit is not enabled or started: a person decides
//	generated        stopped, unless its generator starts it at boot: then a person is told
//	transient        a person: once stopped it is gone, and nothing could start it again
package unitstate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/remediate"
)

// conflict says that a unit is neither as it was nor as it should become.
func conflict(unit, format string, args ...any) error {
	return &remediate.ConflictError{Target: unit, Why: fmt.Sprintf(format, args...)}
}

// Whether a unit runs. The empty Activity stands for any, of a unit that cannot
// be looked at: in a file tree.
const (
	Up    Activity = "up"    // active, reloading or on its way there
	Down  Activity = "down"  // inactive or failed
	Maybe Activity = "maybe" // whatever the start of another makes of it; back from here it is stopped
)

// Activity is whether a unit runs: Up, Down, Maybe or "".
type Activity string

func (a Activity) equal(b Activity) bool {
	return a == b || a == "" || b == "" || a == Maybe || b == Maybe
}

// Link is a symbolic link with its owner.
type Link struct {
	Path string `json:"path"`
	Text string `json:"text"`
	UID  uint32 `json:"uid,omitempty"`
	GID  uint32 `json:"gid,omitempty"`
}

// Unit is one unit's state.
type Unit struct {
	Name     string   `json:"name"` // its primary name
	Links    []Link   `json:"links,omitempty"`
	Folders  []string `json:"folders,omitempty"` // folders of such links that exist, also when empty
	Activity Activity `json:"activity,omitempty"`
}

// State is the state of units that move together, because some activate others:
// a service with its socket, timer and path. Activators come first.
type State struct {
	Units []Unit `json:"units"`
}

// Equal reports whether both states are the same. Empty folders that only one
// of them has do not count.
func (s State) Equal(o State) bool {
	return slices.EqualFunc(s.Units, o.Units, func(a, b Unit) bool {
		return a.Name == b.Name && a.Activity.equal(b.Activity) && slices.Equal(a.Links, b.Links)
	})
}

// unit returns the state of the unit of that name.
func (s State) unit(name string) (Unit, bool) {
	i := slices.IndexFunc(s.Units, func(u Unit) bool { return u.Name == name })
	if i < 0 {
		return Unit{}, false
	}
	return s.Units[i], true
}

// link returns the link at a path; the zero Link when there is none.
func (u Unit) link(path string) Link {
	i := slices.IndexFunc(u.Links, func(l Link) bool { return l.Path == path })
	if i < 0 {
		return Link{}
	}
	return u.Links[i]
}

// paths are the places of the links of both, sorted.
func paths(a, b Unit) []string {
	var all []string
	for _, l := range slices.Concat(a.Links, b.Links) {
		all = append(all, l.Path)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Describe says what a move does, a line for each action.
func Describe(from, to State) []string {
	var lines []string
	for _, after := range to.Units {
		before, _ := from.unit(after.Name)
		for _, path := range paths(before, after) {
			old, next := before.link(path), after.link(path)
			switch {
			case old == next:
			case next.Path == "":
				lines = append(lines, fmt.Sprintf("remove the link %s -> %s", path, old.Text))
			case old.Path == "":
				lines = append(lines, fmt.Sprintf("make the link %s -> %s", path, next.Text))
			default:
				lines = append(lines, fmt.Sprintf("change the link %s from %s to %s", path, old.Text, next.Text))
			}
		}
	}
	for _, after := range to.Units {
		if !differs(from, after) {
			continue
		}
		switch after.Activity {
		case Up:
			lines = append(lines, "start "+after.Name)
		case Down:
			lines = append(lines, "stop "+after.Name)
		}
	}
	return lines
}

// namesIn takes a target apart. No unit has a space in its name.
func namesIn(target string) []string { return strings.Fields(target) }
