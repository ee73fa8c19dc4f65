package main

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/lab"
	mending "github.com/hostguard/hostguard/remediate/all"
	"github.com/hostguard/hostguard/rules"
)

// mendable are the breakages of rules that have a remediator.
func mendable(t *testing.T) []breakage {
	return slices.DeleteFunc(append(fixable(t), modeBreakages()...), func(b breakage) bool {
		for rule, w := range b.wants {
			if _, found := mending.For(rules.Embedded().Rule(rule).Check); found && w.status == checks.Fail {
				return false
			}
		}
		return true
	})
}

// together sorts breakages into lots that can be applied at once: no two of a
// lot break the same rule.
func together(list []breakage) [][]breakage {
	var lots [][]breakage
	for _, b := range list {
		i := slices.IndexFunc(lots, func(lot []breakage) bool {
			return !slices.ContainsFunc(lot, func(other breakage) bool {
				for rule := range b.wants {
					if _, both := other.wants[rule]; both {
						return true
					}
				}
				return false
			})
		})
		if i < 0 {
			i, lots = len(lots), append(lots, nil)
		}
		lots[i] = append(lots[i], b)
	}
	return lots
}

// Much that is broken at the same time is mended by one fix: what it changes for
// one rule leaves nothing to do for another, and nothing for a second run. Then
// undo brings all of it back.
func TestFixMendsAllAtOnce(t *testing.T) {
	h := bootGood(t)
	lots := together(mendable(t))
	if os.Getenv(allFixes) == "" {
		lots = lots[:3] // which hold most of them
	} else { // and each two of them alone
		list := mendable(t)
		for i, a := range list {
			for _, b := range list[:i] {
				if pair := together([]breakage{a, b}); len(pair) == 1 {
					lots = append(lots, pair[0])
				}
			}
		}
	}
	for _, lot := range lots {
		var names []string
		for _, b := range lot {
			names = append(names, b.name)
		}
		t.Run(strings.Join(names, ", "), func(t *testing.T) {
			mendTogether(t, h.For(t), lot)
		})
	}
}

func mendTogether(t *testing.T, h *lab.Host, lot []breakage) {
	for _, b := range lot {
		defer b.undo(h)
		b.apply(h)
	}
	broken := observe(t, h)
	first, code := fixed(t, h, "--advice")
	if first.Outcome != applied && first.Outcome != nothingToDo {
		text, _ := json.MarshalIndent(first.Steps, "", " ")
		t.Fatalf("%s with exit code %d: %s\n%s", first.Outcome, code, first.Error, text)
	}
	t.Logf("%d steps", len(first.Steps))
	done := observe(t, h)
	second, _ := fixed(t, h, "--advice")
	if second.Outcome != nothingToDo {
		text, _ := json.MarshalIndent(struct{ First, Second []shownStep }{first.Steps, second.Steps}, "", " ")
		t.Errorf("a second fix: %s %s\n%s", second.Outcome, second.Error, text)
	}
	if diff := cmp.Diff(done, observe(t, h)); diff != "" {
		t.Errorf("a second fix changed (-before +after):\n%s", diff)
	}
	for r := h.Run("hostguard", "undo"); ; r = h.Run("hostguard", "undo") {
		if r.Code == exitUsage { // nothing is left to undo
			break
		}
		if r.Code != exitOK {
			t.Fatalf("undo: exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
		}
	}
	if diff := cmp.Diff(broken, observe(t, h)); diff != "" {
		t.Errorf("after undo (-before fix +after undo):\n%s", diff)
	}
	told := map[string]bool{}
	for _, x := range first.Person {
		for _, rule := range x.Rules {
			told[rule] = true
		}
	}
	after := statuses(first.After)
	for _, b := range lot {
		for _, rule := range slices.Sorted(maps.Keys(b.wants)) {
			if after[rule] == checks.Fail && !told[rule] && len(first.Pending) == 0 {
				t.Errorf("%s: %s fails still, and nobody is told why", b.name, rule)
			}
		}
	}
}
