package network

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/composefile"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/packetfilter"
	"github.com/hostguard/hostguard/internal/quantity"
)

var (
	ecc  = &host.Container{ID: "e", Name: "ecc-provider", Image: "rdlabengpa/ids_execution_core_container:v1.14.8", State: "running"}
	app  = &host.Container{ID: "a", Name: "be-dataapp", Image: "rdlabengpa/ids_be_data_app:v0.3.8", State: "running"}
	kern = &host.Container{ID: "k", Name: "kern", Image: "registry.example/x/kern:1", State: "running", Labels: map[string]string{
		"com.docker.compose.project.working_dir": "/opt/tc", "com.docker.compose.service": "kern",
	}}
	mine = &host.Container{ID: "m", Name: "renamed", Image: "registry.example:5000/our/core@sha256:00", State: "running"}
)

// seen is an exposure with the answer for anywhere.
func seen(e host.Exposure, local string, answer packetfilter.Answer) host.Exposure {
	e.Local = netip.MustParseAddrPort(local)
	if e.Proto == "" {
		e.Proto = "tcp"
	}
	e.By[packetfilter.Anywhere] = packetfilter.Reach{Answer: answer, By: "ip filter INPUT policy drop", Why: "[osf] in ip filter INPUT handle 3"}
	return e
}

func published(c *host.Container, inside uint16) host.Exposure {
	return host.Exposure{Publish: c, Inside: inside}
}

