package transaction

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/flock"
)

// world is a host of named words, and what happens to it.
type world struct {
	words map[string]string
	held  map[string]string // by mark: what a move took out
	calls []string
	fail  map[string]error     // by call
	hook  map[string]func()    // by call, before it is done
	check func([]string) error // the re-check
	root  string               // of the journals
	id    remediate.HostID     // of the host
	tweak func(*Engine)        // of the engine
	now   func() time.Time     // the clock

	damaged []Damaged // what the last recovery told of
}

var errBroken = errors.New("it broke")

func newWorld(t *testing.T, words ...string) *world {
	t.Helper()
	lab.Need(t, lab.Root)
	w := &world{
		words: map[string]string{}, held: map[string]string{}, fail: map[string]error{}, hook: map[string]func(){},
		root: t.TempDir(), id: remediate.HostID{Machine: "m1", Hostname: "one"}, now: time.Now,
	}
	if err := os.MkdirAll(filepath.Join(w.root, "var/lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, word := range words {
		w.words[word] = "old"
	}
	return w
}

func (w *world) call(format string, args ...any) error {
	name := fmt.Sprintf(format, args...)
	w.calls = append(w.calls, name)
	if hook := w.hook[name]; hook != nil {
		hook()
	}
	return w.fail[name]
}

func (w *world) engine() *Engine {
	kind := func(name string, phase remediate.Phase) remediate.Kind {
		return remediate.NewKind(name, phase, remediate.Mover[string]{
			Observe: func(_ context.Context, t remediate.Thing) (string, error) { return w.words[t.Target], nil },
			Preflight: func(_ context.Context, t remediate.Thing, _, _ string) error {
				return w.fail["preflight "+t.Target]
			},
			Move: func(_ context.Context, t remediate.Thing, from, to string) error {
				if err := w.call("move %s", t.Target); err != nil {
					return err
				}
				if w.words[t.Target] != from {
					return &remediate.ConflictError{Target: t.Target, Why: "somebody wrote " + w.words[t.Target]}
				}
				w.words[t.Target], w.held[t.Mark] = to, from
				return nil
			},
			Back: func(_ context.Context, t remediate.Thing, from, to string) error {
				if err := w.call("back %s", t.Target); err != nil {
					return err
				}
				switch w.words[t.Target] {
				case from:
				case to:
					w.words[t.Target] = from
				default:
					return &remediate.ConflictError{Target: t.Target, Why: "somebody wrote " + w.words[t.Target]}
				}
				return nil
			},
			Settle: func(_ context.Context, t remediate.Thing, _, _ string) error { return w.call("settle %s", t.Target) },
			Clean: func(_ context.Context, t remediate.Thing, _, _ string) error {
				if err := w.call("clean %s", t.Target); err != nil {
					return err
				}
				delete(w.held, t.Mark)
				return nil
			},
			Show: func(target, from, to string) string { return target + ": " + from + " to " + to },
		})
	}
	act := func(action string) remediate.Activator {
		return remediate.Activator{Action: action, Do: func(_ context.Context, unit string) error { return w.call("%s %s", action, unit) }}
	}
	e := &Engine{
		Root: w.root, Host: w.id, Version: "test", Now: w.now,
		Kinds:      []remediate.Kind{kind("word", remediate.Files), kind("unit", remediate.Units)},
		Activators: []remediate.Activator{act("daemon-reload"), act("reload")},
	}
	if w.tweak != nil {
		w.tweak(e)
	}
	return e
}

// plan moves each named word from old to new.
func (w *world) plan(words ...string) *remediate.Plan {
	p := &remediate.Plan{Format: remediate.PlanFormat, Host: w.id, Root: w.root, Activations: []remediate.Activation{{Action: "daemon-reload"}, {Action: "reload", Unit: "a.service"}}}
	for _, word := range words {
		kind := "word"
		if strings.HasSuffix(word, ".service") {
			kind = "unit"
		}
		p.Steps = append(p.Steps, remediate.Step{Kind: kind, Target: word, Before: state(w.words[word]), After: state("new"), Rules: []string{"R-1"}, Risk: remediate.Safe})
	}
	return p
}

func state(word string) remediate.State {
	data, _ := json.Marshal(word)
	return data
}

func (w *world) apply(t *testing.T, ctx context.Context, p *remediate.Plan) (Done, error) {
	t.Helper()
	tx, err := w.engine().Lock(true)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	return tx.Apply(ctx, p, "uid 0", func(_ context.Context, rules []string) error {
		if err := w.call("look %s", strings.Join(rules, " ")); err != nil {
			return err
		}
		if w.check != nil {
			return w.check(rules)
		}
		return nil
	})
}

func (w *world) undo(t *testing.T, id string) (Recovered, error) {
	t.Helper()
	tx, err := w.engine().Lock(false)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	return tx.Undo(context.Background(), id)
}

func (w *world) recover(t *testing.T) ([]Recovered, error) {
	t.Helper()
	tx, err := w.engine().Lock(false)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	list, damaged, err := tx.Recover(context.Background())
	w.damaged = damaged
	return list, err
}

func (w *world) is(t *testing.T, value string) {
	t.Helper()
	for word, got := range w.words {
		if got != value {
			t.Errorf("%s is %s, want %s", word, got, value)
		}
	}
	if len(w.held) > 0 {
		t.Errorf("kept still: %v", slices.Collect(maps.Keys(w.held)))
	}
}

func (w *world) states(t *testing.T) []State {
	t.Helper()
	entries, err := w.engine().History()
	if err != nil {
		t.Fatal(err)
	}
	var list []State
	for _, e := range entries {
		if e.Err != nil {
			t.Errorf("%s: %v", e.ID, e.Err)
		}
		list = append(list, e.State)
	}
	return list
}

func TestApplyAndUndo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b", "c.service")
	done, err := w.apply(t, t.Context(), w.plan("a", "b", "c.service"))
	if err != nil {
		t.Fatal(err)
	}
	w.is(t, "new")
	want := []string{"move a", "move b", "daemon-reload ", "move c.service", "reload a.service", "look R-1",
		"settle a", "settle b", "settle c.service", "clean a", "clean b", "clean c.service"}
	if !slices.Equal(w.calls, want) {
		t.Errorf("calls %q\nwant  %q", w.calls, want)
	}
	w.calls = nil
	back, err := w.undo(t, "")
	if err != nil || back.ID != done.ID || len(back.Conflicts) > 0 {
		t.Errorf("undo: %+v, %v", back, err)
	}
	w.is(t, "old")
	want = []string{"back c.service", "back b", "back a", "daemon-reload ", "reload a.service", "clean a", "clean b", "clean c.service"}
	if !slices.Equal(w.calls, want) {
		t.Errorf("calls %q\nwant  %q", w.calls, want)
	}
	if got := w.states(t); !slices.Equal(got, []State{Undone}) {
		t.Errorf("history: %v", got)
	}
	if _, err := w.undo(t, ""); err == nil || !strings.Contains(err.Error(), "nothing to undo") {
		t.Errorf("a second undo: %v", err)
	}
	if _, err := w.undo(t, done.ID); err == nil || !strings.Contains(err.Error(), "it is undone") {
		t.Errorf("undone twice: %v", err)
	}
}

