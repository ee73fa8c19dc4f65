package certificate

import "crypto/x509"

// published are the public halves, by KeyFingerprint, of private keys that
// anybody can download: whoever uses one has no secret.
var published = map[string]string{
	"92dd069ca2661043cb74876e5c1fda9293648c34c8bc9dd880f908cbd323a041": "the key store that TRUE Connector ships (ssl-server.jks)",
}

// Published says where the private key of a certificate can be downloaded.
func Published(cert *x509.Certificate) (origin string, known bool) {
	origin, known = published[KeyFingerprint(cert)]
	return origin, known
}
