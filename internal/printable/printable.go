// Package printable makes strings safe to print: on a terminal, in a log, in
// every report format.
//
// Two kinds of strings are told apart:
//
//   - What comes from the host (paths, option values, unit names, error texts)
//     may be written by an attacker. [String] turns it into printable ASCII.
//     Letters of other scripts are escaped too: a Cyrillic "о" in the name of
//     an account must not look like the Latin one.
//   - What people wrote for people (rules, profiles, configuration) may be in
//     any language. [Text] keeps it and escapes only what could deceive:
//     control, bidirectional and invisible characters, and invalid bytes.
//
// Escapes are those of a Go string literal: \n, \t, \x1b (a byte), \u202e and
// \U000e0041 (a character). In String a backslash is written \\, so that every
// result stands for exactly one original, which strconv.Unquote recovers
// (double quotes, which need no escape outside a literal, stay as they are).
package printable

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// String returns s as printable ASCII (U+0020 to U+007E). Everything else is
// escaped, and the backslash is doubled. A clean string is returned as it is,
// without allocation. Applied twice it escapes twice: call it once, where the
// string enters the report.
func String(s string) string {
	i := 0
	for i < len(s) && isPlain(s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:i])
	for i < len(s) {
		switch r, size := utf8.DecodeRuneInString(s[i:]); {
		case isPlain(s[i]):
			b.WriteByte(s[i])
			i++
		case s[i] == '\\':
			b.WriteString(`\\`)
			i++
		default:
			escape(&b, s[i], r, size)
			i += size
		}
	}
	return b.String()
}

// Clip is String with a bound: of a string of more than max bytes only the
// first are kept, followed by how many were left out.
func Clip(s string, max int) string {
	if len(s) <= max {
		return String(s)
	}
	cut := max
	for cut > 0 && cut > max-utf8.UTFMax+1 && !utf8.RuneStart(s[cut]) {
		cut-- // not through the middle of a character
	}
	return String(s[:cut]) + " [" + strconv.Itoa(len(s)-cut) + " more bytes]"
}

// Text returns s with everything escaped that is not visible as what it is:
// control characters other than the newline, bidirectional controls, zero-width
// and other format characters, line and paragraph separators, spaces other than
// U+0020, private, unassigned and invalid ones. Backslashes stay, so that a
// command in a hint can be copied, and Text applied twice changes nothing.
func Text(s string) string {
	if IsText(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if isText(r, size) {
			b.WriteString(s[i : i+size])
		} else {
			escape(&b, s[i], r, size)
		}
		i += size
	}
	return b.String()
}

// IsText reports whether Text would return s unchanged.
func IsText(s string) bool {
	for i := 0; i < len(s); {
		if c := s[i]; isPlain(c) {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if !isText(r, size) {
			return false
		}
		i += size
	}
	return true
}

func isPlain(c byte) bool { return c >= ' ' && c <= '~' && c != '\\' }

// isText holds for letters, marks, numbers, punctuation and symbols, the space
// and the newline. unicode.IsPrint excludes all of Cc, Cf, Cs, Co, Cn, Zl, Zp
// and every space but U+0020; the fillers below are letters and marks to
// Unicode, yet print as nothing.
func isText(r rune, size int) bool {
	switch {
	case r == utf8.RuneError && size <= 1:
		return false
	case r == '\n':
		return true
	case r == 0x115F, r == 0x1160, r == 0x3164, r == 0xFFA0: // Hangul fillers
		return false
	case r == 0x034F, r == 0x17B4, r == 0x17B5, r == 0x2800: // grapheme joiner, Khmer inherent vowels, braille blank
		return false
	case r >= 0xFE00 && r <= 0xFE0F, r >= 0x180B && r <= 0x180F, r >= 0xE0100 && r <= 0xE01EF: // variation selectors
		return false
	}
	return unicode.IsPrint(r)
}

// escape writes one character, or one invalid byte, as Go writes it in a
// string literal.
func escape(b *strings.Builder, c byte, r rune, size int) {
	if r == utf8.RuneError && size <= 1 {
		const hex = "0123456789abcdef"
		b.WriteString(`\x`)
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
		return
	}
	var buf [16]byte
	quoted := strconv.AppendQuoteRuneToASCII(buf[:0], r)
	b.Write(quoted[1 : len(quoted)-1]) // without the quotes
}
