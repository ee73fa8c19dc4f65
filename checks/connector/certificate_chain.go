package connector

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/certificate"
	"github.com/hostguard/hostguard/internal/host"
)

// judgeOwnChains wants the chain of each certificate that an application uses to be
// in order, and to end where somebody can trust it.
func judgeOwnChains(r *collected, s host.KeyStore, all []host.KeyStore, authorities func() (host.Authorities, error)) {
	for _, e := range s.Own() {
		if len(e.Chain) == 0 {
			continue
		}
		faults, err := certificate.JudgeOrder(e.Chain)
		var looked string
		if len(faults) == 0 && err == nil {
			faults, looked, err = judgeEnd(e.Chain, s.Connector, all, authorities)
		}
		if err != nil {
			r.unseen(fmt.Errorf("%s: entry %s: %w", s.Path, e.Alias, err))
			continue
		}
		for _, f := range faults {
			r.fault(checks.Evidence{Source: s.Path, Key: e.Alias + ": " + f.Key, Want: f.Want, Got: f.Got + looked})
		}
		if len(faults) == 0 {
			r.see(checks.Evidence{Source: s.Path, Key: e.Alias + ": chain", Got: fmt.Sprintf("%d in order, the last issued by %s", len(e.Chain), e.Chain[len(e.Chain)-1].Issuer)})
		}
	}
}

// judgeEnd wants a chain's last certificate to be signed by itself, by an authority
// that the connector trusts, or by one that this host does. looked says where none was.
func judgeEnd(chain []*x509.Certificate, connector string, all []host.KeyStore, authorities func() (host.Authorities, error)) (faults []certificate.Fault, looked string, unseen error) {
	var anchors []*x509.Certificate
	var places []string
	for _, s := range all {
		if s.Connector != connector || s.Use != host.StoreTrust || slices.Contains(places, s.Path) {
			continue
		}
		switch {
		case s.Err != nil:
			unseen = errors.Join(unseen, s.Err)
		case s.Store != nil:
			anchors, places = append(anchors, s.Trusted()...), append(places, s.Path)
		}
	}
	faults, err := certificate.JudgeChain(chain, anchors)
	if len(faults) == 0 && err == nil {
		return nil, "", nil
	}
	known, authoritiesErr := authorities()
	faults, err = certificate.JudgeChain(chain, append(anchors, known.Certificates...))
	if len(faults) == 0 && err == nil {
		return nil, "", nil
	}
	place := known.Path
	switch {
	case known.Absent:
		place += " (absent)"
	case known.Unread > 0:
		unseen = errors.Join(unseen, fmt.Errorf("cannot read %d certificates of %s", known.Unread, known.Path))
	}
	return faults, ": looked for in " + strings.Join(append(places, place), ", "), errors.Join(unseen, err, authoritiesErr)
}
