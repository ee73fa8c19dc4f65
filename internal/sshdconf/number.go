package sshdconf

import (
	"math"
	"strings"
)

// isCSpace is isspace(3) in the C locale.
func isCSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// strtol reads a number as strtol(3) does: leading space, a sign, digits of
// the base (0: as a C literal). It returns what follows, and false when there
// is no digit. A number beyond 64 bits is clamped.
func strtol(s string, base int64) (value int64, rest string, ok bool) {
	i := 0
	for i < len(s) && isCSpace(s[i]) {
		i++
	}
	negative := false
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		negative = s[i] == '-'
		i++
	}
	if base == 0 {
		switch {
		case i+2 < len(s) && s[i] == '0' && s[i+1]|0x20 == 'x' && digit(s[i+2]) < 16:
			base, i = 16, i+2
		case i < len(s) && s[i] == '0':
			base = 8
		default:
			base = 10
		}
	}
	start := i
	for ; i < len(s); i++ {
		d := int64(digit(s[i]))
		if d >= base {
			break
		}
		if value > (math.MaxInt64-d)/base {
			value = math.MaxInt64
			continue
		}
		value = value*base + d
	}
	if i == start {
		return 0, s, false
	}
	if negative {
		value = -value
	}
	return value, s[i:], true
}

func digit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'z':
		return int(c|0x20-'a') + 10
	}
	return 99
}

// strtonum reads a whole string as a decimal number between low and high,
// see strtonum(3) of OpenBSD.
func strtonum(s string, low, high int64) (int64, bool) {
	n, rest, ok := strtol(s, 10)
	return n, ok && rest == "" && n >= low && n <= high
}

// atoi reads a non-negative C int.
func atoi(s string) (int, bool) {
	n, ok := strtonum(s, 0, math.MaxInt32)
	return int(n), ok
}

var timeUnits = map[byte]int64{'s': 1, 'm': 60, 'h': 60 * 60, 'd': 24 * 60 * 60, 'w': 7 * 24 * 60 * 60}

// seconds reads a time span as sshd_config(5) describes under TIME FORMATS:
// a sequence of numbers with an optional unit.
func seconds(s string, v Version) (int, bool) {
	if s == "" {
		return 0, false
	}
	limit := int64(math.MaxInt32)
	if !v.AtLeast(V8_5) { // counted in 64 bits, kept in 32
		limit = math.MaxInt64
	}
	var total int64
	for s != "" {
		if v.AtLeast(V10_0) && digit(s[0]) > 9 { // no sign and no space any more
			return 0, false
		}
		n, rest, ok := strtol(s, 10)
		if !ok || n < 0 {
			return 0, false
		}
		unit := int64(1)
		if rest != "" {
			if unit, ok = timeUnits[rest[0]|0x20]; !ok {
				return 0, false
			}
			rest = rest[1:]
		}
		if n > limit/unit || total > limit-n*unit {
			return 0, false
		}
		total += n * unit
		s = rest
	}
	kept := int(int32(total))
	return kept, kept != -1
}

const scaleUnits = "bkmgtpe"

// scaled reads an amount with a scale letter ("1G", "1.5m"), see
// scan_scaled(3) of OpenBSD.
func scaled(s string) (int64, bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	sign := int64(1)
	if s != "" && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	var whole, fraction int64
	places, digits := 0, 0
	point := false
	i := 0
	for ; i < len(s) && (s[i] == '.' || digit(s[i]) < 10); i++ {
		switch {
		case s[i] == '.' && point:
			return 0, false
		case s[i] == '.':
			point = true
		case point:
			if places < maxScaledDigits-2 {
				if fraction > (math.MaxInt64-9)/10 {
					return 0, false
				}
				fraction = fraction*10 + int64(digit(s[i]))
				places++
			}
		default:
			digits++
			d := int64(digit(s[i]))
			if digits >= maxScaledDigits || whole > (math.MaxInt64-d)/10 {
				return 0, false
			}
			whole = whole*10 + d
		}
	}
	if i == len(s) {
		return sign * whole, true
	}
	unit := strings.IndexByte(scaleUnits, s[i]|0x20)
	if unit < 0 || i+1 < len(s) && digit(s[i+1]) < 99 {
		return 0, false
	}
	factor := int64(1) << (10 * unit)
	if whole > math.MaxInt64/factor {
		return 0, false
	}
	whole *= factor
	for fraction >= math.MaxInt64/factor {
		fraction /= 10
		places--
	}
	fraction *= factor
	for range places {
		fraction /= 10
	}
	return sign * (whole + fraction), true
}

// maxScaledDigits bounds the digits scan_scaled(3) reads: three per unit.
const maxScaledDigits = 3 * len(scaleUnits)

// colonInts reads up to max numbers separated by colons, as sscanf(3) does
// with "%d:%d": what follows the last one read is ignored.
func colonInts(s string, max int) []int {
	var out []int
	for len(out) < max {
		n, rest, ok := strtol(s, 10)
		if !ok {
			break
		}
		out = append(out, int(int32(n)))
		if !strings.HasPrefix(rest, ":") {
			break
		}
		s = rest[1:]
	}
	return out
}
