package files

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/certificate"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/keystore"
	"github.com/hostguard/hostguard/internal/properties"
)

type certificateParams struct {
	Paths       []string    `yaml:"paths" doc:"Absolute paths, or patterns for them (glob(7)), of PEM files, certificates, and key stores (JKS, PKCS#12)."`
	Optional    bool        `yaml:"optional" doc:"Whether none of them may be there."`
	Bundle      bool        `yaml:"bundle" doc:"Each certificate of a PEM file stands for itself, as in a list of authorities; else the first is the one judged, and the others are its issuers."`
	Key         string      `yaml:"key" doc:"The PEM file of the private key, when it is not in the same file."`
	Password    secretPlace `yaml:"password" doc:"Where the password of the stores stands."`
	KeyPassword secretPlace `yaml:"key_password" doc:"Where the password of their private keys stands, when it is another one."`
	Servers     []string    `yaml:"servers" doc:"NTP servers by whose time certificates are judged, as NAME or NAME:PORT; empty: those of the time daemon."`

	certificate.Wants `yaml:",inline"`
}

// secretPlace is where a secret stands: rules hold none.
type secretPlace struct {
	File string `yaml:"file" doc:"A file with lines KEY=VALUE (properties, environment); a value in quotes is what they hold."`
	Key  string `yaml:"key" doc:"The key of the line."`
}

// Validate wants paths that can be looked at.
func (p certificateParams) Validate() error {
	if len(p.Paths) == 0 {
		return errors.New("paths is empty")
	}
	for _, name := range p.Paths {
		if !path.IsAbs(name) {
			return fmt.Errorf("paths: %q is not absolute", name)
		}
		if _, err := path.Match(name, ""); err != nil {
			return fmt.Errorf("paths: %q is not a pattern: %w", name, err)
		}
	}
	for key, name := range map[string]string{"key": p.Key, "password.file": p.Password.File, "key_password.file": p.KeyPassword.File} {
		if name != "" && !path.IsAbs(name) {
			return fmt.Errorf("%s: %q is not absolute", key, name)
		}
	}
	for key, at := range map[string]secretPlace{"password": p.Password, "key_password": p.KeyPassword} {
		if (at.File == "") != (at.Key == "") {
			return fmt.Errorf("%s: file and key go together", key)
		}
	}
	for _, s := range p.Servers {
		if _, err := host.ParseTimeServer(s); err != nil {
			return fmt.Errorf("servers: %w", err)
		}
	}
	return p.Wants.Validate()
}

// openedStore is a file of certificates as it was opened.
type openedStore struct {
	path    string
	entries []keystore.Entry
	err     error
}

func certificates(ctx context.Context, h *host.Host, p certificateParams) (checks.Verdict, error) {
	var passwords keystore.Passwords
	for _, s := range []struct {
		at   secretPlace
		into *string
	}{{p.Password, &passwords.Store}, {p.KeyPassword, &passwords.Key}} {
		if s.at.File == "" {
			continue
		}
		text, err := readSecret(h, s.at)
		if err != nil {
			return checks.Verdict{}, err
		}
		*s.into = text
	}
	var stores []openedStore
	for _, pattern := range p.Paths {
		names, err := h.Glob(pattern)
		if err != nil {
			return checks.Verdict{}, err
		}
		for _, name := range names {
			entries, err := openStore(ctx, h, name, passwords, p)
			stores = append(stores, openedStore{name, entries, err})
		}
	}
	if len(stores) == 0 {
		absent := fmt.Sprintf("None of these files is there: %s.", firstOf(p.Paths, 4))
		if p.Optional {
			return checks.Inapplicable(absent), nil
		}
		return checks.Failed(absent, checks.Evidence{Source: p.Paths[0], Key: "certificate", Want: "there", Got: "no such file"}), nil
	}
	return judgeStores(stores, p.Wants, h.MeasuredNow(ctx, p.Servers))
}

