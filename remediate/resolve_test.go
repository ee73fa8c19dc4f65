package remediate

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/internal/host"
)

// lines is a kind of toy: targets that are lists of words.
func lines(now map[string]string) Kind {
	return NewKind("lines", Files, Mover[string]{
		Observe: func(_ context.Context, t Thing) (string, error) {
			if t.Target == "unseen" {
				return "", errors.New("cannot see it")
			}
			return now[t.Target], nil
		},
		Move: func(context.Context, Thing, string, string) error { return nil },
		Show: func(target, from, to string) string { return target },
	})
}

// addLine is a change: a target holds a line.
type addLine struct {
	kind         *Kind
	target, line string
	reload       string
}

func (c addLine) Resolve(ctx context.Context, _ *host.Host, d *Draft) error {
	_, err := Set(ctx, d, *c.kind, c.target, func(now string) (string, error) {
		if strings.Contains(now, c.line+"\n") {
			return now, nil
		}
		return now + c.line + "\n", nil
	})
	if c.reload != "" {
		d.Activate("reload", c.reload)
	}
	return err
}

// only is a change: a target is nothing but this.
type only struct {
	kind         *Kind
	target, text string
}

func (c only) Resolve(ctx context.Context, _ *host.Host, d *Draft) error {
	_, err := Set(ctx, d, *c.kind, c.target, func(string) (string, error) { return c.text, nil })
	return err
}

type told struct{ what string }

func (c told) Resolve(_ context.Context, _ *host.Host, d *Draft) error {
	d.Person("do %s", c.what)
	d.Pending(Reboot, "for %s", c.what)
	return nil
}

