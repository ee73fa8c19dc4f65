package ssh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/sshdconf"
)

// target is one sshd, ready to be judged.
type target struct {
	name     string // to tell several apart; empty when there is one
	version  sshdconf.Version
	config   *sshdconf.Config
	worlds   []sshdconf.World
	accounts *host.Accounts
}

// judgeAll judges every sshd of the host and puts the verdicts together. The
// keywords are those the verdict rests on: sshd must say the same of them.
func judgeAll(ctx context.Context, h *host.Host, keywords []string, judge func(target) (checks.Verdict, error)) (checks.Verdict, error) {
	s, err := h.SSHServers(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	if err := strangers(s); err != nil {
		return checks.Verdict{}, err
	}
	if len(s.SSHDs) == 0 {
		return checks.Inapplicable("No SSH server is installed."), nil
	}
	accounts, err := h.Accounts(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	var verdicts []checks.Verdict
	for _, d := range s.SSHDs {
		t, seen, err := prepare(ctx, h, d, accounts, keywords)
		if err != nil {
			return checks.Verdict{Evidence: seen}, err
		}
		if len(s.SSHDs) > 1 {
			t.name = d.ArgsFrom
		}
		v, err := judge(t)
		if err != nil {
			return v, err
		}
		for i, e := range v.Evidence {
			if e.Source == sshdconf.CommandLine {
				v.Evidence[i].Got += "; said by " + d.ArgsFrom // not in Source: a process is another one each time
			}
		}
		verdicts = append(verdicts, v)
	}
	return combine(verdicts), nil
}

// strangers is an error when the host has an SSH server that only its maker
// can judge.
func strangers(s *host.SSHServers) error {
	for _, o := range s.Others {
		if o.Running {
			return fmt.Errorf("cannot judge all logins: %s is another SSH server (%s), whose configuration is not understood here", o.Program, o.Place)
		}
	}
	return nil
}

// prepare sees to it that a verdict about d can be trusted.
func prepare(ctx context.Context, h *host.Host, d *host.SSHD, a *host.Accounts, keywords []string) (target, []checks.Evidence, error) {
	switch {
	case d.Err != nil:
		return target{}, refusalEvidence(d.Err), d.Err
	case d.Unknown != nil:
		return target{}, nil, fmt.Errorf("cannot tell what sshd does by default: %w", d.Unknown)
	case d.Unresolved != "":
		return target{}, nil, fmt.Errorf("cannot tell the options of sshd (%s): %s", d.ArgsFrom, d.Unresolved)
	}
	worlds, err := d.Worlds(ctx, a)
	if err != nil {
		return target{}, nil, fmt.Errorf("cannot look at all Match blocks: %w", err)
	}
	if h.Running() {
		said, err := h.SSHDSays(ctx)
		if err != nil {
			return target{}, nil, err
		}
		if seen, err := agree(said[d], keywords); err != nil {
			return target{}, seen, err
		}
	}
	return target{version: d.Version, config: d.Config, worlds: worlds, accounts: a}, nil, nil
}

// refusalEvidence names the lines that sshd refuses.
func refusalEvidence(err error) []checks.Evidence {
	var refused *sshdconf.RefusedError
	if !errors.As(err, &refused) {
		return nil
	}
	var out []checks.Evidence
	for _, p := range refused.Problems[:min(len(refused.Problems), maxEvidence)] {
		out = append(out, checks.Evidence{Source: p.File, Line: p.Line, Got: p.Text})
	}
	return out
}

// agree is an error unless sshd itself was asked and says of the keywords what
// we do.
func agree(w *host.SSHDWitness, keywords []string) ([]checks.Evidence, error) {
	switch {
	case w == nil:
		return nil, errors.New("cannot compare with sshd: it was not asked")
	case w.Err != nil:
		return nil, w.Err
	case w.Refusal != "":
		return []checks.Evidence{{Source: "sshd -T", Got: w.Refusal}}, errors.New("sshd refuses a configuration that reads well here: the two disagree")
	}
	var seen []checks.Evidence
	for _, d := range w.Disagree {
		if slices.Contains(keywords, d.Keyword) {
			seen = append(seen,
				checks.Evidence{Source: "the files as read here", Key: d.Keyword, Got: d.Ours},
				checks.Evidence{Source: "sshd -T for " + describe(d.Connection), Key: d.Keyword, Got: d.Theirs})
		}
	}
	if seen != nil {
		return seen, fmt.Errorf("cannot trust the reading of sshd's configuration: sshd itself says otherwise about %s", seen[0].Key)
	}
	return nil, nil
}

// combine makes one verdict: a failure stands before all, and a pass is one
// only when nothing was left unseen.
func combine(verdicts []checks.Verdict) checks.Verdict {
	if len(verdicts) == 1 {
		return verdicts[0]
	}
	out := verdicts[0]
	for _, v := range verdicts[1:] {
		switch {
		case v.Status == checks.Fail && out.Status != checks.Fail:
			out = v
		case v.Status == out.Status:
			out.Evidence = slices.Concat(out.Evidence, v.Evidence)
		case v.Status == checks.Pass && out.Status == checks.NotApplicable:
			out = v
		}
	}
	return out
}

// maxEvidence bounds the lines of evidence of one kind.
const maxEvidence = 20

// place writes where a value comes from.
func place(v sshdconf.Value) checks.Evidence {
	if v.At == (sshdconf.Place{}) {
		return checks.Evidence{Source: "sshd's built-in default"}
	}
	return checks.Evidence{Source: v.At.File, Line: v.At.Line}
}

// evidence shows a setting: every value with its line and the Match block that
// decides it, and what has no effect.
func evidence(s sshdconf.Setting, want string) []checks.Evidence {
	if len(s.Values) == 0 {
		return []checks.Evidence{{Source: "sshd's built-in default", Key: s.Keyword, Want: want, Got: "not set" + shadowed(s)}}
	}
	var out []checks.Evidence
	for i, v := range s.Values {
		if i == maxEvidence {
			break
		}
		e := place(v)
		e.Key, e.Want, e.Got = s.Keyword, want, v.Text
		if v.Block != nil {
			e.Got += fmt.Sprintf(" in Match %s (%v)", v.Block.Text, v.Block.Place)
		}
		if i == 0 {
			e.Got += shadowed(s)
		}
		out = append(out, e)
	}
	return out
}

// shadowed says which lines have no effect because of others.
func shadowed(s sshdconf.Setting) string {
	const shown = 3
	var parts []string
	others := slices.DeleteFunc(slices.Clone(s.Shadowed), func(v sshdconf.Value) bool { // sshd reads what stands in Match all twice
		return slices.ContainsFunc(s.Values, func(in sshdconf.Value) bool { return in.At == v.At && v.At != (sshdconf.Place{}) })
	})
	for i, v := range others {
		if i == shown {
			parts = append(parts, fmt.Sprintf("%d more", len(others)-shown))
			break
		}
		parts = append(parts, fmt.Sprintf("%s (%v)", v.Text, v.At))
	}
	if parts == nil {
		return ""
	}
	return "; without effect: " + strings.Join(parts, ", ")
}

// describe names a connection.
func describe(c sshdconf.Connection) string {
	who := c.User
	if who == "" {
		who = "an account"
	}
	if c.Addr != "" {
		who += " from " + c.Addr
	}
	if c.LocalPort != 0 {
		who += fmt.Sprintf(" to port %d", c.LocalPort)
	}
	return who
}

// unique leaves out evidence that is there already.
func unique(list []checks.Evidence) []checks.Evidence {
	seen := map[checks.Evidence]bool{}
	return slices.DeleteFunc(list, func(e checks.Evidence) bool {
		again := seen[e]
		seen[e] = true
		return again
	})
}

// In a list of names, at most this many are written out.
const maxNames = 8

func nameList(names []string) string {
	if len(names) > maxNames {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNames], ", "), len(names)-maxNames)
	}
	return strings.Join(names, ", ")
}
