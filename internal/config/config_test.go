package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/internal/strictyaml"
)

const full = `profile: true-connector
connector: {dir: /opt/trueconnector}
ntp:       {servers: [ntp1.example.org, 192.0.2.1, "[2001:db8::1]:123"]}
ssh:       {group: ssh_login_group, users: [operator], use_pam: any}
network:   {internal: [10.0.0.0/8, "fd00::/8"]}
services:  {allow: [node_exporter.service, "backup-*.timer"]}
ports:     {allow: [9100/tcp]}
storage:   {watch: {unit: df-watch.timer}}
parameters: {SSH-003: {max_age: 60d}}
attestations:
  - {rule: SSH-031, owner: J. Doe, note: asked each user, date: 2026-01-31, expires: 2026-04-30}
  - {rule: SSH-032, owner: J. Doe, note: by hand, date: 2026-01-31, expires: 2026-04-30}
`

func TestParse(t *testing.T) {
	t.Parallel()
	c, err := Parse("f", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	if got := []string(c.Connector.Dir); !slices.Equal(got, []string{"/opt/trueconnector"}) {
		t.Errorf("connector.dir = %q", got)
	}
	if c.SSH.UsePAM != "any" || c.Storage.Watch.Unit != "df-watch.timer" || len(c.NTP.Servers) != 3 {
		t.Errorf("config = %+v", c)
	}
	for key, place := range map[string]string{"ntp.servers": "f:3:22", "ssh.use_pam": "f:4:65", "connector.dir": "f:2:18", "storage.watch": "f:8:20"} {
		if n := c.Lookup(key); n.Place() != place {
			t.Errorf("Lookup(%s) = %s, want %s", key, n.Place(), place)
		}
	}
	if n := c.Lookup("connector.dir"); n.Kind != strictyaml.List || n.Items[0].Text != "/opt/trueconnector" {
		t.Errorf("a single folder is not looked up as a list: %+v", n)
	}
	if n := c.ParametersOf("SSH-003"); n.Get("max_age").Text != "60d" || c.ParametersKey("SSH-003").Place() != "f:9:14" {
		t.Errorf("ParametersOf = %+v", n)
	}
	if a := c.Attestation("SSH-032"); a == nil || a.Note != "by hand" || a.At("expires").Place() != "f:12:78" {
		t.Errorf("Attestation = %+v", a)
	}
	if a := c.Attestation("SSH-033"); a != nil {
		t.Errorf("an attestation out of nothing: %+v", a)
	}
	if n := (&Config{}).Lookup("ntp.servers"); n.Kind != strictyaml.Absent {
		t.Errorf("Lookup in an empty configuration = %+v", n)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"full":                      {full, ""},
		"empty":                     {"", ""},
		"only comments":             {"# profile: x\n", ""},
		"list of folders":           {"connector: {dir: [/a, /b/]}\n", ""},
		"relative folder":           {"connector: {dir: [/a, b]}\n", `f:1:23: "b" is not an absolute path`},
		"logs":                      {"logs: {reader: tclogs, group: tclogs, dir: /srv/a/, keep: 90d, job: {cron: copy}}\n", ""},
		"logs kept for half a day":  {"logs: {keep: 12h}\n", `f:1:14: "12h" is not a number of whole days, such as 90d`},
		"logs at the root":          {"logs: {dir: //}\n", `f:1:13: "//" is not the absolute path of a folder`},
		"two jobs that copy logs":   {"logs: {job: {cron: a, process: /b}}\n", "f:1:13: want exactly one of unit, cron and process"},
		"misspelt":                  {"conector: {}\n", `f:1:1: unknown key "conector": did you mean "connector"?`},
		"waivers are for later":     {"waivers: []\nntp: {servers: []}\n", "f:1:1: \"waivers\" is not known to this version of hostguard"},
		"attested twice":            {"attestations:\n- {rule: A-1, owner: J, note: n, date: 2026-01-01, expires: 2026-02-01}\n- {rule: A-1, owner: K, note: n, date: 2026-01-01, expires: 2026-02-01}\n", "f:3:10: A-1 has a second attestation: the first is at f:2:10"},
		"attested without an end":   {"attestations: [{rule: A-1, owner: J, note: n, date: 2026-01-01}]\n", `f:1:16: missing key "expires"`},
		"attestations as a mapping": {"attestations: {A-1: {owner: J}}\n", `f:1:15: want a list, got a mapping`},
		"empty section":             {"ssh:\n  # group: x\n", "f:1:1: there is no value: give one, or leave the key out"},
		"server with a space":       {"ntp: {servers: [\"a b\"]}\n", `f:1:17: "a b" is neither a host name nor an address`},
		"server like an option":     {"ntp: {servers: [-x]}\n", `f:1:17: "-x" is neither a host name nor an address`},
		"server with a bad port":    {"ntp: {servers: [\"a:0\"]}\n", `f:1:17: "a:0" has no valid port`},
		"PAM must be a word":        {"ssh: {use_pam: maybe}\n", `f:1:16: want any, yes or no, got "maybe"`},
		"PAM no without quotes":     {"ssh: {use_pam: no}\n", ""},
		"group over two lines":      {"ssh: {group: \"a\\nPermitRootLogin yes\"}\n", `f:1:14: "a\nPermitRootLogin yes" is not the name of a user or group`},
		"users as text":             {"ssh: {users: operator}\n", `f:1:14: want a list, got "operator"`},
		"network without a length":  {"network: {internal: [10.0.0.0]}\n", `f:1:22: "10.0.0.0" is not a network such as 10.0.0.0/8 or fd00::/8`},
		"address in a network":      {"network: {internal: [10.1.2.3/8]}\n", `f:1:22: "10.1.2.3/8" is an address inside a network: the network is 10.0.0.0/8`},
		"a command for a container": {"docker: {containers: [a b]}\n", `f:1:23: "a b" is not the name of a container or an image`},
		"a pattern for no image":    {"docker: {images: ['x[']}\n", `f:1:19: "x[" is not a pattern: syntax error in pattern`},
		"unit without ending":       {"services: {allow: [nginx]}\n", `f:1:20: "nginx" has no unit's ending: did you mean "nginx.service"?`},
		"unit that is a path":       {"services: {allow: [/etc/x.service]}\n", `f:1:20: "/etc/x.service" is not the name of a unit`},
		"port alone":                {"ports: {allow: [9100]}\n", `f:1:17: "9100" is not a port with its protocol, such as 9100/tcp`},
		"port too high":             {"ports: {allow: [65536/tcp]}\n", `f:1:17: "65536/tcp" is not a port with its protocol, such as 9100/tcp`},
		"two watches":               {"storage: {watch: {unit: a.timer, cron: /etc/cron.d/a}}\n", `f:1:18: want exactly one of unit, cron and process`},
		"no watch":                  {"storage: {watch: {}}\n", `f:1:18: want exactly one of unit, cron and process`},
		"misspelt watch":            {"storage: {watch: {timer: a.timer}}\n", `f:1:19: unknown key "timer": known are unit, cron, process`},
		"several errors at once":    {"profile: 5\nports: {allow: [x]}\n", "f:1:10: want text, got the number 5: put it in quotes\nf:2:17: \"x\" is not a port with its protocol, such as 9100/tcp"},
		"a list instead of mapping": {"- a\n", `f:1:1: want a mapping, got a list`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if _, err := Parse("f", []byte(c.text)); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "hostguard.yaml")
	if _, err := Load(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a named file that is absent: %v", err)
	}
	if err := os.WriteFile(name, []byte(full), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(name); err != nil || c.Profile != "true-connector" || c.File() != name {
		t.Errorf("Load = %+v, %v", c, err)
	}
	if err := os.Chmod(name, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(name); err == nil || !strings.Contains(err.Error(), "cannot use the configuration") || !strings.Contains(err.Error(), "writable by group or others") {
		t.Errorf("a file that others can write: %v", err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	want := []string{
		"profile", "connector.dir", "connector.names", "ntp.servers", "ssh.group", "ssh.users", "ssh.use_pam", "ssh.key_sources",
		"network.internal", "docker.users", "docker.containers", "docker.images", "services.allow", "ports.allow", "storage.watch",
		"logs.reader", "logs.group", "logs.dir", "logs.keep", "logs.job",
	}
	if diff := cmp.Diff(want, Keys()); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("waivers: {a: b}\nstorage: {watch: [x]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f", data)
		if err != nil {
			return
		}
		for _, key := range Keys() {
			c.Lookup(key)
		}
	})
}