func tree(t *testing.T) *host.Host {
	t.Helper()
	root := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(root, "etc"), 0o755), os.WriteFile(filepath.Join(root, "etc/machine-id"), []byte("0123456789abcdef0123456789abcdef\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	return host.New(host.Options{Root: root})
}

func failing(rules ...string) []checks.Finding {
	var list []checks.Finding
	for _, r := range rules {
		list = append(list, checks.Finding{Rule: r, Verdict: checks.Failed("it fails")})
	}
	return list
}

// propose makes one remediator for every rule out of its changes.
func resolve(t *testing.T, h *host.Host, changes map[string][]Change) (*Plan, error) {
	t.Helper()
	var rules []string
	for rule := range changes {
		rules = append(rules, rule)
	}
	slices.Sort(rules)
	r := Remediator{Check: "toy", Risk: Disruptive, Propose: func(c Case) Proposal { return Proposal{Changes: changes[c.Finding.Rule]} }}
	w := Collect(failing(rules...), func(string) string { return "toy" }, func(string) string { return "by hand" }, []Remediator{r}, nil, &config.Config{})
	return Resolve(t.Context(), h, w)
}

// Two rules that want lines in one file: one step, for both.
func TestChangesOfOneTargetAreFolded(t *testing.T) {
	t.Parallel()
	k := lines(map[string]string{"f": "old\n"})
	p, err := resolve(t, tree(t), map[string][]Change{
		"R-2": {addLine{&k, "f", "b", "x.service"}},
		"R-1": {addLine{&k, "f", "a", "x.service"}, addLine{&k, "g", "c", ""}},
		"R-3": {addLine{&k, "f", "b", "x.service"}, addLine{&k, "f", "old", "y.service"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Steps) != 2 {
		t.Fatalf("steps: %+v", p.Steps)
	}
	f := p.Steps[0]
	if f.Target != "f" || string(f.Before) != `"old\n"` || string(f.After) != `"old\na\nb\n"` || !slices.Equal(f.Rules, []string{"R-1", "R-2", "R-3"}) || f.Risk != Disruptive {
		t.Errorf("step %+v", f)
	}
	if !slices.Equal(p.Serves(), []string{"R-1", "R-2", "R-3"}) || p.Risk() != Disruptive {
		t.Errorf("serves %q, %s", p.Serves(), p.Risk())
	}
}

// A host as it should be: no step, and nothing to activate.
func TestWhatHoldsIsNoStep(t *testing.T) {
	t.Parallel()
	k := lines(map[string]string{"f": "a\n"})
	p, err := resolve(t, tree(t), map[string][]Change{"R-1": {addLine{&k, "f", "a", "x.service"}}})
	if err != nil || !p.Empty() || len(p.Activations) > 0 {
		t.Errorf("%+v %v", p, err)
	}
}

// What cannot be planned is told, and leaves nothing of itself.
func TestAChangeThatCannotBePlanned(t *testing.T) {
	t.Parallel()
	k := lines(map[string]string{})
	p, err := resolve(t, tree(t), map[string][]Change{"R-1": {addLine{&k, "unseen", "a", ""}}, "R-2": {addLine{&k, "f", "a", ""}, told{"it"}}})
	if err != nil || len(p.Steps) != 1 || p.Steps[0].Target != "f" {
		t.Fatalf("%+v %v", p, err)
	}
	if !p.Excused("R-1") || !strings.Contains(p.Person[0].Does, "cannot see it") {
		t.Errorf("person: %+v", p.Person)
	}
	if !p.Excused("R-2") || p.Pending[0].Why != "for it" || p.Excused("R-9") {
		t.Errorf("pending: %+v", p.Pending)
	}
}

// Two rules that want different things of one target must not both believe to
// be served.
func TestChangesThatContradict(t *testing.T) {
	t.Parallel()
	k := lines(map[string]string{"f": "old"})
	_, err := resolve(t, tree(t), map[string][]Change{"R-1": {only{&k, "f", "a"}}, "R-2": {only{&k, "f", "b"}}})
	if err == nil || !strings.Contains(err.Error(), "lines f") {
		t.Errorf("error %v", err)
	}
}

func TestFailuresThatNothingRepairsAreForAPerson(t *testing.T) {
	t.Parallel()
	findings := append(failing("R-1"), checks.Finding{Rule: "R-2", Verdict: checks.Passed()}, checks.Finding{Rule: "R-3", Verdict: checks.Verdict{Status: checks.Error}})
	silent := Remediator{Check: "silent", Propose: func(Case) Proposal { return Proposal{} }}
	w := Collect(append(findings, failing("R-4")...), func(rule string) string { return map[string]string{"R-4": "silent"}[rule] }, func(rule string) string { return "by hand " + rule }, []Remediator{silent}, nil, nil)
	p, err := Resolve(t.Context(), tree(t), w)
	if err != nil || len(p.Person) != 2 || p.Person[0].Does != "by hand R-1" || p.Person[1].Does != "by hand R-4" {
		t.Errorf("%+v %v", p, err)
	}
}

func TestStandingProposals(t *testing.T) {
	t.Parallel()
	k := lines(map[string]string{})
	s := Standing{Name: "jobs", Risk: Safe, Propose: func(*config.Config) []Change { return []Change{addLine{&k, "f", "job", ""}} }}
	w := Collect(nil, nil, nil, nil, []Standing{s}, nil)
	p, err := Resolve(t.Context(), tree(t), w)
	if err != nil || len(p.Steps) != 1 || len(p.Serves()) != 0 {
		t.Errorf("%+v %v", p, err)
	}
}

func TestSavedPlans(t *testing.T) {
	t.Parallel()
	k := lines(map[string]string{"f": "<old>\n"})
	changes := map[string][]Change{"R-1": {addLine{&k, "f", "a", ""}}}
	h := tree(t)
	made := func() *Plan {
		p, err := resolve(t, h, changes)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	var file bytes.Buffer
	if err := made().Write(&file); err != nil {
		t.Fatal(err)
	}
	saved, err := ReadPlan(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if why := made().Differs(saved); why != "" {
		t.Errorf("the same plan: %s", why)
	}
	for name, c := range map[string]struct {
		change func(p *Plan)
		want   string
	}{
		"another host":        {func(p *Plan) { p.Host.Machine = "x" }, "it was made for"},
		"a target that moved": {func(p *Plan) { p.Steps[0].Before = State(`"else"`) }, "is not as it was"},
		"another wish":        {func(p *Plan) { p.Steps[0].After = State(`"else"`) }, "would become something else"},
		"one step more":       {func(p *Plan) { p.Steps = append(p.Steps, Step{Kind: "lines", Target: "g"}) }, "one more thing"},
		"one step less":       {func(p *Plan) { p.Steps = nil }, "no longer to be done"},
		"other activations":   {func(p *Plan) { p.Activations = []Activation{{"reload", "x"}} }, "another order"},
	} {
		p := made()
		c.change(p)
		if why := p.Differs(saved); !strings.Contains(why, c.want) {
			t.Errorf("%s: %q, want %q", name, why, c.want)
		}
	}
	for text, want := range map[string]string{
		"":                               "not a plan",
		"[]":                             "not a plan",
		`{"format":0}`:                   "its format is 0",
		`{"format":1,"stepz":[]}`:        "not a plan",
		strings.Repeat("x", MaxPlan+100): "larger than",
	} {
		if _, err := ReadPlan(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
}

// What does not apply yet is changed together with something else, and never alone.
func TestWhatDoesNotApplyYetGoesAlong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fails   []string
		targets []string
	}{
		"alone":                     {nil, nil},
		"beside what fails":         {[]string{"R-2"}, []string{"f", "own"}},
		"beside what needs nothing": {[]string{"R-3"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := lines(map[string]string{"f": "old\n"})
			changes := map[string][]Change{"R-1": {addLine{&k, "own", "x", ""}}, "R-2": {addLine{&k, "f", "a", ""}}, "R-3": {addLine{&k, "f", "old", ""}}}
			r := Remediator{Check: "toy", Risk: Safe, Propose: func(c Case) Proposal { return Proposal{Changes: changes[c.Finding.Rule]} }}
			yet := checks.Inapplicable("not there yet")
			never := yet
			yet.Repair = "it"
			findings := append([]checks.Finding{{Rule: "R-1", Verdict: yet}, {Rule: "R-2", Verdict: never}}, failing(c.fails...)...)
			w := Collect(findings, func(string) string { return "toy" }, func(string) string { return "by hand" }, []Remediator{r}, nil, &config.Config{})
			p, err := Resolve(t.Context(), tree(t), w)
			if err != nil {
				t.Fatal(err)
			}
			var targets []string
			for _, s := range p.Steps {
				targets = append(targets, s.Target)
			}
			if !slices.Equal(targets, c.targets) || len(p.Person) > 0 {
				t.Errorf("steps on %q, want %q; for a person: %v", targets, c.targets, p.Person)
			}
		})
	}
}
