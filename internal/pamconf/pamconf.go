// Package pamconf reads the configuration of PAM for one service, see
// pam.conf(5) of Linux-PAM, and follows its stack of modules to all the ends
// that it can come to.
package pamconf

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Management groups.
const (
	Auth     = "auth"
	Account  = "account"
	Session  = "session"
	Password = "password"
)

// Entry is one module of a stack.
type Entry struct {
	File    string
	Line    int
	Group   string
	Control string // as written
	Module  string // the file's name without folder and ".so": "pam_unix"
	Args    []string

	actions map[string]string // return value or "default" → action
	level   int               // substacks it stands in
}

// Stack is what a service runs for one management group, in order.
type Stack []Entry

// ReadFile returns a file's content, or an error that is fs.ErrNotExist.
type ReadFile func(name string) ([]byte, error)

const (
	maxDepth   = 16 // of includes: libpam's own bound
	maxEntries = 1024
	maxReads   = 256 // of files: where each includes two, they would be thousands
)

// folders are where a service's file is looked for; the first that has it
// wins.
var folders = []string{"/etc/pam.d", "/usr/lib/pam.d"}

// Read returns a service's stack for a management group. Where the service
// says nothing about the group, that of the service "other" holds. Where libpam
// gives the service up, because an @include names no file, the stack is one
// entry that fails.
func Read(read ReadFile, service, group string) (Stack, error) {
	r := reader{read: read, group: group}
	err := r.service(service, 0, 0)
	if err == nil && len(r.stack) == 0 || errors.Is(err, fs.ErrNotExist) && r.missing == service {
		r.stack = nil
		err = r.service("other", 0, 0)
	}
	if r.aborted != nil {
		r.aborted.Group = group
		return Stack{r.aborted.failing()}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read PAM's configuration of %s: %w", service, err)
	}
	return r.stack, nil
}

type reader struct {
	read    ReadFile
	group   string
	stack   Stack
	missing string // the service whose file was not found
	reads   int
	// aborted is the line by which libpam gives the service up.
	aborted *Entry
}

// service reads a service's file, by its name or path.
func (r *reader) service(name string, depth, level int) error {
	if r.reads++; r.reads > maxReads {
		return errors.New("too many files are included")
	}
	names := []string{name}
	if !path.IsAbs(name) {
		names = names[:0]
		for _, dir := range folders {
			names = append(names, dir+"/"+name)
		}
	}
	var data []byte
	var err error
	file := ""
	for _, file = range names {
		if data, err = r.read(file); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		r.missing = name
		return err
	}
	return r.file(file, string(data), depth, level)
}

