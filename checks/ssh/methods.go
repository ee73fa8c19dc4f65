package ssh

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/sshdconf"
)

const (
	everyone = "all"
	onlyRoot = "root"
)

type methodsParams struct {
	Accounts string `yaml:"accounts" doc:"Whose logins: all (every way in needs a public key), or root (none of the accounts with uid 0 gets in by a password)."`
}

// Validate refuses other words.
func (p methodsParams) Validate() error {
	if p.Accounts != everyone && p.Accounts != onlyRoot {
		return fmt.Errorf("accounts: want %s or %s, got %q", everyone, onlyRoot, p.Accounts)
	}
	return nil
}

// methodKeywords are what the ways in depend on.
var methodKeywords = []string{
	"authenticationmethods", "passwordauthentication", "kbdinteractiveauthentication", "challengeresponseauthentication",
	"usepam", "pubkeyauthentication", "hostbasedauthentication", "gssapiauthentication", "gssapikeyexchange",
	"permitrootlogin", "permitemptypasswords", "allowusers", "denyusers", "allowgroups", "denygroups", "kerberosauthentication",
}

func methods(ctx context.Context, h *host.Host, p methodsParams) (checks.Verdict, error) {
	return judgeAll(ctx, h, methodKeywords, func(t target) (checks.Verdict, error) { return judgeMethods(t, p), nil })
}

// A way is one sufficient set of methods, in order.
type way []string

func (w way) String() string { return strings.Join(w, ",") }

func (w way) needsKey() bool { return slices.Contains(w, "publickey") }

