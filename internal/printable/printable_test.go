package printable

import (
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestString(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"plain", "/etc/ssh/sshd_config: yes 'a' \"b\"", "/etc/ssh/sshd_config: yes 'a' \"b\""},
		{"case 39: clear the screen", "a\x1b[2Jb", `a\x1b[2Jb`},
		{"case 39: right-to-left override", "a\u202etxt.exe", `a\u202etxt.exe`},
		{"case 39: breaking out of JSON", "\"}\n", `"}\n`},
		{"case 39: invalid UTF-8", "a\xff\xc3(", `a\xff\xc3(`},
		{"an eight-bit control sequence, as a character and as a byte", "\u009b2J \x9b2J", `\u009b2J \x9b2J`},
		{"lone surrogate", "\xed\xa0\x80", `\xed\xa0\x80`},
		{"overlong slash", "\xc0\xaf", `\xc0\xaf`},
		{"beyond the last character", "\xf4\x90\x80\x80", `\xf4\x90\x80\x80`},
		{"cut in a character", "é"[:1], `\xc3`},
		{"backslash is doubled", `dev-disk\x2dby`, `dev-disk\\x2dby`},
		{"delete, null, bell, tab, return", "\x7f\x00\a\t\r", `\x7f\x00\a\t\r`},
		{"every bidirectional control", "\u200e\u200f\u061c\u202a\u2066\u2069", `\u200e\u200f\u061c\u202a\u2066\u2069`},
		{"zero width and byte order mark", "\u200b\u200d\ufeff", `\u200b\u200d\ufeff`},
		{"separators", "\u2028\u2029\u0085", `\u2028\u2029\u0085`},
		{"tag characters", "\U000e0041", `\U000e0041`},
		{"private and unassigned", "\ue000\U0010ffff", `\ue000\U0010ffff`},
		{"a replacement character is no invalid byte", "\ufffd\xfd", `\ufffd\xfd`},
		{"letters that look like others", "r\u043e\u043et", `r\u043e\u043et`},
		{"combining mark", "e\u0301", `e\u0301`},
	} {
		if got := String(c.in); got != c.want {
			t.Errorf("%s: String(%q) = %s, want %s", c.name, c.in, got, c.want)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"other languages stay", "L'hôte doit être à l'heure: 時計 ≥ 4096 …", "L'hôte doit être à l'heure: 時計 ≥ 4096 …"},
		{"commands stay as they are", "grep '\\.conf$' /etc\n  awk '{print $1}'", "grep '\\.conf$' /etc\n  awk '{print $1}'"},
		{"control", "a\x1b[2J\u009b\x00\t", `a\x1b[2J\u009b\x00\t`},
		{"bidirectional", "\u202e\u2066\u200f\u061c", `\u202e\u2066\u200f\u061c`},
		{"invisible", "\u200b\u200d\ufeff\u00ad\u3164\u2800\ufe0f\u034f", `\u200b\u200d\ufeff\u00ad\u3164\u2800\ufe0f\u034f`},
		{"spaces that are none", "\u00a0\u2003\u3000", `\u00a0\u2003\u3000`},
		{"separators", "\u2028\u2029", `\u2028\u2029`},
		{"private, unassigned", "\ue000\U0010ffff", `\ue000\U0010ffff`},
		{"invalid bytes", "é\xe9", `é\xe9`},
	} {
		got := Text(c.in)
		if got != c.want {
			t.Errorf("%s: Text(%q) = %s, want %s", c.name, c.in, got, c.want)
		}
		if Text(got) != got {
			t.Errorf("%s: Text applied twice changes %q", c.name, got)
		}
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"short", "abcd", "abcd"},
		{"just too long", "abcde", "abcd [1 more bytes]"},
		{"between characters", "abcéfg", "abc [4 more bytes]"},
		{"invalid bytes are cut anywhere", "\x80\x80\x80\x80\x80\x80", `\x80 [5 more bytes]`},
	} {
		if got := Clip(c.in, 4); got != c.want {
			t.Errorf("%s: Clip(%q, 4) = %s, want %s", c.name, c.in, got, c.want)
		}
	}
}

// The clean string is by far the most common: it must cost nothing.
func TestStringCleanDoesNotAllocate(t *testing.T) {
	s := strings.Repeat("/etc/ssh/sshd_config ", 20)
	if n := testing.AllocsPerRun(100, func() { _, _ = String(s), Text(s) }); n != 0 {
		t.Errorf("%v allocations for a clean string, want none", n)
	}
}

func FuzzString(f *testing.F) {
	for _, s := range []string{"", "plain", "\x1b[2J", "\u202e\u009b", "\xff\xed\xa0\x80", `\x1b\\`, "\"'`", "\U000e0041\ufffd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := String(s)
		for i := range len(p) {
			if p[i] < ' ' || p[i] > '~' {
				t.Fatalf("String(%q) = %q holds byte %#x", s, p, p[i])
			}
		}
		if back := unquote(t, p); back != s {
			t.Fatalf("String(%q) = %s, which stands for %q", s, p, back)
		}

		text := Text(s)
		if !utf8.ValidString(text) || !IsText(text) || Text(text) != text {
			t.Fatalf("Text(%q) = %q is not settled", s, text)
		}
		for _, r := range text {
			if r != '\n' && (unicode.Is(unicode.C, r) || unicode.Is(unicode.Z, r) && r != ' ') {
				t.Fatalf("Text(%q) = %q holds %U", s, text, r)
			}
		}
		Clip(s, 3)
	})
}

func unquote(t *testing.T, p string) string {
	t.Helper()
	s, err := strconv.Unquote(`"` + strings.ReplaceAll(p, `"`, `\"`) + `"`)
	if err != nil {
		t.Fatalf("%s is not the inside of a string literal: %v", p, err)
	}
	return s
}

func BenchmarkStringClean(b *testing.B) {
	s := strings.Repeat("/etc/ssh/sshd_config ", 4)
	b.ReportAllocs()
	for b.Loop() {
		String(s)
	}
}
