package composefile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// load loads one compose file of the folder /srv/tc with a .env.
func load(t *testing.T, env string, files ...string) (Project, error) {
	t.Helper()
	vars := Variables{}
	if err := ReadEnvironment("/srv/tc/.env", []byte(env), vars); err != nil {
		return Project{}, err
	}
	var list []File
	for i, f := range files {
		list = append(list, File{fmt.Sprintf("/srv/tc/%d.yml", i), []byte(f)})
	}
	return Load("/srv/tc", "", list, vars)
}

func TestLoad(t *testing.T) {
	t.Parallel()
	project, err := load(t, "COMPOSE_PROJECT_NAME=trueconnector\nDATA=/data\nMEM=1024M\n", `
services:
  ecc-provider:
    image: rdlabengpa/ids_execution_core_container:v1.14.8
    container_name: ecc-provider
    deploy: &limited
      resources: {limits: {cpus: "1", memory: "${MEM}"}}
    logging: {options: {max-size: 200M}}
    env_file: [ecc.env, {path: extra.env, required: false}]
    volumes:
      - ./ecc_cert:/cert:ro
      - ${DATA}/ecc:/data
      - ecc_data:/home/nobody/data/
      - type: bind
        source: ../outside
        target: /out
      - shared:/shared
      - /anonymous
  be-dataapp:
    deploy: *limited
    scale: 2
    volumes: [bound:/b, "elsewhere:/e"]
    secrets: [key, {source: key, target: tls}]
    configs: [{source: rules, target: /config/rules.yml}, inline]
volumes:
  ecc_data: {}
  shared: {external: true}
  elsewhere: {name: other}
  bound: {driver_opts: {type: none, o: bind, device: /mnt/bound}}
  unused:
secrets:
  key: {file: ./key.pem}
configs:
  rules: {file: ./rules.yml}
  inline: {content: "a: b"}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := Project{
		Name: "trueconnector",
		Services: []Service{
			{
				Name: "be-dataapp", File: "/srv/tc/0.yml", Line: 19, Replicas: "2", CPUs: "1", Memory: "1024M",
				Volumes: []string{"bound", "elsewhere"},
				Mounts:  []Mount{{Target: "/b", Volume: "bound"}, {Target: "/e", Volume: "elsewhere"}},
				Sources: []Mount{
					{Target: "/config/rules.yml", Bind: "/srv/tc/rules.yml", ReadOnly: true}, {Target: "/inline", ReadOnly: true},
					{Target: "/run/secrets/key", Bind: "/srv/tc/key.pem", ReadOnly: true}, {Target: "/run/secrets/tls", Bind: "/srv/tc/key.pem", ReadOnly: true},
				},
			},
			{
				Name: "ecc-provider", Container: "ecc-provider", Image: "rdlabengpa/ids_execution_core_container:v1.14.8",
				File: "/srv/tc/0.yml", Line: 3, CPUs: "1", Memory: "1024M", LogSize: "200M",
				Binds: []string{"/data/ecc", "/srv/outside", "/srv/tc/ecc_cert"}, Volumes: []string{"ecc_data", "shared"},
				Mounts: []Mount{
					{Target: "/cert", Bind: "/srv/tc/ecc_cert", ReadOnly: true}, {Target: "/data", Bind: "/data/ecc"}, {Target: "/home/nobody/data", Volume: "ecc_data"},
					{Target: "/out", Bind: "/srv/outside"}, {Target: "/shared", Volume: "shared"}, {Target: "/anonymous"},
				},
				EnvFiles: []EnvFile{{Path: "/srv/tc/ecc.env"}, {Path: "/srv/tc/extra.env", Optional: true}},
			},
		},
		Volumes: []Volume{
			{Key: "elsewhere", Name: "other"},
			{Key: "shared", Name: "shared", External: true},
			{Key: "bound", Name: "trueconnector_bound", Device: "/mnt/bound"},
			{Key: "ecc_data", Name: "trueconnector_ecc_data"},
		},
		EnvFiles: []EnvFile{{Path: "/srv/tc/ecc.env"}, {Path: "/srv/tc/extra.env", Optional: true}},
		Files:    []string{"/srv/tc/key.pem", "/srv/tc/rules.yml"},
		Secrets:  []string{"/srv/tc/key.pem"},
	}
	if diff := cmp.Diff(want, project, cmpopts.IgnoreUnexported(Project{})); diff != "" {
		t.Error(diff)
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	project, err := load(t, "", `
services:
  base: {image: base, mem_limit: 1g, volumes: ["./a:/a", "./b:/b"], logging: {driver: json-file, options: {max-size: 1m}}}
  a: {extends: base, volumes: ["./c:/b"]}
`, `
services:
  a: {cpus: 2, logging: {driver: syslog}}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := Service{
		Name: "a", Image: "base", File: "/srv/tc/1.yml", Line: 3, CPUs: "2", Memory: "1g", LogDriver: "syslog",
		Binds:  []string{"/srv/tc/a", "/srv/tc/c"},
		Mounts: []Mount{{Target: "/a", Bind: "/srv/tc/a"}, {Target: "/b", Bind: "/srv/tc/c"}},
	}
	if diff := cmp.Diff(want, project.Services[0], equateEmpty); diff != "" {
		t.Error(diff)
	}
}

// TestRefused: what is not understood is said with its place, and nothing of
// the file is in the message.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env, file, want string
	}{
		"not YAML":                  {"", "services: {\n  a: [secret", "cannot read /srv/tc/0.yml:1: it is not YAML"},
		"tab":                       {"", "services:\n\tsecret: {}", "cannot read /srv/tc/0.yml:2: it is not YAML"},
		"services is a list":        {"", "services: [secret]", "0.yml:1: a mapping is wanted here"},
		"include":                   {"", "services: {}\ninclude: [secret.yml]", "0.yml:2: include is not understood"},
		"extends another file":      {"", "services:\n  a:\n    extends: {file: secret, service: a}", "0.yml:3: extends from another file"},
		"extends in a circle":       {"", "services: {a: {extends: b}, b: {extends: a}}", "in a circle"},
		"extends itself":            {"", "services: {a: {extends: a}}", "in a circle"},
		"extends nothing":           {"", "services: {a: {extends: secret}}", "a service that is not in the file"},
		"!reset":                    {"", "services: {a: {volumes: !reset []}}", "!reset is not understood"},
		"twice":                     {"", "services:\n  secret: {}\n  secret: {}", "a key is set twice"},
		"variable of nobody":        {"", "services:\n  a:\n    volumes: ['${SECRET_DIR}/x:/x']", `0.yml:3: the variable "SECRET_DIR" is set in no file`},
		"variable of the shell":     {"DIR=${DIR}", "services: {a: {volumes: ['$DIR/x:/x']}}", `the variable "DIR" is set in no file`},
		"required variable":         {"", "services: {a: {volumes: ['${DIR:?secret}/x:/x']}}", `the variable "DIR" is set in no file`},
		"malformed variable":        {"", "services: {a: {volumes: ['${secret']}}", "is malformed"},
		"home":                      {"", "services: {a: {volumes: ['~/secret:/x']}}", "~ is the home of whoever runs compose"},
		"volume nobody declares":    {"", "services: {a: {volumes: ['secret:/x']}}", "0.yml:1: the service mounts a volume that the files do not declare"},
		"too many colons":           {"", "services: {a: {volumes: ['a:b:c:secret']}}", "SOURCE:TARGET:OPTIONS"},
		"a mount of no known type":  {"", "services: {a: {volumes: [{source: secret, target: /x}]}}", "no known type"},
		"device by variable":        {"", "services: {a: {volumes: ['v:/x']}}\nvolumes: {v: {driver_opts: {o: bind, device: $SECRET}}}", "0.yml:2: the folder that the volume binds"},
		"env file: bad name":        {"A=1\nsecret key=1", "", "cannot read /srv/tc/.env:2: a variable's name"},
		"env file: unclosed":        {"A='secret", "", ".env:1: a quote is not closed"},
		"anchor within itself":      {"", "services: &a {a: {<<: *a, image: x}, <<: *a}", "in a circle"},
		"alias of a key that loops": {"", "services:\n  a: &a\n    deploy: *a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, c.env, c.file)
			if c.want == "" {
				return // need only end
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the message quotes the file: %v", err)
			}
		})
	}
}

