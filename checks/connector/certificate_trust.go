package connector

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/certificate"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/keystore"
)

var trustCheck = checks.Check{
	Name:    "connector-trust",
	Looks:   "Opens the trust stores that the applications of each connector are told to use (application.trustStoreName, server.ssl.trust-store), and judges the certificates in them.",
	Blind:   "Whom an application trusts besides, by code or by the image's Java. Whether a partner or the DAPS is among those that are trusted, and whether those that are should be.",
	Needs:   host.Root,
	Binding: checks.Params(trustParams{}, trust),
}

type trustParams struct {
	Own         bool     `yaml:"own" doc:"Whether the trust store must lead to the TLS certificates of the connector's own applications, and these must come with what lies between."`
	Unpublished bool     `yaml:"unpublished" doc:"Whether a trusted certificate whose private key is public knowledge is at fault."`
	Valid       bool     `yaml:"valid" doc:"Whether a trusted certificate that has expired is at fault."`
	Servers     []string `yaml:"servers" doc:"NTP servers by whose time certificates are judged, as NAME or NAME:PORT; empty: those of the time daemon."`
}

// Validate wants servers that can be asked.
func (p trustParams) Validate() error { return validServers(p.Servers) }

func trust(ctx context.Context, h *host.Host, p trustParams) (checks.Verdict, error) {
	stores, err := h.ConnectorStores(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	var now host.Now
	if p.Valid {
		now = h.MeasuredNow(ctx, p.Servers)
	}
	return judgeTrust(stores, p, now)
}

// judgeTrust judges the trust stores of the connectors' applications. An
// execution core without one is an error: it trusts whom the image says.
func judgeTrust(stores []host.KeyStore, p trustParams, now host.Now) (checks.Verdict, error) {
	var r collected
	cores := map[string]bool{} // whether its trust store was found
	for _, s := range stores {
		if s.Core {
			cores[s.App] = cores[s.App] || s.Use == host.StoreTrust
		}
		switch {
		case s.Use != host.StoreTrust:
			if s.App == "" && s.Err != nil { // nothing of this connector could be told
				r.unseen(s.Err)
			}
		case s.Err != nil:
			r.unseen(s.Err)
		case s.Absent:
			e := placeOf(s)
			e.Key, e.Want, e.Got = "trust store of "+s.App, "there", "no such file"
			r.absent(e, p.Own)
		case s.Store.Format != keystore.JKS && s.Store.Format != keystore.PKCS12:
			r.absent(checks.Evidence{Source: s.Path, Key: "format", Want: "JKS or PKCS#12, which Java reads", Got: string(s.Store.Format)}, p.Own)
		default:
			judgeTrusted(&r, s, p, now)
			if p.Own && s.Core {
				judgeOwnTrust(&r, s, stores)
			}
		}
	}
	for app, found := range cores {
		if !found {
			r.unseen(fmt.Errorf("cannot tell whom %s trusts: none of its properties names a trust store", app))
		}
	}
	if p.Valid {
		r.clock = &checks.Evidence{Source: "clock", Key: "judged by the time of", Got: now.By}
	}
	return r.verdict("The connector has no such certificate.")
}

// judgeTrusted judges each trusted certificate.
func judgeTrusted(r *collected, s host.KeyStore, p trustParams, now host.Now) {
	valid := 0
	for _, e := range s.Store.Entries {
		if e.CertErr != nil {
			r.unseen(fmt.Errorf("%s: entry %s: %w", s.Path, e.Alias, e.CertErr))
		}
		if len(e.Chain) == 0 || e.Loose || e.Private {
			continue
		}
		cert := e.Chain[0]
		if origin, known := certificate.Published(cert); p.Unpublished && known {
			r.fault(checks.Evidence{Source: s.Path, Key: e.Alias + ": trusted private key", Want: "known to its owner only", Got: "published: " + origin + ", of " + certificate.Subject(cert)})
			continue
		}
		if p.Valid && now.After(cert.NotAfter) {
			r.fault(checks.Evidence{Source: s.Path, Key: e.Alias + ": validity", Want: "not expired", Got: certificate.Span(cert, now.Time) + ", " + certificate.Subject(cert)})
			continue
		}
		valid++
	}
	if p.Valid || p.Unpublished {
		r.see(checks.Evidence{Source: s.Path, Key: "trusted certificates", Got: fmt.Sprint(valid)})
	}
}

// judgeOwnTrust: the applications of a connector call each other, and look the
// certificate up in the execution core's trust store.
func judgeOwnTrust(r *collected, trusting host.KeyStore, stores []host.KeyStore) {
	anchors := trusting.Trusted()
	roots := slices.DeleteFunc(slices.Clone(anchors), func(c *x509.Certificate) bool { return !certificate.SelfSigned(c) })
	for _, s := range stores {
		if s.Connector != trusting.Connector || s.Use != host.StoreTLS {
			continue
		}
		if s.Err != nil {
			r.unseen(s.Err)
			continue
		}
		if s.Store == nil {
			continue
		}
		for _, e := range s.Own() {
			if len(e.Chain) == 0 {
				continue
			}
			own := e.Chain[0]
			pinned := slices.ContainsFunc(anchors, own.Equal)
			switch {
			case !certificate.Trusted(e.Chain, anchors):
				r.fault(checks.Evidence{Source: trusting.Path, Key: "trust in " + e.Alias, Want: "its certificate, or its issuer's: " + s.Path, Got: listed(anchors)})
			case !pinned && len(e.Chain) == 1 && !certificate.Trusted(e.Chain, roots):
				r.fault(checks.Evidence{Source: s.Path, Key: e.Alias + ": chain", Want: "its issuer follows, " + own.Issuer.String(), Got: "alone: partners who trust the root cannot tell"})
			default:
				r.see(checks.Evidence{Source: trusting.Path, Key: "trust in " + e.Alias, Got: certificate.Subject(own) + " of " + s.Path})
			}
		}
	}
}

// listed names certificates, few of many.
func listed(certs []*x509.Certificate) string {
	var names []string
	for _, c := range certs {
		if names = append(names, certificate.Subject(c)); len(names) == maxListed {
			break
		}
	}
	if len(names) == 0 {
		return "no certificate"
	}
	return strings.Join(names, ", ")
}
