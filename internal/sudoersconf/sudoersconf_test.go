package sudoersconf

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// memory is a Source of files that are texts.
type memory map[string]string

func (m memory) ReadFile(name string) ([]byte, error) {
	if text, ok := m[name]; ok {
		return []byte(text), nil
	}
	return nil, fs.ErrNotExist
}

func (m memory) Names(dir string) ([]string, error) {
	var names []string
	for name := range m {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	if names == nil {
		return nil, fs.ErrNotExist
	}
	return names, nil
}

var alice = User{Name: "alice", UID: 1001, Groups: map[string]uint32{"alice": 1001, "ops": 200, "domain users": 300}}

// asked is which lines name alice, which may, and which are not understood.
func asked(p *Policy) string {
	var out []string
	for _, r := range p.Rules {
		switch p.Names(r, alice) {
		case Yes:
			out = append(out, fmt.Sprintf("%s:%d", path.Base(r.File), r.Line))
		case Unknown:
			out = append(out, fmt.Sprintf("%s:%d?", path.Base(r.File), r.Line))
		}
	}
	for _, problem := range p.Problems {
		out = append(out, fmt.Sprintf("%s:%d!", path.Base(problem.File), problem.Line))
	}
	return strings.Join(out, " ")
}

func TestWhomRulesName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"alice ALL=ALL":                             "s:1",
		"bob ALL=ALL":                               "",
		"bob, alice ALL=ALL":                        "s:1",
		"ALL ALL=ALL":                               "s:1",
		"ALL, !alice ALL=ALL":                       "",
		"!alice, ALL ALL=ALL":                       "s:1",
		"!!alice ALL=ALL":                           "s:1",
		"%ops ALL=ALL":                              "s:1",
		"%wheel ALL=ALL":                            "",
		"%#200 ALL=ALL":                             "s:1",
		"#1001 ALL=ALL":                             "s:1",
		"#1002 ALL=ALL":                             "",
		"# 1001 ALL=ALL":                            "",
		"%domain\\ users ALL=ALL":                   "s:1",
		`"%domain users" ALL=ALL`:                   "s:1",
		`"alice" ALL=ALL`:                           "s:1",
		"+net ALL=ALL":                              "s:1?",
		"+net, alice ALL=ALL":                       "s:1",
		"alice, +net ALL=ALL":                       "s:1?",
		"%:other ALL=ALL":                           "s:1?",
		"bob ALL=(alice) ALL":                       "",
		"bob ALL=/bin/x alice ALL":                  "",
		"bob ALL=ALL : alice=ALL":                   "",
		"alice\tALL = NOPASSWD: ALL":                "s:1",
		"bob,\\\n  alice ALL=ALL\n":                 "s:1",
		"# comment \\\nalice ALL=ALL":               "s:2",
		"User_Alias A = bob : B = alice\nB ALL=ALL": "s:2",
		"B ALL=ALL\nUser_Alias B = ALL, !C\nUser_Alias C = alice":                 "",
		"B ALL=ALL\nUser_Alias B = B":                                             "s:1?",
		"User_Alias A=":                                                           "s:1!",
		"Defaults:alice !lecture\nDefaults env_reset":                             "",
		"Defaults@alice x\nDefaults>alice x\nDefaults!/bin/x x":                   "",
		"Runas_Alias OP = alice\nCmnd_Alias X = /bin/alice\nHost_Alias H = alice": "",
		"what is this":                       "s:1!",
		"alice":                              "s:1!",
		`"alice ALL=ALL`:                     "s:1!",
		"@unknown x":                         "s:1!",
		"@include /gone":                     "s:1!",
		"@include /etc/%h":                   "s:1!",
		"@include /etc/i":                    "i:1",
		"#include i":                         "i:1",
		`@include "/etc/i"`:                  "i:1",
		"@includedir /etc/d":                 "a:1 b:2",
		"#includedir d":                      "a:1 b:2",
		"@includedir /gone":                  "",
		"@include /etc/loop":                 "loop:1!",
		"alice ALL=ALL # of ALL":             "s:1",
		"bob ALL=ALL # alice ALL=ALL":        "",
		"bob ALL=/bin/echo a\\=b\nalice a=b": "s:2",
		"":                                   "",
	} {
		m := memory{"/etc/s": text, "/etc/i": "alice ALL=ALL\n", "/etc/d/b": "\nalice ALL=ALL\n", "/etc/d/a": "alice ALL=ALL", "/etc/d/c.bak": "alice ALL=ALL", "/etc/d/d~": "alice ALL=ALL", "/etc/loop": "@include /etc/loop\n"}
		p, err := Load(m, "/etc/s")
		if err != nil {
			t.Fatal(err)
		}
		if got := asked(p); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{"alice ALL=ALL", "User_Alias A = b, !c : D = %e\nA ALL=ALL", "Defaults:x y\n#include a\n@includedir b", "\"a b\" c=d\\\n e", "%:x ALL=ALL", "Defaults"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Load(memory{"/s": text}, "/s")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Rules {
			p.Names(r, alice)
			if r.Line < 1 || r.Line > strings.Count(text, "\n")+1 {
				t.Errorf("line %d", r.Line)
			}
		}
	})
}

