package host

import (
	"os"
	"strings"
	"testing"
)

func TestAuthorities(t *testing.T) {
	t.Parallel()
	bundle, err := os.ReadFile("testdata/authority.pem")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		files               map[string]string
		certificates, wrong int
		absent              bool
		err                 string
	}{
		"two":        {map[string]string{"etc/ssl/certs/ca-certificates.crt": string(bundle) + "# a comment\n" + string(bundle)}, 2, 0, false, ""},
		"one is cut": {map[string]string{"etc/ssl/certs/ca-certificates.crt": string(bundle) + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, 1, 1, false, ""},
		"none":       {nil, 0, 0, true, ""},
		"too large":  {map[string]string{"etc/ssl/certs/ca-certificates.crt": strings.Repeat("#\n", MaxFile)}, 0, 0, false, "too large"},
		"a folder":   {map[string]string{"etc/ssl/certs/ca-certificates.crt/": ""}, 0, 0, false, "not a regular file"},
	} {
		a, err := hostTree(t, with(c.files), Options{}).Authorities(t.Context())
		if len(a.Certificates) != c.certificates || a.Unread != c.wrong || a.Absent != c.absent || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %d, %d, absent %v, %v", name, len(a.Certificates), a.Unread, a.Absent, err)
		}
	}
}
