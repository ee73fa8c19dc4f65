// Package checktest holds what the tests of check families share: what every
// verdict promises, and a way to look at a booted test host.
package checktest

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab"
)

// Judged compares a verdict with "pass", "fail: part of the reason" or
// "error: part of the error", and holds what every verdict promises.
func Judged(t *testing.T, v checks.Verdict, err error, want string) {
	t.Helper()
	status, part, _ := strings.Cut(want, ": ")
	got, text := v.Status.String(), v.Reason
	if err != nil {
		got, text = "error", err.Error()
	}
	if got != status || !strings.Contains(text, part) {
		t.Errorf("%s: %s, want %s", got, text, want)
	}
	if err == nil && len(v.Evidence) == 0 {
		t.Error("a verdict without evidence")
	}
	for _, e := range v.Evidence {
		if e.Source == "" || got == "fail" && e.Want == "" && e.Got == "" {
			t.Errorf("evidence without a place or without what was seen: %+v", e)
		}
	}
}

// look asks this very program, inside a test host, for one verdict.
var look = flag.String("look", "", "print the verdict of a check: NAME PARAMETERS (YAML)")

// seen is a verdict on its way out of the test host.
type seen struct {
	Verdict checks.Verdict
	Err     string
}

// Main is the TestMain of a family whose tests use Inside.
func Main(m *testing.M, family []checks.Check) {
	flag.Parse()
	if *look == "" {
		os.Exit(m.Run())
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer(family, *look)); err != nil {
		panic(err)
	}
}

func answer(family []checks.Check, question string) seen {
	name, params, _ := strings.Cut(question, " ")
	var s seen
	i := slices.IndexFunc(family, func(c checks.Check) bool { return c.Name == name })
	if i < 0 {
		return seen{Err: fmt.Sprintf("no check is named %q", name)}
	}
	probe, err := family[i].Bind(func(p any) error { return yaml.Unmarshal([]byte(params), p) })
	if err == nil {
		s.Verdict, err = probe(context.Background(), host.New(host.Options{}))
	}
	if err != nil {
		s.Err, s.Verdict.Status = err.Error(), checks.Error
	}
	return s
}

// Inside copies this test program into the host. What it returns compares, in
// a subtest, the verdict there of a check ("NAME PARAMETERS") with what Judged
// wants.
func Inside(t *testing.T, h *lab.Host) func(name, check, want string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const program = "/root/checks.test"
	h.Install(self, program)
	return func(name, check, want string) {
		t.Helper()
		out := h.Must(program, "-look", check)
		var s seen
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		var err error
		if s.Err != "" {
			err = errors.New(s.Err)
		}
		t.Run(name, func(t *testing.T) { Judged(t, s.Verdict, err, want) })
	}
}
