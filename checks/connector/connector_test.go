package connector

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/secret"
	"github.com/hostguard/hostguard/internal/springconf"
)

// Hashes of cost 4: of a password of nobody's, and of a published one.
const (
	ownHash     = "$2a$04$PTiMm2fn1pXauGVxuEVFR.vtTGCL96c5x/QDEUveC0uw1Dc26Gsqm"
	guessedHash = "$2a$04$bPl/wRA6QTfdAYPzqf/5LeKhpBWWkgL2kLznIa4/mFuBV6LJygCUS" // passwordAlice
	aesSecret   = "9hQv-2mX_dk7-Wz4s-LpT8-yRb1"
)

// connectorTree is a connector in a folder, with a core and a data app of some
// name, on which every requirement holds.
func connectorTree(dir, name string) map[string]string {
	return map[string]string{
		dir + "/docker-compose.yml": `services:
  ecc-` + name + `:
    image: rdlabengpa/ids_execution_core_container:v1.14.8
    environment:
      - "SPRING_PROFILES_ACTIVE=docker"
      - FIREWALL=${ECC_FIREWALL}
      - AES256-SECRET-KEY=${AES_SECRET_KEY}
    volumes: ["./ecc:/config", "./cert:/cert"]
  be-dataapp-` + name + `:
    image: rdlabengpa/ids_be_data_app:v0.3.8
    environment: {FIREWALL: "true"}
    volumes: ["./be:/config", "./cert:/cert"]
`,
		dir + "/.env": "ECC_FIREWALL=true\nAES_SECRET_KEY=" + aesSecret + "\n",
		dir + "/ecc/application-docker.properties": `application.targetDirectory=/cert/
application.isEnabledDapsInteraction=true
application.dapsUrl=https://daps.example.org
application.keyStoreName=daps.p12
application.keystoreAliasName=1
application.firewall.isEnabled=${FIREWALL}
application.selfdescription.title=Rivers
`,
		dir + "/ecc/users.properties":      "users.list=registrar\nregistrar.password=" + ownHash + "\n",
		dir + "/ecc/firewall.properties":   "allowedMethods=GET,POST\nallowSemicolon=false\n",
		dir + "/be/application.properties": "application.firewall.isEnabled=${FIREWALL}\napplication.dataLakeDirectory=/x\n",
		dir + "/be/users.properties":       "users.list=loader\nloader.password=" + ownHash + "\n",
		dir + "/be/firewall.properties":    "allowedMethods=GET\nallowSemicolon=false\n",
		dir + "/cert/daps.p12":             "",
	}
}

// hostOf makes a tree of files and the host that it is of.
func hostOf(t *testing.T, files map[string]string, dirs ...string) *host.Host {
	t.Helper()
	root := t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[name]), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "etc/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	return host.New(host.Options{Root: root, ConnectorDirs: dirs})
}

// probes are the family's checks, as rules use them.
var probes = map[string]func(context.Context, *host.Host) (checks.Verdict, error){
	"published": publishedSecrets,
	"users": func(ctx context.Context, h *host.Host) (checks.Verdict, error) {
		return users(ctx, h, usersParams{5e9})
	},
	"names": func(ctx context.Context, h *host.Host) (checks.Verdict, error) {
		return userNames(ctx, h, userNamesParams{[]string{"apiUser", "alice", "idsUser", "bob"}})
	},
	"secret": func(ctx context.Context, h *host.Host) (checks.Verdict, error) {
		return appSecret(ctx, h, secretDefaults)
	},
	"daps": daps,
	"environment": func(ctx context.Context, h *host.Host) (checks.Verdict, error) {
		return environmentSecrets(ctx, h, environmentParams{[]string{"password", "secret"}, []string{"AES256-SECRET-KEY"}})
	},
	"firewall": func(ctx context.Context, h *host.Host) (checks.Verdict, error) {
		return properties(ctx, h, propertiesParams{
			Roles: []string{"execution core", "data app"}, Equal: map[string]string{"application.firewall.isEnabled": "true"}, Unset: unsetUnknown, Reason: "x",
		})
	},
	"firewall file": func(ctx context.Context, h *host.Host) (checks.Verdict, error) {
		return properties(ctx, h, propertiesParams{
			Roles: []string{"execution core", "data app"}, Files: []string{"firewall.properties"}, Only: true,
			Equal: map[string]string{"allowSemicolon": "false"}, Subset: map[string]string{"allowedMethods": "GET,POST"}, Unset: unsetUnknown, Reason: "x",
		})
	},
	"title": func(ctx context.Context, h *host.Host) (checks.Verdict, error) {
		return properties(ctx, h, propertiesParams{
			Roles: []string{"execution core"}, Changed: map[string]string{"application.selfdescription.title": "Data Provider Connector title|Published*"}, Unset: unsetUnknown, Reason: "x",
		})
	},
}