// Whatever fails after the first move, the host is as it was.
func TestEveryFailureIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"move a", "move b", "move c.service", "daemon-reload ", "reload a.service", "look R-1", "settle a", "settle c.service"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "a", "b", "c.service")
			w.fail[call] = errBroken
			w.hook["back a"] = func() { w.fail = map[string]error{} }
			w.hook["back b"], w.hook["back c.service"] = w.hook["back a"], w.hook["back a"]
			_, err := w.apply(t, t.Context(), w.plan("a", "b", "c.service"))
			var failed *FailedError
			if !errors.As(err, &failed) || !errors.Is(err, errBroken) || failed.Back != nil {
				t.Errorf("error %v", err)
			}
			w.is(t, "old")
			if got := w.states(t); !slices.Equal(got, []State{RolledBack}) {
				t.Errorf("history: %v", got)
			}
		})
	}
}

func TestRefusedBeforeTheFirstMove(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*world, *remediate.Plan)
		want  string
	}{
		"a preflight":         {func(w *world, _ *remediate.Plan) { w.fail["preflight b"] = errBroken }, "it broke"},
		"a host that moved":   {func(w *world, _ *remediate.Plan) { w.words["b"] = "else" }, "b: it has changed"},
		"an unknown kind":     {func(_ *world, p *remediate.Plan) { p.Steps[1].Kind = "moon" }, "does not know how to change the moon b"},
		"another host's plan": {func(_ *world, p *remediate.Plan) { p.Host = remediate.HostID{Machine: "m2", Hostname: "two"} }, "another host, two"},
		"a tree's plan":       {func(_ *world, p *remediate.Plan) { p.Root = "/mnt" }, "was made for /mnt"},
		"a validation": {func(_ *world, p *remediate.Plan) {
			p.Validations = []remediate.Validation{{Name: "chronyd", Look: func(context.Context) error { return errBroken }}}
		}, "chronyd: it broke"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "a", "b")
			p := w.plan("a", "b")
			c.spoil(w, p)
			_, err := w.apply(t, t.Context(), p)
			var refused *RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if len(w.calls) > 0 || len(w.states(t)) > 0 {
				t.Errorf("it began: %q %v", w.calls, w.states(t))
			}
		})
	}
}