func (w way) byPassword() bool {
	return !w.needsKey() && slices.ContainsFunc(w, func(m string) bool {
		return m == "password" || m == "keyboard-interactive" || m == "none"
	})
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
			ways := waysIn(w.Effective, group.isRoot)
			wrong := slices.DeleteFunc(slices.Clone(ways), func(w way) bool {
				return w.needsKey() || p.Accounts == onlyRoot && !w.byPassword()
			})
			if len(wrong) == 0 {
				seen = append(seen, checks.Evidence{Source: "sshd, " + worldName(w), Key: nameList(group.names), Got: "let in by " + waysText(ways)})
				continue
			}
			if reason == "" {
				reason = fmt.Sprintf("sshd lets %s in by %s (%s).", firstName(group.names), wrong[0], worldName(w))
			}
			bad = append(bad, waysEvidence(w.Effective, wrong, group.isRoot)...)
			bad = append(bad, checks.Evidence{Source: "sshd, " + worldName(w), Key: nameList(group.names),
				Want: "publickey in every way in", Got: waysText(wrong)})
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

// worldName says when a world comes about.
func worldName(w sshdconf.World) string {
	if w.Effective == nil || len(w.Effective.Blocks) == 0 {
		return "outside Match blocks"
	}
	var parts []string
	for _, b := range w.Effective.Blocks {
		parts = append(parts, fmt.Sprintf("Match %s (%v)", b.Text, b.Place))
	}
	name := "in " + strings.Join(parts, " and ")
	if w.Exact {
		name += ", such as " + describe(w.Example)
	}
	return name
}

func waysText(ways []way) string {
	if len(ways) == 0 {
		return "no method"
	}
	texts := make([]string, len(ways))
	for i, w := range ways {
		texts[i] = w.String()
	}
	return strings.Join(texts, " or ")
}

// waysIn returns every sufficient set of methods, see AuthenticationMethods in
// sshd_config(5). It is empty when nobody can get in.
func waysIn(e *sshdconf.Effective, root bool) []way {
	on := func(keyword string) bool { return e.Get(keyword).Text() == "yes" }
	usable := func(method string) bool {
		name, _, _ := strings.Cut(method, ":")
		switch {
		case name == "none":
			return on("permitemptypasswords") && on("passwordauthentication")
		case !e.MethodsEnabled(name):
			return false
		case name == "keyboard-interactive" && !on("usepam"):
			return false // nothing stands behind it
		}
		return !root || rootMay(e, name)
	}
	var ways []way
	lists := e.Get("authenticationmethods").Values
	if len(lists) == 0 || lists[0].Text == "any" {
		for _, m := range []string{"publickey", "password", "keyboard-interactive", "none", "hostbased", "gssapi-with-mic", "gssapi-keyex"} {
			if usable(m) {
				ways = append(ways, way{m})
			}
		}
		return ways
	}
	for _, l := range lists {
		w := way(strings.Split(l.Text, ","))
		if !slices.ContainsFunc(w, func(m string) bool { return !usable(m) }) {
			for i, m := range w {
				w[i], _, _ = strings.Cut(m, ":")
			}
			ways = append(ways, w)
		}
	}
	return ways
}

// rootMay is what PermitRootLogin makes of a method. (With
// forced-commands-only a key needs a command as well.)
func rootMay(e *sshdconf.Effective, method string) bool {
	switch e.Get("permitrootlogin").Text() {
	case "yes":
		return true
	case "without-password":
		return method == "publickey" || method == "hostbased" || method == "gssapi-with-mic"
	case "forced-commands-only":
		return method == "publickey"
	}
	return false
}

// waysEvidence shows the lines that open the ways.
func waysEvidence(e *sshdconf.Effective, ways []way, root bool) []checks.Evidence {
	var out []checks.Evidence
	show := func(keyword, want string) { out = append(out, evidence(e.Get(keyword), want)...) }
	for _, w := range ways {
		for _, m := range w {
			switch m {
			case "password":
				show("passwordauthentication", "no")
			case "keyboard-interactive":
				show("kbdinteractiveauthentication", "no")
			case "none":
				show("permitemptypasswords", "no")
			case "hostbased":
				show("hostbasedauthentication", "no")
			case "gssapi-with-mic":
				show("gssapiauthentication", "no")
			case "gssapi-keyex":
				show("gssapikeyexchange", "no")
			}
		}
	}
	if s := e.Get("authenticationmethods"); !s.Default() {
		show("authenticationmethods", "publickey in every list")
	}
	if root {
		show("permitrootlogin", "prohibit-password or no")
	}
	return out
}

// admitted returns the accounts of a world that the lists of allowed and
// denied users and groups let through, those with uid 0 apart. A pattern with
// an address lets through and does not deny: who comes from elsewhere is not
// stopped by it.
func (t target) admitted(w sshdconf.World) (root, others []string) {
	list := func(keyword string) []string {
		var out []string
		for _, v := range w.Effective.Get(keyword).Values {
			out = append(out, v.Text)
		}
		return out
	}
	allowUsers, denyUsers, allowGroups, denyGroups := list("allowusers"), list("denyusers"), list("allowgroups"), list("denygroups")
	inGroup := func(a sshdconf.Account, patterns []string) bool {
		return slices.ContainsFunc(a.Groups, func(g string) bool {
			return slices.ContainsFunc(patterns, func(p string) bool { return sshdconf.Glob(g, p) })
		})
	}
	complete := len(t.accounts.Elsewhere) == 0
	for _, a := range w.Accounts {
		switch {
		case slices.ContainsFunc(denyUsers, func(p string) bool { return !strings.Contains(p, "@") && sshdconf.Glob(a.Name, p) }),
			len(allowUsers) > 0 && !slices.ContainsFunc(allowUsers, func(p string) bool { return userPart(a.Name, p) }),
			inGroup(a, denyGroups),
			complete && len(allowGroups) > 0 && !inGroup(a, allowGroups):
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

// userPart matches the part of a user pattern before an @; of several the
// more generous one counts.
func userPart(name, pattern string) bool {
	if sshdconf.Glob(name, pattern) {
		return true
	}
	for i := range len(pattern) {
		if pattern[i] == '@' && sshdconf.Glob(name, pattern[:i]) {
			return true
		}
	}
	return false
}
