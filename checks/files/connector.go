package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/properties"
)

// connectorParams are those of connector-secret-modes.
type connectorParams struct {
	Owner []string `yaml:"owner" doc:"Accounts, by name or number, that may own a file, besides the owner of the connector's folder."`
	Mode  Octal    `yaml:"mode" doc:"The most that the mode of a file with secrets may allow."`
	Other Octal    `yaml:"other" doc:"The most that the mode of the other configuration files and of trust stores may allow."`
}

// secretFile is a file of a connector, and whether it holds a secret.
type secretFile struct {
	name    string
	secret  bool
	mounted bool   // a container's user reads it
	owner   uint32 // of the connector's folder
}

func connectorModes(ctx context.Context, h *host.Host, p connectorParams) (checks.Verdict, error) {
	all, err := h.ConnectorApps(ctx)
	if err == nil && len(all) == 0 {
		err = host.ErrNoConnector
	}
	if err != nil {
		return checks.Verdict{}, err
	}
	accounts, err := h.Accounts(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	var bad, seen []checks.Evidence
	var unseen []error
	var repair Repair
	n := newNames(accounts)
	for _, c := range all {
		if c.Err != nil {
			unseen = append(unseen, c.Err)
			continue
		}
		files, err := filesOfConnector(h, c)
		if err != nil {
			unseen = append(unseen, err)
		}
		for _, f := range files {
			m, err := h.FileMode(f.name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				unseen = append(unseen, err)
				continue
			}
			want := access{Mode: p.Other}
			if f.secret {
				want.Mode = p.Mode
			}
			want.Owner = append(slices.Clone(p.Owner), strconv.FormatUint(uint64(f.owner), 10))
			t := thing{FileMode: m, named: true}
			if m.IsLink() {
				t.gone, t.link, t.owner = true, true, m.UID
			}
			if problems := t.problems(want, n); len(problems) > 0 {
				bad = append(bad, problems...)
				repair.addSecret(t, f.mounted, p.Owner, want, n)
				continue
			}
			seen = append(seen, checks.Evidence{Source: f.name, Key: keyMode, Got: t.describe(n)})
		}
	}
	switch {
	case len(bad) > 0:
		v := checks.Failed(reason(len(bad), bad[0]), bad...)
		v.Repair = repair
		return v, nil
	case len(unseen) > 0:
		return checks.Verdict{Evidence: seen}, errors.Join(unseen...)
	case len(seen) == 0:
		return checks.Inapplicable("The connector has no file that may hold a secret."), nil
	}
	return checks.Passed(seen...), nil
}

// filesOfConnector are .env, the files of env_file, compose's configs and secrets, and of what its services
// mount the configuration files and key stores, each once.
func filesOfConnector(h *host.Host, c host.ConnectorApps) ([]secretFile, error) {
	folder, err := h.FileMode(c.Connector.Dir)
	if err == nil && folder.IsLink() {
		folder, err = h.TargetMode(c.Connector.Dir)
	}
	if err != nil {
		return nil, err
	}
	var files []secretFile
	add := func(name string, secret, mounted bool) {
		i := slices.IndexFunc(files, func(f secretFile) bool { return f.name == name })
		if i < 0 {
			files = append(files, secretFile{name, secret, mounted, folder.UID})
			return
		}
		files[i].secret = files[i].secret || secret
		files[i].mounted = files[i].mounted || mounted
	}
	for _, name := range c.Connector.EnvFiles {
		add(name, true, false)
	}
	for _, f := range c.Sources {
		add(f.Path, slices.Contains(c.Connector.Secrets, f.Path) || holdsSecret(f), true)
	}
	folders := map[string]bool{}
	var failed error
	for _, app := range c.Apps {
		for _, f := range app.Config {
			add(f.Path, holdsSecret(f), true)
		}
		for _, m := range app.Mounts {
			if m.Type != "bind" || folders[m.Source] {
				continue
			}
			folders[m.Source] = true
			stores, err := storesIn(h, m.Source)
			failed = errors.Join(failed, err)
			for _, name := range stores {
				add(name, isKeyStore(h, c, name), true)
			}
		}
	}
	slices.SortFunc(files, func(a, b secretFile) int { return strings.Compare(a.name, b.name) })
	return files, failed
}

// storesIn lists the key and trust stores directly in a folder that is mounted.
func storesIn(h *host.Host, dir string) ([]string, error) {
	info, err := h.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && !info.IsDir() {
		if isStore(dir) {
			return []string{dir}, nil
		}
		return nil, nil
	}
	entries, err := h.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot look for key stores: %w", err)
	}
	var names []string
	for _, e := range entries {
		if isStore(e.Name()) {
			names = append(names, path.Join(dir, e.Name()))
		}
	}
	return names, nil
}

func isStore(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".jks", ".jceks", ".p12", ".pfx", ".pkcs12", ".keystore", ".key", ".pem":
		return true
	}
	return false
}

// isKeyStore reports whether a store may hold private keys: one that the
// settings name as a trust store, and as nothing else, does not.
func isKeyStore(h *host.Host, c host.ConnectorApps, name string) bool {
	if path.Ext(name) == ".pem" {
		data, _, err := h.ReadUntrusted(path.Dir(name), path.Base(name), host.MaxFile)
		return err != nil || strings.Contains(string(data), "PRIVATE KEY")
	}
	trust, key := false, false
	for _, app := range c.Apps {
		for _, setting := range []struct {
			property string
			trust    bool
		}{
			{"application.trustStoreName", true}, {"server.ssl.trust-store", true}, {"application.keyStoreName", false},
			{"application.ssl.key-store.name", false}, {"server.ssl.key-store", false},
		} {
			v, err := app.Property(setting.property)
			if err != nil || !v.Set || path.Base(v.Text.Reveal()) != path.Base(name) {
				continue
			}
			trust, key = trust || setting.trust, key || !setting.trust
		}
	}
	return key || !trust
}

// holdsSecret reports whether a configuration file sets what its name says is
// secret, by itself and not by a variable.
func holdsSecret(f host.ConfigFile) bool {
	parsed, err := properties.Parse(f.Path, f.Data)
	if err != nil {
		return true
	}
	for _, p := range parsed.All {
		key := strings.ToLower(p.Key)
		secret := strings.Contains(key, "password") || strings.Contains(key, "secret") || strings.Contains(key, "token")
		if secret && p.Value != "" && p.Value != "xxx" && !strings.HasPrefix(p.Value, "${") && !isPlain(p.Value) {
			return true
		}
	}
	return false
}

// isPlain reports whether a value is a switch or a number, such as those of
// password.minLength.
func isPlain(value string) bool {
	if value == "true" || value == "false" {
		return true
	}
	n, err := strconv.Atoi(value)
	return err == nil && n < 1000
}
