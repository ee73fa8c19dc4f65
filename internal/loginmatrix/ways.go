// Package loginmatrix says who can log in over SSH, how and from where, as
// sshd decides it: which methods suffice for an account on a connection, by
// which lines of sshd's configuration, and what ends the session after all
// methods have succeeded.
//
// It knows nothing of the host: accounts, what PAM says about them, and keys
// are given to it.
package loginmatrix

import (
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/sshdconf"
)

// Keywords are those that the answers rest on.
var Keywords = []string{
	"authenticationmethods", "passwordauthentication", "kbdinteractiveauthentication", "challengeresponseauthentication",
	"usepam", "pubkeyauthentication", "hostbasedauthentication", "gssapiauthentication", "gssapikeyexchange",
	"permitrootlogin", "permitemptypasswords", "allowusers", "denyusers", "allowgroups", "denygroups", "kerberosauthentication",
}

// A Way is one sufficient set of methods, in order.
type Way []string

func (w Way) String() string { return strings.Join(w, ",") }

// NeedsKey reports whether no one gets in by it without a key.
func (w Way) NeedsKey() bool { return slices.Contains(w, "publickey") }

// ByPassword reports whether what is known, and no key, lets in by it.
func (w Way) ByPassword() bool {
	return !w.NeedsKey() && slices.ContainsFunc(w, func(m string) bool {
		return m == "password" || m == "keyboard-interactive" || m == "none"
	})
}

var allMethods = []string{"publickey", "password", "keyboard-interactive", "none", "hostbased", "gssapi-with-mic", "gssapi-keyex"}

// Ways returns every sufficient set of methods, see AuthenticationMethods in
// sshd_config(5). It is empty when nobody can get in. Root is set for accounts
// with uid 0, for whom PermitRootLogin decides too.
func Ways(e *sshdconf.Effective, root bool) []Way {
	usable := func(method string) bool { return usable(e, method, root) }
	var ways []Way
	lists := e.Get("authenticationmethods").Values
	if len(lists) == 0 || lists[0].Text == "any" {
		for _, m := range allMethods {
			if usable(m) {
				ways = append(ways, Way{m})
			}
		}
		return ways
	}
	for _, l := range lists {
		w := Way(strings.Split(l.Text, ","))
		if slices.ContainsFunc(w, func(m string) bool { return !usable(m) }) {
			continue
		}
		for i, m := range w {
			w[i], _, _ = strings.Cut(m, ":")
		}
		if !slices.ContainsFunc(ways, func(o Way) bool { return slices.Equal(o, w) }) {
			ways = append(ways, w)
		}
	}
	return ways
}

func isOn(e *sshdconf.Effective, keyword string) bool { return e.Get(keyword).Text() == "yes" }

// usable reports whether a method, as AuthenticationMethods names it, can
// succeed.
func usable(e *sshdconf.Effective, method string, root bool) bool {
	name, device, _ := strings.Cut(method, ":")
	switch {
	case name == "none":
		// It stands for an empty password.
		return isOn(e, "permitemptypasswords") && isOn(e, "passwordauthentication") && (!root || RootMay(e, "password"))
	case !e.MethodsEnabled(name):
		return false
	case name == "keyboard-interactive" && (!isOn(e, "usepam") || device != "" && device != "pam"):
		return false // nothing stands behind it
	}
	return !root || RootMay(e, name)
}

// RootMay is what PermitRootLogin makes of a method. (With
// forced-commands-only a key needs a command as well.)
func RootMay(e *sshdconf.Effective, method string) bool {
	switch e.Get("permitrootlogin").Text() {
	case "yes":
		return true
	case "without-password":
		return slices.Contains([]string{"publickey", "hostbased", "gssapi-with-mic", "gssapi-keyex"}, method)
	case "forced-commands-only":
		return method == "publickey"
	}
	return false
}

// Deciding are the keywords that open or close a method.
func Deciding(method string) []string {
	switch method {
	case "publickey":
		return []string{"pubkeyauthentication"}
	case "password":
		return []string{"passwordauthentication"}
	case "keyboard-interactive":
		return []string{"kbdinteractiveauthentication"}
	case "none":
		return []string{"permitemptypasswords"}
	case "hostbased":
		return []string{"hostbasedauthentication"}
	case "gssapi-with-mic":
		return []string{"gssapiauthentication"}
	case "gssapi-keyex":
		return []string{"gssapikeyexchange"}
	}
	return nil
}