// TestBounded: files that expand without end are refused soon.
func TestBounded(t *testing.T) {
	t.Parallel()
	var env, aliases, merges strings.Builder
	env.WriteString("V0=xxxxxxxxxx\n")
	for i := range 20 {
		fmt.Fprintf(&env, "V%d=%s\n", i+1, strings.Repeat(fmt.Sprintf("${V%d}", i), 10))
	}
	aliases.WriteString("x0: &x0 {image: a}\n")
	merges.WriteString("x0: &x0 {image: a}\n")
	for i := range 25 {
		fmt.Fprintf(&aliases, "x%d: &x%d {a: *x%d, b: *x%d}\n", i+1, i+1, i, i)
		fmt.Fprintf(&merges, "x%d: &x%d {<<: [%s]}\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*x%d,", i), 10), ","))
	}
	aliases.WriteString("services: *x25\n")
	merges.WriteString("services: {a: *x25}\n")
	var services strings.Builder
	services.WriteString("x: &x {volumes: [" + strings.Repeat("a:/a,", 5000) + "b:/b]}\nservices:\n")
	for i := range 5000 {
		fmt.Fprintf(&services, "  s%d: *x\n", i)
	}
	var chain strings.Builder
	chain.WriteString("services: {s0: {}")
	for i := range 1000 {
		fmt.Fprintf(&chain, ", s%d: {extends: s%d}", i+1, i)
	}
	chain.WriteString("}")
	for name, c := range map[string]struct{ env, file, want string }{
		"variables":      {env.String(), "", "expand to more than"},
		"nested default": {"", "services: {a: {image: '" + strings.Repeat("${A:-", 100) + strings.Repeat("}", 100) + "'}}", "malformed"},
		"aliases":        {"", aliases.String(), ""},
		"merges":         {"", merges.String(), "things"},
		"shared service": {"", services.String(), "things"},
		"long chain":     {"", chain.String(), "circle"},
		"deep":           {"", strings.Repeat("[", 100_000), "not YAML"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			_, err := load(t, c.env, c.file)
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestProjectName(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]string{"/opt/TRUE Connector": "trueconnector", "/opt/_a-b.c": "a-bc", "/": ""} {
		if got := ProjectName(dir); got != want {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
}
