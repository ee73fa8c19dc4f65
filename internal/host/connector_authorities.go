package host

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
)

// Authorities are the certificate authorities that the host's programs trust.
type Authorities struct {
	Path         string // where ca-certificates(8) puts them together
	Absent       bool   // there is no such file
	Certificates []*x509.Certificate
	Unread       int // certificates that could not be read
}

const authoritiesFile = "/etc/ssl/certs/ca-certificates.crt"

// Authorities returns the authorities that the host's programs trust. A host
// without them has none, and no error.
func (h *Host) Authorities(ctx context.Context) (Authorities, error) {
	return h.authorities.get(ctx, func(context.Context) (Authorities, error) {
		a := Authorities{Path: authoritiesFile}
		rest, err := h.ReadFile(a.Path)
		if errors.Is(err, fs.ErrNotExist) {
			a.Absent = true
			return a, nil
		}
		if err != nil {
			return a, fmt.Errorf("cannot read the authorities that this host trusts: %w", err)
		}
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				return a, nil
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				a.Unread++
				continue
			}
			a.Certificates = append(a.Certificates, cert)
		}
	})
}