// INT and TERM: the step in hand is finished, then all is taken back.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"move a", "move b", "reload a.service", "look R-1"} {
		w := newWorld(t, "a", "b")
		ctx, cancel := context.WithCancelCause(t.Context())
		w.hook[call] = func() { cancel(errors.New("stopped by signal: terminated")) }
		_, err := w.apply(t, ctx, w.plan("a", "b"))
		if err == nil || !strings.Contains(err.Error(), "terminated") {
			t.Errorf("%s: error %v", call, err)
		}
		if !slices.Contains(w.calls, "back a") {
			t.Errorf("%s: calls %q", call, w.calls)
		}
		w.is(t, "old")
	}
}

// Killed after any record, and with the record's move done or not, the next run
// brings everything back, and what was committed holds.
func TestKilledAfterEveryRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b", "c.service")
	done, err := w.apply(t, t.Context(), w.plan("a", "b", "c.service"))
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(w.root, Dir, done.ID, logFile)
	whole, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(strings.Lines(string(whole)))
	for n := 0; n <= len(lines); n++ {
		for _, torn := range []string{"", `{"at":"20`} {
			for _, moves := range []int{0, 1} { // is the move done that the last record announces?
				if err := os.WriteFile(log, []byte(strings.Join(lines[:n], "")+torn), 0o600); err != nil {
					t.Fatal(err)
				}
				begun, commit, end := 0, false, false
				for _, line := range lines[:n] {
					if strings.Contains(line, `"moving"`) {
						begun++
					}
					commit = commit || strings.Contains(line, `"committed"`)
					end = end || strings.Contains(line, `"finished"`)
				}
				last := n > 0 && strings.Contains(lines[n-1], `"moving"`)
				w.held = map[string]string{}
				for i, word := range []string{"a", "b", "c.service"} {
					w.words[word] = "old"
					if i < begun && !(i == begun-1 && last && moves == 0) {
						w.words[word] = "new"
						if !end {
							w.held[fmt.Sprintf("%s-%d", done.ID, i+1)] = "old"
						}
					}
				}
				_, err := w.recover(t)
				if err != nil {
					t.Fatalf("%d records, torn %q: %v", n, torn, err)
				}
				want := "old"
				if commit {
					want = "new"
				}
				w.is(t, want)
				if _, err := w.recover(t); err != nil {
					t.Errorf("%d records, recovered twice: %v", n, err)
				}
			}
		}
	}
}

// An undo that was killed is completed.
func TestKilledWhileUndoing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	done, err := w.apply(t, t.Context(), w.plan("a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	w.fail["back a"] = errBroken
	if _, err := w.undo(t, done.ID); !errors.Is(err, errBroken) {
		t.Errorf("undo: %v", err)
	}
	if got := w.states(t); !slices.Equal(got, []State{Open}) {
		t.Errorf("history: %v", got)
	}
	w.fail = map[string]error{}
	if list, err := w.recover(t); err != nil || len(list) != 1 {
		t.Errorf("recover: %v %v", list, err)
	}
	w.is(t, "old")
	if got := w.states(t); !slices.Equal(got, []State{Undone}) {
		t.Errorf("history: %v", got)
	}
}

// What somebody changed after fix is left as it is; the rest is undone.
func TestUndoLeavesWhatSomebodyChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	if _, err := w.apply(t, t.Context(), w.plan("a", "b")); err != nil {
		t.Fatal(err)
	}
	w.words["a"] = "admin"
	back, err := w.undo(t, "")
	if err != nil || len(back.Conflicts) != 1 || back.Conflicts[0].Target != "a" || back.Conflicts[0].Diff != "a: new to admin" {
		t.Errorf("undo: %+v %v", back, err)
	}
	if w.words["a"] != "admin" || w.words["b"] != "old" {
		t.Errorf("words: %v", w.words)
	}
	if got := w.states(t); !slices.Equal(got, []State{Undone}) {
		t.Errorf("history: %v", got)
	}
}

