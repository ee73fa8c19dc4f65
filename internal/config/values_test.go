package config

import (
	"regexp"
	"strings"
	"testing"
)

// FuzzAccountName compares with the expression that says the same.
func FuzzAccountName(f *testing.F) {
	want := regexp.MustCompile(`^[\p{L}\p{N}_][\p{L}\p{N}_.@\\-]*\$?$`)
	for _, name := range []string{
		"", "$", "a", "_", "-a", ".a", "@a", `\a`, "a-b", `EXAMPLE\jane.doe`, "jane@example.org", "host$", "a$b", "a$$",
		"jörg", "ⅷ", "a b", "a\n", "a:b", "a,b", "a\x00", "a\xff", "\xffa", "a\u202e", "٣", "%wheel", strings.Repeat("x", 255),
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got := isAccountName(name); got != want.MatchString(name) {
			t.Errorf("%q: %v", name, got)
		}
	})
}
