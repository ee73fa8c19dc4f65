package connector

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/springconf"
)

// Properties of the execution core about the DAPS.
const (
	dapsOn      = "application.isEnabledDapsInteraction"
	certFolder  = "application.targetDirectory"
	dapsStore   = "application.keyStoreName"
	dapsAlias   = "application.keystoreAliasName"
	dapsAddress = "application.dapsUrl"

	dapsVersion = "application.dapsVersion" // "orbiter" takes its key from a file of its own
	orbiterKey  = "application.daps.orbiter.privateKey"
)

func daps(ctx context.Context, h *host.Host) (checks.Verdict, error) {
	all, err := appsOf(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	look := func(app host.ConnectorApp, inside string) (string, error) {
		dir, rel, err := app.HostPath(inside)
		if err != nil {
			return "", err
		}
		_, err = h.Lstat(path.Join(dir, rel))
		return path.Join(dir, rel), err
	}
	return judgeDAPS(all, look)
}

// judgeDAPS wants the interaction on, with an address, an alias, and a key store
// that look finds: it returns where the host keeps a path of the container.
func judgeDAPS(all []host.ConnectorApps, look func(app host.ConnectorApp, inside string) (string, error)) (checks.Verdict, error) {
	var o outcome
	for _, c := range all {
		if c.Err != nil {
			o.unknown = append(o.unknown, c.Err)
			continue
		}
		apps := c.Of(host.RoleCore)
		if len(apps) == 0 {
			o.unknownf("cannot tell which service of the connector in %s is its execution core: none has its image or its settings", c.Connector.Dir)
		}
		for _, app := range apps {
			if on, seen := o.setting(app, dapsOn); seen {
				if !strings.EqualFold(on.Text.Reveal(), "true") { // Spring reads TRUE as true
					o.bad = append(o.bad, at(app, dapsOn, on, "true", shown(dapsOn, on.Text.Reveal())))
					continue // the rest of it is not in use
				}
				o.good = append(o.good, at(app, dapsOn, on, "", "true"))
				o.dapsParts(app, look)
			}
		}
	}
	return o.verdict("The connector does not prove to its partners who it is, or cannot: the interaction with the DAPS is off or lacks its key.", "")
}

func (o *outcome) dapsParts(app host.ConnectorApp, look func(host.ConnectorApp, string) (string, error)) {
	parts, keyFile := []string{dapsAddress, dapsAlias}, dapsStore
	if v, err := app.Property(dapsVersion); err == nil && v.Text.Reveal() == "orbiter" {
		parts, keyFile = []string{dapsAddress}, orbiterKey
	}
	for _, key := range parts {
		if v, seen := o.setting(app, key); seen && v.Text.Empty() {
			o.bad = append(o.bad, at(app, key, v, "set", "nothing"))
		}
	}
	folder, seenFolder := o.setting(app, certFolder)
	store, seenStore := o.setting(app, keyFile)
	if !seenFolder || !seenStore {
		return
	}
	if store.Text.Empty() {
		o.bad = append(o.bad, at(app, keyFile, store, "the name of a file", "nothing"))
		return
	}
	where, err := look(app, folder.Text.Reveal()+store.Text.Reveal())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e := at(app, keyFile, store, "a file that is there", "one that is not there")
		if where != "" {
			e.Got += ": " + where
		}
		o.bad = append(o.bad, e)
	case err != nil:
		o.unknownf("cannot see the key store for the DAPS of %s: %w", app.Name(), err)
	default:
		o.good = append(o.good, checks.Evidence{Source: where, Key: subject(app) + ": " + keyFile, Got: "is there"})
	}
}

// setting returns a property that must be told.
func (o *outcome) setting(app host.ConnectorApp, key string) (v springconf.Value, seen bool) {
	v, err := app.Property(key)
	switch {
	case err != nil:
		o.unknown = append(o.unknown, err)
	case !v.Set:
		o.unknownf("cannot tell %s of %s: no file sets it, and what its image brings is not seen", key, app.Name())
	}
	return v, err == nil && v.Set
}
