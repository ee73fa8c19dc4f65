// Package reports holds the outcome of a run as one value, decides what it
// means, and renders it.
//
// [New] is the only maker of a [Report]. All strings enter it there, and are
// made printable there (package printable): a writer adds the quoting of its
// own format and need not fear what a host's users have named their files.
package reports

import (
	"cmp"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/rules"
)

// SchemaVersion is the version of report.schema.json. The first number changes
// when a reader of older reports would go wrong, the second when something is added.
const SchemaVersion = "1.0"

const (
	maxText     = 4 << 10 // bytes of one string from the host that a report keeps
	maxEvidence = 1000    // pieces of evidence of one finding that a report keeps
)

// Report is all findings of a run with the host's facts.
type Report struct {
	SchemaVersion string    `json:"schema_version"`
	Tool          Tool      `json:"tool"`
	Host          Host      `json:"host"`
	Run           Run       `json:"run"`
	Profile       Profile   `json:"profile"`
	Ledger        *Ledger   `json:"ledger,omitempty"`
	Warnings      []string  `json:"warnings"`
	Summary       Summary   `json:"summary"`
	Verdict       Verdict   `json:"verdict"`
	Why           string    `json:"why"`
	Against       []string  `json:"against"`
	ExitCode      int       `json:"exit_code"`
	Findings      []Finding `json:"findings"`
}

// Tool is the program that made the report.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
}

// Host is what was looked at.
type Host struct {
	Hostname  string `json:"hostname"`
	Machine   string `json:"machine,omitempty"`
	OS        OS     `json:"os"`
	Kernel    string `json:"kernel,omitempty"`
	Arch      string `json:"arch,omitempty"`
	Container string `json:"container,omitempty"`
	Root      string `json:"root,omitempty"`
}

// OS is the host's distribution.
type OS struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Name    string `json:"name"`
}

// Run is how it was looked at.
type Run struct {
	Started     time.Time `json:"started"`
	DurationMS  float64   `json:"duration_ms"`
	EUID        int       `json:"euid"`
	Only        []string  `json:"only"`
	Skip        []string  `json:"skip"`
	FailOn      string    `json:"fail_on,omitempty"`
	Interrupted string    `json:"interrupted,omitempty"`
}

// Profile is which requirements were asked for. The digest covers its rules
// and their parameters: equal digests, equal requirements.
type Profile struct {
	Name   string `json:"name"`
	Title  string `json:"title"`
	Digest string `json:"digest"`
	// Open are the requirements of its documents that no rule answers yet: they
	// were not looked at, and READY says nothing of them.
	Open []string `json:"open"`
}

// Ledger is where the host's ledger of SSH keys stood, nil when it has none that
// counts. A later ledger that does not have this head on its chain is another,
// or an older copy (check --expect-head).
type Ledger struct {
	Path     string `json:"path"`
	Sequence int    `json:"sequence"` // how many events it has
	Head     string `json:"head"`     // the hash of the last one
	Signed   bool   `json:"signed"`   // the last signature covers it
}

// Finding is one rule's outcome with the rule's own words.
type Finding struct {
	Rule        string            `json:"rule"`
	Title       string            `json:"title"`
	Severity    rules.Severity    `json:"severity"`
	Level       rules.Level       `json:"level"`
	Status      checks.Status     `json:"status"`
	Check       string            `json:"check"`
	Source      []string          `json:"source"`
	Tags        []string          `json:"tags"`
	Reason      string            `json:"reason,omitempty"`
	Error       string            `json:"error,omitempty"`
	Evidence    []checks.Evidence `json:"evidence"`
	References  []rules.Reference `json:"references"`
	Remediation Remediation       `json:"remediation"`
	Waiver      *struct{}         `json:"waiver"` // always null: this version knows no waivers
	Fingerprint string            `json:"fingerprint"`
	DurationMS  float64           `json:"duration_ms"`
}

// Remediation is what can be done about a finding. Risk is empty, and Fixable
// false, where hostguard has no fix of its own.
type Remediation struct {
	Fixable bool   `json:"fixable"`
	Risk    string `json:"risk,omitempty"`
	Hint    string `json:"hint"`
}

// Input is what a report is made of.
type Input struct {
	Version, Commit string // of this program
	Host            host.Identity
	Root            string // the tree that was looked at; "" or "/" is the running host
	EUID            int
	Started         time.Time
	Duration        time.Duration
	Only, Skip      []string       // as the user gave them
	FailOn          rules.Severity // the zero value: any required failure
	Interrupted     error          // why the run ended early, nil when it did not
	Overrides       []string       // where the operator changed the parameters of rules
	Profile         Profile
	Ledger          *Ledger
	Outcomes        []Outcome // every rule of the profile but those that Only leaves out, in the profile's order
}

// Outcome is a rule, how much the profile makes of it, and what was found.
type Outcome struct {
	Rule    *rules.Rule
	Level   rules.Level
	Risk    string // of hostguard's own fix; empty: it has none
	Finding checks.Finding
}

