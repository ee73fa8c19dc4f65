package auditrule

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestBadInput: what is wrong in a rules file is told with its line, or is a
// rule about something else; it is never counted as covering what it seems to.
func TestBadInput(t *testing.T) {
	t.Parallel()
	long := func(n int) string { // a path of n bytes whose parts are short enough
		return (strings.Repeat("/"+strings.Repeat("d", 99), n/100+1))[:n]
	}
	key := func(n int) string { return "-w /etc/docker -p wa -k " + strings.Repeat("k", n) }
	for name, c := range map[string]struct {
		line    string
		refused string // why, after the place; empty: it loads
		unsure  bool
		covers  bool
	}{
		"an unknown field":                    {"-a always,exit -F nosuch=1 -F path=/etc/docker/daemon.json -F perm=wa", `auditctl may not know the field "nosuch"`, true, false},
		"a syscall of another arch":           {"-a always,exit -F arch=b64 -S socketcall -F dir=/etc/docker", `auditctl may not know the syscall "socketcall"`, true, false},
		"an unknown arch":                     {"-a always,exit -F arch=s390x -S open -F dir=/etc/docker", `auditctl may not know the architecture "s390x"`, true, false},
		"a key of 256 bytes":                  {key(256), "", false, true},
		"a key of 257 bytes":                  {key(257), "the key is longer than 256 bytes", false, false},
		"two keys of 257 bytes together":      {key(128) + " -k " + strings.Repeat("k", 128), "the key is longer than 256 bytes", false, false},
		"a path of 4,095 bytes":               {"-w " + long(4095) + " -p wa", "does not exist", false, false},
		"a path of 4,096 bytes":               {"-w " + long(4096) + " -p wa", "the path is too long", false, false},
		"a name of 256 bytes":                 {"-w /etc/docker/" + strings.Repeat("n", 256) + " -p wa", "the last part of the path is too long", false, false},
		"a line that is too long":             {"-w /etc/docker -p wa -k k" + strings.Repeat(" ", 6200), "the line is longer than", true, false},
		"a path in quotes":                    {`-w "/etc/docker" -p wa`, "the path does not start with /", false, false},
		"a path in single quotes":             {`-w '/etc/docker' -p wa`, "the path does not start with /", false, false},
		"a space in a path":                   {`-w /etc/docker x -p wa`, `"x" is given without an option`, false, false},
		"an escaped space in a path":          {`-w /etc/docker\ x -p wa`, "", false, false},
		"a quoted field":                      {`-a always,exit -F dir="/etc/docker" -F perm=wa`, "the kernel refuses dir", false, false},
		"invalid UTF-8 in a path":             {"-w /etc/docker\xff -p wa", "", false, false},
		"invalid UTF-8 in a key":              {"-w /etc/docker -p wa -k \xff\xfe", "", false, true},
		"invalid UTF-8 as an option":          {"-\xff /etc/docker -p wa", "auditctl does not know the option", true, false},
		"a NUL byte":                          {"-w /etc/docker\x00 -p wa", "NUL byte", true, false},
		"an escape code in a path":            {"-w /etc/\x1b[2Jdocker -p wa", "", false, false},
		"a carriage return at the end":        {"-w /etc/docker -p wa\r", "cannot read", false, false},
		"a tab for a space":                   {"-w\t/etc/docker -p wa", "the path does not start with /", false, false},
		"64 fields":                           {"-a always,exit -F dir=/etc/docker" + strings.Repeat(" -F uid!=1", 63), "too many fields", false, false},
		"an option of no use in a rules file": {"-R /etc/docker", "-R is not allowed", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := dockerHost()
			got := Load(Lines("x.rules", []byte("\n"+c.line+"\n")), w, w, Now)
			if c.refused == "" && len(got.Refused) > 0 || c.refused != "" && (len(got.Refused) != 1 || len(got.Rules) > 0) {
				t.Fatalf("%d rules, refused: %v", len(got.Rules), got.Refused)
			}
			if c.refused != "" {
				r := got.Refused[0]
				if r.Pos != (Pos{"x.rules", 2}) || !strings.Contains(r.Reason, c.refused) || r.Unsure != c.unsure || (got.Stopped == nil) != c.unsure {
					t.Errorf("%v, unsure: %v, stopped: %v", r, r.Unsure, got.Stopped)
				}
			}
			m, _ := w.Machine()
			v, err := NewView(got.Rules, m, w)
			if err != nil {
				t.Fatal(err)
			}
			if answer := v.Cover(Want{Path: "/etc/docker", Perms: wa}).Answer; (answer == Covered) != c.covers {
				t.Error(answer)
			}
		})
	}
}

// 20,000 rules on paths of their own are read, viewed and asked in bounded time.
func TestBadInputTwentyThousandRules(t *testing.T) {
	t.Parallel()
	w := dockerHost()
	var text strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&text, "-w /opt/tc/f%d -p wa -k k%d\n", i, i)
	}
	start := time.Now()
	got := Load(Lines("x.rules", []byte(text.String())), w, w, Now)
	if len(got.Rules) != 20_000 {
		t.Fatal(len(got.Rules), got.Stopped)
	}
	m, _ := w.Machine()
	v, err := NewView(got.Rules, m, w)
	if err != nil {
		t.Fatal(err)
	}
	if c := v.Cover(Want{Path: "/opt/tc/f19999", Perms: wa}); c.Answer != Covered || c.By[0].Pos.Line != 20_000 {
		t.Error(c)
	}
	if len(v.Shadows()) > 0 {
		t.Error("one shadows another")
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it takes %v", took)
	}
}
