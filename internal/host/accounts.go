package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"
	"unsafe"
)

type accountFacts struct {
	accounts fact[*Accounts]
}

// Accounts are the users and groups of the host's own files, and whether
// there are others.
type Accounts struct {
	Users  []User  // in the file's order; of several with one name, the first
	Groups []Group // likewise

	// Elsewhere names sources of users or groups other than the host's files
	// ("sss in /etc/nsswitch.conf"): who exists and who is a member cannot be
	// told from the files alone then.
	Elsewhere []string
	// ShadowErr is why the state of passwords could not be read.
	ShadowErr error

	users  map[string]int32
	groups map[string]int32
	names  []string            // of Groups
	byGID  map[uint32]int32    // the group that a GID is named after
	listed map[string][]uint32 // GIDs of the groups that list a user
}

// User is one line of passwd(5), with what shadow(5) says about it.
type User struct {
	Name     string
	UID, GID uint32
	Home     string
	Shell    string
	Password PasswordState
	Expires  Day // the first day on which the account has expired
	Line     int // in /etc/passwd

	// The password's age, see shadow(5): the day of its last change, the days
	// after which it must be changed, and the days after that in which it still
	// can be. They are Never where nothing is said.
	Changed, MaxAge, Inactive Day
	// Shadowed is set when passwd(5) points to shadow(5) for the password,
	// InShadow when that has a line of the user.
	Shadowed, InShadow bool
}

// Day is a date in days since 1970, or a number of days, as in shadow(5).
type Day int32

// Never is an empty field.
const Never Day = -1

// Today is the date as PAM and sshd count it.
func Today() Day { return Day(time.Now().Unix() / (24 * 60 * 60)) }

func (d Day) String() string {
	if d == Never {
		return "never"
	}
	return time.Unix(int64(d)*24*60*60, 0).UTC().Format(time.DateOnly)
}

// Group is one line of group(5).
type Group struct {
	Name   string
	GID    uint32
	Listed []string // members by the group's own line, primary ones left out
	Line   int      // in /etc/group
}

// PasswordState says what kind of password an account has. Hashes are not
// kept.
type PasswordState uint8

const (
	PasswordUnknown PasswordState = iota // shadow could not be read
	PasswordSet
	PasswordEmpty  // logs in without one
	PasswordLocked // starts with "!": sshd without PAM refuses the account, by key too
	PasswordNone   // nothing can match ("*"): other ways in are open
)

func (s PasswordState) String() string {
	return [...]string{"unknown", "set", "empty", "locked", "none"}[s]
}

const (
	passwdFile   = "/etc/passwd"
	groupFile    = "/etc/group"
	shadowFile   = "/etc/shadow"
	nsswitchFile = "/etc/nsswitch.conf"
)

// Accounts reads passwd(5), group(5), shadow(5) and nsswitch.conf(5). It works
// on a file tree too. Time is linear in the number of lines.
func (h *Host) Accounts(ctx context.Context) (*Accounts, error) {
	return h.accounts.get(ctx, func(context.Context) (*Accounts, error) { return h.readAccounts() })
}

func (h *Host) readAccounts() (*Accounts, error) {
	passwd, err := h.ReadFile(passwdFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the users: %w", err)
	}
	group, err := h.ReadFile(groupFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the groups: %w", err)
	}
	shadow, shadowErr := h.ReadFile(shadowFile)
	if errors.Is(shadowErr, fs.ErrNotExist) {
		shadowErr = nil // then passwd holds all there is
	}
	a := parseAccounts(passwd, group, shadow, shadowErr)
	elsewhere, err := h.accountSources()
	if err != nil {
		return nil, err
	}
	a.Elsewhere = append(a.Elsewhere, elsewhere...)
	return a, nil
}

var newline = []byte{'\n'}

func parseAccounts(passwd, group, shadow []byte, shadowErr error) *Accounts {
	// Made for as many as there are lines: a host may have a hundred thousand.
	users, groups := bytes.Count(passwd, newline)+1, bytes.Count(group, newline)+1
	a := &Accounts{
		ShadowErr: shadowErr,
		Users:     make([]User, 0, users),
		Groups:    make([]Group, 0, groups),
		names:     make([]string, 0, groups),
		users:     make(map[string]int32, users), groups: make(map[string]int32, groups), byGID: make(map[uint32]int32, groups),
		listed: map[string][]uint32{},
	}
	a.readPasswd(passwd)
	a.readShadow(shadow)
	a.readGroup(group)
	return a
}

