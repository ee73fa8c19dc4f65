package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/reports"
)

// testHost is a booted container or a virtual machine.
type testHost interface {
	Run(args ...string) lab.Result
	Must(args ...string) string
	WriteFile(path, content string)
	ReadFile(path string) string
}

// audited runs check on the host and returns its report and exit code.
func audited(t *testing.T, h testHost, args ...string) (*reports.Report, int) {
	t.Helper()
	result := h.Run(slices.Concat([]string{"hostguard", "check", "--format", "json"}, patience(h), args)...)
	var report reports.Report
	if err := json.Unmarshal([]byte(result.Stdout), &report); err != nil {
		t.Fatalf("cannot read the report: %v\n%s%s", err, result.Stdout, result.Stderr)
	}
	return &report, result.Code
}

// patience are flags for a virtual machine, which has a small part of this
// machine's processors.
func patience(h testHost) []string {
	if _, slow := h.(*lab.Machine); slow {
		return []string{"--timeout", "10m"}
	}
	return nil
}

func statuses(r *reports.Report) map[string]checks.Status {
	all := map[string]checks.Status{}
	for _, f := range r.Findings {
		all[f.Rule] = f.Status
	}
	return all
}

// findingText is all that a finding says of what was seen, and where.
func findingText(r *reports.Report, rule string) string {
	i := slices.IndexFunc(r.Findings, func(f reports.Finding) bool { return f.Rule == rule })
	if i < 0 {
		return ""
	}
	f := r.Findings[i]
	lines := []string{f.Reason, f.Error}
	for _, e := range f.Evidence {
		lines = append(lines, fmt.Sprintf("%s:%d %s: got %s, want %s", e.Source, e.Line, e.Key, e.Got, e.Want))
	}
	return strings.Join(lines, "\n")
}

// bootGood boots a host on which all is well, with hostguard on it.
func bootGood(t *testing.T) *lab.Host {
	t.Helper()
	h := lab.Boot(t, lab.Good)
	h.Install(lab.Binary(t), "/usr/local/bin/hostguard")
	enrolOperator(h)
	return h
}

// enrolOperator starts the key ledger of a good host.
func enrolOperator(h testHost) {
	h.Must("hostguard", "keys", "enrol", "--person", lab.Operator+"=Olivia Operator")
}

// In a container the kernel's audit refuses every question: that, and only
// that, stands between a good host and READY.
func TestAGoodHostInAContainerLacksOnlyTheAudit(t *testing.T) {
	h := bootGood(t)
	report, code := audited(t, h)
	for _, f := range report.Findings {
		want := checks.Pass
		switch {
		case f.Rule == "SSH-006", // the configuration keeps PAM
			f.Rule == "CON-020", f.Rule == "CON-023", // there is no data app
			f.Rule == "CON-024",                        // nor a container
			f.Rule == "NET-003",                        // the connector does not run, so no partner reaches it
			f.Rule == "DOCK-015", f.Rule == "DOCK-018", // nor can its containers be compared with its files
			f.Rule == "CRT-014", // certbot keeps nothing
			f.Rule == "SSH-022", // nobody's key was revoked
			f.Rule == "SSH-045": // the operator has the first key
			want = checks.NotApplicable
		case f.Rule == "DOCK-020", f.Rule == "DOCK-021": // docker wants br_netfilter for them, and a container has none
			want = checks.Fail
		case slices.Contains(f.Tags, "audit") && f.Rule != "AUD-005": // auditd.conf is a file like any other
			want = checks.Error
		}
		if f.Status != want {
			t.Errorf("%s is %v, want %v: %s", f.Rule, f.Status, want, findingText(report, f.Rule))
		}
	}
	if code != exitIncomplete || report.Verdict != reports.NotReady {
		t.Errorf("%s with exit code %d, want NOT READY with %d", report.Verdict, code, exitIncomplete)
	}

	t.Run("a check writes nothing", func(t *testing.T) {
		h := h.For(t)
		h.Must("touch", "/tmp/before")
		audited(t, h)
		changed := h.Must("find", "/etc", "/usr", "/var", "/opt", "/root", "/home", "/boot", "-xdev", "-newer", "/tmp/before",
			"-not", "-path", "/var/log/*", "-not", "-path", "/var/lib/chrony/*", "-not", "-path", "/var/lib/systemd/*")
		if changed != "" {
			t.Errorf("written during a check:\n%s", changed)
		}
	})
	t.Run("without root it is never ready", func(t *testing.T) {
		h := h.For(t)
		result := h.Run("setpriv", "--reuid=operator", "--regid=users", "--clear-groups", "/usr/local/bin/hostguard", "check")
		if result.Code == exitOK || !strings.Contains(result.Stdout, "NOT READY") {
			t.Errorf("exit code %d:\n%s", result.Code, result.Stdout)
		}
	})
}

