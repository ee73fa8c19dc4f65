package certificate

import "crypto/x509"

// published are the public halves, by KeyFingerprint, of private keys that
// anybody can download: whoever uses one has no secret.
var published = map[string]string{
	"92dd069ca2661043cb74876e5c1fda9293648c34c8bc9dd880f908cbd323a041": "the key store that TRUE Connector ships (ssl-server.jks)",
	// TRUE Connector's trust store holds certificates of these.
	"1913b37b03721f1a6d0d1aaf35a4cf56a4bacab6678c6eb282d52e46cd93b81e": "the IDS testbed's certificate authority (ReferenceTestbedCA.key)",
	"16fa7fcdad82f38968eb4e131ce699a1a79d1caf42dbd3e2558f308bc26c11e6": "the IDS testbed (testbed1.key)",
	"dd15d1ef1723543489b0545b7936f2f25c1b61cd8cf5c17d865a3324f4569f96": "the IDS testbed (testbed2.key)",
	"43b9f9cfb07024bd9ee25dc162dc0691e01093a29cbec005f9844b23765b5990": "the IDS testbed (testbed4.key)",
}

// Published says where the private key of a certificate can be downloaded.
func Published(cert *x509.Certificate) (origin string, known bool) {
	origin, known = published[KeyFingerprint(cert)]
	return origin, known
}
