package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/certificate"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/keystore"
)

var certificateCheck = checks.Check{
	Name:    "connector-certificate",
	Looks:   "Opens the key stores that the execution core, data app and usage control of each connector are told to use by their effective properties (server.ssl, camel, with DAPS on application.keyStoreName, and of a data app server.ssl in config.properties), with the passwords that stand there, and judges the entries that are used. Validity is judged by the time of the time servers where the clock could be compared with them, else by the host's clock. With chain, the last certificate must be signed by itself or by an authority of one of the connector's trust stores or of /etc/ssl/certs/ca-certificates.crt.",
	Blind:   "Stores within an image, PEM files and bundles named in their place, JCEKS and BKS: these are errors. Whether a certificate was revoked, what its authorities limit its names to, whom partners trust, and whether the application has read the store since it was written.",
	Needs:   host.Root,
	Binding: checks.Params(certificateParams{}, certificates),
}

type certificateParams struct {
	Stores    []string `yaml:"stores" doc:"Which stores with a key of its own: tls (the connector serves with it), daps (it gets its tokens by it)."`
	Addressed bool     `yaml:"addressed" doc:"Whether a TLS certificate must be for the host names by which the connector's applications address each other."`
	CoreNames []string `yaml:"core_names" doc:"Host names by which partners address the execution core: its TLS certificate must be for them."`
	Servers   []string `yaml:"servers" doc:"NTP servers by whose time certificates are judged, as NAME or NAME:PORT; empty: those of the time daemon."`

	certificate.Wants `yaml:",inline"`
}

var storeWords = map[string]host.StoreUse{"tls": host.StoreTLS, "daps": host.StoreDAPS}

// Validate wants stores that there are.
func (p certificateParams) Validate() error {
	if len(p.Stores) == 0 {
		return errors.New("stores is empty")
	}
	for _, word := range p.Stores {
		if _, known := storeWords[word]; !known {
			return fmt.Errorf("stores: %q is neither tls nor daps", word)
		}
	}
	if err := validServers(p.Servers); err != nil {
		return err
	}
	w := p.Wants
	w.Names = slices.Concat(w.Names, p.CoreNames)
	return w.Validate()
}

func validServers(servers []string) error {
	for _, s := range servers {
		if _, err := host.ParseTimeServer(s); err != nil {
			return fmt.Errorf("servers: %w", err)
		}
	}
	return nil
}

func certificates(ctx context.Context, h *host.Host, p certificateParams) (checks.Verdict, error) {
	stores, err := h.ConnectorStores(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	var now host.Now
	if p.Valid || p.Left > 0 {
		now = h.MeasuredNow(ctx, p.Servers)
	}
	return judgeCertificates(stores, p, now, func() (host.Authorities, error) { return h.Authorities(ctx) })
}

// judgeCertificates judges the entries that the connectors' applications use.
// That a store, or the entry, is there is judged with Pair; without it what is
// absent has no certificate to judge. A store that does not open is an error. The
// host's authorities are asked for when a chain does not do without.
func judgeCertificates(all []host.KeyStore, p certificateParams, now host.Now, authorities func() (host.Authorities, error)) (checks.Verdict, error) {
	stores := slices.DeleteFunc(slices.Clone(all), func(s host.KeyStore) bool {
		return !slices.ContainsFunc(p.Stores, func(word string) bool { return storeWords[word] == s.Use })
	})
	if len(stores) == 0 {
		return checks.Inapplicable(fmt.Sprintf("The connector uses no store of this kind (%s).", strings.Join(p.Stores, ", "))), nil
	}
	var r collected
	for _, s := range stores {
		switch {
		case s.Err != nil:
			r.unseen(s.Err)
		case s.Absent:
			e := placeOf(s)
			e.Key, e.Want, e.Got = fmt.Sprintf("%s key store of %s", s.Use, s.App), "there", "no such file"
			if s.Path == "" {
				e.Got = "none is named"
			}
			r.absent(e, p.Pair)
		case s.Store.Format != keystore.JKS && s.Store.Format != keystore.PKCS12:
			r.absent(checks.Evidence{Source: s.Path, Key: "format", Want: "JKS or PKCS#12, which Java reads", Got: string(s.Store.Format)}, p.Pair)
		default:
			judgeOwn(&r, s, p, now)
			if p.Chain {
				judgeOwnChains(&r, s, all, authorities)
			}
		}
	}
	if p.Valid || p.Left > 0 {
		r.clock = &checks.Evidence{Source: "clock", Key: "judged by the time of", Got: now.By}
	}
	return r.verdict("The connector's stores hold no certificate to judge.")
}

// judgeOwn judges what an application uses of an opened store.
func judgeOwn(r *collected, s host.KeyStore, p certificateParams, now host.Now) {
	own := s.Own()
	if len(own) == 0 {
		want := "an entry with a private key"
		if s.Alias != "" {
			want = "an entry " + s.Alias
		}
		r.absent(checks.Evidence{Source: s.Path, Key: "entry", Want: want, Got: aliases(s.Store)}, p.Pair)
		return
	}
	w := p.Wants
	w.Chain = false // judgeOwnChains knows more
	if s.Use == host.StoreTLS && p.Addressed {
		if s.NamesErr != nil {
			r.unseen(s.NamesErr)
		}
		w.Names = slices.Concat(w.Names, s.Names)
	}
	if s.Use == host.StoreTLS && s.Core {
		w.Names = slices.Concat(w.Names, p.CoreNames)
	}
	for _, e := range own {
		faults, err := certificate.Judge(e, w, now.Time)
		if err != nil {
			r.unseen(fmt.Errorf("%s: entry %s: %w", s.Path, e.Alias, err))
		}
		for _, f := range faults {
			r.fault(checks.Evidence{Source: s.Path, Key: e.Alias + ": " + f.Key, Want: f.Want, Got: f.Got})
		}
		if len(e.Chain) > 0 {
			got := certificate.Describe(e.Chain[0], now.Time)
			if now.IsZero() {
				got = certificate.Summary(e.Chain[0])
			}
			if len(w.Names) > 0 {
				got += ", for " + strings.Join(certificate.Names(e.Chain[0]), ", ")
			}
			r.see(checks.Evidence{Source: s.Path, Key: e.Alias, Got: got})
		}
	}
}

// placeOf is where a store is, or where it should be named.
func placeOf(s host.KeyStore) checks.Evidence {
	if s.Path != "" {
		return checks.Evidence{Source: s.Path}
	}
	return checks.Evidence{Source: s.NamedBy.Source, Line: s.NamedBy.Line}
}

// aliases lists the entries of a store, few of many.
func aliases(s *keystore.Store) string {
	var names []string
	for _, e := range s.Entries {
		kind := "certificate"
		if e.Private {
			kind = "key"
		}
		if names = append(names, fmt.Sprintf("%s (%s)", e.Alias, kind)); len(names) == maxListed {
			break
		}
	}
	if len(names) == 0 {
		return "the store is empty"
	}
	return strings.Join(names, ", ")
}
