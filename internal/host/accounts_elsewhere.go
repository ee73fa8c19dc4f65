package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Elsewhere are accounts that the system's resolver knows besides the host's
// files, see nsswitch.conf(5).
type Elsewhere struct {
	Users []User // Line is 0; passwords are not known
	// Groups are the names of a user's groups, the primary one first: of the
	// users here, and of those of the files who are in other groups as well.
	Groups map[string][]string
	// Unknown is what the resolver did not tell.
	Unknown []string
}

const (
	getentProgram  = "/usr/bin/getent"
	getentTimeout  = 3 * time.Second
	maxAsked       = 400    // names in one question
	maxResolved    = 2_000  // accounts whose groups are asked for
	maxEnumerated  = 60_000 // accounts taken from an enumeration
	getentNotFound = 2      // not all names exist, see getent(1)
)

// AccountsElsewhere asks the system's resolver for accounts that the host's
// files do not have: for all it enumerates, and for those named. Directory
// services often do not enumerate; what did not answer in time is said in
// Unknown. Without sources beside the files it asks nothing.
func (h *Host) AccountsElsewhere(ctx context.Context, a *Accounts, names []string) *Elsewhere {
	e := &Elsewhere{Groups: map[string][]string{}}
	if len(a.Elsewhere) == 0 {
		return e
	}
	from := strings.Join(a.Elsewhere, ", ")
	if !h.Running() {
		e.unknown("accounts from %s: a file tree cannot be asked for them", from)
		return e
	}
	e.ask(ctx, h.getent, a, names, from)
	return e
}

// A resolver answers like getent(1): lines of a database, of the keys or, with
// none, all that it enumerates.
type resolver func(ctx context.Context, database string, keys ...string) ([]byte, error)

func (e *Elsewhere) ask(ctx context.Context, getent resolver, a *Accounts, names []string, from string) {
	users := map[string]bool{}
	take := func(out []byte) {
		eachLine(out, 4, 7, func(_ int, f []string) {
			uid, ok1 := idNumber(f[2])
			gid, ok2 := idNumber(f[3])
			if !ok1 || !ok2 || users[f[0]] || a.User(f[0]) != nil || len(e.Users) == maxEnumerated {
				return
			}
			users[f[0]] = true
			e.Users = append(e.Users, User{Name: f[0], UID: uid, GID: gid, Home: f[5], Shell: f[6], Shadowed: f[1] == "x", Expires: Never, Changed: Never, MaxAge: Never, Inactive: Never})
		})
	}
	out, err := getent(ctx, "passwd")
	if err != nil {
		e.unknown("accounts from %s: %v", from, err)
		return // each further question would take as long
	}
	take(out)
	enumerated := len(e.Users)
	var missing []string
	for _, name := range names {
		if a.User(name) == nil && !users[name] && !slices.Contains(missing, name) && len(missing) < maxAsked && plainName(name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		if out, err = getent(ctx, "passwd", missing...); err != nil {
			e.unknown("accounts from %s: %v", from, err)
			return
		}
		take(out)
	}
	if enumerated == 0 {
		e.unknown("accounts from %s beside those named in sshd's configuration: it lists none", from)
	}
	e.resolveGroups(ctx, getent, a)
}

func (e *Elsewhere) unknown(format string, args ...any) {
	e.Unknown = append(e.Unknown, fmt.Sprintf(format, args...))
}

// plainName reports whether getent takes a word for a name: not for an option
// or a number.
func plainName(name string) bool {
	_, isNumber := idNumber(name)
	return name != "" && name[0] != '-' && !isNumber && !strings.ContainsAny(name, ":\n\x00")
}

// resolveGroups finds the groups of the users elsewhere, and those of the
// files' users that the files do not tell.
func (e *Elsewhere) resolveGroups(ctx context.Context, getent resolver, a *Accounts) {
	var names []string
	gidOf := map[string]uint32{}
	for _, list := range [][]User{e.Users, a.Users} {
		for i := range list {
			if len(names) == maxResolved {
				e.unknown("groups of accounts beyond the first %d", maxResolved)
				break
			}
			if plainName(list[i].Name) {
				names = append(names, list[i].Name)
				gidOf[list[i].Name] = list[i].GID
			}
		}
	}
	gids := map[string][]uint32{}
	var numbers []string
	seen := map[uint32]bool{}
	need := func(gid uint32) {
		if !seen[gid] {
			seen[gid] = true
			numbers = append(numbers, fmt.Sprint(gid))
		}
	}
	for part := range slices.Chunk(names, maxAsked) {
		out, err := getent(ctx, "initgroups", part...)
		if err != nil {
			e.unknown("groups of accounts: %v", err)
			return
		}
		for line := range strings.Lines(string(out)) {
			f := strings.Fields(line)
			if len(f) == 0 {
				continue
			}
			primary, ok := gidOf[f[0]]
			if !ok {
				continue
			}
			list := []uint32{primary}
			need(primary)
			for _, word := range f[1:] {
				if gid, ok := idNumber(word); ok && !slices.Contains(list, gid) {
					list = append(list, gid)
					need(gid)
				}
			}
			gids[f[0]] = list
		}
	}
	nameOf := map[uint32]string{}
	for part := range slices.Chunk(numbers, maxAsked) {
		out, err := getent(ctx, "group", part...)
		if err != nil {
			e.unknown("names of groups: %v", err)
			return
		}
		eachLine(out, 3, 4, func(_ int, f []string) {
			if gid, ok := idNumber(f[2]); ok && nameOf[gid] == "" {
				nameOf[gid] = f[0]
			}
		})
	}
	for user, list := range gids {
		for _, gid := range list {
			if name := nameOf[gid]; name != "" && !slices.Contains(e.Groups[user], name) {
				e.Groups[user] = append(e.Groups[user], name)
			}
		}
	}
}

// getent asks the resolver, for no longer than a moment.
func (h *Host) getent(ctx context.Context, database string, keys ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, getentTimeout, fmt.Errorf("no answer within %v", getentTimeout))
	defer cancel()
	out, err := h.Exec(ctx, getentProgram, append([]string{database}, keys...)...)
	switch {
	case err != nil:
		return nil, err
	case out.ExitCode != 0 && out.ExitCode != getentNotFound:
		return nil, errors.New(lastLine("getent: " + string(out.Stderr)))
	}
	return out.Stdout, nil
}