// What runs may refuse to take up what is as it was before: that is told, in the
// history, too, and nothing is tried again for ever.
func TestAnActionThatFailsOnTheWayBackIsAConflict(t *testing.T) {
	t.Parallel()
	const action = "reload a.service"
	conflict := []Conflict{{Kind: ActionKind, Target: action, Why: errBroken.Error()}}
	for name, c := range map[string]struct {
		run   func(t *testing.T, w *world) []Conflict
		state State
	}{
		"undo": {func(t *testing.T, w *world) []Conflict {
			if _, err := w.apply(t, t.Context(), w.plan("a", "b")); err != nil {
				t.Fatal(err)
			}
			w.fail[action] = errBroken
			back, err := w.undo(t, "")
			if err != nil {
				t.Errorf("undo: %v", err)
			}
			return back.Conflicts
		}, Undone},
		"a rollback": {func(t *testing.T, w *world) []Conflict {
			w.fail[action] = errBroken
			_, err := w.apply(t, t.Context(), w.plan("a", "b"))
			var failed *FailedError
			if !errors.As(err, &failed) || failed.Back != nil || !strings.Contains(err.Error(), "cannot "+action) || !strings.Contains(err.Error(), "named below") {
				t.Fatalf("apply: %v", err)
			}
			return failed.Conflicts
		}, RolledBack},
		"recovery": {func(t *testing.T, w *world) []Conflict {
			w.fail["look R-1"], w.fail["back b"] = errBroken, errBroken
			_, _ = w.apply(t, t.Context(), w.plan("a", "b"))
			w.fail = map[string]error{action: errBroken}
			list, err := w.recover(t)
			if err != nil || len(list) != 1 {
				t.Fatalf("recover: %v %v", list, err)
			}
			return list[0].Conflicts
		}, RolledBack},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "a", "b")
			if got := c.run(t, w); !slices.Equal(got, conflict) {
				t.Errorf("conflicts: %+v", got)
			}
			w.is(t, "old")
			history, err := w.engine().History()
			if err != nil || len(history) != 1 || history[0].State != c.state || !slices.Equal(history[0].Conflicts, conflict) {
				t.Errorf("history: %+v %v", history, err)
			}
			w.calls = nil
			if list, err := w.recover(t); err != nil || len(list) > 0 || len(w.calls) > 0 {
				t.Errorf("recover: %v %v, %q", list, err, w.calls)
			}
		})
	}
}

