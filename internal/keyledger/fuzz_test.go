package keyledger

import (
	"bytes"
	"testing"
)

// What is taken as an event or a checkpoint is written again byte for byte:
// there is one spelling.
func FuzzLine(f *testing.F) {
	l := long(f, 3)
	for line := range bytes.Lines(append(l.events, l.checkpoints...)) {
		f.Add(bytes.TrimSuffix(line, []byte("\n")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := parseEvent(data); err == nil {
			if got := e.AppendLine(nil); !bytes.Equal(got, append(data, '\n')) {
				t.Errorf("read %q, wrote %q", data, got)
			}
		}
		if c, err := parseCheckpoint(data); err == nil {
			if got := c.appendLine(nil); !bytes.Equal(got, append(data, '\n')) {
				t.Errorf("read %q, wrote %q", data, got)
			}
		}
	})
}

// Whatever the files hold, reading ends, and what is taken as signed is a
// prefix of what was.
func FuzzRead(f *testing.F) {
	l := long(f, 6)
	f.Add(l.events, l.checkpoints)
	f.Add(l.events[:700], l.checkpoints)
	f.Add(l.events, l.checkpoints[:600])
	f.Add(append(bytes.Clone(l.events), 0, '\n'), l.checkpoints)
	f.Fuzz(func(t *testing.T, events, checkpoints []byte) {
		got, err := Read(ledger{events, checkpoints, l.signers}.files(), Options{})
		if err != nil || got.Signed == 0 {
			return
		}
		signed := bytes.Join(bytes.SplitAfterN(events, []byte("\n"), got.Signed+1)[:got.Signed], nil)
		if !bytes.HasPrefix(l.events, signed) {
			t.Errorf("%d events are taken as signed that nobody signed:\n%s", got.Signed, signed)
		}
	})
}