// What cvtsudoers of sudo itself reads of lists of users is what we read.
func TestCvtsudoersAgrees(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Sudo)
	words := []string{"alice", "bob", "%ops", "%#200", "#1001", "+net", "ALL", "OPS", "OTHERS", "%:other", `"a b"`, `a\ b`, `a\,b`, `a\=b`, "ops_1", "x.y-z", "x@y", `"%c d"`}
	random := rand.New(rand.NewPCG(1, 2))
	list := func() string {
		var b strings.Builder
		for i := range 1 + random.IntN(4) {
			if i > 0 {
				b.WriteString([]string{",", ", ", " , ", ",\\\n  "}[random.IntN(4)])
			}
			b.WriteString(strings.Repeat("!", max(0, random.IntN(4)-2)) + words[random.IntN(len(words))])
		}
		return b.String()
	}
	for range 60 {
		var b strings.Builder
		fmt.Fprintf(&b, "Defaults env_reset\nUser_Alias OPS = %s : OTHERS=%s\n", strings.ReplaceAll(strings.ReplaceAll(list(), "OPS", "o"), "OTHERS", "o"), strings.ReplaceAll(strings.ReplaceAll(list(), "OPS", "o"), "OTHERS", "o"))
		for range 8 {
			fmt.Fprintf(&b, "%s %s = %s\n", list(), []string{"ALL", "h1, h2", "!h3"}[random.IntN(3)], []string{"ALL", "(root) NOPASSWD: /bin/ls, !/bin/sh", "(a:b) /bin/x y\\=z"}[random.IntN(3)])
		}
		file := filepath.Join(t.TempDir(), "sudoers")
		if err := os.WriteFile(file, []byte(b.String()), 0o440); err != nil {
			t.Fatal(err)
		}
		r := lab.Exec(t, "cvtsudoers", "-f", "json", file)
		var theirs struct {
			Aliases map[string][]sudoMember `json:"User_Aliases"`
			Specs   []struct {
				Users []sudoMember `json:"User_List"`
			} `json:"User_Specs"`
		}
		if r.Code != 0 || r.Stderr != "" {
			t.Fatalf("cvtsudoers refuses\n%s\n%s", b.String(), r.Stderr)
		}
		if err := json.Unmarshal([]byte(r.Stdout), &theirs); err != nil {
			t.Fatal(err)
		}
		p, err := Load(memory{"/s": b.String()}, "/s")
		if err != nil || len(p.Problems) > 0 {
			t.Fatalf("%v, %+v:\n%s", err, p.Problems, b.String())
		}
		if len(theirs.Specs) != len(p.Rules) {
			t.Fatalf("%d rules, cvtsudoers has %d:\n%s", len(p.Rules), len(theirs.Specs), b.String())
		}
		for i, r := range p.Rules {
			if ours, sudos := ourWords(r.users), sudoWords(theirs.Specs[i].Users); !slices.Equal(ours, sudos) {
				t.Errorf("line %d: %q, cvtsudoers: %q\n%s", r.Line, ours, sudos, b.String())
			}
		}
		for name, users := range theirs.Aliases {
			if ours, sudos := ourWords(p.aliases[name]), sudoWords(users); !slices.Equal(ours, sudos) {
				t.Errorf("alias %s: %q, cvtsudoers: %q\n%s", name, ours, sudos, b.String())
			}
		}
	}
}

// sudoMember is an entry of a list of users in cvtsudoers' JSON.
type sudoMember struct {
	Name     string `json:"username"`
	Group    string `json:"usergroup"`
	Alias    string `json:"useralias"`
	Netgroup string `json:"netgroup"`
	Other    string `json:"nonunixgroup"`
	UID      *int   `json:"userid"`
	GID      *int   `json:"usergid"`
	Negated  bool   `json:"negated"`
}

func sudoWords(list []sudoMember) []string {
	var words []string
	for _, m := range list {
		word := m.Name + m.Alias
		switch {
		case m.Group != "":
			word = "%" + m.Group
		case m.Netgroup != "":
			word = "+" + strings.TrimPrefix(m.Netgroup, "+")
		case m.Other != "":
			word = "%:" + m.Other
		case m.UID != nil:
			word = fmt.Sprintf("#%d", *m.UID)
		case m.GID != nil:
			word = fmt.Sprintf("%%#%d", *m.GID)
		}
		if m.Negated {
			word = "!" + word
		}
		words = append(words, word)
	}
	return words
}

func ourWords(list []member) []string {
	var words []string
	for _, m := range list {
		word := m.word
		if m.not {
			word = "!" + word
		}
		words = append(words, word)
	}
	return words
}
