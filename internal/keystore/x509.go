package keystore

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
)

// ParseCertificate reads a certificate as Java and openssl do: Go refuses one
// that marks a key identifier as critical, or has a negative serial number, which
// RFC 5280 forbids its maker. Certificates of the IDS testbed are such.
func ParseCertificate(der []byte) (*x509.Certificate, error) {
	cert, err := x509.ParseCertificate(der)
	if err == nil {
		return cert, nil
	}
	mended, signed, ok := mend(der)
	if !ok {
		return nil, err
	}
	again, errAgain := x509.ParseCertificate(mended)
	if errAgain != nil {
		return nil, err
	}
	// What it is known by, and what its issuer signed, is the original.
	again.Raw, again.RawTBSCertificate = bytes.Clone(der), bytes.Clone(signed)
	return again, nil
}

var (
	oidSubjectKeyID   = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidAuthorityKeyID = asn1.ObjectIdentifier{2, 5, 29, 35}
)

// mend writes a certificate without what Go is strict about. It returns the part
// that is signed, too, as it was.
func mend(der []byte) (mended, signed []byte, ok bool) {
	var cert struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	var tbs struct {
		Version         int `asn1:"optional,explicit,default:0,tag:0"`
		SerialNumber    *big.Int
		Algorithm       asn1.RawValue
		Issuer          asn1.RawValue
		Validity        asn1.RawValue
		Subject         asn1.RawValue
		PublicKey       asn1.RawValue
		IssuerUniqueID  asn1.BitString   `asn1:"optional,tag:1"`
		SubjectUniqueID asn1.BitString   `asn1:"optional,tag:2"`
		Extensions      []pkix.Extension `asn1:"omitempty,optional,explicit,tag:3"`
	}
	if rest, err := asn1.Unmarshal(der, &cert); err != nil || len(rest) > 0 {
		return nil, nil, false
	}
	signed = cert.TBS.FullBytes
	if rest, err := asn1.Unmarshal(signed, &tbs); err != nil || len(rest) > 0 {
		return nil, nil, false
	}
	for i, e := range tbs.Extensions {
		if e.Id.Equal(oidSubjectKeyID) || e.Id.Equal(oidAuthorityKeyID) {
			tbs.Extensions[i].Critical = false
		}
	}
	tbs.SerialNumber.Abs(tbs.SerialNumber)
	text, err := asn1.Marshal(tbs)
	if err != nil {
		return nil, nil, false
	}
	cert.TBS = asn1.RawValue{FullBytes: text}
	mended, err = asn1.Marshal(cert)
	return mended, signed, err == nil
}
