package keyledger

import (
	"crypto/ed25519"
	"crypto/sha256"
	"time"
)

// Next returns the lines of events that follow a ledger, which is nil when
// there is none yet, and sets their numbers and hashes. All events of one
// append have one time.
func (l *Ledger) Next(events []Event, now time.Time) ([]byte, error) {
	sequence, head := 0, Hash{}
	if l != nil {
		sequence, head = l.Sequence, l.Head
	}
	now = now.UTC().Truncate(time.Second)
	var lines []byte
	for i := range events {
		e := &events[i]
		sequence++
		e.Sequence, e.Previous, e.Time = sequence, head, now
		if err := e.Validate(); err != nil {
			return nil, err
		}
		start := len(lines)
		lines = e.AppendLine(lines)
		head = sha256.Sum256(lines[start:])
	}
	return lines, nil
}

// NextCheckpoint returns the line that signs a ledger of so many events with
// this head. The ledger l, which is nil when there is none yet, has the
// checkpoints that go before.
func (l *Ledger) NextCheckpoint(sequence int, head Hash, now time.Time, key ed25519.PrivateKey) []byte {
	c := checkpoint{sequence: sequence, head: head, time: now.UTC().Truncate(time.Second)}
	if l != nil {
		c.previous = l.checkpointHead
	}
	c.signature = sign(key, c.message())
	return c.appendLine(nil)
}
