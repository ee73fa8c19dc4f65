package ssh

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/loginmatrix"
	"github.com/hostguard/hostguard/internal/sshdconf"
)

const (
	everyone = "all"
	onlyRoot = "root"
)

// Strictness over root, in the words of PermitRootLogin.
const (
	byKey           = "prohibit-password"
	byForcedCommand = "forced-commands-only"
	notAtAll        = "no"
)

type methodsParams struct {
	Accounts string `yaml:"accounts" doc:"Whose logins: all (every way in needs a public key), or root (the accounts with uid 0, by root_login)."`
	Root     string `yaml:"root_login" doc:"With accounts root, how they may get in: prohibit-password (by no password), forced-commands-only (by keys with a command of their own), or no."`
}

// Validate refuses other words.
func (p methodsParams) Validate() error {
	if p.Accounts != everyone && p.Accounts != onlyRoot {
		return fmt.Errorf("accounts: want %s or %s, got %q", everyone, onlyRoot, p.Accounts)
	}
	if !slices.Contains([]string{byKey, byForcedCommand, notAtAll}, p.Root) {
		return fmt.Errorf("root_login: want %s, %s or %s, got %q", byKey, byForcedCommand, notAtAll, p.Root)
	}
	return nil
}

// wrong reports whether the parameters forbid a way in.
func (p methodsParams) wrong(e *sshdconf.Effective, w loginmatrix.Way) bool {
	switch {
	case p.Accounts == everyone:
		return !w.NeedsKey()
	case p.Root == byKey:
		return w.ByPassword()
	case p.Root == byForcedCommand:
		return e.Get("permitrootlogin").Text() != byForcedCommand
	}
	return true
}

func (p methodsParams) want() string {
	switch {
	case p.Accounts == everyone:
		return "publickey in every way in"
	case p.Root == byKey:
		return "a way in without password"
	case p.Root == byForcedCommand:
		return "a key with a command of its own"
	}
	return "no way in"
}

func methods(ctx context.Context, h *host.Host, p methodsParams) (checks.Verdict, error) {
	return judgeAll(ctx, h, loginmatrix.Keywords, func(t target) (checks.Verdict, error) { return judgeMethods(t, p), nil })
}

// judgeMethods looks at every account in every world it can come into.
func judgeMethods(t target, p methodsParams) checks.Verdict {
	var bad []checks.Evidence
	var seen []checks.Evidence
	reason := ""
	open := 0
	for _, w := range t.worlds {
		if w.Effective == nil {
			continue
		}
		root, others := t.admitted(w)
		for _, group := range []struct {
			names  []string
			isRoot bool
		}{{root, true}, {others, false}} {
			if len(group.names) == 0 || p.Accounts == onlyRoot && !group.isRoot {
				continue
			}
			open++
			ways := loginmatrix.Ways(w.Effective, group.isRoot)
			wrong := slices.DeleteFunc(slices.Clone(ways), func(way loginmatrix.Way) bool { return !p.wrong(w.Effective, way) })
			if len(wrong) == 0 {
				seen = append(seen, checks.Evidence{Source: "sshd, " + worldName(w, group.names), Key: nameList(group.names), Got: "let in by " + waysText(ways)})
				continue
			}
			if reason == "" {
				reason = fmt.Sprintf("sshd lets %s in by %s (%s).", firstName(group.names), wrong[0], worldName(w, group.names))
			}
			wantRoot := "prohibit-password or no"
			if p.Accounts == onlyRoot && p.Root != byKey {
				wantRoot = p.Root
			}
			bad = append(bad, waysEvidence(w.Effective, wrong, group.isRoot, wantRoot)...)
			bad = append(bad, checks.Evidence{Source: "sshd, " + worldName(w, group.names), Key: nameList(group.names),
				Want: p.want(), Got: waysText(wrong)})
		}
	}
	if reason != "" {
		return checks.Failed(reason, unique(bad)...)
	}
	if open == 0 {
		who := "any account"
		if p.Accounts == onlyRoot {
			who = "an account with uid 0"
		}
		seen = append(seen, checks.Evidence{Source: "sshd", Got: "lets " + who + " in by no method at all: the lists of allowed and denied users and groups leave none"})
	}
	return checks.Passed(unique(seen)...)
}

func firstName(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return fmt.Sprintf("%s (and %d more)", names[0], len(names)-1)
}

// worldName says when a world comes about, for some of its accounts.
func worldName(w sshdconf.World, names []string) string {
	if w.Effective == nil || len(w.Effective.Blocks) == 0 {
		return "outside Match blocks"
	}
	var parts []string
	for _, b := range w.Effective.Blocks {
		parts = append(parts, fmt.Sprintf("Match %s (%v)", b.Text, b.Place))
	}
	name := "in " + strings.Join(parts, " and ")
	if w.Exact {
		c := w.Example
		if !slices.Contains(names, c.User) {
			c.User = names[0]
		}
		name += ", such as " + describe(c)
	}
	return name
}

func waysText(ways []loginmatrix.Way) string {
	if len(ways) == 0 {
		return "no method"
	}
	texts := make([]string, len(ways))
	for i, w := range ways {
		texts[i] = w.String()
	}
	return strings.Join(texts, " or ")
}

// waysEvidence shows the lines that open the ways.
func waysEvidence(e *sshdconf.Effective, ways []loginmatrix.Way, root bool, wantRoot string) []checks.Evidence {
	var out []checks.Evidence
	show := func(keyword, want string) { out = append(out, evidence(e.Get(keyword), want)...) }
	for _, w := range ways {
		for _, m := range w {
			if m == "publickey" {
				continue
			}
			for _, keyword := range loginmatrix.Deciding(m) {
				show(keyword, "no")
			}
		}
	}
	if s := e.Get("authenticationmethods"); !s.Default() {
		show("authenticationmethods", "publickey in every list")
	}
	if root {
		show("permitrootlogin", wantRoot)
	}
	return out
}

// admitted returns the accounts of a world that the lists of allowed and
// denied users and groups let through, those with uid 0 apart. A pattern with
// an address lets through and does not deny: who comes from elsewhere is not
// stopped by it.
func (t target) admitted(w sshdconf.World) (root, others []string) {
	lists := loginmatrix.ListsOf(t.config, w.Effective)
	elsewhere := len(t.accounts.Elsewhere) > 0
	for _, a := range w.Accounts {
		if lists.Denied(a.Name, a.Groups, nil, elsewhere) != nil {
			continue
		}
		if u := t.accounts.User(a.Name); u != nil && u.UID == 0 {
			root = append(root, a.Name)
		} else {
			others = append(others, a.Name)
		}
	}
	// Those who work on the host come first.
	slices.SortStableFunc(others, func(a, b string) int { return t.rank(a) - t.rank(b) })
	if w.Others {
		others = append(others, "accounts from "+t.accounts.Elsewhere[0])
		root = append(root, "accounts with uid 0 from "+t.accounts.Elsewhere[0])
	}
	return root, others
}

// rank puts people before the accounts of services.
func (t target) rank(name string) int {
	u := t.accounts.User(name)
	if u != nil && strings.HasSuffix(u.Shell, "sh") {
		return 0
	}
	return 1
}
