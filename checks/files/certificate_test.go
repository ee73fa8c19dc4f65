package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/certificate"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/keystore"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/lab/checktest"
	"github.com/hostguard/hostguard/internal/quantity"
)

// pki makes certificates with openssl: own, signed by root; other, by itself;
// own.p12 with both and the password "hush-hush".
func pki(t *testing.T) string {
	t.Helper()
	lab.Need(t, lab.OpenSSL)
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		if r := lab.Exec(t, append([]string{"openssl"}, args...)...); r.Code != 0 {
			t.Fatalf("%q: %s", args, r.Stderr)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	make := func(name string, more ...string) {
		run(append([]string{"req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "60",
			"-keyout", at(name + ".key"), "-out", at(name + ".pem"), "-subj", "/CN=" + name, "-addext", "subjectAltName=DNS:" + name + ".example.org"}, more...)...)
	}
	make("root")
	make("own", "-CA", at("root.pem"), "-CAkey", at("root.key"))
	make("other")
	run("pkcs12", "-export", "-inkey", at("own.key"), "-in", at("own.pem"), "-certfile", at("root.pem"), "-out", at("own.p12"), "-passout", "pass:hush-hush", "-name", "Own")
	return dir
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	dir := pki(t)
	read := func(names ...string) string {
		var all strings.Builder
		for _, n := range names {
			data, err := os.ReadFile(filepath.Join(dir, n))
			if err != nil {
				t.Fatal(err)
			}
			all.Write(data)
		}
		return all.String()
	}
	days := func(n int) quantity.Duration { return quantity.Duration(time.Duration(n) * 24 * time.Hour) }
	for name, c := range map[string]struct {
		files map[string]string
		p     certificateParams
		want  string
	}{
		"all is well":               {map[string]string{"/c.pem": read("own.pem", "root.pem"), "/c.key": read("own.key")}, certificateParams{Key: "/c.key", Wants: certificate.Wants{Valid: true, Left: days(30), ECBits: 256, Names: []string{"own.example.org"}, Chain: true, Pair: true, Unpublished: true}}, "pass"},
		"ends too soon":             {map[string]string{"/c.pem": read("own.pem")}, certificateParams{Wants: certificate.Wants{Left: days(61)}}, "fail: /c.pem has the validity"},
		"the wrong name":            {map[string]string{"/c.pem": read("own.pem")}, certificateParams{Wants: certificate.Wants{Names: []string{"www.example.org"}}}, "fail: own.example.org"},
		"its issuer is missing":     {map[string]string{"/c.pem": read("own.pem")}, certificateParams{Wants: certificate.Wants{Chain: true}}, "fail: alone, issued by CN=root"},
		"the wrong order":           {map[string]string{"/c.pem": read("root.pem", "own.pem")}, certificateParams{Wants: certificate.Wants{Chain: true}}, "fail: CN=root, issued by CN=root"},
		"another certificate's key": {map[string]string{"/c.pem": read("own.pem"), "/c.key": read("other.key")}, certificateParams{Key: "/c.key", Wants: certificate.Wants{Pair: true}}, "fail: another one than"},
		"the first is judged":       {map[string]string{"/c.pem": read("other.pem", "own.pem"), "/c.key": read("own.key")}, certificateParams{Key: "/c.key", Wants: certificate.Wants{Pair: true}}, "fail: another one than"},
		"its key is not there":      {map[string]string{"/c.pem": read("own.pem")}, certificateParams{Key: "/c.key", Wants: certificate.Wants{Pair: true}}, "fail: none, only the certificate"},
		"its key is something else": {map[string]string{"/c.pem": read("own.pem"), "/c.key": "hello"}, certificateParams{Key: "/c.key", Wants: certificate.Wants{Pair: true}}, "error: /c.key: it holds no private key"},
		"a bundle":                  {map[string]string{"/c.pem": read("own.pem", "other.pem")}, certificateParams{Bundle: true, Wants: certificate.Wants{Names: []string{"own.example.org"}}}, "fail: other.example.org"},
		"a store":                   {map[string]string{"/c.pem": read("own.p12"), "/env": "A=\"hush-hush\"\n"}, certificateParams{Password: secretPlace{"/env", "A"}, Wants: certificate.Wants{Pair: true, Chain: true}}, "pass"},
		"with the wrong password":   {map[string]string{"/c.pem": read("own.p12"), "/env": "A=hush\n"}, certificateParams{Password: secretPlace{"/env", "A"}}, "error: /c.pem: cannot open the PKCS#12 store: the password"},
		"with its key's wrong":      {map[string]string{"/c.pem": read("own.p12"), "/env": "A=hush-hush\nB=hush\n"}, certificateParams{Password: secretPlace{"/env", "A"}, KeyPassword: secretPlace{"/env", "B"}, Wants: certificate.Wants{Pair: true}}, "error: /c.pem: Own: cannot look at the private key"},
		"its password is nowhere":   {map[string]string{"/c.pem": read("own.p12"), "/env": "B=hush-hush\n"}, certificateParams{Password: secretPlace{"/env", "A"}}, "error: /env has no A"},
		"nothing there":             {nil, certificateParams{}, "fail: None of these files is there: /c.pem"},
		"nothing need be there":     {nil, certificateParams{Optional: true}, "not-applicable"},
		"no certificate":            {map[string]string{"/c.pem": "hello"}, certificateParams{}, "error: /c.pem: cannot open the store: neither"},
		"JCEKS":                     {map[string]string{"/c.pem": "\xce\xce\xce\xce\x00\x00\x00\x02\x00\x00\x00\x00"}, certificateParams{}, "error: JCEKS"},
		"large":                     {map[string]string{"/c.pem": strings.Repeat("x", host.MaxFile+1)}, certificateParams{}, "error: too large"},
		"a faulty one beside one that does not open": {map[string]string{"/c.pem": "hello", "/c2.pem": read("own.pem")}, certificateParams{Paths: []string{"/c*.pem"}, Wants: certificate.Wants{Pair: true}}, "fail: none, only the certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _ := tree(t, c.files)
			p := c.p
			if p.Paths == nil {
				p.Paths = []string{"/c.pem"}
			}
			if err := p.Validate(); err != nil {
				t.Fatal(err)
			}
			v, err := certificates(t.Context(), h, p)
			for _, e := range v.Evidence {
				v.Reason += " " + e.Source + " has the " + e.Key + " " + e.Got
			}
			if v.Status.String() == "not-applicable" && len(v.Evidence) == 0 {
				v.Evidence = nil
				if c.want != "not-applicable" {
					t.Errorf("%s, want %s", v.Reason, c.want)
				}
				return
			}
			checktest.Judged(t, v, err, c.want)
			if err != nil && strings.Contains(err.Error(), "hush") || strings.Contains(v.Reason, "hush") {
				t.Errorf("a password is shown: %s, %v", v.Reason, err)
			}
		})
	}
}

// TestManyCertificates: ten thousand in a file are refused, not counted.
func TestManyCertificates(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(pki(t), "own.pem"))
	if err != nil {
		t.Fatal(err)
	}
	h, _ := tree(t, map[string]string{"/c.pem": strings.Repeat(string(data), keystore.MaxEntries+1)})
	v, err := certificates(t.Context(), h, certificateParams{Paths: []string{"/c.pem"}, Bundle: true})
	checktest.Judged(t, v, err, "error: more than 1000 entries")
}

func TestCertificateParamsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]certificateParams{
		"no paths":                {},
		"a relative path":         {Paths: []string{"c.pem"}},
		"no pattern":              {Paths: []string{"/["}},
		"a relative key":          {Paths: []string{"/c"}, Key: "c.key"},
		"half a password's place": {Paths: []string{"/c"}, Password: secretPlace{File: "/env"}},
		"an unknown use":          {Paths: []string{"/c"}, Wants: certificate.Wants{Usage: []string{"x"}}},
		"a server that is a path": {Paths: []string{"/c"}, Servers: []string{"/dev/null"}},
	} {
		if p.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
