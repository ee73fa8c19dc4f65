package quantity_test

import (
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/quantity"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"500ms": 500 * time.Millisecond,
		"1h30m": 90 * time.Minute,
		"60d":   60 * 24 * time.Hour,
		"2w":    14 * 24 * time.Hour,
		"0s":    0,
	} {
		var d quantity.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want {
			t.Errorf("%q: %v, %v; want %v", text, d, err, want)
		}
	}
	for _, text := range []string{"", "5", "-1s", "1.5d", "-3d", "d", "4294967296d", "999999999w", "1 d", "NaNs"} {
		var d quantity.Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, d)
		}
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint64{
		"4096": 4096, "0": 0, "1B": 1, "512MiB": 512 << 20, "2 GiB": 2 << 30, "1TiB": 1 << 40,
	} {
		var b quantity.Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || uint64(b) != want {
			t.Errorf("%q: %v, %v; want %d", text, uint64(b), err, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "1.5GiB", "1GB", "99999999TiB", "0x10"} {
		var b quantity.Bytes
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %d", text, uint64(b))
		}
	}
	for b, want := range map[quantity.Bytes]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 10 << 30: "10 GiB"} {
		if b.String() != want {
			t.Errorf("%d: %q, want %q", uint64(b), b, want)
		}
	}
}

func TestPercent(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]quantity.Percent{"0%": 0, "12.5%": 12.5, "100%": 100} {
		var p quantity.Percent
		if err := p.UnmarshalText([]byte(text)); err != nil || p != want {
			t.Errorf("%q: %v, %v; want %v", text, p, err, want)
		}
	}
	for _, text := range []string{"", "%", "50", "101%", "-1%", "NaN%", "Inf%"} {
		var p quantity.Percent
		if err := p.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, p)
		}
	}
}

func FuzzTextRoundTrip(f *testing.F) {
	for _, seed := range []string{"500ms", "60d", "2w", "4096", "2GiB", "12.5%", "0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		roundTrip[quantity.Duration](t, text)
		roundTrip[quantity.Bytes](t, text)
		roundTrip[quantity.Percent](t, text)
	})
}

type textual[T any] interface {
	*T
	UnmarshalText([]byte) error
	MarshalText() ([]byte, error)
}

// roundTrip: what can be read can be written, and reads as the same again.
func roundTrip[T comparable, P textual[T]](t *testing.T, text string) {
	var first, second T
	if P(&first).UnmarshalText([]byte(text)) != nil {
		return
	}
	written, err := P(&first).MarshalText()
	if err != nil {
		t.Fatalf("%q: cannot be written: %v", text, err)
	}
	if err := P(&second).UnmarshalText(written); err != nil || first != second {
		t.Fatalf("%q: %v was written as %q and read as %v, %v", text, first, written, second, err)
	}
}
