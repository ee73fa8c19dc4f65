package reports

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/rules"
)

// DefaultWidth is the number of columns of a text report that goes to no
// terminal, and the most that one on a terminal uses.
const DefaultWidth = 100

const (
	minWidth      = 40
	briefEvidence = 10  // pieces of evidence of a finding, unless verbose
	briefValue    = 200 // columns of a value, unless verbose
	briefCause    = 800 // columns of a reason or an error, unless verbose
	briefAgainst  = 20  // rules in the closing list
)

// WriteText writes the report for a person: what failed first, the severe
// before the rest, each with its place and its cure; what is in order in one
// line each; at the end what stands against the deployment, and the verdict
// in the last line. Lines are wrapped at spaces only: a path or a command that
// is longer than a line stays whole, so that it can be copied.
func WriteText(w io.Writer, r *Report, o Options) error {
	if o.Width == 0 {
		o.Width = DefaultWidth
	}
	o.Width = max(o.Width, minWidth)
	t := &textWriter{Writer: bufio.NewWriterSize(w, 32<<10), Options: o, ranked: r.ranked()}
	t.heading(r)
	t.sections()
	t.closing(r)
	return t.Flush() // repeats the first error of all the writes
}

type textWriter struct {
	*bufio.Writer
	Options
	ranked []*Finding
	begun  bool // something was written
}

func (t *textWriter) heading(r *Report) {
	if !t.Quiet {
		t.context(r)
	}
	for _, warning := range r.Warnings {
		t.labelled("Warning", yellow, warning)
	}
	if r.Run.Interrupted != "" {
		t.labelled("Warning", yellow, "interrupted: "+r.Run.Interrupted+"; what was not seen until then is unknown")
	}
}

// context says what was looked at, how and when.
func (t *textWriter) context(r *Report) {
	for _, line := range wrap("hostguard"+prefixed(" ", r.Tool.Version), t.Width, 2) {
		t.line(bold.paint(t, line))
	}
	var host []string
	for _, s := range []string{r.Host.Hostname, r.Host.OS.Name, prefixed("kernel ", r.Host.Kernel), r.Host.Arch, prefixed("file tree ", r.Host.Root)} {
		if s != "" {
			host = append(host, s)
		}
	}
	t.labelled("Host", plain, strings.Join(host, ", "))
	t.labelled("Profile", plain, r.Profile.Name+prefixed(": ", r.Profile.Title))
	t.labelled("Time", plain, fmt.Sprintf("%s, took %v", r.Run.Started.Format("2006-01-02 15:04:05 UTC"),
		time.Duration(r.Run.DurationMS*float64(time.Millisecond)).Round(time.Millisecond)))
	if l := r.Ledger; l != nil {
		words := fmt.Sprintf("%d %s, head %s", l.Sequence, plural(l.Sequence, "event"), l.Head)
		if !l.Signed {
			words += ", the last of them not signed"
		}
		t.labelled("Keys", plain, words)
	}
	for _, s := range []struct {
		option string
		words  []string
	}{{"--only", r.Run.Only}, {"--skip", r.Run.Skip}} {
		if len(s.words) > 0 {
			t.labelled("Part", plain, s.option+" "+strings.Join(s.words, ","))
		}
	}
}

// labelled writes a label in a column of its own, and what belongs to it.
func (t *textWriter) labelled(label string, s style, text string) {
	const column = 9
	for i, line := range wrap(text, t.Width-column, 0) {
		if i > 0 {
			label = ""
		}
		t.line(s.paint(t, pad(label, column)) + line)
	}
}

// sections writes the findings, which ranked puts into this order.
func (t *textWriter) sections() {
	for _, s := range []struct {
		title  string
		style  style
		level  rules.Level
		status checks.Status
		write  func([]*Finding)
		quiet  bool // shown with --quiet as well
	}{
		{"Failed", red, rules.Required, checks.Fail, t.full, true},
		{"Could not be determined", magenta, rules.Required, checks.Error, t.full, true},
		{"Advice: failed", yellow, rules.Advice, checks.Fail, t.full, true},
		{"Advice: could not be determined", yellow, rules.Advice, checks.Error, t.full, true},
		{"Does not apply", plain, 0, checks.NotApplicable, t.byReason, false},
		{"Skipped", plain, 0, checks.Skipped, t.byReason, false},
		{"Passed", green, 0, checks.Pass, t.byFamily, false},
	} {
		if t.Quiet && !s.quiet {
			continue
		}
		var list []*Finding
		for _, f := range t.ranked {
			if f.Status == s.status && (s.level == 0 || f.Level == s.level) {
				list = append(list, f)
			}
		}
		if len(list) == 0 {
			continue
		}
		t.gap()
		t.line((bold | s.style).paint(t, fmt.Sprintf("%s (%d)", s.title, len(list))))
		s.write(list)
	}
}