func socket(s host.Socket) host.Exposure {
	if s.PID == 0 {
		s.PID = 7
	}
	return host.Exposure{Socket: &s}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	const yes, no, unknown = packetfilter.Yes, packetfilter.No, packetfilter.Unknown
	sshd := socket(host.Socket{Exe: "/usr/sbin/sshd", Genuine: true})
	others := otherParams{Core: defaultCore, Programs: []string{"/usr/sbin/sshd"}, Units: []string{"ssh.socket"}, Allow: []quantity.PortRange{{From: 443, To: 443, Proto: "tcp"}}, Ports: []quantity.PortRange{{From: 68, To: 68, Proto: "udp"}}}
	for name, c := range map[string]struct {
		all                   []host.Exposure
		sight                 sight
		api, others, partners string // status, and words of the reason or error
	}{
		"nothing": {nil, sight{}, "not-applicable: Neither", "pass", "not-applicable"},
		"the core's port on all addresses": {[]host.Exposure{seen(published(ecc, 8449), "0.0.0.0:8090", yes)}, sight{},
			"fail: tcp 0.0.0.0:8090", "pass", "not-applicable"},
		"behind a firewall": {[]host.Exposure{seen(published(ecc, 8449), "0.0.0.0:8090", no)}, sight{}, "pass", "pass", "not-applicable"},
		"over IPv6 only": {[]host.Exposure{seen(published(ecc, 8449), "0.0.0.0:8090", no), seen(published(ecc, 8449), "[::]:8090", yes)}, sight{},
			"fail: tcp [::]:8090", "pass", "not-applicable"},
		"it cannot be told":                   {[]host.Exposure{seen(published(ecc, 8449), "0.0.0.0:8090", unknown)}, sight{}, "error: [osf] in ip filter INPUT handle 3", "pass", "not-applicable"},
		"a core with another port inside":     {[]host.Exposure{seen(published(ecc, 80), "0.0.0.0:8090", yes)}, sight{}, "fail: 8090", "pass", "not-applicable"},
		"a renamed core is known by its port": {[]host.Exposure{seen(published(mine, 8449), "0.0.0.0:8090", yes)}, sight{}, "fail: 8090", "pass", "not-applicable"},
		"a renamed core is known by its settings": {[]host.Exposure{seen(published(kern, 8889), "0.0.0.0:8890", yes), seen(published(kern, 9000), "0.0.0.0:9000", yes)},
			sight{cores: map[service]bool{{"/opt/tc", "kern"}: true}}, "fail: 9000", "pass", "pass"},
		"the same name in another connector": {[]host.Exposure{seen(published(kern, 8889), "0.0.0.0:8890", yes)},
			sight{cores: map[service]bool{{"/opt/b", "kern"}: true}}, "not-applicable", "fail: 8890", "not-applicable"},
		"partners' ports are open":             {[]host.Exposure{seen(published(ecc, 8889), "0.0.0.0:8890", yes)}, sight{}, "not-applicable", "pass", "pass"},
		"partners' ports are closed":           {[]host.Exposure{seen(published(ecc, 8889), "0.0.0.0:8890", no)}, sight{}, "not-applicable", "pass", "fail: 8890"},
		"a data app is open":                   {[]host.Exposure{seen(published(app, 8183), "0.0.0.0:8183", yes)}, sight{}, "not-applicable", "fail: 8183", "not-applicable"},
		"partners' port of another container":  {[]host.Exposure{seen(published(app, 8889), "0.0.0.0:8889", yes)}, sight{}, "not-applicable", "fail: 8889", "not-applicable"},
		"sshd":                                 {[]host.Exposure{seen(sshd, "0.0.0.0:22", yes)}, sight{}, "not-applicable", "pass", "not-applicable"},
		"somebody who says to be sshd":         {[]host.Exposure{seen(socket(host.Socket{Exe: "/usr/sbin/sshd"}), "0.0.0.0:22", yes)}, sight{}, "not-applicable", "fail: 0.0.0.0:22", "not-applicable"},
		"systemd for sshd":                     {[]host.Exposure{seen(socket(host.Socket{PID: 1, Exe: "/lib/systemd/systemd", Unit: "ssh.socket"}), "[::]:22", yes)}, sight{}, "not-applicable", "pass", "not-applicable"},
		"an allowed port":                      {[]host.Exposure{seen(socket(host.Socket{Exe: "/usr/sbin/nginx"}), "0.0.0.0:443", yes)}, sight{}, "not-applicable", "pass", "not-applicable"},
		"a stray port":                         {[]host.Exposure{seen(socket(host.Socket{Exe: "/usr/sbin/nginx"}), "0.0.0.0:80", yes)}, sight{}, "not-applicable", "fail: 0.0.0.0:80", "not-applicable"},
		"a stray port that is closed":          {[]host.Exposure{seen(socket(host.Socket{Exe: "/usr/sbin/nginx"}), "0.0.0.0:80", no)}, sight{}, "not-applicable", "pass", "not-applicable"},
		"a stray port that cannot be told":     {[]host.Exposure{seen(socket(host.Socket{Exe: "/usr/sbin/nginx"}), "0.0.0.0:80", unknown)}, sight{}, "not-applicable", "error: tcp 0.0.0.0:80", "not-applicable"},
		"a failure wins over what is not told": {[]host.Exposure{seen(published(ecc, 8449), "0.0.0.0:8090", unknown), seen(published(ecc, 8449), "[::]:8090", yes)}, sight{}, "fail: [::]:8090", "pass", "not-applicable"},
		"a translation to the core": {[]host.Exposure{seen(host.Exposure{To: netip.MustParseAddrPort("172.18.0.2:8449")}, "0.0.0.0:9999", yes)}, sight{},
			"fail: 9999", "pass", "not-applicable"},
		"a translation elsewhere": {[]host.Exposure{seen(host.Exposure{To: netip.MustParseAddrPort("172.18.0.2:80")}, "0.0.0.0:9999", yes)}, sight{}, "not-applicable", "fail: 9999", "not-applicable"},
		"a core on the host's network": {[]host.Exposure{seen(socket(host.Socket{Exe: "java", Container: "e"}), "[::]:8449", yes), seen(socket(host.Socket{Exe: "java", Container: "e"}), "[::]:8889", yes)}, sight{},
			"fail: [::]:8449", "pass", "pass"},
		"docker does not answer": {nil, sight{Exposures: host.Exposures{Docker: host.ErrNotRoot}}, "error: docker publishes", "error: docker publishes", "error: docker publishes"},
		"a container on a network of its own": {nil, sight{Exposures: host.Exposures{Beyond: []host.Beyond{{Container: "x", Network: "lan", Driver: "macvlan"}}}},
			"error: macvlan", "error: macvlan", "error: macvlan"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := c.sight
			s.All, s.containers = c.all, map[string]*host.Container{"e": ecc, "a": app, "m": mine}
			check := func(what, want string, v checks.Verdict, err error) {
				t.Helper()
				status, words, _ := strings.Cut(want, ": ")
				got, said := v.Status.String(), v.Reason
				if err != nil {
					got, said = "error", err.Error()
				}
				if got != status || !strings.Contains(said, words) {
					t.Errorf("%s: %s: %s, want %s", what, got, said, want)
				}
				for _, e := range v.Evidence {
					if v.Status == checks.Fail && (e.Source == "" || e.Want == "" || e.Got == "") {
						t.Errorf("%s: evidence does not say where, what and what else: %+v", what, e)
					}
				}
			}
			v, err := judgeAPI(s, apiParams{Core: defaultCore})
			check("api", c.api, v, err)
			v, err = judgeOthers(s, others)
			check("others", c.others, v, err)
			v, err = judgePartners(s, apiParams{Core: defaultCore})
			check("partners", c.partners, v, err)
		})
	}
}

