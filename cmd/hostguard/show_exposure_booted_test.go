package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// On a booted host with a real docker and ufw: what show exposure says about
// each port from anywhere and from the host itself is what connections meet.
// Docker without its userland proxy cannot run in a container, where
// /proc/sys/net is read-only: internal/host tries its rules.
func TestExposureOfDockerAndUFW(t *testing.T) {
	h := lab.Boot(t, lab.Good)
	h.Install(lab.Binary(t), "/usr/local/bin/hostguard")
	h.ImportBusybox("lab/ids_execution_core_container:1")
	run := func(args ...string) {
		h.Must(slices.Concat([]string{"docker", "run", "--detach"}, args, []string{"lab/ids_execution_core_container:1", "httpd", "-f", "-p", "8449"})...)
	}
	run("--name", "everywhere", "--restart", "always", "--publish", "8090:8449")
	run("--name", "itself", "--restart", "always", "--publish", "127.0.0.1:8091:8449")
	run("--name", "address", "--restart", "always", "--publish", h.Address()+":8092:8449")
	run("--name", "hosts", "--restart", "always", "--network", "host")
	h.Must("systemd-run", "--quiet", "--unit=stray", "busybox", "nc", "-ll", "-p", "4444", "-e", "/bin/true")

	connects := func(outside bool, to string) bool {
		program := fmt.Sprintf("exec 3<>/dev/tcp/%s", strings.Replace(to, ":", "/", 1))
		args := []string{"timeout", "1", "bash", "-c", program}
		if outside {
			return h.Outside(args...).Code == 0
		}
		return h.Run(args...).Code == 0
	}
	answers := func(t *testing.T) map[string]shownExposure {
		t.Helper()
		r := h.Run("hostguard", "show", "exposure", "--format", "json")
		var shown shownExposures
		if err := json.Unmarshal([]byte(r.Stdout), &shown); err != nil || r.Code != 0 || shown.SchemaVersion != exposureSchema {
			t.Fatalf("%v, exit code %d: %s", err, r.Code, r.Stderr)
		}
		all := map[string]shownExposure{}
		for _, e := range shown.Exposures {
			if e.Proto == "tcp" {
				all[fmt.Sprintf("%s:%d", e.Address, e.Port)] = e
			}
		}
		return all
	}
	// compare tries the ports and returns those that outsiders reach.
	compare := func(t *testing.T) string {
		t.Helper()
		var open []string
		all := answers(t)
		for _, at := range []string{"0.0.0.0:22", ":::4444", "0.0.0.0:8090", "127.0.0.1:8091", h.Address() + ":8092", ":::8449"} {
			e, ok := all[at]
			if !ok {
				t.Errorf("%s is not shown: %v", at, all)
				continue
			}
			if real := connects(true, fmt.Sprintf("%s:%d", h.Address(), e.Port)); real != (e.From["anywhere"].Answer == "yes") {
				t.Errorf("%s from outside: %+v, and connecting: %v", at, e.From["anywhere"], real)
			}
			from := "127.0.0.1"
			if strings.HasPrefix(at, h.Address()) {
				from = h.Address()
			}
			if real := connects(false, fmt.Sprintf("%s:%d", from, e.Port)); real != (e.From["loopback"].Answer == "yes") {
				t.Errorf("%s from itself: %+v, and connecting: %v", at, e.From["loopback"], real)
			}
			if e.From["anywhere"].Answer == "yes" {
				open = append(open, fmt.Sprint(e.Port))
			}
		}
		return strings.Join(open, " ")
	}
	for _, step := range []struct {
		name     string
		commands []string
		open     string
	}{
		{"docker alone", nil, "22 4444 8090 8092 8449"},
		{"ufw denies all but SSH", []string{"ufw allow 22/tcp", "ufw --force enable"}, "22 8090 8092"},
		{"ufw limits SSH", []string{"ufw limit 22/tcp"}, "22 8090 8092"},
		{"ufw allows a neighbour", []string{"ufw allow from 192.0.2.0/24 to any port 4444 proto tcp"}, "22 4444 8090 8092"},
		{"a rule on the published port in DOCKER-USER blocks nothing", []string{"iptables -I DOCKER-USER -p tcp --dport 8090 -j DROP"}, "22 4444 8090 8092"},
		{"one on the original port does", []string{"iptables -I DOCKER-USER -p tcp -m conntrack --ctorigdstport 8090 -j DROP"}, "22 4444 8092"},
		{"a chain of its own before the translation", []string{
			"nft add table inet own", "nft add chain inet own pre { type filter hook prerouting priority -150 ; }",
			"nft add rule inet own pre fib daddr type local tcp dport { 8090, 8092 } ip saddr != { 10.0.0.0/8, 127.0.0.0/8 } drop",
		}, "22 4444"},
	} {
		t.Run(step.name, func(t *testing.T) {
			h := h.For(t)
			for _, c := range step.commands {
				if r := h.Run(strings.Fields(c)...); r.Code != 0 {
					t.Fatalf("%s: %s%s", c, r.Stderr, r.Stdout)
				}
			}
			if got := compare(t); got != step.open {
				t.Errorf("outsiders reach %s, want %s", got, step.open)
			}
		})
	}
}
