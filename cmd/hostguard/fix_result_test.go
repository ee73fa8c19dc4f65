package main

import (
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/reports"
)

// A stopped web server closes its port, too: nobody is sent to the rule about
// ports, which passes then. What fails still, and what no rule asks for, is told.
func TestAPersonIsNotToldOfWhatPassesAfterAll(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		outcome string
		rules   []string
		told    bool
	}{
		"it passes":            {applied, []string{"NET-002"}, false},
		"it fails still":       {applied, []string{"CLK-003"}, true},
		"one of them fails":    {applied, []string{"NET-002", "CLK-003"}, true},
		"it was not looked at": {applied, []string{"SSH-001"}, true},
		"no rule asks for it":  {applied, nil, true},
		"nothing was done":     {nothingToDo, []string{"NET-002"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := fixResult{
				Outcome: c.outcome,
				plan:    &remediate.Plan{Person: []remediate.Task{{Rules: c.rules, Does: "look"}}},
				After: &reports.Report{Findings: []reports.Finding{
					{Rule: "NET-002", Status: checks.Pass}, {Rule: "CLK-003", Status: checks.Fail},
				}},
			}
			r.decide()
			if told := len(r.Person) > 0; told != c.told {
				t.Errorf("told: %v", r.Person)
			}
		})
	}
}