func TestWrittenPorts(t *testing.T) {
	t.Parallel()
	const image = "rdlabengpa/ids_execution_core_container:v1.14.8"
	for name, c := range map[string]struct {
		image string
		port  composefile.Port
		want  string // of NET-001: status, and words of the error
	}{
		"on every address":         {image, composefile.Port{Published: "8090", Target: "8449"}, "error: published at every address"},
		"on every address, said":   {image, composefile.Port{Address: "0.0.0.0", Published: "8090", Target: "8449"}, "error: 0.0.0.0"},
		"on an outer address":      {image, composefile.Port{Address: "203.0.113.5", Published: "8090", Target: "8449"}, "error: 203.0.113.5"},
		"on loopback":              {image, composefile.Port{Address: "127.0.0.1", Published: "8090", Target: "8449"}, "pass"},
		"on an internal address":   {image, composefile.Port{Address: "10.0.0.5", Published: "8090", Target: "8449"}, "pass"},
		"on an internal IPv6 one":  {image, composefile.Port{Address: "fd00::5", Published: "8090", Target: "8449"}, "pass"},
		"a variable for the port":  {image, composefile.Port{Published: "${PROVIDER_PORT}", Target: "8449"}, "error: whoever starts compose sets ${PROVIDER_PORT}"},
		"a variable for the whole": {"other", composefile.Port{Target: "${X}"}, "error: every address"},
		"a range":                  {"other", composefile.Port{Published: "8090-8099", Target: "8440-8449"}, "error: every address"},
		"partners' port":           {image, composefile.Port{Published: "8889", Target: "8889"}, "not-applicable: Neither"},
		"another port of the core": {image, composefile.Port{Published: "1", Target: "1"}, "error: every address"},
		"a renamed core":           {"mine", composefile.Port{Published: "1", Target: "8449"}, "error: every address"},
		"another service":          {"mine", composefile.Port{Published: "8183", Target: "8183"}, "not-applicable: Neither"},
	} {
		service := host.ComposeService{Name: "ecc", Image: c.image, File: "/opt/tc/compose.yaml", Line: 3, Ports: []composefile.Port{c.port}}
		connector := host.Connector{Dir: "/opt/tc", Services: []host.ComposeService{service}}
		judge := func(containers map[string]*host.Container) (checks.Verdict, error) {
			s := sight{containers: containers}
			s.written, s.unclear = notRunning([]host.Connector{connector}, containers)
			return judgeAPI(s, apiParams{Core: defaultCore})
		}
		status, words, _ := strings.Cut(c.want, ": ")
		v, err := judge(nil)
		got, text := v.Status.String(), v.Reason
		if err != nil {
			got, text = "error", err.Error()
		}
		if got != status || !strings.Contains(text, words) {
			t.Errorf("%s: %s: %s, want %s", name, got, text, c.want)
		}
		running := &host.Container{State: "running", Labels: map[string]string{"com.docker.compose.project.working_dir": "/opt/tc", "com.docker.compose.service": "ecc"}}
		if v, err := judge(map[string]*host.Container{"c": running}); err != nil || v.Status != checks.NotApplicable {
			t.Errorf("%s, while the service runs: %v, %v: its container is judged, not the file", name, v.Status, err)
		}
	}
	broken := host.Connector{Dir: "/opt/tc", ComposeErr: host.ErrNotRoot}
	if _, unclear := notRunning([]host.Connector{broken}, nil); len(unclear) != 1 {
		t.Errorf("compose files that cannot be read: %v", unclear)
	}
}