// breakage breaks one requirement. The rules that change, and nothing else,
// are in wants, with words that their findings must hold.
type breakage struct {
	name  string
	apply func(testHost)
	undo  func(testHost)
	wants map[string]want
}

type want struct {
	status checks.Status
	says   []string
}

func fails(says ...string) want   { return want{checks.Fail, says} }
func unknown(says ...string) want { return want{checks.Error, says} }

// commands makes a step of shell-free commands, each split at spaces.
func commands(lines ...string) func(testHost) {
	return func(h testHost) {
		for _, line := range lines {
			h.Must(strings.Fields(line)...)
		}
	}
}

func inTurn(steps []func(testHost)) func(testHost) {
	return func(h testHost) {
		for _, step := range steps {
			step(h)
		}
	}
}

// file writes a file, and its undo removes it.
func file(path, content string, after ...func(testHost)) (apply, undo func(testHost)) {
	return func(h testHost) { h.WriteFile(path, content); inTurn(after)(h) },
		func(h testHost) { h.Must("rm", path); inTurn(after)(h) }
}

// edited replaces text in a file, and its undo puts the old content back.
func edited(path, old, new string, after ...func(testHost)) (apply, undo func(testHost)) {
	return editedBy(path, func(text string) string { return strings.ReplaceAll(text, old, new) }, after...)
}

// editedBy is edited with any change.
func editedBy(path string, change func(string) string, after ...func(testHost)) (apply, undo func(testHost)) {
	var before string
	return func(h testHost) {
			before = h.ReadFile(path)
			h.WriteFile(path, change(before))
			inTurn(after)(h)
		}, func(h testHost) {
			h.WriteFile(path, before)
			inTurn(after)(h)
		}
}

func TestEachRequirementBrokenAloneIsFoundAlone(t *testing.T) {
	h := bootGood(t)
	breakEach(t, breakages(), func(t *testing.T) testHost { return h.For(t) })
}

// breakEach breaks the host in one way after the other and wants the rules that
// change to be exactly those foretold. On returns the host for a subtest.
func breakEach(t *testing.T, breakages []breakage, on func(*testing.T) testHost) {
	good, _ := audited(t, on(t))
	before := statuses(good)
	for _, b := range breakages {
		t.Run(b.name, func(t *testing.T) {
			h := on(t)
			defer b.undo(h)
			b.apply(h)
			report, code := audited(t, h)
			changed := map[string]checks.Status{}
			for rule, status := range statuses(report) {
				if status != before[rule] {
					changed[rule] = status
				}
			}
			wanted := map[string]checks.Status{}
			for rule, w := range b.wants {
				wanted[rule] = w.status
			}
			if diff := cmp.Diff(wanted, changed); diff != "" {
				t.Errorf("rules that changed (-want +got):\n%s", diff)
				for rule := range changed {
					t.Logf("%s: %s", rule, findingText(report, rule))
				}
			}
			for _, rule := range slices.Sorted(maps.Keys(b.wants)) {
				for _, words := range b.wants[rule].says {
					if text := findingText(report, rule); !strings.Contains(text, words) {
						t.Errorf("%s does not say %q:\n%s", rule, words, text)
					}
				}
			}
			if code == exitOK || report.Verdict != reports.NotReady {
				t.Errorf("%s with exit code %d", report.Verdict, code)
			}
		})
	}
	t.Run("all undone", func(t *testing.T) {
		after, _ := audited(t, on(t))
		if diff := cmp.Diff(before, statuses(after)); diff != "" {
			t.Errorf("the host is not as it was (-before +after):\n%s", diff)
		}
	})
}
