package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/internal/lab"
)

const (
	storesCompose = `services:
  ecc-provider:
    image: registry.example/ids_execution_core_container:v1
    environment: ["KEYSTORE=${KEYSTORE}", "PASSWORD=${PASSWORD}", SPRING_PROFILES_ACTIVE=docker]
    volumes: ["./ecc:/config", "./cert:/cert:ro"]
  dataapp:
    image: ids_be_data_app:v1
    environment: {KEYSTORE: "${KEYSTORE}", PASSWORD: "${PASSWORD}", ECC: ecc-provider}
    volumes: ["./app:/config", "./cert:/cert"]
  uc:
    image: ids_uc_data_app_platoon:v1
    environment: {SD: "https://tc.example.org"}
    volumes: ["./uc:/config", "./cert:/cert"]
  pip: {image: "ids_uc_data_app_platoon_pip:v1"}
  db: {image: postgres}
`
	storesCore = `server.ssl.key-store=${application.targetDirectory}${KEYSTORE}
server.ssl.key-store-password=${PASSWORD}
server.ssl.key-alias=Own
application.targetDirectory=/cert/
application.trustStoreName=trust.p12
application.trustStorePassword=other
application.isEnabledDapsInteraction=false
application.keyStoreName=daps.p12
camel.component.jetty.keystore=/cert/${KEYSTORE}
camel.component.jetty.ssl-password=${PASSWORD}
spring.ids.ucapp.baseUrl=https://uc:8080/x
application.openDataAppReceiver=https://elsewhere.example.org:8083/data
`
	storesApp = "server.ssl.key-store=file:/cert/${KEYSTORE}\nserver.ssl.key-password=${PASSWORD}\napplication.ecc.host=${ECC}\n"
	storesUC  = "server.ssl.enabled=false\nserver.ssl.key-store=/cert/x\napplication.ecc.selfdescription.url=${SD}\n"
)