// full writes findings with all that helps to understand and to mend them.
func (t *textWriter) full(list []*Finding) {
	const column = 12
	for _, f := range list {
		t.line("")
		head := "  " + pad(f.Severity.String(), column-2)
		for i, line := range wrap(f.Rule+"  "+f.Title, t.Width-column, 2) {
			if i == 0 {
				head = severityStyle(f.Severity).paint(t, head)
			} else {
				head = pad("", column)
			}
			t.line(head + bold.paint(t, line))
		}
		cause := f.Reason
		if f.Status == checks.Error {
			cause = f.Error
		}
		if !t.Verbose {
			cause = firstLine(cause)
		}
		t.block(column, 0, t.cut(cause, briefCause), plain)
		t.evidence(f, column)
		if f.Status == checks.Fail {
			t.hint(f.Remediation.Hint, column)
		}
		t.block(column, 0, "More: hostguard explain "+f.Rule, dim)
	}
}

// evidence writes "place: key: found X, wanted Y" for each piece, and what was
// seen on a line of its own where that is too long for one.
func (t *textWriter) evidence(f *Finding, column int) {
	for i, e := range f.Evidence {
		if i == briefEvidence && !t.Verbose {
			t.block(column, 0, fmt.Sprintf("and %d more (--verbose)", len(f.Evidence)-i), dim)
			return
		}
		place := t.brief(e.Source)
		if e.Line > 0 {
			place = fmt.Sprintf("%s:%d", place, e.Line)
		}
		if e.Key != "" {
			place += ": " + t.brief(e.Key)
		}
		seen := t.seen(e)
		switch {
		case seen == "":
			t.block(column, 2, place, cyan)
		case columns(place)+2+columns(seen) <= t.Width-column:
			t.block(column, 2, place+": "+seen, cyan)
		default:
			t.block(column, 2, place+":", cyan)
			t.block(column+2, 2, seen, plain)
		}
	}
}

// seen says what was found, and what was wanted when that is something else.
func (t *textWriter) seen(e checks.Evidence) string {
	got, want := t.brief(e.Got), t.brief(e.Want)
	switch {
	case want == "":
		return got
	case got == "":
		return "found nothing, wanted " + want
	case got == want:
		return got + ", as wanted"
	}
	return "found " + got + ", wanted " + want
}

// hint writes how to mend it. Indented lines are commands and stay as they are.
func (t *textWriter) hint(hint string, column int) {
	label := "Fix: "
	for line := range strings.SplitSeq(strings.TrimSpace(hint), "\n") {
		switch {
		case strings.TrimSpace(line) == "":
			continue
		case strings.HasPrefix(line, " "):
			t.line(pad("", column+2) + strings.TrimRight(line, " "))
		default:
			t.block(column, 2, label+line, green)
		}
		label = "  "
	}
}

// byReason writes findings in one line each, under the reason they share.
func (t *textWriter) byReason(list []*Finding) {
	var reasons []string
	sharing := map[string][]*Finding{}
	for _, f := range list {
		if sharing[f.Reason] == nil {
			reasons = append(reasons, f.Reason)
		}
		sharing[f.Reason] = append(sharing[f.Reason], f)
	}
	for _, reason := range reasons {
		if reason != "" {
			t.block(2, 0, t.cut(strings.TrimSuffix(reason, "."), briefCause)+":", dim)
		}
		for _, f := range sharing[reason] {
			t.short(f, "", 4)
		}
	}
}

// byFamily writes findings in one line each, a family (the first tag) after
// the other.
func (t *textWriter) byFamily(list []*Finding) {
	var families []string
	members := map[string][]*Finding{}
	width := 0
	for _, f := range list {
		family := family(f)
		if members[family] == nil {
			families = append(families, family)
			width = min(max(width, columns(family)), 16)
		}
		members[family] = append(members[family], f)
	}
	for _, family := range families {
		label := family
		if columns(label) > width {
			t.block(2, 0, label, dim)
			label = ""
		}
		for _, f := range members[family] {
			t.short(f, label, width+4)
			label = ""
		}
	}
}

func family(f *Finding) string {
	if len(f.Tags) > 0 {
		return f.Tags[0]
	}
	prefix, _, _ := strings.Cut(f.Rule, "-")
	return strings.ToLower(prefix)
}