// readSecret returns the value of a line. The error never holds it.
func readSecret(h *host.Host, at secretPlace) (string, error) {
	data, err := h.ReadFile(at.File)
	if err != nil {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	file, err := properties.Parse(at.File, data)
	if err != nil {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	found, ok := file.Get(at.Key)
	if !ok {
		return "", fmt.Errorf("cannot read the password: %s has no %s", at.File, at.Key)
	}
	value := found.Value
	for _, quote := range []string{`"`, `'`} {
		if len(value) >= 2 && strings.HasPrefix(value, quote) && strings.HasSuffix(value, quote) {
			return value[1 : len(value)-1], nil
		}
	}
	return value, nil
}

func openStore(ctx context.Context, h *host.Host, name string, passwords keystore.Passwords, p certificateParams) ([]keystore.Entry, error) {
	data, err := h.ReadFile(name)
	if err != nil {
		return nil, err
	}
	store, err := keystore.OpenWith(ctx, data, passwords)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	entries := store.Entries
	if store.Format == keystore.PEM && !p.Bundle && !entries[0].Private {
		for _, e := range entries[1:] {
			entries[0].Chain = append(entries[0].Chain, e.Chain...)
		}
		entries = entries[:1]
	}
	if p.Key != "" && len(entries) > 0 {
		if err := addKey(ctx, h, p.Key, &entries[0]); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// addKey gives an entry the private key of another file.
func addKey(ctx context.Context, h *host.Host, name string, e *keystore.Entry) error {
	e.Private = true
	key, err := h.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Private = false
		return nil
	case err != nil:
		return err
	case len(e.Chain) == 0:
		return nil
	}
	var both bytes.Buffer
	if err := pem.Encode(&both, &pem.Block{Type: "CERTIFICATE", Bytes: e.Chain[0].Raw}); err != nil {
		return err
	}
	both.WriteByte('\n')
	both.Write(key)
	opened, err := keystore.Open(ctx, both.Bytes(), "", "")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(opened.Entries) != 1 || !opened.Entries[0].Private {
		return fmt.Errorf("%s: it holds no private key", name)
	}
	e.KeyErr = opened.Entries[0].KeyErr
	return nil
}

// judgeStores wants every certificate of every store to be as wanted. What
// could not be opened is an error, unless another is at fault for certain.
func judgeStores(stores []openedStore, w certificate.Wants, now host.Now) (checks.Verdict, error) {
	var faults, seen []checks.Evidence
	var unseen []error
	for _, s := range stores {
		if s.err != nil {
			unseen = append(unseen, s.err)
			continue
		}
		if len(s.entries) == 0 {
			faults = append(faults, checks.Evidence{Source: s.path, Key: "certificate", Want: "one", Got: "the store is empty"})
		}
		for _, e := range s.entries {
			of := ""
			if e.Alias != "" {
				of = e.Alias + ": "
			}
			found, err := certificate.Judge(e, w, now.Time)
			if err != nil {
				unseen = append(unseen, fmt.Errorf("%s: %s%w", s.path, of, err))
			}
			for _, f := range found {
				faults = append(faults, checks.Evidence{Source: s.path, Key: of + f.Key, Want: f.Want, Got: f.Got})
			}
			if len(e.Chain) > 0 {
				seen = append(seen, checks.Evidence{Source: s.path, Key: of + "certificate", Got: certificate.Describe(e.Chain[0], now.Time)})
			}
		}
	}
	if len(seen) > 0 && (w.Valid || w.Left > 0) {
		seen = append(seen, checks.Evidence{Source: "clock", Key: "judged by", Got: now.By})
	}
	if len(faults) > maxEvidence {
		faults = faults[:maxEvidence]
	}
	if len(faults) > 0 {
		return checks.Failed("A certificate is not as it must be.", append(faults, seen[max(0, len(seen)-1):]...)...), nil
	}
	if len(seen) > maxEvidence {
		seen = seen[:maxEvidence]
	}
	if len(unseen) > 0 {
		return checks.Verdict{Evidence: seen}, errors.Join(unseen...)
	}
	return checks.Passed(seen...), nil
}