// storeFiles is a connector's folder with real stores, made by openssl.
func storeFiles(t *testing.T, change map[string]string) map[string]string {
	t.Helper()
	lab.Need(t, lab.OpenSSL)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, args := range [][]string{
		{"req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "60", "-keyout", at("key"), "-out", at("pem"), "-subj", "/CN=own"},
		{"pkcs12", "-export", "-inkey", at("key"), "-in", at("pem"), "-out", at("own.p12"), "-passout", "pass:hush", "-name", "own"},
		{"pkcs12", "-export", "-nokeys", "-in", at("pem"), "-out", at("trust.p12"), "-passout", "pass:other"},
	} {
		if r := lab.Exec(t, append([]string{"openssl"}, args...)...); r.Code != 0 {
			t.Fatalf("%q: %s", args, r.Stderr)
		}
	}
	files := with(map[string]string{
		"opt/tc/docker-compose.yml":                storesCompose,
		"opt/tc/.env":                              "KEYSTORE=own.p12\nPASSWORD=hush\n",
		"opt/tc/ecc/application-docker.properties": storesCore,
		"opt/tc/app/application.properties":        storesApp,
		"opt/tc/uc/application.properties":         storesUC,
	})
	for name, in := range map[string]string{"own.p12": "own.p12", "trust.p12": "trust.p12", "own.pem": "pem"} {
		data, err := os.ReadFile(at(in))
		if err != nil {
			t.Fatal(err)
		}
		files["opt/tc/cert/"+name] = string(data)
	}
	for name, text := range change {
		if text == "remove" {
			delete(files, name)
			continue
		}
		files[name] = text
	}
	return files
}

// TestConnectorStores: which stores a connector's applications use, under which
// names they call each other, and what becomes of those that cannot be opened.
func TestConnectorStores(t *testing.T) {
	t.Parallel()
	core := func(old, new string) map[string]string {
		text := strings.ReplaceAll(storesCore, old, new)
		if text == storesCore {
			t.Fatalf("%q is not there", old)
		}
		return map[string]string{"opt/tc/ecc/application-docker.properties": text}
	}
	const (
		tls   = "service ecc-provider TLS /opt/tc/cert/own.p12 Own [ecc-provider tc.example.org] 1"
		trust = "service ecc-provider trust /opt/tc/cert/trust.p12  [ecc-provider tc.example.org] 1"
		// No password is given for the store, and Java reads only JKS so.
		app = "service dataapp TLS /opt/tc/cert/own.p12  [] error: no password is given"
	)
	for name, c := range map[string]struct {
		change map[string]string
		want   []string
	}{
		"as published": {nil, []string{app, tls, trust}},
		"the data app's web socket": {map[string]string{"opt/tc/app/config.properties": "server.ssl.key-password=hush\nserver.ssl.key-store=/cert/own.p12\nserver.ssl.port=9000\n"},
			[]string{app, "service dataapp TLS /opt/tc/cert/own.p12  [] 1", tls, trust}},
		"the data app's web socket, with two passwords": {map[string]string{"opt/tc/app/config.properties": "server.ssl.key-password=hush\nserver.ssl.key-store-password=other\nserver.ssl.key-store=/cert/own.p12\n"},
			[]string{app, "service dataapp TLS /opt/tc/cert/own.p12  [] error: the password does not open it", tls, trust}},
		"its store is gone": {map[string]string{"opt/tc/app/config.properties": "server.ssl.key-store=/cert/other.jks\n"},
			[]string{app, "service dataapp TLS /opt/tc/cert/other.jks  [] absent", tls, trust}},
		"its store depends on a variable": {map[string]string{"opt/tc/app/config.properties": "server.ssl.key-store=/cert/${KEYSTORE}\n"},
			[]string{app, "service dataapp TLS   [] error: variables are not replaced there", tls, trust}},
		"its settings are a link": {map[string]string{"opt/tc/app/config.properties": "→ /etc/shadow", "etc/shadow": "secret"},
			[]string{app, "service dataapp TLS   [] error: symbolic link", tls, trust}},
		"its settings name no store":    {map[string]string{"opt/tc/app/config.properties": "server.ssl.port=9000\n"}, []string{app, tls, trust}},
		"no data app has such settings": {map[string]string{"opt/tc/ecc/config.properties": "server.ssl.key-store=/cert/other.jks\n"}, []string{app, tls, trust}},
		"DAPS is on":                    {core("Interaction=false", "Interaction=true"), []string{app, tls, trust, "service ecc-provider DAPS /opt/tc/cert/daps.p12  [ecc-provider tc.example.org] absent"}},
		"DAPS is on and names nothing": {core("Interaction=false\napplication.keyStoreName=daps.p12", "Interaction=true\napplication.keyStoreName="),
			[]string{app, tls, trust, "service ecc-provider DAPS   [ecc-provider tc.example.org] absent"}},
		"the store is gone":                  {map[string]string{"opt/tc/cert/own.p12": "remove"}, []string{strings.Replace(app, "error: no password is given", "absent", 1), tls[:len(tls)-1] + "absent", trust}},
		"another password":                   {map[string]string{"opt/tc/.env": "KEYSTORE=own.p12\nPASSWORD=hush-hush\n"}, []string{app, tls[:len(tls)-1] + "error: the password does not open it", trust}},
		"a password of the shell's":          {map[string]string{"opt/tc/.env": "KEYSTORE=own.p12\n"}, []string{strings.Replace(app, "/opt/tc/cert/own.p12  [] error: no password is given", "  [] error: depends on the variable \"PASSWORD\"", 1), "service ecc-provider TLS   [ecc-provider tc.example.org] error: depends on the variable \"PASSWORD\"", "service ecc-provider TLS   [ecc-provider tc.example.org] error: depends on the variable \"PASSWORD\"", trust}},
		"PEM":                                {map[string]string{"opt/tc/.env": "KEYSTORE=own.pem\nPASSWORD=hush\n"}, []string{strings.Replace(app, ".p12  [] error: no password is given", ".pem  [] 1", 1), strings.ReplaceAll(tls, ".p12", ".pem"), trust}},
		"in the image":                       {core("key-store=${application.targetDirectory}${KEYSTORE}", "key-store=/usr/share/x.jks"), []string{app, "service ecc-provider TLS  Own [ecc-provider tc.example.org] error: no folder of the host is mounted there", strings.Replace(tls, "Own", "", 1), trust}},
		"on the class path":                  {core("key-store=${application.targetDirectory}${KEYSTORE}", "key-store=classpath:/cert/x.jks"), []string{app, "service ecc-provider TLS  Own [ecc-provider tc.example.org] error: it is no path of a file", strings.Replace(tls, "Own", "", 1), trust}},
		"out of the folder":                  {map[string]string{"opt/tc/cert/own.p12": "→ /etc/shadow", "etc/shadow": "secret"}, []string{strings.Replace(app, "no password is given", "symbolic link", 1), tls[:len(tls)-1] + "error: symbolic link", trust}},
		"a bundle":                           {core("server.ssl.key-alias=Own", "server.ssl.bundle=web"), []string{app, strings.Replace(tls, "Own", "", 1), trust, "service ecc-provider TLS   [ecc-provider tc.example.org] error: does not follow"}},
		"no TLS for the core":                {core("server.ssl.key-store=${application.targetDirectory}${KEYSTORE}", "camel.component.jetty.keystore="), []string{app, strings.Replace(tls, "Own", "", 1), trust}},
		"the core serves without":            {map[string]string{"opt/tc/ecc/application-docker.properties": "server.ssl.enabled=false\nserver.ssl.key-store=/cert/x"}, []string{app}},
		"the core is told none":              {map[string]string{"opt/tc/ecc/application-docker.properties": "application.x=1"}, []string{app, "service ecc-provider TLS   [ecc-provider tc.example.org] error: none of its properties names a key store"}},
		"its configuration is unseen":        {map[string]string{"opt/tc/ecc/application-docker.properties": "→ /etc/shadow"}, []string{app, "service ecc-provider TLS   [ecc-provider tc.example.org] error: symbolic link", "service ecc-provider trust   [ecc-provider tc.example.org] error: symbolic link", "service ecc-provider DAPS   [ecc-provider tc.example.org] error: symbolic link"}},
		"the compose file is not understood": {map[string]string{"opt/tc/docker-compose.yml": "include: [x]"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hostTree(t, storeFiles(t, c.change), Options{ConnectorDirs: []string{"/opt/tc"}})
			stores, err := h.ConnectorStores(t.Context())
			if c.want == nil {
				if err == nil {
					t.Errorf("%+v", stores)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, s := range stores {
				text := fmt.Sprintf("%s %s %s %s %v ", s.App, s.Use, s.Path, s.Alias, s.Names)
				switch {
				case s.Err != nil:
					if strings.Contains(s.Err.Error(), "hush") || strings.Contains(s.Err.Error(), "secret") {
						t.Errorf("a secret is shown: %v", s.Err)
					}
					text += "error: " + s.Err.Error()
					if i < len(c.want) {
						if before, part, _ := strings.Cut(c.want[i], "error: "); strings.HasPrefix(text, before) && strings.Contains(text, part) {
							text = c.want[i]
						}
					}
				case s.Absent:
					text += "absent"
				default:
					text += fmt.Sprint(len(s.Store.Entries))
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("stores (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConnectorStoresWithoutConnector(t *testing.T) {
	t.Parallel()
	if _, err := hostTree(t, with(nil), Options{}).ConnectorStores(t.Context()); !errors.Is(err, ErrNoConnector) {
		t.Errorf("%v", err)
	}
}

func TestHostOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://ecc:8449/x": "ecc", "ecc-provider": "ecc-provider", "ecc:8449": "ecc", "https://[::1]:1/": "::1", "": "", "%zz": "",
	} {
		if got := hostOf(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