func TestCausesAreToldOneByOne(t *testing.T) {
	t.Parallel()
	of := func(rule, why string) error { return &RulesError{[]string{rule}, errors.New(why)} }
	for name, c := range map[string]struct {
		err  error
		want []Cause
	}{
		"one":                         {errBroken, []Cause{{nil, "it broke"}}},
		"of a rule":                   {of("R-1", "no"), []Cause{{[]string{"R-1"}, "no"}}},
		"several":                     {&RefusedError{errors.Join(of("R-2", "a"), errBroken, of("R-1", "b"))}, []Cause{{[]string{"R-2"}, "a"}, {nil, "it broke"}, {[]string{"R-1"}, "b"}}},
		"several for one rule":        {&RulesError{[]string{"R-1"}, errors.Join(errBroken, errBroken)}, []Cause{{[]string{"R-1"}, "it broke"}, {[]string{"R-1"}, "it broke"}}},
		"in other words":              {fmt.Errorf("cannot begin: %w", of("R-1", "no")), []Cause{{[]string{"R-1"}, "cannot begin: no"}}},
		"with words that are not all": {&FailedError{Err: fmt.Errorf("%w, and %w", errBroken, errBroken)}, []Cause{{nil, "it broke, and it broke"}}},
	} {
		got := Causes(c.err)
		if !slices.EqualFunc(got, c.want, func(a, b Cause) bool { return a.Why == b.Why && slices.Equal(a.Rules, b.Rules) }) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if got := RulesOf(errors.Join(of("R-2", "a"), of("R-1", "b"), of("R-2", "c"))); !slices.Equal(got, []string{"R-1", "R-2"}) {
		t.Errorf("rules: %q", got)
	}
}

func TestUndoWantsTheNewestOnATargetFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b", "c")
	first, err := w.apply(t, t.Context(), w.plan("a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	w.words["a"] = "old"
	second, err := w.apply(t, t.Context(), w.plan("a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.undo(t, first.ID); err == nil || !strings.Contains(err.Error(), second.ID) {
		t.Errorf("undo of the first: %v", err)
	}
	for _, id := range []string{second.ID, first.ID} {
		if _, err := w.undo(t, id); err != nil {
			t.Errorf("undo of %s: %v", id, err)
		}
	}
}

// A clock that was set back does not change which transaction is the newest.
func TestUndoGoesByTheOrderWhenTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	at := time.Date(2026, 3, 1, 12, 0, 0, 999e6, time.UTC)
	w.now = func() time.Time { return at }
	first, err := w.apply(t, t.Context(), w.plan("a"))
	if err != nil {
		t.Fatal(err)
	}
	at = at.Add(-24 * time.Hour)
	p := w.plan("a")
	p.Steps[0].After = state("newer")
	second, err := w.apply(t, t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.undo(t, first.ID); err == nil || !strings.Contains(err.Error(), second.ID) {
		t.Errorf("undo of the first: %v", err)
	}
	for i, want := range []string{second.ID, first.ID} {
		if r, err := w.undo(t, ""); err != nil || r.ID != want || len(r.Conflicts) > 0 {
			t.Errorf("undo %d: %+v %v, want %s", i+1, r, err, want)
		}
	}
	w.is(t, "old")
}

func TestWhatLiesOnAnOlderStep(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		newer, older remediate.Step
		want         bool
	}{
		"the same":                        {remediate.Step{Kind: "file", Target: "/a"}, remediate.Step{Kind: "file", Target: "/a"}, true},
		"content on mode":                 {remediate.Step{Kind: "file", Target: "/a"}, remediate.Step{Kind: "mode", Target: "/a"}, true},
		"a file in a folder that it made": {remediate.Step{Kind: "file", Target: "/a/b"}, remediate.Step{Kind: "folder", Target: "/a"}, true},
		"a file in a folder of its mode":  {remediate.Step{Kind: "file", Target: "/a/b"}, remediate.Step{Kind: "mode", Target: "/a"}, false},
		"beside a folder":                 {remediate.Step{Kind: "file", Target: "/ab"}, remediate.Step{Kind: "folder", Target: "/a"}, false},
		"a unit with its socket":          {remediate.Step{Kind: "unit", Target: "a.socket a.service"}, remediate.Step{Kind: "unit", Target: "a.service"}, true},
		"other units":                     {remediate.Step{Kind: "unit", Target: "a.socket"}, remediate.Step{Kind: "unit", Target: "a.service"}, false},
	} {
		if got := liesOn(c.newer, c.older); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A journal in a file tree is the word of whoever made the tree: it does not
// reach the running host.
func TestATreesJournalStaysInTheTree(t *testing.T) {
	t.Parallel()
	for name, tweak := range map[string]func(*Engine){
		"the kernel":     func(e *Engine) { e.Kinds[0].Running = true },
		"what runs here": func(e *Engine) { e.Activators = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "a")
			w.fail["look R-1"], w.fail["back a"] = errBroken, errBroken // it stays interrupted
			_, _ = w.apply(t, t.Context(), w.plan("a"))
			w.calls, w.fail, w.tweak = nil, map[string]error{}, tweak
			if _, err := w.recover(t); err == nil || !strings.Contains(err.Error(), "lies in a file tree") {
				t.Errorf("recover: %v", err)
			}
			if len(w.calls) > 0 {
				t.Errorf("it was acted on: %q", w.calls)
			}
		})
	}
}

// A rollback that fails is no end: it is tried again.
func TestRollbackFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	w.fail["look R-1"], w.fail["back a"] = errors.New("no help"), errBroken
	_, err := w.apply(t, t.Context(), w.plan("a", "b"))
	var failed *FailedError
	if !errors.As(err, &failed) || !errors.Is(failed.Back, errBroken) || !strings.Contains(err.Error(), "hostguard recover") {
		t.Errorf("error %v", err)
	}
	if w.words["b"] != "old" {
		t.Error("b was not taken back")
	}
	if _, err := w.recover(t); !errors.Is(err, errBroken) {
		t.Errorf("recover while it is broken: %v", err)
	}
	w.fail = map[string]error{}
	if _, err := w.recover(t); err != nil {
		t.Error(err)
	}
	w.is(t, "old")
}

// A journal that somebody edited, that is another host's, or of another version
// is not acted on.
func TestForeignJournals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string, w *world)
		want  string
	}{
		"an edited head":   {func(t *testing.T, dir string, _ *world) { edit(t, dir, headFile, `"old"`, `"odd"`) }, "was changed by somebody"},
		"an edited record": {func(t *testing.T, dir string, _ *world) { edit(t, dir, logFile, `"moved"`, `"moon"`) }, "was changed by somebody"},
		"a record taken out": {func(t *testing.T, dir string, _ *world) {
			data, err := os.ReadFile(filepath.Join(dir, logFile))
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.SplitAfter(string(data), "\n")
			if err := os.WriteFile(filepath.Join(dir, logFile), []byte(strings.Join(lines[1:], "")), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "was changed by somebody"},
		"an older version": {func(t *testing.T, dir string, _ *world) { edit(t, dir, headFile, `"format":1`, `"format":0`) }, "its format is 0"},
		"another host's":   {func(_ *testing.T, _ string, w *world) { w.id = remediate.HostID{Machine: "m2", Hostname: "two"} }, "another host, one"},
		"readable by others": {func(t *testing.T, dir string, _ *world) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}, "want root and 0700"},
		"a head that is a link": {func(t *testing.T, dir string, _ *world) {
			name := filepath.Join(dir, headFile)
			if err := errors.Join(os.Rename(name, name+"x"), os.Symlink(headFile+"x", name)); err != nil {
				t.Fatal(err)
			}
		}, "too many levels of symbolic links"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "a", "b")
			w.fail["look R-1"], w.fail["back a"] = errBroken, errBroken // it stays interrupted
			done, _ := w.apply(t, t.Context(), w.plan("a", "b"))
			w.calls, w.fail = nil, map[string]error{}
			c.spoil(t, filepath.Join(w.root, Dir, done.ID), w)
			if _, err := w.recover(t); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("recover: %v, want %q", err, c.want)
			}
			if _, err := w.undo(t, done.ID); err == nil || !strings.Contains(err.Error(), c.want) && !strings.Contains(err.Error(), "interrupted") {
				t.Errorf("undo: %v, want %q", err, c.want)
			}
			if len(w.calls) > 0 {
				t.Errorf("it was acted on: %q", w.calls)
			}
		})
	}
}

