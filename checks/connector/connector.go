// Package connector judges what a connector is told: its settings, users,
// secrets and certificates, as they are written and as its containers run.
package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lazyregexp"
	"github.com/hostguard/hostguard/internal/quantity"
	"github.com/hostguard/hostguard/internal/springconf"
)

const (
	looksAtApps = "Looks at each service of each connector: environment (environment, env_file, .env), the configuration files that are mounted into it, and once more as its container was made where that differs."
	blindToApps = "What an image brings itself, what an application changes while it runs, and files that changed since it started."
)

// Checks are the mechanisms of this family.
var Checks = []checks.Check{
	{
		Name:    "connector-properties",
		Looks:   looksAtApps + " Each wanted Spring property is what the environment says, else the files of the active profiles, with ${…} replaced.",
		Blind:   blindToApps + " A property that no file sets is an error unless unset says what it means.",
		Needs:   host.Root,
		Binding: checks.Params(propertiesParams{Roles: []string{string(host.RoleCore)}, Unset: unsetUnknown}, properties),
	},
	{
		Name:    "connector-published-secrets",
		Looks:   looksAtApps + " Every value there, elsewhere in the compose files and in the files of its configs and secrets is compared with the passwords, and hashes of them, that TRUE Connector is published with.",
		Blind:   blindToApps + " Passwords of others that are known, files in named volumes, and the passwords of key stores that no file names.",
		Needs:   host.Root,
		Binding: checks.NoParams(publishedSecrets),
	},
	{
		Name:    "connector-users",
		Looks:   looksAtApps + " Each password of users.properties is compared with the published hashes, and the published passwords are tried on it: bcrypt of a cost up to 14, for a time.",
		Blind:   blindToApps + " Weak passwords that were not published, and those published ones that are of key stores and databases: each try costs time.",
		Needs:   host.Root,
		Long:    true,
		Binding: checks.Params(usersParams{Time: quantity.Duration(2 * time.Second)}, users),
	},
	{
		Name:    "connector-user-names",
		Looks:   looksAtApps + " Compares the names of users.list with those that TRUE Connector is published with.",
		Blind:   blindToApps,
		Needs:   host.Root,
		Binding: checks.Params(userNamesParams{Published: []string{"apiUser", "alice", "idsUser", "bob"}}, userNames),
	},
	{
		Name:    "connector-secret",
		Looks:   looksAtApps + " The secret is looked for in the containers' environment, .env and compose files, else in /etc/environment and the units in /etc/systemd/system that run compose; it must be long and hard to guess, and who else can read the files is seen.",
		Blind:   blindToApps + " The shell of whoever starts compose: with no container and the secret in no file, the answer is an error.",
		Needs:   host.Root,
		Binding: checks.Params(secretDefaults, appSecret),
	},
	{
		Name:    "connector-daps",
		Looks:   looksAtApps + " The interaction with the DAPS must be on and its key store be there, where the settings say.",
		Blind:   blindToApps + " Whether the DAPS accepts the certificate.",
		Needs:   host.Root,
		Binding: checks.NoParams(daps),
	},
	{
		Name:    "connector-environment-secrets",
		Looks:   looksAtApps + " Lists variables whose names say that they hold a password, secret or token.",
		Blind:   "Secrets under other names.",
		Needs:   host.Root,
		Binding: checks.Params(environmentParams{Words: []string{"pass", "pwd", "secret", "token", "private_key"}}, environmentSecrets),
	},
	{
		Name:    "connector-drift",
		Looks:   "Compares the environment that each container of a connector was made with to what its files give it now, and the times of its configuration files to when it started.",
		Blind:   "Files that were changed and whose times were set back.",
		Needs:   host.Running | host.Docker | host.Root,
		Binding: checks.NoParams(drift),
	},
	certificateCheck,
	trustCheck,
}

