// Package quantity holds the units in which people write thresholds.
package quantity

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time span written as Go does ("500ms", "1h30m") or in days or
// weeks ("60d", "2w").
type Duration time.Duration

const day = 24 * time.Hour

// UnmarshalText reads a duration; negative ones are refused.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	for suffix, unit := range map[string]time.Duration{"d": day, "w": 7 * day} {
		number, found := strings.CutSuffix(s, suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil || n > uint64(math.MaxInt64/int64(unit)) {
			break
		}
		*d = Duration(time.Duration(n) * unit)
		return nil
	}
	parsed, err := time.ParseDuration(s)
	if err != nil || parsed < 0 {
		return fmt.Errorf("cannot read %q as a duration: want a number with a unit, such as 500ms, 30s, 12h, 60d or 2w", s)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText writes whole days as days, everything else as Go does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string {
	if td := time.Duration(d); td >= day && td%day == 0 {
		return fmt.Sprintf("%dd", td/day)
	}
	return time.Duration(d).String()
}

// Bytes is an amount of storage written with a binary unit ("512MiB", "2GiB")
// or plain ("4096").
type Bytes uint64

var byteUnits = []struct {
	suffix string
	factor uint64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1},
}

// UnmarshalText reads an amount of storage.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := string(text)
	for _, unit := range byteUnits {
		number, found := strings.CutSuffix(s, unit.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 64)
		if err != nil || n > math.MaxUint64/unit.factor {
			break
		}
		*b = Bytes(n * unit.factor)
		return nil
	}
	return fmt.Errorf("cannot read %q as an amount of storage: want a whole number of B, KiB, MiB, GiB or TiB", s)
}

// MarshalText writes the form that UnmarshalText reads.
func (b Bytes) MarshalText() ([]byte, error) {
	for _, unit := range byteUnits {
		if n := uint64(b); n >= unit.factor && n%unit.factor == 0 && unit.factor > 0 {
			return fmt.Appendf(nil, "%d%s", n/unit.factor, unit.suffix), nil
		}
	}
	return []byte("0B"), nil
}

// String is a reading for people: at most one decimal, the largest unit that fits.
func (b Bytes) String() string {
	for _, unit := range byteUnits[:4] {
		if n := uint64(b); n >= unit.factor {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/float64(unit.factor)), ".0") + " " + unit.suffix
		}
	}
	return fmt.Sprintf("%d B", uint64(b))
}

// Percent is a share written "85%".
type Percent float64

// UnmarshalText reads a share between 0% and 100%.
func (p *Percent) UnmarshalText(text []byte) error {
	number, found := strings.CutSuffix(string(text), "%")
	f, err := strconv.ParseFloat(number, 64)
	if !found || err != nil || !(f >= 0 && f <= 100) {
		return fmt.Errorf("cannot read %q as a share: want 0%% to 100%%", text)
	}
	*p = Percent(f)
	return nil
}

// MarshalText writes the form that UnmarshalText reads.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) + "%" }
