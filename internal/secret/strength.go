package secret

import (
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Length is how many characters a secret has.
func (t Text) Length() int { return utf8.RuneCountInString(t.Reveal()) }

// known are words that people begin with who need a password: they add next to
// nothing to what must be guessed.
var known = []string{
	"password", "passwort", "passwd", "changeit", "changeme", "change", "secret", "default", "admin", "trueconnector", "connector",
	"welcome", "letmein", "qwerty", "asdf", "example", "test", "master", "root", "user", "docker", "abc",
}

const wordBits = 8 // of a known word, whatever its case

// Bits estimates how hard a secret is to guess: the logarithm, to the base 2, of
// how many there are of its make. It errs to the low side: runs ("aaaa"),
// sequences ("4567", "dcba"), repeats and known words count for little.
func (t Text) Bits() float64 {
	once, bits := period([]rune(t.Reveal()))
	text := string(once)
	lower := strings.ToLower(text)
	if len(lower) == len(text) {
		for _, word := range known {
			cost := float64(wordBits)
			for at := strings.Index(lower, word); at >= 0; at = strings.Index(lower, word) {
				text, lower = text[:at]+text[at+len(word):], lower[:at]+lower[at+len(word):]
				bits += cost
				cost = 1 // the same again
			}
		}
	}
	runes, repeats := period([]rune(text))
	return bits + repeats + math.Min(pool(runes), shannon(runes))
}

// period takes off repeats of the beginning, and tells what it costs to say how
// many there were.
func period(runes []rune) ([]rune, float64) {
	n := len(runes)
	for p := 1; p <= n/2; p++ {
		same := true
		for i := p; i < n && same; i++ {
			same = runes[i] == runes[i-p]
		}
		if same {
			return runes[:p], math.Log2(float64(n))
		}
	}
	return runes, 0
}

// pool adds for each character what it takes to choose one of its kinds, or one
// bit when it follows from the one before.
func pool(runes []rune) float64 {
	kinds := map[string]float64{}
	for _, r := range runes {
		switch {
		case r >= '0' && r <= '9':
			kinds["digit"] = 10
		case r >= 'a' && r <= 'f':
			kinds["hex"] = 6
		case r >= 'g' && r <= 'z':
			kinds["hex"], kinds["lower"] = 6, 20
		case r >= 'A' && r <= 'Z':
			kinds["upper"] = 26
		case r < utf8.RuneSelf && unicode.IsPrint(r):
			kinds["sign"] = 33
		default:
			kinds["other"] = 100
		}
	}
	size := 0.0
	for _, n := range kinds {
		size += n
	}
	each := math.Log2(math.Max(size, 2))
	bits := 0.0
	for i, r := range runes {
		if i > 0 && r-runes[i-1] <= 1 && runes[i-1]-r <= 1 {
			bits++
			continue
		}
		bits += each
	}
	return bits
}

// shannon is the entropy of the characters as they occur. Of a text as long as
// its alphabet it is near the logarithm of its length for each character, so a
// short random text is not taken for a weak one: three bits more are granted to
// each of its different characters.
func shannon(runes []rune) float64 {
	counts := map[rune]float64{}
	for _, r := range runes {
		counts[r]++
	}
	n, bits := float64(len(runes)), 0.0
	for _, c := range counts {
		bits -= c * math.Log2(c/n)
	}
	return bits + 3*float64(len(counts))
}
