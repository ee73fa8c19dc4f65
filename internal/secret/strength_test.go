package secret

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

func TestBits(t *testing.T) {
	t.Parallel()
	for text, c := range map[string]struct{ least, most float64 }{
		"":                                 {0, 0},
		"changeit":                         {0, 10},
		"passwordApiUser":                  {0, 40},
		"Password123":                      {0, 20},
		strings.Repeat("a", 40):            {0, 12},
		strings.Repeat("ab12", 10):         {0, 25},
		"0123456789abcdef0123456789abcdef": {0, 48},
		"12345678901234567890":             {0, 20},
		"abcdefghijklmnopqrstuvwxyz":       {0, 40},
		"qwertyqwertyqwerty":               {0, 30},
		strings.Repeat("abcd", 10):         {0, 30},
		"abcxabcyabcz":                     {0, 40},
		"tr7Hq":                            {20, 40},
		"f3k!9aL#0pWz2&Qx":                 {80, 110},
		"9f86d081884c7d659a2feaa0c55ad015": {100, 130},
	} {
		if bits := New(text).Bits(); bits < c.least || bits > c.most {
			t.Errorf("%q: %.0f bits, want %.0f to %.0f", text, bits, c.least, c.most)
		}
	}
}

// TestRandomIsStrong: what random generators give is never taken for weak.
func TestRandomIsStrong(t *testing.T) {
	t.Parallel()
	for range 2000 {
		data := make([]byte, 16)
		if _, err := rand.Read(data); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{hex.EncodeToString(data), base64.StdEncoding.EncodeToString(data)} {
			if bits := New(text).Bits(); bits < 80 {
				t.Errorf("%s has %.0f bits", text, bits)
			}
		}
	}
}

func FuzzBits(f *testing.F) {
	f.Add("changeit")
	f.Add("\xff\u202eé")
	f.Fuzz(func(t *testing.T, text string) {
		if bits := New(text).Bits(); bits < 0 || bits > 8*float64(len(text))+64 {
			t.Errorf("%q has %f bits", text, bits)
		}
	})
}