func (r *reader) file(file, text string, depth, level int) error {
	line, number := "", 0
	start := 0
	for part := range strings.Lines(text) {
		number++
		if start == 0 {
			start = number
		}
		part = strings.TrimRight(part, "\r\n")
		if i := strings.IndexByte(part, '#'); i >= 0 {
			part = part[:i]
		} else if cut, more := strings.CutSuffix(part, `\`); more {
			line += cut + " "
			continue
		}
		if err := r.line(Entry{File: file, Line: start}, words(line+part), depth, level); err != nil {
			return err
		}
		line, start = "", 0
	}
	return r.line(Entry{File: file, Line: start}, words(line), depth, level)
}

// words cuts a line; what stands in brackets is one word.
func words(line string) []string {
	var out []string
	for rest := strings.TrimLeft(line, " \t"); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		end := strings.IndexAny(rest, " \t")
		if rest[0] == '[' {
			end = strings.IndexByte(rest, ']')
			for end > 0 && rest[end-1] == '\\' {
				next := strings.IndexByte(rest[end+1:], ']')
				if next < 0 {
					end = -1
					break
				}
				end += 1 + next
			}
			if end >= 0 {
				end++
			}
		}
		if end < 0 {
			end = len(rest)
		}
		out = append(out, rest[:end])
		rest = rest[end:]
	}
	return out
}

func (r *reader) line(e Entry, w []string, depth, level int) error {
	if len(w) == 0 {
		return nil
	}
	e.level = level
	if w[0] == "@include" && len(w) > 1 {
		err := fs.ErrNotExist
		if depth+1 < maxDepth {
			err = r.service(w[1], depth+1, level)
		}
		if errors.Is(err, fs.ErrNotExist) {
			r.aborted, err = &e, nil
		}
		return err
	}
	e.Group = strings.ToLower(strings.TrimPrefix(w[0], "-"))
	if e.Group != r.group {
		return nil
	}
	if len(r.stack) == maxEntries {
		return errors.New("the stack has too many modules")
	}
	if len(w) < 3 {
		r.stack = append(r.stack, e.failing())
		return nil
	}
	e.Control, e.Args = w[1], w[3:]
	switch strings.ToLower(e.Control) {
	case "include":
		return r.include(e, w[2], depth, 0)
	case "substack":
		// A jump counts the whole substack as one: its head stands for it.
		r.stack = append(r.stack, Entry{File: e.File, Line: e.Line, Group: e.Group, Control: "substack", Module: w[2], level: level})
		return r.include(e, w[2], depth, 1)
	}
	e.Module = strings.TrimSuffix(path.Base(w[2]), ".so")
	e.actions = actionsOf(e.Control)
	r.stack = append(r.stack, e)
	return nil
}

// include reads another service's file, some levels of substacks deeper. One
// that is not there, or too deep, is a module that fails beside the line.
func (r *reader) include(e Entry, name string, depth, deeper int) error {
	err := fs.ErrNotExist
	if depth+1 < maxDepth {
		err = r.service(name, depth+1, e.level+deeper)
	}
	if errors.Is(err, fs.ErrNotExist) {
		r.stack = append(r.stack, e.failing())
		return nil
	}
	return err
}

// failing is what libpam makes of a line that it cannot use.
func (e Entry) failing() Entry {
	e.Module, e.Control, e.Args = "", "", nil
	e.actions = map[string]string{"default": "bad"}
	return e
}

var simple = map[string]map[string]string{
	"required":   {Success: "ok", NewPassword: "ok", Ignore: "ignore", "default": "bad"},
	"requisite":  {Success: "ok", NewPassword: "ok", Ignore: "ignore", "default": "die"},
	"sufficient": {Success: "done", NewPassword: "done", "default": "ignore"},
	"optional":   {Success: "ok", NewPassword: "ok", "default": "ignore"},
}

// actionsOf reads a control: a word, or pairs in brackets. What it does not
// name is bad, as is a word that does not exist.
func actionsOf(control string) map[string]string {
	if a, ok := simple[strings.ToLower(control)]; ok {
		return a
	}
	inner, ok := strings.CutPrefix(control, "[")
	a := map[string]string{}
	if ok {
		for _, pair := range strings.Fields(strings.TrimSuffix(inner, "]")) {
			value, action, _ := strings.Cut(pair, "=")
			a[strings.ToLower(value)] = strings.ToLower(action)
		}
	}
	if a["default"] == "" {
		a["default"] = "bad"
	}
	return a
}

// Return values of modules, by the names that controls use. Any other name of
// pam.conf(5) may be used too; it is a failure.
const (
	Success        = "success"
	NewPassword    = "new_authtok_reqd"
	Ignore         = "ignore"
	AccountExpired = "acct_expired"
	TokenExpired   = "authtok_expired"
	AuthError      = "auth_err"
	Denied         = "perm_denied"
	NoInfo         = "authinfo_unavail"
)

// Anything is what a module may return of which nothing is known.
var Anything = []string{Success, Ignore, AuthError, Denied, "user_unknown", AccountExpired, NewPassword}

// state is where a walk through the stack stands.
type state struct {
	at         int
	impression int8 // what the stack would say now: +1 yes, -1 no, 0 nothing yet
	status     string
	saved      string // impressions and states of the substacks around
}

// Ends returns what a stack can end with, sorted: Success, NewPassword or a
// failure's name. Returns says what a module can return.
func (s Stack) Ends(returns func(Entry) []string) []string {
	var ends []string
	seen := map[state]bool{}
	type frame struct {
		impression int8
		status     string
	}
	var walk func(st state, frames []frame)
	walk = func(st state, frames []frame) {
		if st.saved = fmt.Sprint(frames); seen[st] {
			return
		}
		seen[st] = true
		if st.at >= len(s) {
			if st.status == Success && st.impression != 1 {
				st.status = Denied
			}
			if !slices.Contains(ends, st.status) {
				ends = append(ends, st.status)
			}
			return
		}
		e := s[st.at]
		for len(frames) > e.level {
			frames = frames[:len(frames)-1]
		}
		for len(frames) < e.level {
			frames = append(slices.Clone(frames), frame{st.impression, st.status})
		}
		if e.Control == "substack" {
			st.at++
			walk(st, frames)
			return
		}
		results := []string{Denied}
		if e.Module != "" {
			results = returns(e)
		}
		for _, got := range results {
			next := st
			next.at++
			action, ok := e.actions[got]
			if !ok {
				action = e.actions["default"]
			}
			switch action {
			case "reset":
				next.impression, next.status = 0, Denied
				if e.level > 0 {
					next.impression, next.status = frames[e.level-1].impression, frames[e.level-1].status
				}
			case "ok", "done":
				if st.impression == 0 || st.impression == 1 && st.status == Success {
					next.impression, next.status = 1, got
				}
				if action == "done" && next.impression == 1 {
					next.at = s.pastLevel(st.at)
				}
			case "bad", "die":
				if st.impression != -1 {
					next.impression, next.status = -1, got
					if got == Ignore {
						next.status = Denied
					}
				}
				if action == "die" {
					next.at = s.pastLevel(st.at)
				}
			case "ignore":
			default:
				n, err := strconv.Atoi(action)
				if err == nil && n > 0 {
					next.at, ok = s.jump(st.at, n)
				}
				if err != nil || n <= 0 || !ok {
					next.impression, next.status = -1, Denied // "bad jump in stack"
				}
			}
			walk(next, frames)
		}
	}
	walk(state{status: Denied}, nil)
	slices.Sort(ends)
	return ends
}

// pastLevel is the module that runs after a decision: the rest of the substack
// is left out.
func (s Stack) pastLevel(i int) int {
	level := s[i].level
	for i++; i < len(s) && s[i].level >= level; i++ {
		continue
	}
	return i
}

// jump leaves n modules out, a substack being one.
func (s Stack) jump(i, n int) (int, bool) {
	level := s[i].level
	for i++; n > 0; n-- {
		if i >= len(s) || s[i].level < level {
			return i, false
		}
		for i++; i < len(s) && s[i].level > level; i++ {
			continue
		}
	}
	return i, true
}
