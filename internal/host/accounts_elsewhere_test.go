package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// directory is a resolver with a directory service behind it.
type directory struct {
	lists  bool // it enumerates
	asked  [][]string
	failAt string // the database that gives no answer
}

func (d *directory) getent(_ context.Context, database string, keys ...string) ([]byte, error) {
	d.asked = append(d.asked, append([]string{database}, keys...))
	if database == d.failAt {
		return nil, errors.New("no answer within 3s")
	}
	passwd := map[string]string{"eve": "eve:*:5000:5001::/home/eve:/bin/bash", "mallory": "mallory:x:0:0::/:/bin/sh", "op": "op:*:1:1:another:/:/bin/false"}
	group := map[string]string{"5001": "staff:*:5001:", "5002": "admins:*:5002:op,eve", "0": "root:x:0:", "500": "ssh_login_group:x:500:op,ghost"}
	initgroups := map[string]string{"eve": "eve 5001 5002", "op": "op 500 5002", "mallory": "mallory"}
	from := map[string]map[string]string{"passwd": passwd, "group": group, "initgroups": initgroups}[database]
	var out strings.Builder
	if len(keys) == 0 && d.lists {
		keys = []string{"op", "eve", "mallory"}
	}
	for _, k := range keys {
		if line, ok := from[k]; ok {
			fmt.Fprintln(&out, line)
		}
	}
	return []byte(out.String()), nil
}

func TestAccountsElsewhere(t *testing.T) {
	t.Parallel()
	a := parseAccounts([]byte(testPasswd), []byte(testGroup), []byte(testShadow), nil)
	for name, c := range map[string]struct {
		d       directory
		names   []string
		users   []string
		unknown string
	}{
		"it enumerates":          {directory{lists: true}, nil, []string{"eve", "mallory"}, ""},
		"it does not":            {directory{}, []string{"eve", "eve", "nobody-there", "op", "-s", "7", ""}, []string{"eve"}, "lists none"},
		"no answer":              {directory{failAt: "passwd"}, []string{"eve"}, nil, "no answer within"},
		"no answer about groups": {directory{lists: true, failAt: "initgroups"}, nil, []string{"eve", "mallory"}, "groups of accounts"},
		"nor about their names":  {directory{lists: true, failAt: "group"}, nil, []string{"eve", "mallory"}, "names of groups"},
	} {
		e := &Elsewhere{Groups: map[string][]string{}}
		e.ask(t.Context(), c.d.getent, a, c.names, "sss")
		var users []string
		for _, u := range e.Users {
			users = append(users, u.Name)
			if u.Password != PasswordUnknown || u.Line != 0 {
				t.Errorf("%s: %+v", name, u)
			}
		}
		if !slices.Equal(users, c.users) || !strings.Contains(strings.Join(e.Unknown, "; "), c.unknown) || (c.unknown == "") != (e.Unknown == nil) {
			t.Errorf("%s: users %q, unknown %q", name, users, e.Unknown)
		}
		if c.unknown == "" && (!slices.Equal(e.Groups["eve"], []string{"staff", "admins"}) || !slices.Contains(e.Groups["op"], "admins")) {
			t.Errorf("%s: groups %q", name, e.Groups)
		}
		for _, asked := range c.d.asked {
			if slices.Contains(asked, "-s") || slices.Contains(asked, "7") {
				t.Errorf("%s: asked %q", name, asked)
			}
		}
	}
}

// A resolver that never answers costs a moment, once.
func TestSilentResolver(t *testing.T) {
	t.Parallel()
	h := New(Options{})
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("no answer within 50ms"))
	defer cancel()
	_, err := h.Exec(ctx, "/bin/sleep", "60")
	if err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("%v", err)
	}
}

// The real resolver of this machine says of its files what they say.
func TestResolverAgreesWithFiles(t *testing.T) {
	if _, err := os.Stat(getentProgram); err != nil {
		t.Fatal(err) // comes with the C library
	}
	h := New(Options{})
	a, err := h.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := &Elsewhere{Groups: map[string][]string{}}
	e.ask(t.Context(), h.getent, a, []string{"nobody-there"}, "nowhere")
	for name, groups := range e.Groups {
		want := a.GroupsOf(name)
		slices.Sort(groups)
		want = slices.Sorted(slices.Values(want))
		if a.User(name) != nil && len(a.Elsewhere) == 0 && !slices.Equal(groups, want) {
			t.Errorf("%s is in %q for the resolver, in %q by the files", name, groups, want)
		}
	}
	if len(e.Groups) == 0 {
		t.Error("no groups at all")
	}
}
