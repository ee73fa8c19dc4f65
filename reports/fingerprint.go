package reports

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"sync"

	"github.com/hostguard/hostguard/checks"
)

// fingerprint names what is wrong, so that two runs, and two hosts, can be
// compared: the same rule failing at the same places has the same fingerprint.
//
// It is made of the rule, the status and, of a failed rule, the set of places
// at fault: source and key of the evidence that wanted something (of all
// evidence where none did). It is not made of what was found, wanted or said,
// of line numbers, order, severity or anything of the host: an edit above the
// faulty line, a disk fuller by a byte or a new release of hostguard with
// better sentences changes nothing. What the kernel or docker draw afresh at
// each start (process ids, 64-digit ids) is taken out of the places.
func fingerprint(rule string, status checks.Status, seen []checks.Evidence) string {
	h := sha256.New()
	fmt.Fprintf(h, "hostguard 1 %q %q\n", rule, status.String())
	if status == checks.Fail {
		for _, place := range places(seen) {
			fmt.Fprintln(h, place)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func places(seen []checks.Evidence) []string {
	wanting := slices.ContainsFunc(seen, func(e checks.Evidence) bool { return e.Want != "" })
	var list []string
	for _, e := range seen {
		if e.Want != "" || !wanting {
			list = append(list, fmt.Sprintf("%q %q", lasting(e.Source), lasting(e.Key)))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// drawn is what differs from run to run without meaning anything.
var drawn = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)(\bpid[ =:]*|\bprocess[ =:]*|/proc/)[0-9]+|\b[0-9a-f]{64}\b`)
})

func lasting(s string) string { return drawn().ReplaceAllString(s, "$1*") }