// An old journal that is damaged is named, and keeps nobody from working; one
// that may be of a transaction that was cut off does.
func TestADamagedJournalBlocksOnlyWhatMayBeUnfinished(t *testing.T) {
	t.Parallel()
	appended := func(text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			data, err := os.ReadFile(filepath.Join(dir, logFile))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, logFile), append(data, text...), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	without := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		undone bool
		spoil  func(t *testing.T, dir string)
		state  State // empty: it blocks
	}{
		"a committed one's head":       {false, func(t *testing.T, dir string) { edit(t, dir, headFile, `"old"`, `"odd"`) }, Committed},
		"an undone one's head":         {true, func(t *testing.T, dir string) { edit(t, dir, headFile, `"old"`, `"odd"`) }, Undone},
		"a line of an undone one":      {true, func(t *testing.T, dir string) { edit(t, dir, logFile, `"moved"`, `"moon"`) }, Undone},
		"an undone one without head":   {true, without(headFile), Undone},
		"of an older version":          {true, func(t *testing.T, dir string) { edit(t, dir, headFile, `"format":1`, `"format":0`) }, Undone},
		"readable by others":           {false, func(t *testing.T, dir string) { _ = os.Chmod(dir, 0o755) }, Committed},
		"writable by others":           {false, func(t *testing.T, dir string) { _ = os.Chmod(dir, 0o777) }, ""},
		"without a log":                {true, without(logFile), ""},
		"a step began, it seems":       {true, appended(`{"event":"moving","step":1,"sum":"x"}` + "\n"), ""},
		"undone is all it says":        {false, appended(`{"event":"undone","sum":"x"}` + "\n"), Undone},
		"something else at the end":    {true, appended("x\n"), ""},
		"damaged, and torn at the end": {true, func(t *testing.T, dir string) { edit(t, dir, headFile, `"old"`, `"odd"`); appended(`{"at`)(t, dir) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "a", "b")
			done, err := w.apply(t, t.Context(), w.plan("a"))
			if err == nil && c.undone {
				_, err = w.undo(t, done.ID)
			}
			if err != nil {
				t.Fatal(err)
			}
			c.spoil(t, filepath.Join(w.root, Dir, done.ID))
			w.calls = nil
			_, err = w.recover(t)
			away := Dir + "/" + done.ID
			switch {
			case c.state == "" && (err == nil || !strings.Contains(err.Error(), "it may have been cut off") || !strings.Contains(err.Error(), "move "+away+" away")):
				t.Errorf("recover: %v", err)
			case c.state == "":
			case err != nil || len(w.damaged) != 1 || w.damaged[0].State != c.state || !strings.Contains(w.damaged[0].Error(), "move "+away+" away"):
				t.Errorf("recover: %v, damaged: %+v", err, w.damaged)
			}
			if len(w.calls) > 0 {
				t.Errorf("it was acted on: %q", w.calls)
			}
			if c.state == "" {
				return
			}
			if _, err := w.apply(t, t.Context(), w.plan("b")); err != nil {
				t.Errorf("the next one: %v", err)
			}
			if back, err := w.undo(t, ""); err != nil || back.ID == done.ID {
				t.Errorf("undo of the next one: %+v %v", back, err)
			}
			_, err = w.undo(t, "") // what is left may be the damaged one
			if want := map[bool]string{true: "nothing to undo", false: "cannot use the journal of the transaction " + done.ID}[c.state == Undone]; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("undo of what is left: %v, want %q", err, want)
			}
		})
	}
}