// short writes a finding in a line, with its evidence when verbose.
func (t *textWriter) short(f *Finding, label string, column int) {
	head := dim.paint(t, pad("  "+label, column))
	for _, line := range wrap(f.Rule+"  "+f.Title, t.Width-column, len(f.Rule)+2) {
		t.line(head + line)
		head = pad("", column)
	}
	if t.Verbose {
		t.evidence(f, column+len(f.Rule)+2)
	}
}

// closing writes what an operator sees last, and so first.
func (t *textWriter) closing(r *Report) {
	t.gap()
	t.block(0, 2, fmt.Sprintf("%d %s: %s", r.Summary.Rules, plural(r.Summary.Rules, "rule"), counts(r.Summary)), plain)
	against := map[string]bool{}
	for _, id := range r.Against {
		against[id] = true
	}
	if len(against) > 0 {
		t.line("")
		t.line("Against the deployment:")
		shown := 0
		for _, f := range t.ranked {
			if !against[f.Rule] {
				continue
			}
			if shown++; shown > briefAgainst {
				t.line(fmt.Sprintf("  and %d more", len(against)-briefAgainst))
				break
			}
			outcome := "failed   "
			if f.Status == checks.Error {
				outcome = "unknown  "
			}
			head := "  " + severityStyle(f.Severity).paint(t, pad(f.Severity.String(), 10)) + outcome
			for _, line := range wrap(f.Rule+"  "+f.Title, t.Width-21, len(f.Rule)+2) {
				t.line(head + line)
				head = pad("", 21)
			}
		}
	}
	if len(r.Profile.Open) > 0 {
		t.line("")
		t.block(0, 2, "Not looked at, for want of rules: "+strings.Join(r.Profile.Open, " ")+" (hostguard list requirements)", yellow)
	}
	if r.Run.FailOn != "" {
		t.line("")
		t.line(fmt.Sprintf("Exit code %d, by --fail-on %s.", r.ExitCode, r.Run.FailOn))
	}
	t.line("")
	verdict := string(r.Verdict)
	lines := wrap(verdict+": "+r.Why, t.Width, 2)
	style := map[Verdict]style{Ready: green, NotReady: red, Partial: yellow}[r.Verdict] | bold
	if rest, found := strings.CutPrefix(lines[0], verdict); found {
		lines[0] = style.paint(t, verdict) + rest
	}
	for _, line := range lines {
		t.line(line)
	}
}

// counts says what became of the rules: "40 passed, 2 failed (1 of them advice)".
func counts(s Summary) string {
	var parts []string
	for _, c := range []struct {
		required, advice int
		what             string
	}{
		{s.Required.Pass, s.Advice.Pass, "passed"},
		{s.Required.Fail, s.Advice.Fail, "failed"},
		{s.Required.Error, s.Advice.Error, "could not be determined"},
		{s.Required.NotApplicable, s.Advice.NotApplicable, "not applicable"},
		{s.Required.Skipped, s.Advice.Skipped, "skipped"},
	} {
		n := c.required + c.advice
		if n == 0 && c.what != "passed" && c.what != "failed" {
			continue
		}
		part := fmt.Sprintf("%d %s", n, c.what)
		if c.advice > 0 && c.what != "passed" {
			part += fmt.Sprintf(" (%d of them advice)", c.advice)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// block writes wrapped text from a column on, its further lines indented by
// hang more. The style marks the first line up to its first ": ", or all of it
// when it is dim.
func (t *textWriter) block(column, hang int, text string, s style) {
	if text == "" {
		return
	}
	for i, line := range wrap(text, t.Width-column, hang) {
		if s == dim {
			line = s.paint(t, line)
		} else if label, rest, found := strings.Cut(line, ": "); found && i == 0 {
			line = s.paint(t, label+":") + " " + rest
		}
		t.line(pad("", column) + line)
	}
}

// gap separates what follows from what stands above.
func (t *textWriter) gap() {
	if t.begun {
		t.line("")
	}
}

func (t *textWriter) line(s string) {
	t.begun = true
	t.WriteString(strings.TrimRight(s, " "))
	t.WriteByte('\n')
}

// brief shortens a value that would fill the screen.
func (t *textWriter) brief(s string) string { return t.cut(s, briefValue) }

func (t *textWriter) cut(s string, max int) string {
	const worth = 40 // what says that something is left out takes as much
	if t.Verbose || len(s) <= max+worth {
		return s
	}
	return fmt.Sprintf("%s ... [%d more characters, --verbose]", s[:max], len(s)-max)
}

// firstLine is a printable string up to its first escaped newline: a panic's
// message without its stack.
func firstLine(s string) string {
	for i := 0; i+1 < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		if s[i+1] == 'n' {
			return s[:i]
		}
		i++ // what is escaped begins no escape of its own
	}
	return s
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}