// readPasswd reads the users; what shadow says is filled in by readShadow.
func (a *Accounts) readPasswd(data []byte) {
	eachLine(data, 4, 7, func(line int, f []string) {
		if isCompat(f[0]) {
			a.elsewhere(passwdFile, line)
			return
		}
		uid, ok1 := idNumber(f[2])
		gid, ok2 := idNumber(f[3])
		if _, again := a.users[f[0]]; again || !ok1 || !ok2 {
			return
		}
		u := User{Name: f[0], UID: uid, GID: gid, Home: f[5], Shell: f[6], Line: line, Expires: Never, Changed: Never, MaxAge: Never, Inactive: Never}
		switch {
		case f[1] != "x":
			u.Password = stateOf(f[1])
		case a.ShadowErr == nil:
			u.Password, u.Shadowed = PasswordNone, true
		default:
			u.Shadowed = true
		}
		a.users[u.Name] = int32(len(a.Users))
		a.Users = append(a.Users, u)
	})
}

// readShadow fills in what shadow says about users whose password is there, or
// whose end or password's age is.
func (a *Accounts) readShadow(data []byte) {
	eachLine(data, 5, 9, func(_ int, f []string) {
		i, ok := a.users[f[0]]
		if !ok || a.Users[i].InShadow { // of several lines the first counts
			return
		}
		u := &a.Users[i]
		u.InShadow = true
		if u.Shadowed {
			u.Password = stateOf(f[1])
		}
		u.Changed, u.MaxAge, u.Inactive, u.Expires = day(f[2]), day(f[4]), day(f[6]), day(f[7])
	})
}

// day reads a field of shadow(5); one that is no number says nothing.
func day(text string) Day {
	if n, ok := idNumber(text); ok && n < 1<<31 {
		return Day(n)
	}
	return Never
}

func (a *Accounts) readGroup(data []byte) {
	eachLine(data, 3, 4, func(line int, f []string) {
		if isCompat(f[0]) {
			a.elsewhere(groupFile, line)
			return
		}
		gid, ok := idNumber(f[2])
		if _, again := a.groups[f[0]]; again || !ok {
			return
		}
		g := Group{Name: f[0], GID: gid, Line: line}
		for name, rest, more := "", f[3], f[3] != ""; more; {
			name, rest, more = strings.Cut(rest, ",")
			if name = strings.TrimLeft(name, cBlank); name != "" {
				g.Listed = append(g.Listed, name)
				a.listed[name] = append(a.listed[name], gid)
			}
		}
		a.groups[g.Name] = int32(len(a.Groups))
		if _, named := a.byGID[gid]; !named {
			a.byGID[gid] = int32(len(a.Groups))
		}
		a.Groups = append(a.Groups, g)
		a.names = append(a.names, g.Name)
	})
}

// isCompat reports whether a line brings in users of NIS, see "compat" in
// nsswitch.conf(5).
func isCompat(name string) bool { return strings.HasPrefix(name, "+") || strings.HasPrefix(name, "-") }

func (a *Accounts) elsewhere(file string, line int) {
	if len(a.Elsewhere) < 8 {
		a.Elsewhere = append(a.Elsewhere, fmt.Sprintf("a line with + or - (%s:%d)", file, line))
	}
}

// cBlank is what C's isspace(3) takes for a blank.
const cBlank = " \t\n\v\f\r"

// eachLine calls f with the fields of every line that has at least the least
// that the C library makes do with, up to the most that there are; those that
// are missing are empty, as they are to it: "x:x:0:0" is an account. f keeps the
// strings, but not the slice. All strings are parts of data, which nobody may
// write to any more.
func eachLine(data []byte, least, most int, f func(line int, fields []string)) {
	number := 0
	parts := make([]string, 0, 2*most)
	for text := range strings.Lines(unsafe.String(unsafe.SliceData(data), len(data))) {
		number++
		text = strings.TrimLeft(strings.TrimSuffix(text, "\n"), cBlank)
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		parts = parts[:0]
		for rest, more := text, true; more; {
			part := rest
			if len(parts) < most-1 {
				part, rest, more = strings.Cut(rest, ":")
			} else {
				more = false
			}
			parts = append(parts, part)
		}
		if len(parts) < least && !isCompat(parts[0]) || parts[0] == "" {
			continue
		}
		for len(parts) < most {
			parts = append(parts, "")
		}
		f(number, parts)
	}
}

