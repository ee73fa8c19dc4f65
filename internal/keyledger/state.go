package keyledger

import (
	"cmp"
	"slices"
	"time"
)

// Present is a key on an account: the same key on two accounts counts twice.
type Present struct{ Account, Key string }

// State is what the events of a ledger come to.
type State struct {
	keys  map[Present]*Key
	first map[string]time.Time // of each fingerprint: when it was first heard of, on any account
	began map[string]int       // of each account: the event of its first key
}

// Key is one key on one account, as the ledger knows it.
type Key struct {
	Account  string    `json:"account"`
	Key      string    `json:"key"`
	Person   string    `json:"person,omitempty"`
	Since    time.Time `json:"since"`    // when the key, on whatever account, first came into the ledger
	Sequence int       `json:"sequence"` // the event that brought it to this account last
	Gone     Kind      `json:"gone,omitempty"`
	GoneAt   time.Time `json:"gone_at,omitzero"`
	// Follows says that the account had another key before: people have to be
	// told of this one, and somebody has to try it.
	Follows  bool      `json:"follows"`
	Informed time.Time `json:"informed,omitzero"`
	Tested   time.Time `json:"tested,omitzero"`
}

// Live reports whether the key should be in a file.
func (k *Key) Live() bool { return k.Gone == 0 }

func newState() *State {
	return &State{keys: map[Present]*Key{}, first: map[string]time.Time{}, began: map[string]int{}}
}

// apply takes the next event in; earlier is the last event of the appends before
// its own. A key that comes back keeps the age it had,
// since who had it before may have it still.
func (s *State) apply(e *Event, earlier int) {
	at := Present{e.Account, e.Key}
	k := s.keys[at]
	switch {
	case e.Kind.comes():
		first, known := s.first[e.Key]
		if !known {
			first = e.Time
			s.first[e.Key] = first
		}
		began, known := s.began[e.Account]
		if !known {
			began = e.Sequence
			s.began[e.Account] = began
		}
		if k == nil || !k.Live() {
			k = &Key{Account: e.Account, Key: e.Key, Since: first, Sequence: e.Sequence, Follows: e.Kind != Enrolled || began <= earlier}
			s.keys[at] = k
		}
		if e.Person != "" {
			k.Person = e.Person
		}
	case k == nil: // of a key that never came nothing can be said
	case e.Kind.goes():
		k.Gone, k.GoneAt = e.Kind, e.Time
	case e.Kind == Informed:
		k.Informed = e.Time
	case e.Kind == Tested:
		k.Tested = e.Time
	}
}

// Find returns a key on an account, nil when the ledger never had it.
func (s *State) Find(account, key string) *Key { return s.keys[Present{account, key}] }

// Keys returns all keys, those that are gone too, by account and fingerprint.
func (s *State) Keys() []*Key {
	list := make([]*Key, 0, len(s.keys))
	for _, k := range s.keys {
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b *Key) int { return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Key, b.Key)) })
	return list
}