// TestEachFaultAlone: on a connector on which all is well every check passes;
// with one fault exactly those fail that are about it, and say where.
func TestEachFaultAlone(t *testing.T) {
	t.Parallel()
	const dir = "/opt/tc"
	ecc, be := dir+"/ecc/application-docker.properties", dir+"/be/application.properties"
	compose := dir + "/docker-compose.yml"
	for name, c := range map[string]struct {
		file, old, new string // new "-" removes the file
		want           string // "check status places…; …"
	}{
		"nothing":                            {"", "", "", ""},
		"a published password in .env":       {dir + "/.env", "ECC_FIREWALL=true", "X_PASSWORD=changeit\nECC_FIREWALL=true", "published fail .env:1"},
		"one that is a default":              {compose, "AES256", "P=${P:-allpassword}\n      - AES256", "published fail docker-compose.yml:7"},
		"one in an environment":              {compose, "AES256", "P=allpassword\n      - AES256", "published fail docker-compose.yml:7"},
		"one in a property":                  {be, "application.dataLake", "a.b=passwordBob\napplication.dataLake", "published fail application.properties:2"},
		"one by escapes":                     {be, "application.dataLake", "a.b=\\u0063hangeit\napplication.dataLake", "published fail application.properties:2"},
		"one over two lines":                 {be, "application.dataLake", "a.b=chan\\\n   geit\napplication.dataLake", "published fail application.properties:2"},
		"one in the command":                 {compose, "    volumes: [\"./ecc", "    command: [--server.ssl.key-password=changeit]\n    volumes: [\"./ecc", "published fail docker-compose.yml:2"},
		"one in a label":                     {compose, "    volumes: [\"./ecc", "    labels: {auth: \"apiUser:passwordApiUser\"}\n    volumes: [\"./ecc", "published fail docker-compose.yml:8"},
		"one in a health check":              {compose, "    volumes: [\"./ecc", "    healthcheck: {test: curl -u bob:passwordBob https://localhost}\n    volumes: [\"./ecc", "published fail docker-compose.yml:8"},
		"one in a build argument":            {compose, "    volumes: [\"./ecc", "    build: {context: ., args: [\"DB_PASSWORD=${X:-changeit}\"]}\n    volumes: [\"./ecc", "published fail docker-compose.yml:8"},
		"a guess in a build argument":        {compose, "    volumes: [\"./ecc", "    build: {context: ., args: {DB_PASSWORD: password}}\n    volumes: [\"./ecc", "published fail docker-compose.yml:8"},
		"a secret named as a guess":          {compose, "    volumes: [\"./ecc", "    secrets: [password]\n    volumes: [\"./ecc", ""},
		"one in a config of the file":        {compose, "services:\n", "configs: {a: {content: \"k=changeit\"}}\nservices:\n", "published fail docker-compose.yml:1"},
		"one in a file that is a secret":     {compose, "services:\n", "secrets: {a: {file: ./be/application.properties}, b: {file: ./s.txt}}\nservices:\n", "published error"},
		"one where anchors are merged":       {compose, "services:\n", "x-a: &a {P: changeit}\nx-b: {<<: *a}\nservices:\n", "published fail docker-compose.yml:1"},
		"settings in a config":               {compose, "    volumes: [\"./ecc", "    configs: [{source: a, target: /config/application-docker.yml}]\n    volumes: [\"./ecc", "daps error; firewall error; firewall file error; names error; published error; title error; users error"},
		"one in a comment":                   {be, "application.dataLake", "# changeit\napplication.dataLake", ""},
		"a longer word":                      {be, "application.dataLake", "a.b=changeit-not\napplication.dataLake", ""},
		"a guess in a password's place":      {be, "application.dataLake", "a.password=password\napplication.dataLake", "published fail application.properties:2"},
		"a guess elsewhere":                  {be, "application.dataLake", "a.b=password\napplication.dataLake", ""},
		"a published hash":                   {dir + "/be/users.properties", ownHash, publishedHashes[0], "published fail users.properties:2; users fail users.properties:2"},
		"a hash of a published password":     {dir + "/be/users.properties", ownHash, guessedHash, "users fail users.properties:2"},
		"a password in clear":                {dir + "/be/users.properties", ownHash, "x", "users fail users.properties:2"},
		"a user without password":            {dir + "/be/users.properties", "loader.password", "other.password", "users fail users.properties:1"},
		"a cost of 31":                       {dir + "/be/users.properties", "$04$", "$31$", "users error"},
		"a hash cut short":                   {dir + "/be/users.properties", "Gsqm", "", "users fail users.properties:2"},
		"a password of the environment":      {compose, `{FIREWALL: "true"}`, `{FIREWALL: "true", LOADER_PASSWORD: '` + strings.ReplaceAll(guessedHash, "$", "$$") + `'}`, "environment fail docker-compose.yml:11; users fail docker-compose.yml:11"},
		"no users file":                      {dir + "/be/users.properties", "", "-", "names error; users error"},
		"a published name":                   {dir + "/be/users.properties", "loader", "bob", "names fail users.properties:1"},
		"a name of the environment":          {compose, `{FIREWALL: "true"}`, `{FIREWALL: "true", USERS_LIST: "bob"}`, "names fail docker-compose.yml:11; users fail docker-compose.yml:11"},
		"a weak secret":                      {dir + "/.env", aesSecret, "aaaaaaaaaaaaaaaaaaaaaaaaaaa", "secret fail .env:2"},
		"a short secret":                     {dir + "/.env", aesSecret, "x8-2P", "secret fail .env:2"},
		"an empty secret":                    {dir + "/.env", aesSecret, "", "secret fail .env:2"},
		"a secret of the shell":              {dir + "/.env", aesSecret, "${AES_SECRET_KEY}", "secret error"},
		"a secret not passed on":             {compose, "AES256", "OTHER", "environment fail docker-compose.yml:7; secret fail docker-compose.yml:2"},
		"DAPS off":                           {ecc, "DapsInteraction=true", "DapsInteraction=false", "daps fail application-docker.properties:2"},
		"DAPS off by the environment":        {compose, "AES256", "APPLICATION_ISENABLEDDAPSINTERACTION=false\n      - AES256", "daps fail docker-compose.yml:7"},
		"DAPS not said":                      {ecc, "application.isEnabledDapsInteraction=true\n", "", "daps error"},
		"no DAPS key store":                  {dir + "/cert/daps.p12", "", "-", "daps fail application-docker.properties:4"},
		"no DAPS key store named":            {ecc, "daps.p12", "", "daps fail application-docker.properties:4"},
		"a password in the environment":      {compose, "AES256", "A_PASSWORD=zZ7-k2\n      - AES256", "environment fail docker-compose.yml:7"},
		"a firewall off":                     {dir + "/.env", "ECC_FIREWALL=true", "ECC_FIREWALL=false", "firewall fail .env:1"},
		"a firewall off for the data app":    {compose, `{FIREWALL: "true"}`, `{FIREWALL: false}`, "firewall fail docker-compose.yml:11"},
		"a firewall by a shell's variable":   {dir + "/.env", "ECC_FIREWALL=true\n", "", "firewall error"},
		"a firewall by Java's option":        {compose, "AES256", "JDK_JAVA_OPTIONS=-Dapplication.firewall.isEnabled=false\n      - AES256", "firewall error"},
		"a firewall by the command":          {compose, "    volumes: [\"./ecc", "    entrypoint: [java, -jar, a.jar, --application.firewall.is-enabled=false]\n    volumes: [\"./ecc", "firewall error"},
		"a firewall that is on in capitals":  {dir + "/.env", "ECC_FIREWALL=true", "ECC_FIREWALL=TRUE", ""},
		"an open firewall":                   {dir + "/be/firewall.properties", "false", "true", "firewall file fail firewall.properties:2"},
		"a blank after false":                {dir + "/be/firewall.properties", "allowSemicolon=false", "allowSemicolon=False ", ""},
		"an odd method":                      {dir + "/be/firewall.properties", "GET", "GET, TRACE", "firewall file fail firewall.properties:1"},
		"no firewall file":                   {dir + "/be/firewall.properties", "", "-", "firewall file error"},
		"the published title":                {ecc, "Rivers", "Data Provider Connector title", "title fail application-docker.properties:7"},
		"a title like it":                    {ecc, "Rivers", "Published once", "title fail application-docker.properties:7"},
		"the published title in lower case":  {ecc, "Rivers", "data provider connector title", "title fail application-docker.properties:7"},
		"no title":                           {ecc, "Rivers", "", "title fail application-docker.properties:7"},
		"another profile":                    {compose, "ACTIVE=docker", "ACTIVE=prod", "daps error; firewall error; title error"},
		"a bad escape":                       {ecc, "Rivers", `\u12`, "daps error; firewall error; firewall file error; names error; published error; title error; users error"},
		"tabs":                               {compose, "    image: rdlabengpa/ids_be", "\timage: rdlabengpa/ids_be", "all error"},
		"an extends loop":                    {compose, "    image: rdlabengpa/ids_be", "    extends: be-dataapp-x\n    image: rdlabengpa/ids_be", "all error"},
		"a missing env file":                 {compose, "    image: rdlabengpa/ids_be", "    env_file: none.env\n    image: rdlabengpa/ids_be", "all error"},
		"nothing mounted":                    {compose, `volumes: ["./be:/config", "./cert:/cert"]`, "", "firewall error; firewall file error; names error; published error; users error"},
		"renamed services of renamed images": {compose, "rdlabengpa/ids_be_data_app:v0.3.8", "registry.example.org/x:1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := connectorTree(dir, "x")
			switch {
			case c.new == "-":
				delete(files, c.file)
			case c.file != "":
				if !strings.Contains(files[c.file], c.old) {
					t.Fatalf("%q is not in %s", c.old, c.file)
				}
				files[c.file] = strings.ReplaceAll(files[c.file], c.old, c.new)
			}
			h := hostOf(t, files, dir)
			var got []string
			failed := 0
			for _, check := range slices.Sorted(maps.Keys(probes)) {
				v, err := probes[check](t.Context(), h)
				line := check + " " + v.Status.String()
				if err != nil {
					line = check + " error"
				}
				secrets(t, fmt.Sprint(v, err))
				if v.Status == checks.Pass && err == nil {
					if len(v.Evidence) == 0 {
						t.Errorf("%s passes without evidence", check)
					}
					continue
				}
				failed++
				for _, e := range v.Evidence {
					if err == nil && e.Want != "" {
						place := fmt.Sprintf(" %s:%d", filepath.Base(e.Source), e.Line)
						if !strings.Contains(line, place) {
							line += place
						}
					}
				}
				got = append(got, line)
			}
			if failed == len(probes) && !slices.ContainsFunc(got, func(s string) bool { return !strings.HasSuffix(s, " error") }) {
				got = []string{"all error"}
			}
			if s := strings.Join(got, "; "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
}

// secrets reports what a verdict must not show.
func secrets(t *testing.T, text string) {
	t.Helper()
	for _, word := range []string{ownHash, guessedHash, aesSecret, "aaaaaaaaaa", "zZ7-k2", "x8-2P"} {
		if strings.Contains(text, word) {
			t.Errorf("a verdict shows %q: %s", word, text)
		}
	}
}

// TestDeployments: connectors of every make are judged, each by itself.
func TestDeployments(t *testing.T) {
	t.Parallel()
	both := connectorTree("/a", "provider")
	maps.Copy(both, connectorTree("/b", "consumer"))
	coreAlone := connectorTree("/a", "consumer")
	before, _, _ := strings.Cut(coreAlone["/a/docker-compose.yml"], "  be-dataapp")
	coreAlone["/a/docker-compose.yml"] = before
	renamed := connectorTree("/a", "provider")
	renamed["/a/docker-compose.yml"] = strings.NewReplacer("ecc-provider", "kern", "be-dataapp-provider", "daten", "rdlabengpa/ids_execution_core_container:v1.14.8", "own/core",
		"rdlabengpa/ids_be_data_app:v0.3.8", "own/app").Replace(renamed["/a/docker-compose.yml"])
	neither := maps.Clone(renamed)
	neither["/a/ecc/application-docker.properties"], neither["/a/be/application.properties"] = "x=1\n", "x=1\n"
	for name, c := range map[string]struct {
		files map[string]string
		dirs  []string
		want  string
	}{
		"two connectors":          {both, []string{"/a", "/b"}, "pass with 4"},
		"the execution core only": {coreAlone, []string{"/a"}, "pass with 1"},
		"renamed":                 {renamed, []string{"/a"}, "pass with 2"},
		"nothing to tell them by": {neither, []string{"/a"}, "cannot tell which service of the connector in /a is its execution core"},
		"none":                    {both, nil, host.ErrNoConnector.Error()},
	} {
		v, err := probes["firewall"](t.Context(), hostOf(t, c.files, c.dirs...))
		got := fmt.Sprintf("%v with %d", v.Status, len(v.Evidence))
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestHostileConfig: what may lie in a mounted folder is not followed, and ends.
func TestHostileConfig(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(path string) error{
		"a link":   func(path string) error { return os.Symlink("/etc/passwd", path) },
		"a device": func(path string) error { return os.Symlink("/dev/zero", path) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o755) },
		"much too long": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 100<<30))
		},
	} {
		files := connectorTree("/a", "x")
		delete(files, "/a/be/users.properties")
		h := hostOf(t, files, "/a")
		if err := plant(filepath.Join(h.Root(), "a/be/users.properties")); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if v, err := probes["users"](t.Context(), h); err == nil {
			t.Errorf("%s: %v", name, v)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

// TestLaunch: where the host has the secret for whoever starts compose.
func TestLaunch(t *testing.T) {
	t.Parallel()
	const unit = "[Service]\nExecStart=/usr/bin/docker compose up\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"/etc/environment":       {map[string]string{"/etc/environment": "A=1\nAES_SECRET_KEY=\"" + aesSecret + "\"\n"}, "pass /etc/environment:2"},
		"weak there":             {map[string]string{"/etc/environment": "AES_SECRET_KEY=changeit\n"}, "fail /etc/environment:1"},
		"a unit's file":          {map[string]string{"/etc/systemd/system/tc.service": unit + "EnvironmentFile=/etc/tc.env\n", "/etc/tc.env": "AES_SECRET_KEY='" + aesSecret + "'\n"}, "pass /etc/tc.env:1"},
		"a drop-in's file":       {map[string]string{"/etc/systemd/system/tc.service": unit, "/etc/systemd/system/tc.service.d/a.conf": "[Service]\nEnvironmentFile=-/etc/tc.env\n", "/etc/tc.env": "AES_SECRET_KEY=" + aesSecret}, "pass /etc/tc.env:1"},
		"a unit tells everybody": {map[string]string{"/etc/systemd/system/tc.service": unit + "Environment=AES_SECRET_KEY=" + aesSecret + "\n"}, "fail /etc/systemd/system/tc.service:3"},
		"a unit of another kind": {map[string]string{"/etc/systemd/system/tc.service": "[Service]\nExecStart=/bin/x\nEnvironment=AES_SECRET_KEY=" + aesSecret + "\n"}, "cannot tell the secret"},
		"nowhere":                {nil, "cannot tell the secret"},
	} {
		files := connectorTree("/a", "x")
		files["/a/.env"] = "ECC_FIREWALL=true\nAES_SECRET_KEY=${AES_SECRET_KEY}\n"
		maps.Copy(files, c.files)
		v, err := probes["secret"](t.Context(), hostOf(t, files, "/a"))
		got := fmt.Sprint(err)
		if err == nil {
			got = v.Status.String()
			for _, e := range v.Evidence {
				got += fmt.Sprintf(" %s:%d", e.Source, e.Line)
			}
		}
		secrets(t, fmt.Sprint(v, err))
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestMadeContainers: a container is judged by what it was made with.
func TestMadeContainers(t *testing.T) {
	t.Parallel()
	variable := func(name, value, missing string) springconf.Variable {
		at := springconf.Place{Source: "/a/.env", Line: 1, Key: name}
		return springconf.Variable{Name: name, Value: secret.New(value), Missing: missing, Place: at, Origin: at}
	}
	service := host.ComposeService{Name: "ecc", File: "/a/docker-compose.yml", Line: 2}
	written := host.ConnectorApp{Service: service, Role: host.RoleCore, Env: []springconf.Variable{variable("AES256-SECRET-KEY", "", "AES_SECRET_KEY")}}
	made := func(value string) host.ConnectorApp {
		v := variable("AES256-SECRET-KEY", value, "")
		v.Place = springconf.Place{Source: "container ecc", Key: v.Name}
		v.Origin = v.Place
		return host.ConnectorApp{Service: service, Role: host.RoleCore, Container: "ecc", Env: []springconf.Variable{v}}
	}
	nowhere := func(string) ([]host.LaunchVariable, error) { return nil, nil }
	mode := func(string) (host.FileMode, error) { return host.FileMode{}, fs.ErrNotExist }
	for name, c := range map[string]struct {
		apps []host.ConnectorApp
		want string
	}{
		"not made yet":      {[]host.ConnectorApp{written}, "cannot tell the secret"},
		"made with it":      {[]host.ConnectorApp{written, made(aesSecret)}, "pass container ecc"},
		"made without":      {[]host.ConnectorApp{written, made("")}, "fail container ecc"},
		"made with another": {[]host.ConnectorApp{written, made("changeit")}, "fail container ecc"},
	} {
		v, err := judgeSecret([]host.ConnectorApps{{Apps: c.apps}}, secretDefaults, nowhere, mode)
		got := fmt.Sprint(err)
		if err == nil {
			got = v.Status.String() + " " + v.Evidence[0].Source
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestDrift: what runs otherwise than is written is named, and what only the
// shell knew is none.
func TestDrift(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	app := host.ConnectorApp{Service: host.ComposeService{Name: "ecc", File: "/a/c.yml", Line: 2}, Made: []string{"ecc"}, Started: start,
		Config: []host.ConfigFile{{Path: "/a/x.properties", Changed: start.Add(-time.Hour)}}}
	changed := app
	changed.Config = []host.ConfigFile{{Path: "/a/x.properties", Changed: start.Add(time.Hour)}}
	drifted := func(kind host.DriftKind) []host.EnvDrift {
		return []host.EnvDrift{{Service: "ecc", Container: "ecc", Name: "A", Place: springconf.Place{Source: "/a/c.yml", Line: 5}, Kind: kind}}
	}
	for name, c := range map[string]struct {
		apps host.ConnectorApps
		want checks.Status
	}{
		"as written":     {host.ConnectorApps{Apps: []host.ConnectorApp{app}}, checks.Pass},
		"a file changed": {host.ConnectorApps{Apps: []host.ConnectorApp{changed}}, checks.Fail},
		"another value":  {host.ConnectorApps{Apps: []host.ConnectorApp{app}, Drift: drifted(host.DriftOther)}, checks.Fail},
		"without it":     {host.ConnectorApps{Apps: []host.ConnectorApp{app}, Drift: drifted(host.DriftMissing)}, checks.Fail},
		"with another":   {host.ConnectorApps{Apps: []host.ConnectorApp{app}, Drift: drifted(host.DriftUnwritten)}, checks.Fail},
		"from the shell": {host.ConnectorApps{Apps: []host.ConnectorApp{app}, Drift: drifted(host.DriftFromShell)}, checks.Pass},
		"nothing runs":   {host.ConnectorApps{Apps: []host.ConnectorApp{{}}}, checks.NotApplicable},
	} {
		if v, err := judgeDrift([]host.ConnectorApps{c.apps}); err != nil || v.Status != c.want {
			t.Errorf("%s: %v %v, want %v", name, v, err, c.want)
		}
	}
}

// TestUsersEnd: the tries end when their time is up, and what was not tried is no
// pass.
func TestUsersEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	results := tryAll(ctx, []string{ownHash, guessedHash}, publishedUserWords)
	for _, hash := range []string{ownHash, guessedHash} {
		if results[hash] == nil || errors.Is(results[hash], errGuessed) {
			t.Errorf("a hash that was not tried: %v", results[hash])
		}
	}
}

// BenchmarkUsers is what trying the published passwords on one hash of cost 12 takes.
func BenchmarkUsers(b *testing.B) {
	const hash = "$2a$12$cxXwcV989VwOUznb10oBcuvHSTVDAl6MWL2GG257RfI3Gg.J8Qvnu"
	for b.Loop() {
		tryAll(b.Context(), []string{hash}, []string{"another"})
	}
}