// idNumber reads a decimal number of 32 bits the way strtoul(3) does: blanks and
// a sign may come first. (strconv makes an error of each of the many fields that
// are empty.)
func idNumber(text string) (uint32, bool) {
	negative := false
	if text != "" && (text[0] < '0' || text[0] > '9') {
		text = strings.TrimLeft(text, cBlank)
		if text != "" && (text[0] == '+' || text[0] == '-') {
			negative = text[0] == '-'
			text = text[1:]
		}
	}
	var n uint64
	for i := range len(text) {
		c := text[i] - '0'
		if n = n*10 + uint64(c); c > 9 || n > math.MaxUint32 {
			return 0, false
		}
	}
	return uint32(n), text != "" && (n == 0 || !negative)
}

func stateOf(hash string) PasswordState {
	switch {
	case hash == "":
		return PasswordEmpty
	case hash[0] == '!':
		return PasswordLocked
	case hash[0] == '*' || hash == "x":
		return PasswordNone
	}
	return PasswordSet
}

// accountSources names the sources in nsswitch.conf(5) that are not files of
// this host. nss-systemd(8) is one only when records are there for it: its
// users of running services cannot log in.
func (h *Host) accountSources() ([]string, error) {
	data, err := h.ReadFile(nsswitchFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the built-in order is files
	}
	if err != nil {
		return nil, fmt.Errorf("cannot tell where users and groups come from: %w", err)
	}
	var out []string
	for text := range bytes.Lines(data) {
		line, _, _ := strings.Cut(string(text), "#")
		database, sources, _ := strings.Cut(line, ":")
		database = strings.TrimSpace(database)
		if database != "passwd" && database != "group" && database != "initgroups" {
			continue
		}
		for _, source := range sourceNames(sources) {
			other := !slices.Contains([]string{"files", "compat", "mymachines"}, source)
			if source == "systemd" {
				if other, err = h.hasUserRecords(); err != nil {
					return nil, err
				}
			}
			name := source + " in " + nsswitchFile
			if other && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out, nil
}

// sourceNames cuts "files [NOTFOUND=return] sss" into names.
func sourceNames(text string) []string {
	for {
		start := strings.IndexByte(text, '[')
		if start < 0 {
			return strings.Fields(text)
		}
		end := strings.IndexByte(text[start:], ']')
		if end < 0 {
			return strings.Fields(text[:start])
		}
		text = text[:start] + " " + text[start+end+1:]
	}
}

// hasUserRecords reports whether nss-systemd(8) has users of its own to add:
// records of userdbctl(1) or homes of systemd-homed(8).
func (h *Host) hasUserRecords() (bool, error) {
	for _, dir := range []string{"/etc/userdb", "/run/userdb", "/run/host/userdb", "/usr/lib/userdb", "/usr/local/lib/userdb", "/var/lib/systemd/home"} {
		entries, err := h.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("cannot tell whether systemd adds users: %w", err)
		}
		if len(entries) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// User returns a user by name, nil when the files have none.
func (a *Accounts) User(name string) *User {
	if i, ok := a.users[name]; ok {
		return &a.Users[i]
	}
	return nil
}

// Group returns a group by name, nil when the files have none.
func (a *Accounts) Group(name string) *Group {
	if i, ok := a.groups[name]; ok {
		return &a.Groups[i]
	}
	return nil
}

// GroupsOf returns the names of a user's groups, the primary one first. A
// group is found by its number and named as getgrgid(3) does: of two groups
// with one number the later one's name is never seen.
func (a *Accounts) GroupsOf(user string) []string {
	u := a.User(user)
	if u == nil {
		return nil
	}
	primary, named := a.byGID[u.GID]
	if named && len(a.listed[user]) == 0 { // as of most accounts, who share the name
		return a.names[primary : primary+1 : primary+1]
	}
	var names []string
	for _, gid := range append([]uint32{u.GID}, a.listed[user]...) {
		if i, ok := a.byGID[gid]; ok && !slices.Contains(names, a.Groups[i].Name) {
			names = append(names, a.Groups[i].Name)
		}
	}
	return names
}

// Members returns the users of a group, by primary group and by the lines of
// all groups with its number, which is all that the kernel knows of it; sorted.
// A name that is listed and is no user is left out.
func (a *Accounts) Members(group string) []string {
	g := a.Group(group)
	if g == nil {
		return nil
	}
	var members []string
	for i := range a.Users {
		if u := &a.Users[i]; u.GID == g.GID || slices.Contains(a.listed[u.Name], g.GID) {
			members = append(members, u.Name)
		}
	}
	slices.Sort(members)
	return slices.Compact(members)
}
