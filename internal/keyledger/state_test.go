package keyledger

import (
	"testing"
	"time"
)

func TestState(t *testing.T) {
	t.Parallel()
	var f ledger
	day := func(n int) time.Time { return start.AddDate(0, 0, n) }
	one, two, three := fingerprint(1), fingerprint(2), fingerprint(3)
	f.add(t, day(0), Event{Kind: Enrolled, Account: "a", Key: one, Person: "Ann"}, Event{Kind: Enrolled, Account: "a", Key: two})
	f.add(t, day(1), Event{Kind: Enrolled, Account: "a", Key: two, Person: "Bob"})
	f.add(t, day(2), Event{Kind: RemovedOutside, Account: "a", Key: one}, Event{Kind: Enrolled, Account: "a", Key: three, Person: "Ann"},
		Event{Kind: Enrolled, Account: "b", Key: one, Person: "Ann"}, Event{Kind: Tested, Account: "b", Key: two})
	f.add(t, day(3), Event{Kind: Informed, Account: "a", Key: three}, Event{Kind: Tested, Account: "a", Key: three})
	f.add(t, day(4), Event{Kind: Enrolled, Account: "a", Key: one})
	s := f.read(t).State
	for _, c := range []struct {
		what, account, key, person string
		since                      time.Time
		follows, noted             bool
		sequence                   int
	}{
		{"a person is named later: the age stays", "a", two, "Bob", day(0), false, false, 2},
		{"a key that follows another", "a", three, "Ann", day(2), true, true, 5},
		{"a key that came back keeps its age, and no person", "a", one, "", day(0), true, false, 10},
		{"a key that went to another account keeps its age", "b", one, "Ann", day(0), false, false, 6},
	} {
		k := s.Find(c.account, c.key)
		if k == nil || !k.Live() || k.Person != c.person || !k.Since.Equal(c.since) || k.Follows != c.follows || k.Informed.IsZero() == c.noted || k.Tested.IsZero() == c.noted || k.Sequence != c.sequence {
			t.Errorf("%s: %+v", c.what, k)
		}
	}
	if s.Find("b", two) != nil {
		t.Error("a note brought a key into being")
	}
	if n := len(s.Keys()); n != 4 {
		t.Errorf("%d keys", n)
	}
}

func TestEnrol(t *testing.T) {
	t.Parallel()
	one, two, three := fingerprint(1), fingerprint(2), fingerprint(3)
	nobody := func(string) bool { return false }
	present := []Present{{"a", one}, {"a", one}, {"b", one}, {"b", two}}
	persons := Persons{ByAccount: map[string]string{"a": "Ann", "b": "Bob"}, ByKey: map[string]string{two: "Eve"}}

	var f ledger
	events := (*Ledger)(nil).Enrol(present, nobody, persons, "by", "why")
	wantEvents(t, "at first", events, "enrolled a 1 Ann", "enrolled b 1 Bob", "enrolled b 2 Eve")
	f.add(t, start, events...)

	l := f.read(t)
	wantEvents(t, "again", l.Enrol(present, nobody, persons, "by", "why"))
	wantEvents(t, "without names", l.Enrol(present, nobody, Persons{}, "by", "why"))
	wantEvents(t, "a name for an account corrects none", l.Enrol(present, nobody, Persons{ByAccount: map[string]string{"b": "Bo"}}, "by", "why"))
	wantEvents(t, "a name for a key does", l.Enrol(present, nobody, Persons{ByKey: map[string]string{two: "Bo"}}, "by", "why"), "enrolled b 2 Bo")
	wantEvents(t, "gone and come", l.Enrol([]Present{{"a", one}, {"b", three}}, nobody, Persons{}, "by", "why"),
		"enrolled b 3 ", "removed-outside b 2 Eve", "removed-outside b 1 Bob")
	wantEvents(t, "not seen is not gone", l.Enrol([]Present{{"a", one}}, func(a string) bool { return a == "b" }, Persons{}, "by", "why"))

	f.add(t, start.Add(time.Hour), l.Enrol([]Present{{"b", one}, {"b", two}}, nobody, Persons{}, "by", "why")...)
	l = f.read(t)
	wantEvents(t, "gone is said once", l.Enrol([]Present{{"b", one}, {"b", two}}, nobody, Persons{}, "by", "why"))
	wantEvents(t, "come back", l.Enrol([]Present{{"a", one}, {"b", one}, {"b", two}}, nobody, Persons{}, "by", "why"), "enrolled a 1 ")

	if got := (Persons{ByAccount: map[string]string{"a": "x", "c": "y"}, ByKey: map[string]string{three: "z"}}).Unmatched(present); len(got) != 2 {
		t.Errorf("Unmatched = %q", got)
	}

	noted, err := l.Note(Informed, "", one, "", "by", "told")
	if err != nil {
		t.Fatal(err)
	}
	wantEvents(t, "note", noted, "informed b 1 Bob")
	if _, err := l.Note(Tested, "a", "", "", "by", ""); err == nil {
		t.Error("a key that is gone was tested")
	}
	if _, err := l.Note(Tested, "c", "", "", "by", ""); err == nil {
		t.Error("a key that never was, was tested")
	}
}

func wantEvents(t *testing.T, what string, events []Event, want ...string) {
	t.Helper()
	names := map[string]string{fingerprint(1): "1", fingerprint(2): "2", fingerprint(3): "3"}
	var got []string
	for _, e := range events {
		got = append(got, e.Kind.String()+" "+e.Account+" "+names[e.Key]+" "+e.Person)
	}
	if len(got) != len(want) {
		t.Errorf("%s: %q, want %q", what, got, want)
		return
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
}
