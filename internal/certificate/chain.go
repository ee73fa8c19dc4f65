package certificate

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// JudgeChain says what keeps a peer from verifying the chain that a server sends,
// its own certificate first: each must be signed by the next, which must be an
// authority that may sign it (RFC 5280, 6.1), and the chain must end with a
// certificate that signs itself, or lead to one of the anchors. Validity, names and
// uses play no part. An error says what could not be verified.
func JudgeChain(chain, anchors []*x509.Certificate) ([]Fault, error) {
	if len(chain) == 0 {
		return nil, errors.New("cannot look at the chain: it is empty")
	}
	faults, err := JudgeOrder(chain)
	last := chain[len(chain)-1]
	if len(faults) > 0 || err != nil || SelfSigned(last) {
		return faults, err
	}
	if leads, err := leadsTo(chain, anchors); leads || err != nil {
		return nil, err
	}
	return []Fault{{"chain", "its issuer follows, " + last.Issuer.String(), fmt.Sprintf("it ends with %s, and no authority that is known has signed it", Subject(last))}}, nil
}

// leadsTo reports whether an authority among the anchors has signed one of the
// certificates of a chain that is in order.
func leadsTo(chain, anchors []*x509.Certificate) (bool, error) {
	var unseen error
	for i, cert := range chain {
		for _, a := range anchors {
			if string(cert.RawIssuer) != string(a.RawSubject) {
				continue
			}
			faults, err := JudgeOrder(append(slices.Clip(chain[:i+1]), a))
			if len(faults) == 0 && err == nil {
				return true, nil
			}
			unseen = errors.Join(unseen, err)
		}
	}
	return false, unseen
}

// JudgeOrder wants each certificate of a chain signed by the next, an authority, as
// JudgeChain does, and nothing of the last.
func JudgeOrder(chain []*x509.Certificate) ([]Fault, error) {
	intermediates := 0 // between the first certificate and issuer, those that issued themselves left out
	for i := range len(chain) - 1 {
		cert, issuer := chain[i], chain[i+1]
		fault := func(want, got string) []Fault { return []Fault{{"chain", want, got}} }
		if string(cert.RawIssuer) != string(issuer.RawSubject) {
			got := fmt.Sprintf("%s, issued by %s", Subject(cert), cert.Issuer)
			if slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return signedBy(cert, c) }) {
				got += ", which stands elsewhere in the chain"
			}
			return fault("signed by the next, "+Subject(issuer), got), nil
		}
		err := issuer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature)
		var old x509.InsecureAlgorithmError
		switch {
		case errors.As(err, &old):
			return fault("a signature that peers accept", fmt.Sprintf("%s is signed with %v", Subject(cert), cert.SignatureAlgorithm)), nil
		case errors.Is(err, x509.ErrUnsupportedAlgorithm):
			return nil, fmt.Errorf("cannot verify that %s has signed %s: the signature is of a kind that is not known here", Subject(issuer), Subject(cert))
		case err != nil:
			return fault("signed by the next, "+Subject(issuer), fmt.Sprintf("%s names %s as its issuer, but another key has signed it", Subject(cert), cert.Issuer)), nil
		}
		if why := mayIssue(issuer); why != "" {
			return fault("an authority as issuer of "+Subject(cert), fmt.Sprintf("%s, %s", Subject(issuer), why)), nil
		}
		if limited := issuer.MaxPathLen > 0 || issuer.MaxPathLenZero; limited && intermediates > issuer.MaxPathLen {
			return fault(fmt.Sprintf("at most %d authorities below %s", issuer.MaxPathLen, Subject(issuer)), fmt.Sprint(intermediates)), nil
		}
		if string(issuer.RawIssuer) != string(issuer.RawSubject) {
			intermediates++
		}
	}
	return nil, nil
}

// mayIssue says why a certificate is not that of an authority which may sign
// others; empty: it is. Before version 3 nothing could say so.
func mayIssue(cert *x509.Certificate) string {
	switch {
	case cert.Version < 3 && SelfSigned(cert):
		return ""
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return "which is no authority (CA:TRUE is missing)"
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return "whose key may not sign certificates (keyCertSign is missing)"
	}
	return ""
}
