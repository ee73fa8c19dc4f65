package keyledger

import (
	"fmt"
	"slices"
)

// Persons say who has which key.
type Persons struct {
	ByKey     map[string]string // fingerprint: name; it corrects an earlier name
	ByAccount map[string]string // account: name, for its keys that have none
}

func (p Persons) of(at Present, before string) string {
	if name := p.ByKey[at.Key]; name != "" {
		return name
	}
	if before == "" {
		return p.ByAccount[at.Account]
	}
	return before
}

// Enrol returns the events that bring a ledger, nil when there is none yet, up
// to what is in the files: none when it is. Accounts whose files were not all
// seen are unseen: a key of theirs that was not met is not said to be gone.
func (l *Ledger) Enrol(present []Present, unseen func(account string) bool, persons Persons, by, reason string) []Event {
	state := newState()
	if l != nil {
		state = l.State
	}
	var events []Event
	met := map[Present]bool{}
	for _, at := range present {
		if met[at] {
			continue
		}
		met[at] = true
		k := state.Find(at.Account, at.Key)
		person := ""
		if k != nil && k.Live() {
			person = k.Person
		}
		name := persons.of(at, person)
		if k == nil || !k.Live() || name != person {
			events = append(events, Event{Kind: Enrolled, Account: at.Account, Key: at.Key, Person: name, By: by, Reason: reason})
		}
	}
	for _, k := range state.Keys() {
		if k.Live() && !met[Present{k.Account, k.Key}] && !unseen(k.Account) {
			events = append(events, Event{Kind: RemovedOutside, Account: k.Account, Key: k.Key, Person: k.Person, By: by, Reason: reason})
		}
	}
	return events
}

// Note returns the events that say that the person of a key was informed, or
// that the key was tested. The keys are those that match, on all accounts; an
// empty account or key matches every one. None is an error.
func (l *Ledger) Note(kind Kind, account, key, person, by, reason string) ([]Event, error) {
	var events []Event
	var gone *Key
	for _, k := range l.State.Keys() {
		switch {
		case account != "" && k.Account != account, key != "" && k.Key != key:
		case !k.Live():
			gone = k
		default:
			name := person
			if name == "" {
				name = k.Person
			}
			events = append(events, Event{Kind: kind, Account: k.Account, Key: k.Key, Person: name, By: by, Reason: reason})
		}
	}
	switch {
	case len(events) == 0 && gone != nil:
		return nil, fmt.Errorf("cannot note it: the ledger says that %s of %s is gone (%v)", gone.Key, gone.Account, gone.Gone)
	case len(events) == 0:
		return nil, fmt.Errorf("cannot note it: the ledger has no such key (hostguard keys list, hostguard keys enrol)")
	}
	return events, nil
}

// Unmatched returns the names of Persons that match no key that is there: most
// likely they are misspelt.
func (p Persons) Unmatched(present []Present) []string {
	var names []string
	for key := range p.ByKey {
		if !slices.ContainsFunc(present, func(at Present) bool { return at.Key == key }) {
			names = append(names, key)
		}
	}
	for account := range p.ByAccount {
		if !slices.ContainsFunc(present, func(at Present) bool { return at.Account == account }) {
			names = append(names, account)
		}
	}
	slices.Sort(names)
	return names
}
