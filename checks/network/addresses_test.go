package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/composefile"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab/checktest"
)

// TestPublishedAddresses reads what compose files say as the check does: ports in
// all forms, of services that nothing else than their settings makes a core.
func TestPublishedAddresses(t *testing.T) {
	t.Parallel()
	const (
		core = "services:\n  ecc:\n    image: rdlabengpa/ids_execution_core_container:v1\n"
		own  = "services:\n  kern:\n    image: registry.example/x/kern:1\n    volumes: ['./kern:/config']\n"
		app  = "services:\n  app:\n    image: example/ids_be_data_app:1\n"
	)
	ports := func(service string, list ...string) string {
		return service + "    ports:\n      - " + strings.Join(list, "\n      - ") + "\n"
	}
	for name, c := range map[string]struct {
		compose, env, want string
	}{
		"no address":                                  {ports(core, `"8090:8449"`), "", "fail: 8090 of ecc at docker-compose.yml:5 is published at every address"},
		"no published port":                           {ports(core, `"8449"`), "", "fail: 8449 of ecc at docker-compose.yml:5 is published at every address"},
		"every IPv4 address":                          {ports(core, `"0.0.0.0:8090:8449"`), "", "fail: 8090 of ecc at docker-compose.yml:5 is published at 0.0.0.0, every IPv4 address"},
		"every IPv6 address":                          {ports(core, `"[::]:8090:8449"`), "", "fail: 8090 of ecc at docker-compose.yml:5 is published at ::, every IPv6 address"},
		"every IPv4 address, mapped":                  {ports(core, `"[::ffff:0.0.0.0]:8090:8449"`), "", "fail: 8090 of ecc at docker-compose.yml:5 is published at ::ffff:0.0.0.0, every IPv4 address"},
		"loopback":                                    {ports(core, `"127.0.0.1:8090:8449"`), "", "pass"},
		"an address of the host's":                    {ports(core, `"10.0.0.5:8090:8449"`, `"[fd00::5]:8090:8449"`, `"203.0.113.7:8091:8449"`), "", "pass"},
		"partners' ports":                             {ports(core, `"8889:8889"`, `"8086:8086"`), "", "pass"},
		"partners' ports, renamed":                    {ports(own, `"8890:8889"`), "", "pass"},
		"a renamed core's API":                        {ports(own, `"8889:8889"`, `"8090:8449"`), "", "fail: 8090 of kern at docker-compose.yml:7"},
		"partners' port over UDP":                     {ports(core, `"8889:8889/udp"`), "", "fail: 8889 of ecc"},
		"partners' port of another":                   {ports(app, `"8889:8889"`), "", "fail: 8889 of app"},
		"a data app":                                  {ports(app, `"8183:8183"`), "", "fail: 8183 of app at docker-compose.yml:5"},
		"a range":                                     {ports(core, `"8090-8099:8440-8449"`), "", "fail: 8090-8099 of ecc"},
		"a range beyond partners'":                    {ports(core, `"8889-8890:8889-8890"`), "", "fail: 8889-8890 of ecc"},
		"a range at an address":                       {ports(core, `"127.0.0.1:8090-8099:8440-8449"`), "", "pass"},
		"in long":                                     {ports(core, `{target: 8449, published: "8090"}`), "", "fail: 8090 of ecc at docker-compose.yml:5"},
		"in long, every IPv6 address":                 {ports(core, `{target: 8449, published: "8090", host_ip: "::"}`), "", "fail: every IPv6 address"},
		"in long, loopback":                           {ports(core, `{target: 8449, published: "8090", host_ip: 127.0.0.1}`), "", "pass"},
		"an address of .env":                          {ports(core, `"${ADDR}:8090:8449"`), "ADDR=127.0.0.1\n", "pass"},
		"all addresses by .env":                       {ports(core, `"${ADDR}:8090:8449"`), "ADDR=0.0.0.0\n", "fail: 8090 of ecc"},
		"an empty address by .env":                    {ports(core, `"${ADDR}:8090:8449"`), "ADDR=\n", "fail: 8090 of ecc"},
		"an address by default":                       {ports(core, `"${ADDR:-127.0.0.1}:8090:8449"`), "", "pass"},
		"an address of the shell's":                   {ports(core, `"${ADDR}:8090:8449"`), "", "error: docker-compose.yml:5): whoever starts compose sets ${ADDR}:8090"},
		"host_ip of the shell's":                      {ports(core, `{target: 8449, published: "8090", host_ip: "${ADDR}"}`), "", "error: whoever starts compose sets ${ADDR}"},
		"a port of .env":                              {ports(core, `"${PORT}:8449"`), "PORT=8090\n", "fail: 8090 of ecc"},
		"a port with address of .env":                 {ports(core, `"${PORT}:8449"`), "PORT=127.0.0.1:8090\n", "pass"},
		"a port of the shell's":                       {ports(core, `"${PORT}:8449"`), "", "error: whoever starts compose sets ${PORT}"},
		"only its port is the shell's, at an address": {ports(core, `"127.0.0.1:${PORT}:8449"`, `"[::1]:${PORT}:8449"`), "", "pass"},
		"no address at all":                           {ports(core, `"localhost:8090:8449"`), "", `error: "localhost" is none`},
		"a fault beside what is not told":             {ports(core, `"${PORT}:8449"`, `"8091:8449"`), "", "fail: 8091 of ecc at docker-compose.yml:6"},
		"nothing is published":                        {core, "", "not-applicable: publish no port"},
		"the host's network":                          {core + "    network_mode: host\n", "", "fail: all of ecc at docker-compose.yml:2 is the host's network: each port that it listens on"},
		"the host's network, maybe":                   {core + "    network_mode: ${NET}\n", "", "error: network_mode is set by whoever starts compose"},
		"another service's network":                   {core + "    network_mode: service:proxy\n  proxy:\n    ports: ['127.0.0.1:443:443']\n", "", "pass"},
		"a service that is asked for":                 {core + "  debug:\n    profiles: [debug]\n    ports: ['5005:5005']\n", "", "fail: 5005 of debug"},
		"the compose file is not understood":          {core + "include: [x]\n", "", "error: include"},
		"no settings tell a core by its name":         {"services:\n  x:\n    ports: ['8889:8889']\n", "", "fail: 8889 of x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for file, text := range map[string]string{
				"docker-compose.yml": c.compose, ".env": c.env, "kern/application.properties": "application.isEnabledDapsInteraction=true\n",
			} {
				at := filepath.Join(root, "opt/tc", file)
				if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			v, err := probeAddresses(t.Context(), host.New(host.Options{Root: root, ConnectorDirs: []string{"/opt/tc"}}), addressesParams{Core: defaultCore})
			got := v.Status.String() + ": " + strings.TrimSuffix(v.Reason, ".")
			if err != nil {
				got = "error: " + err.Error()
			}
			for _, e := range v.Evidence {
				if e.Want != "" {
					got += fmt.Sprintf(" at %s:%d is %s", filepath.Base(e.Source), e.Line, e.Got)
				} else if e.Source == "" || e.Line == 0 || e.Got == "" {
					t.Errorf("evidence without a place or without what was seen: %+v", e)
				}
			}
			status, words, _ := strings.Cut(c.want, ": ")
			if !strings.HasPrefix(got, status+": ") || !strings.Contains(got, words) {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

// TestPublishedAddressesOfSeveral: what is wrong with one connector is said
// whatever cannot be seen of another.
func TestPublishedAddressesOfSeveral(t *testing.T) {
	t.Parallel()
	broken := host.ConnectorApps{Connector: host.Connector{Dir: "/opt/a"}, Err: errors.New("include")}
	open := host.ConnectorApps{Connector: host.Connector{Dir: "/opt/b", Services: []host.ComposeService{
		{Name: "app", File: "/opt/b/compose.yaml", Line: 1, Ports: []composefile.Port{{Published: "8183", Target: "8183"}}},
	}}}
	v, err := judgeAddresses([]host.ConnectorApps{broken, open}, addressesParams{Core: defaultCore})
	checktest.Judged(t, v, err, "fail: 8183 of app")
	open.Connector.Services[0].Ports[0].Address = "127.0.0.1"
	if _, err := judgeAddresses([]host.ConnectorApps{broken, open}, addressesParams{Core: defaultCore}); err == nil {
		t.Error("a connector that cannot be read passes")
	}
}
