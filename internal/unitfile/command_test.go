package unitfile

import (
	"maps"
	"slices"
	"testing"
)

func TestCommand(t *testing.T) {
	t.Parallel()
	env := map[string]string{"ONE": "one", "TWO": "two two", "QUOTED": `-o "Banner /a b" -4`, "EMPTY": "", "BAD": `"x y`}
	for value, want := range map[string][]string{
		"/usr/sbin/sshd -D":                         {"/usr/sbin/sshd", "-D"},
		"-@:+!/usr/sbin/sshd":                       {"/usr/sbin/sshd"},
		"|/usr/sbin/sshd":                           {"/usr/sbin/sshd"},
		"echo $ONE $TWO ${TWO}":                     {"echo", "one", "two", "two", "two two"},
		"sshd $QUOTED":                              {"sshd", "-o", "Banner /a b", "-4"},
		"sshd ${NONE} $NONE x":                      {"sshd", "", "x"},
		"sshd -p${ONE}x $ONE-x $$ONE '$ONE'":        {"sshd", "-ponex", "$ONE-x", "$ONE", "one"},
		`sshd -o "Banner /a b" 'c "d"' e\sf "\x41"`: {"sshd", "-o", "Banner /a b", `c "d"`, "e f", "A"},
		`sshd \"q\" \q \101 \u00e9`:                 {"sshd", `"q"`, `\q`, "A", "é"},
		"sshd 100%% ; /bin/other":                   {"sshd", "100%"},
		"sshd $BAD":                                 {"sshd", `"x`, "y"},
		"":                                          nil,
	} {
		got, err := Command(value)
		if len(got) > 1 {
			got = append(got[:1:1], Expand(got[1:], env)...)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q (%v), want %q", value, got, err, want)
		}
	}
	for _, value := range []string{`sshd "open`, "sshd 'open", "sshd %i", "sshd %", `sshd \`} {
		if got, err := Command(value); err == nil {
			t.Errorf("%s: %q, want an error", value, got)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	env := map[string]string{"OLD": "x"}
	Assignments("", env)
	Assignments(`A=1 "B=two two" 'C=3' 4=no noequals`, env)
	Assignments(`"open`, env)
	EnvironmentFile([]byte("# x\n; y\n\nSSHD_OPTS=-4 -p 22  \r\nQ=\" a b \" \nS='x\ny'\nnothing\n L = 1\\\n2\nE=a\\ b\nI=say \"hi\"\nD=\"\\$x \\q\"\n9=no\nLAST=z"), env)
	want := map[string]string{
		"A": "1", "B": "two two", "C": "3", "SSHD_OPTS": "-4 -p 22", "Q": " a b ", "S": "x\ny", "L": "12", "E": "a b",
		"I": `say "hi"`, "D": `$x \q`, "LAST": "z",
	}
	if !maps.Equal(env, want) {
		t.Errorf("%q, want %q", env, want)
	}
}

// Whatever stands in a unit, it is read in time and does not panic.
func FuzzCommand(f *testing.F) {
	f.Add(`/usr/sbin/sshd -D $X "${X}" \x41`, "X=\"a b\"\n")
	f.Add(`-a 'b\`, "X=\\\n")
	f.Fuzz(func(t *testing.T, value, file string) {
		env := map[string]string{}
		EnvironmentFile([]byte(file), env)
		Assignments(value, env)
		words, err := Command(value)
		Expand(words, env)
		if err != nil && words != nil {
			t.Errorf("%q and %v", words, err)
		}
	})
}