// appsOf returns the connectors, of which there must be one.
func appsOf(ctx context.Context, h *host.Host) ([]host.ConnectorApps, error) {
	all, err := h.ConnectorApps(ctx)
	if err == nil && len(all) == 0 {
		err = host.ErrNoConnector
	}
	return all, err
}

// maxEvidence bounds what a verdict lists of one kind.
const maxEvidence = 100

// outcome collects what was seen: a fault seen for certain fails, whatever else
// could not be seen.
type outcome struct {
	bad, good []checks.Evidence
	unknown   []error
}

func (o *outcome) unknownf(format string, args ...any) {
	o.unknown = append(o.unknown, fmt.Errorf(format, args...))
}

// verdict is the answer; none is the reason why it does not apply when nothing
// was seen.
func (o *outcome) verdict(reason, none string) (checks.Verdict, error) {
	o.bad, o.good = distinct(o.bad), distinct(o.good)
	switch {
	case len(o.bad) > 0:
		return checks.Failed(reason, o.bad...), nil
	case len(o.unknown) > 0:
		return checks.Verdict{Evidence: o.good}, errors.Join(distinctErrors(o.unknown)...)
	case len(o.good) == 0:
		return checks.Inapplicable(none), nil
	}
	return checks.Passed(o.good...), nil
}

// distinct drops what was said before, and says once what services share.
func distinct(list []checks.Evidence) []checks.Evidence {
	var kept []checks.Evidence
	seen := map[checks.Evidence]bool{}
	places := map[checks.Evidence]int{} // of a fault without its subject: where in kept
	for _, e := range list {
		if seen[e] {
			continue
		}
		seen[e] = true
		who, key, of := strings.Cut(e.Key, ": ")
		place := e
		place.Key = key
		if i, before := places[place]; of && before {
			others, _, _ := strings.Cut(kept[i].Key, ": ")
			kept[i].Key = others + ", " + who + ": " + key
			continue
		}
		places[place] = len(kept)
		kept = append(kept, e)
	}
	if len(kept) > maxEvidence {
		more := len(kept) - maxEvidence
		kept = append(kept[:maxEvidence:maxEvidence], checks.Evidence{Source: "connector", Key: "more", Want: kept[0].Want, Got: fmt.Sprintf("%d more", more)})
	}
	return kept
}

// distinctErrors drops what was said before: many properties may stumble over
// one file.
func distinctErrors(list []error) []error {
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(err error) bool {
		before := seen[err.Error()]
		seen[err.Error()] = true
		return before
	})
}

// isSecretName reports whether what has this name is not to be shown.
func isSecretName(name string) bool {
	lower := strings.ToLower(name)
	return slices.ContainsFunc([]string{"pass", "pwd", "secret", "token", "privatekey", "private-key", "private_key"}, func(word string) bool {
		return strings.Contains(lower, word)
	})
}

// userInfo is what logs in within a URL.
var userInfo = lazyregexp.New(`://[^/?#]*@`)

// shown is a setting's value as evidence may hold it.
func shown(key, value string) string {
	switch {
	case value == "":
		return "nothing"
	case isSecretName(key):
		return "a value"
	case userInfo().MatchString(value):
		return "a value with a login in it"
	case len(value) > 200:
		return value[:200] + "…"
	}
	return value
}

// at is evidence for a setting of an application, in the place where its text
// stands.
func at(app host.ConnectorApp, key string, v springconf.Value, want, got string) checks.Evidence {
	e := checks.Evidence{Source: v.Origin.Source, Line: v.Origin.Line, Key: subject(app) + ": " + key, Want: want, Got: got}
	if v.Origin != v.Place {
		e.Got += fmt.Sprintf(" (%s, by way of %v)", v.Origin.Key, v.Place)
	}
	return e
}

// subject is the application in a key of evidence.
func subject(app host.ConnectorApp) string {
	if app.Container != "" {
		return "container " + app.Container
	}
	return app.Service.Name
}
