package notify

import (
	"slices"
	"time"
)

// Told is what each channel was told last: channel, item, state. An item that
// was never told of, or last as well, is not in it.
type Told map[string]map[string]State

// State is the last word on an item.
type State struct {
	Level Level     `json:"level"`
	At    time.Time `json:"at"`
}

// Policy says when to tell again.
type Policy struct {
	Repeat func(Level) time.Duration // how long an unchanged state stays untold
	Gone   string                    // what became of an item that is not among those watched any more, after its name
}

// Due returns what a channel has to be told now: every item whose level is not
// the one told last, one that is no better for longer than the policy's time,
// and, as well, those that are gone. An item that is well from the start is
// nothing to tell.
func (t Told) Due(channel string, items []Item, p Policy, now time.Time) []Item {
	var due []Item
	told, seen := t[channel], map[string]bool{}
	for _, i := range items {
		seen[i.ID] = true
		last, known := told[i.ID]
		if !known {
			last.Level = OK
		}
		age := now.Sub(last.At)
		again := age >= p.Repeat(i.Level) || age < -time.Minute // the clock was set back
		if i.Level != last.Level || i.Level != OK && again {
			due = append(due, i)
		}
	}
	var gone []string
	for id := range told {
		if !seen[id] {
			gone = append(gone, id)
		}
	}
	slices.Sort(gone)
	for _, id := range gone {
		due = append(due, Item{id, OK, id + " " + p.Gone})
	}
	return due
}

// Note records what a channel was told.
func (t Told) Note(channel string, items []Item, now time.Time) {
	if t[channel] == nil {
		t[channel] = map[string]State{}
	}
	for _, i := range items {
		if i.Level == OK {
			delete(t[channel], i.ID)
		} else {
			t[channel][i.ID] = State{i.Level, now}
		}
	}
}

// Keep forgets what channels were told that are not in use any more.
func (t Told) Keep(channels []Channel) {
	for name := range t {
		if !slices.ContainsFunc(channels, func(c Channel) bool { return c.Name == name }) {
			delete(t, name)
		}
	}
}