// New makes the report, its verdict and its exit code.
func New(in Input) *Report {
	r := &Report{
		SchemaVersion: SchemaVersion,
		Tool:          Tool{Name: "hostguard", Version: printable.String(in.Version), Commit: printable.String(in.Commit)},
		Host: Host{
			Hostname:  text(in.Host.Hostname),
			Machine:   text(in.Host.Machine),
			OS:        OS{ID: text(in.Host.OS.ID), Version: text(in.Host.OS.Version), Name: text(in.Host.OS.Name)},
			Kernel:    text(in.Host.Kernel),
			Arch:      text(in.Host.Arch),
			Container: text(in.Host.Container),
		},
		Run: Run{
			Started:    in.Started.UTC().Truncate(time.Millisecond),
			DurationMS: milliseconds(in.Duration),
			EUID:       in.EUID,
			Only:       each(in.Only, text),
			Skip:       each(in.Skip, text),
		},
		Profile: Profile{
			Name:   line(in.Profile.Name),
			Title:  line(in.Profile.Title),
			Digest: line(in.Profile.Digest),
			Open:   each(in.Profile.Open, line),
		},
		Findings: make([]Finding, len(in.Outcomes)),
	}
	if in.Root != "/" {
		r.Host.Root = text(in.Root)
	}
	if in.FailOn != 0 {
		r.Run.FailOn = in.FailOn.String()
	}
	if in.Interrupted != nil {
		r.Run.Interrupted = text(in.Interrupted.Error())
	}
	for i, o := range in.Outcomes {
		r.Findings[i] = newFinding(o)
	}
	if l := in.Ledger; l != nil {
		r.Ledger = &Ledger{Path: text(l.Path), Sequence: l.Sequence, Head: text(l.Head), Signed: l.Signed}
	}
	r.Warnings = append(warnings(r), each(in.Overrides, text)...)
	r.Summary = summarize(r.Findings)
	r.decide(in.FailOn)
	return r
}

func newFinding(o Outcome) Finding {
	f := Finding{
		Rule:        o.Rule.ID,
		Title:       line(o.Rule.Title),
		Severity:    o.Rule.Severity,
		Level:       cmp.Or(o.Level, rules.Required),
		Status:      o.Finding.Status,
		Check:       line(o.Rule.Check),
		Source:      each(o.Rule.Source, line),
		Tags:        each(o.Rule.Tags, line),
		Reason:      text(o.Finding.Reason),
		Evidence:    evidence(o.Finding.Evidence),
		References:  make([]rules.Reference, len(o.Rule.References)),
		Remediation: Remediation{Fixable: o.Risk != "", Risk: o.Risk, Hint: printable.Text(o.Rule.Remediation.Hint)},
		DurationMS:  milliseconds(o.Finding.Duration),
	}
	for i, ref := range o.Rule.References {
		f.References[i] = rules.Reference{Framework: line(ref.Framework), ID: line(ref.ID)}
	}
	// Unknown never passes, whatever the runner handed over.
	switch err := o.Finding.Err; {
	case err != nil && err.Error() != "":
		f.Status, f.Error = checks.Error, text(message(err))
	case err != nil, f.Status < checks.Pass, f.Status >= checks.Error:
		f.Status, f.Error = checks.Error, "the look ended without a verdict and without saying why: report this as a defect"
	}
	f.Fingerprint = fingerprint(f.Rule, f.Status, o.Finding.Evidence)
	return f
}

// evidence copies what was seen, each string and their number bounded.
func evidence(seen []checks.Evidence) []checks.Evidence {
	kept := make([]checks.Evidence, 0, min(len(seen), maxEvidence+1))
	for i, e := range seen {
		if i == maxEvidence {
			return append(kept, checks.Evidence{Source: "hostguard", Key: "evidence left out of the report", Got: strconv.Itoa(len(seen) - i)})
		}
		kept = append(kept, checks.Evidence{Source: text(e.Source), Line: max(0, e.Line), Key: text(e.Key), Want: text(e.Want), Got: text(e.Got)})
	}
	return kept
}

// text makes a string of the host fit for the report.
func text(s string) string { return printable.Clip(s, maxText) }

// message is an error's text, with joined errors one after the other on one line.
func message(err error) string {
	joined, is := err.(interface{ Unwrap() []error })
	if !is || err.Error() != errors.Join(joined.Unwrap()...).Error() { // fmt.Errorf has several, too, and words of its own
		return err.Error()
	}
	var each []string
	for _, err := range joined.Unwrap() {
		each = append(each, message(err))
	}
	return strings.Join(each, "; ")
}

// line makes the words of a rule fit for the report, on one line.
func line(s string) string { return printable.Text(strings.ReplaceAll(s, "\n", " ")) }

func each(list []string, fit func(string) string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fit(s)
	}
	return out
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
