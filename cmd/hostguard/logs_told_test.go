package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/remediate/logcopy"
)

// A container that plants thousands of logs fills nobody's mailbox.
func TestLogsToldIsBounded(t *testing.T) {
	t.Parallel()
	many := make([]logcopy.Item, 10_000)
	for i := range many {
		many[i] = logcopy.Item{Owner: "ecc", Log: "log/x.gz", Why: "it is a symbolic link"}
	}
	told := logsTold{Result: logcopy.Result{Copied: many, Waiting: many, Refused: many, Failed: many[:mostTold]}}
	var out, errs strings.Builder
	cmd := &cobra.Command{}
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	if err := told.text(cmd); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\n"); got != 2*(mostTold+1) {
		t.Errorf("%d lines", got)
	}
	if got := strings.Count(errs.String(), "\n"); got != 2*mostTold+1 {
		t.Errorf("%d lines of errors", got)
	}
	for _, words := range []string{"\ncopied: 9900 more", "\nwaits: 9900 more", "\nhostguard: not copied: 9900 more (--format json has all)\n"} {
		if !strings.Contains(out.String()+errs.String(), words) {
			t.Errorf("it does not say %q", words)
		}
	}
	if len(told.json().Refused) != len(many) {
		t.Error("the JSON form does not have them all")
	}
}
