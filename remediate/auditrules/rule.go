package auditrules

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/remediate"
)

// RuleState is whether the kernel holds a rule.
type RuleState struct {
	Loaded bool `json:"loaded"`
}

// Rule is the kind of one rule that the kernel holds or does not. Its target is
// the rule, written by [Target]. A rule is added behind all others and deleted
// alone; that it was there before is in the state before, so that what somebody
// else loaded is never deleted.
//
// A rule leaves the kernel by itself when the folder that it watches is
// deleted, and with all others when auditd or augenrules loads the files: so a
// rule that is not there any more needs no deleting, and is no conflict. Nor is
// one deleted that a boot has loaded since from files of somebody else.
var Rule = ofThisHost(remediate.NewKind("audit-rule", remediate.Kernel, remediate.Mover[RuleState]{
	Observe: observeRule,
	Preflight: func(ctx context.Context, t remediate.Thing, _, to RuleState) error {
		return preflight(ctx, t, to.Loaded)
	},
	Move: moveRule,
	Back: func(ctx context.Context, t remediate.Thing, from, to RuleState) error {
		if kept, err := ofTheFiles(ctx, t); kept || err != nil {
			return err
		}
		return back(t, moveRule(ctx, t, to, from))
	},
	Show: func(target string, _, to RuleState) string {
		if to.Loaded {
			return "load the audit rule " + target + "\n"
		}
		return "take the audit rule out of the kernel: " + target + "\n"
	},
}))

// Target names a rule so that it is read back as the same one, whatever files
// and accounts the host has by then: a rule as auditctl takes it, never as -w,
// which means another rule once its folder is gone. The error is that a rule
// cannot be written so.
func Target(r *auditrule.Rule) (string, error) {
	escaped := *r
	escaped.Fields = make([]auditrule.Field, len(r.Fields))
	for i, f := range r.Fields {
		f.Text = escape.Replace(f.Text)
		escaped.Fields[i] = f
	}
	text := escaped.Exact()
	back, err := parse(text)
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot write down the audit rule %v: %w", r, err)
	case !back.Equal(r):
		return "", fmt.Errorf("cannot write down the audit rule %v: it would be read as %v", r, back)
	}
	return text, nil
}

// escape writes a word as auditctl reads it from a file.
var escape = strings.NewReplacer(`\`, `\\`, " ", `\ `)

// parse reads a target.
func parse(target string) (*auditrule.Rule, error) {
	line, err := auditrule.ParseLine(target, auditrule.Pos{}, bare{})
	switch {
	case err != nil:
		return nil, err
	case line.Kind != auditrule.Add:
		return nil, fmt.Errorf("%q is no audit rule", target)
	case line.Rule.Prepend:
		return nil, fmt.Errorf("%q goes before the rules of others", target)
	}
	return &line.Rule, nil
}

// bare answers what the reading of a target asks of a host: a target depends
// on the machine alone.
type bare struct{}

var errBare = errors.New("a target names neither accounts nor watches")

func (bare) Machine() (auditrule.Machine, error) {
	m, known := auditrule.ThisMachine()
	if !known {
		return m, errors.New("the system calls of this architecture are not known")
	}
	return m, nil
}
func (bare) UID(string) (uint32, bool, error) { return 0, false, errBare }
func (bare) GID(string) (uint32, bool, error) { return 0, false, errBare }
func (bare) IsDir(string) (bool, error)       { return false, errBare }

// preflight wants the kernel to answer, and not to be locked where something is
// to be added. What is to be taken back from a locked one is a conflict, which
// leaves the rest to be taken back.
func preflight(ctx context.Context, t remediate.Thing, adds bool) error {
	if t.Root != "" && t.Root != "/" {
		return errors.New("a file tree has no kernel")
	}
	s, err := status(ctx)
	if err == nil && adds && s.Enabled == 2 {
		return &LockedError{}
	}
	return err
}

func observeRule(ctx context.Context, t remediate.Thing) (RuleState, error) {
	r, err := parse(t.Target)
	if err != nil {
		return RuleState{}, err
	}
	held, err := find(ctx, r)
	return RuleState{Loaded: held != nil}, err
}

// find is the rule as the kernel lists it; nil: it does not hold it. Rules are
// compared as structures.
func find(ctx context.Context, r *auditrule.Rule) (*auditrule.Rule, error) {
	rules, err := host.New(host.Options{}).AuditLoaded(ctx)
	if err != nil {
		return nil, &RefusedError{err}
	}
	for i := range rules {
		if rules[i].Equal(r) {
			return &rules[i], nil
		}
	}
	return nil, nil
}

func moveRule(ctx context.Context, t remediate.Thing, from, to RuleState) error {
	r, err := parse(t.Target)
	if err != nil {
		return err
	}
	held, err := find(ctx, r)
	switch {
	case err != nil:
		return err
	case (held != nil) == to.Loaded:
		return nil
	}
	s, err := status(ctx)
	switch {
	case err != nil:
		return err
	case s.Enabled == 2 && to.Loaded:
		return &LockedError{}
	case s.Enabled == 2:
		return &remediate.ConflictError{Target: t.Target, Why: (&LockedError{}).Error()}
	}
	if to.Loaded {
		err = request(addRule, r.Encode())
		if errors.Is(err, unix.EEXIST) {
			err = nil // somebody was faster
		}
	} else {
		// As the kernel lists it: it compares masks, which a rule may be written without.
		err = request(deleteRule, held.Encode())
		if errors.Is(err, unix.ENOENT) {
			err = nil
		}
	}
	if err != nil {
		return &kernelError{fmt.Errorf("the kernel refuses %s: %w", map[bool]string{true: "the rule", false: "to delete the rule"}[to.Loaded], meaning(err))}
	}
	if held, err = find(ctx, r); err != nil {
		return err
	}
	if (held != nil) != to.Loaded {
		return errors.New("the kernel took the change of the rule, and lists it as before")
	}
	return nil
}

// meaning says what the kernel's number means for a rule (kernel/auditfilter.c,
// audit_tree.c, audit_watch.c).
func meaning(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("this process may not, or the configuration was locked meanwhile: %w", err)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("its path, or the folder that it lies in, does not exist: %w", err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("it knows no such rule: %w", err)
	}
	return err
}