// What holds can be undone for ever; of the others only the newest stay.
func TestOldTransactionsThatDoNotHoldAreRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	held, err := w.apply(t, t.Context(), w.plan("b"))
	if err != nil {
		t.Fatal(err)
	}
	var last string
	for n := range mostOver + 5 {
		w.fail = map[string]error{}
		if n%2 == 0 {
			w.fail["look R-1"] = errBroken
		}
		done, err := w.apply(t, t.Context(), w.plan("a"))
		if err == nil {
			_, err = w.undo(t, done.ID)
		}
		if err != nil && n%2 == 1 {
			t.Fatal(err)
		}
		last = done.ID
	}
	history, err := w.engine().History()
	if err != nil || len(history) != mostOver+1 || history[0].ID != held.ID || history[0].State != Committed || history[mostOver].ID != last {
		t.Errorf("%d transactions, the first %+v: %v", len(history), history[0].State, err)
	}
	if back, err := w.undo(t, ""); err != nil || back.ID != held.ID {
		t.Errorf("undo: %+v %v", back, err)
	}
}

func edit(t *testing.T, dir, name, old, now string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		t.Fatalf("%s has no %s: %s", name, old, data)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Replace(string(data), old, now, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	tx, err := w.engine().Lock(true)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.engine().Lock(true)
	var locked *flock.LockedError
	if !errors.As(err, &locked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("a second lock: %v", err)
	}
	tx.Close()
	if tx, err = w.engine().Lock(true); err != nil {
		t.Error(err)
	} else {
		tx.Close()
	}
}

// A transaction that was killed before it began leaves a folder that is
// cleared away, and nothing else.
func TestKilledBeforeItBegan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	tx, err := w.engine().Lock(true)
	if err != nil {
		t.Fatal(err)
	}
	tx.Close()
	dir := filepath.Join(w.root, Dir, newPrefix+"20260201t101500000z-1a2b3c")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, headFile), []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.recover(t); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is there still: %v", dir, err)
	}
	if got := w.states(t); len(got) > 0 {
		t.Errorf("history: %v", got)
	}
}

// No room for the journal: nothing is begun.
func TestNoRoomForTheJournal(t *testing.T) {
	w := newWorld(t, "a")
	mountSmall(t, filepath.Join(w.root, "var/lib"))
	p := w.plan("a")
	p.Steps[0].After = state(strings.Repeat("x", 1<<20))
	_, err := w.apply(t, t.Context(), p)
	var refused *RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("error %v", err)
	}
	w.is(t, "old")
	if got := w.states(t); len(got) > 0 {
		t.Errorf("history: %v", got)
	}
	entries, err := os.ReadDir(filepath.Join(w.root, Dir))
	if err != nil || len(entries) > 0 {
		t.Errorf("left in %s: %v %v", Dir, entries, err)
	}
}
