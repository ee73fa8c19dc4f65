package attested

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/internal/strictyaml"
)

const good = "{rule: SSH-031, owner: J. Doe, note: asked, date: 2026-01-31, expires: 2026-02-01}"

func read(text string) (Attestation, error) {
	var a Attestation
	n, err := strictyaml.Parse("f", []byte(text))
	if err == nil {
		err = n.Decode(&a)
	}
	return a, err
}

func TestRead(t *testing.T) {
	t.Parallel()
	a, err := read(good)
	if err != nil {
		t.Fatal(err)
	}
	if a.Rule != "SSH-031" || a.Owner != "J. Doe" || a.Note != "asked" || a.Date.String() != "2026-01-31" || a.Date.DaysUntil(a.Expires) != 1 {
		t.Errorf("got %+v", a)
	}
	if place := a.At("expires").Place(); place != "f:1:72" {
		t.Errorf("expires is at %s", place)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                   {"{}", "f:1:1: missing key \"rule\"\nf:1:1: missing key \"owner\"\nf:1:1: missing key \"note\"\nf:1:1: missing key \"date\"\nf:1:1: missing key \"expires\""},
		"without an end":            {"{rule: SSH-031, owner: J. Doe, note: asked, date: 2026-01-31}", `f:1:1: missing key "expires"`},
		"misspelt":                  {"{rule: R, owner: J, note: n, date: 2026-01-31, expires: 2026-02-01, expire: 2027-01-01}", `f:1:69: unknown key "expire": did you mean "expires"?`},
		"the words as proposed":     {`{rule: R, owner: "…", note: "...", date: 2026-01-31, expires: 2026-02-01}`, "f:1:18: owner says nothing: want words\nf:1:29: note says nothing: want words"},
		"ends on the day":           {"{rule: R, owner: J, note: n, date: 2026-01-31, expires: 2026-01-31}", "f:1:57: expires 2026-01-31 is not after the date 2026-01-31"},
		"ends before":               {"{rule: R, owner: J, note: n, date: 2026-01-31, expires: 2025-12-31}", "f:1:57: expires 2025-12-31 is not after the date 2026-01-31"},
		"no such day":               {"{rule: R, owner: J, note: n, date: 2026-02-29, expires: 2026-12-31}", `f:1:36: "2026-02-29" is not a day such as 2026-01-31`},
		"a moment":                  {"{rule: R, owner: J, note: n, date: 2026-02-01T10:00:00Z, expires: 2026-12-31}", `f:1:36: "2026-02-01T10:00:00Z" is not a day such as 2026-01-31`},
		"another order":             {"{rule: R, owner: J, note: n, date: 31.01.2026, expires: 2026-12-31}", `f:1:36: "31.01.2026" is not a day such as 2026-01-31`},
		"no zeroes":                 {"{rule: R, owner: J, note: n, date: 2026-1-31, expires: 2026-12-31}", `f:1:36: "2026-1-31" is not a day such as 2026-01-31`},
		"a number":                  {"{rule: R, owner: J, note: n, date: 20260131, expires: 2026-12-31}", `f:1:36: "20260131" is not a day such as 2026-01-31`},
		"an empty value":            {"{rule: R, owner: , note: n, date: 2026-01-31, expires: 2026-12-31}", "f:1:11: there is no value: give one, or leave the key out"},
		"a list in place of a word": {"{rule: R, owner: [J], note: n, date: 2026-01-31, expires: 2026-12-31}", "f:1:18: want text, got a list"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if _, err := read(c.text); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDates(t *testing.T) {
	t.Parallel()
	east := time.FixedZone("east", 14*60*60)
	if d := DayOf(time.Date(2026, 3, 1, 1, 0, 0, 0, east)); d.String() != "2026-02-28" {
		t.Errorf("the day is %v", d)
	}
	if d := DayOf(time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC)).Add(90); d.String() != "2027-03-31" {
		t.Errorf("90 days later it is %v", d)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(good)
	f.Add("{rule: R, owner: \"\\x1b\", note: [], date: 9999-12-31, expires: 0000-01-01}")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := read(text)
		if err != nil || a.Rule == "" {
			return
		}
		if a.Date.DaysUntil(a.Expires) < 1 {
			t.Errorf("%q: ends before it begins", text)
		}
		again, err := read("{rule: R, owner: O, note: N, date: " + a.Date.String() + ", expires: " + a.Expires.String() + "}")
		if err != nil || again.Date != a.Date || again.Expires != a.Expires {
			t.Errorf("%q: days do not read as written: %v", text, err)
		}
	})
}
