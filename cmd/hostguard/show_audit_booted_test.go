package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostguard/hostguard/internal/lab"
)

const threeCompose = `services:
  a: {image: lab/busybox:1, volumes: ['./conf:/config', 'named:/data']}
  b: {image: lab/busybox:1, volumes: ['/srv/elsewhere:/x', 'outside:/data']}
  c: {image: lab/busybox:1, volumes: ['/srv/single.properties:/p', 'mounted:/data']}
volumes:
  named:
  outside: {external: true}
  mounted: {external: true}
`

// A booted host with three containers: of each bind mount, the named volume,
// the external volume that lies elsewhere and the one on a mount of its own the
// missing watch is found, and no other; show audit --missing closes it again.
func TestEachMissingWatchIsFoundAlone(t *testing.T) {
	h := lab.Boot(t, lab.Good, lab.Before(func(h *lab.Host) {
		for _, file := range []string{"/srv/disk/vol/x", "/srv/elsewhere/x", "/srv/ext/x", "/srv/single.properties", "/srv/mnt/x", "/opt/three/conf/x", "/opt/three/.env"} {
			h.WriteFile(file, "a=b\n")
		}
		h.WriteFile("/etc/fstab", "/srv/disk /srv/mnt none bind 0 0\n") // mounted before auditd loads its rules
		h.WriteFile("/opt/three/docker-compose.yml", threeCompose)
	}))
	h.Install(lab.Binary(t), "/usr/local/bin/hostguard")
	h.ImportBusybox("lab/busybox:1")
	volume := func(name, device string) {
		h.Must("docker", "volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", "device="+device, name)
	}
	volume("outside", "/srv/ext")
	volume("mounted", "/srv/mnt/vol")
	for service, mounts := range map[string][]string{
		"a": {"/opt/three/conf:/config", "three_named:/data"},
		"b": {"/srv/elsewhere:/x", "outside:/data"},
		"c": {"/srv/single.properties:/p", "mounted:/data"},
	} {
		args := []string{
			"docker", "run", "--detach", "--network", "none", "--name", "three_" + service, "--label", "com.docker.compose.project=three",
			"--label", "com.docker.compose.project.working_dir=/opt/three", "--label", "com.docker.compose.service=" + service,
			"--label", "com.docker.compose.project.config_files=/opt/three/docker-compose.yml",
		}
		for _, m := range mounts {
			args = append(args, "--volume", m)
		}
		h.Must(append(args, "lab/busybox:1", "sleep", "1000000")...)
	}

	watches := []struct{ watch, finds string }{
		{"/opt/three", "/opt/three /opt/three/.env /opt/three/conf /opt/three/docker-compose.yml"},
		{"/var/lib/docker/volumes", "/var/lib/docker/volumes"},
		{"/srv/elsewhere", "/srv/elsewhere"},
		{"/srv/single.properties", "/srv/single.properties"},
		{"/srv/ext", "/srv/ext"},
		{"/srv/mnt/vol", "/srv/mnt/vol"},
	}
	const file = "/etc/audit/rules.d/50-trueconnector.rules"
	rules := func(without string) string {
		var b strings.Builder
		for _, w := range watches {
			if w.watch != without {
				fmt.Fprintf(&b, "-w %s -p wa -k trueconnector\n", w.watch)
			}
		}
		return b.String()
	}
	uncovered := func() []string {
		t.Helper()
		r := h.Run("hostguard", "show", "audit", "--coverage", "--format", "json", "--connector", "/opt/three")
		var shown shownCoverage
		if err := json.Unmarshal([]byte(r.Stdout), &shown); err != nil || r.Code != 3 || len(shown.Unknown) > 0 {
			t.Fatalf("%v, exit code %d: %s %+v", err, r.Code, r.Stderr, shown.Unknown) // 3: the kernel refuses
		}
		var paths []string
		for _, p := range shown.Paths {
			if p.NextBoot.Answer != "covered" && !slices.Contains(paths, p.Path) {
				paths = append(paths, p.Path)
			}
		}
		slices.Sort(paths)
		return paths
	}
	// A rule on all of docker's data would hide a missing one on its volumes.
	docker := h.ReadFile("/etc/audit/rules.d/50-docker.rules")
	h.WriteFile("/etc/audit/rules.d/50-docker.rules", strings.Replace(docker, "-w /var/lib/docker -p wa -k docker\n", "", 1))
	h.WriteFile(file, rules(""))
	if diff := cmp.Diff([]string{"/var/lib/docker"}, uncovered()); diff != "" {
		t.Fatalf("with all watches (-want +got):\n%s", diff)
	}
	for _, w := range watches {
		h.WriteFile(file, rules(w.watch))
		want := append(strings.Fields(w.finds), "/var/lib/docker")
		slices.Sort(want)
		if diff := cmp.Diff(want, uncovered()); diff != "" {
			t.Errorf("without the watch on %s (-want +got):\n%s", w.watch, diff)
		}
	}

	h.WriteFile(file, "")
	r := h.Run("hostguard", "show", "audit", "--missing", "--connector", "/opt/three")
	if strings.Contains(r.Stdout, "## open") {
		t.Errorf("gaps stay open:\n%s", r.Stdout)
	}
	for _, volume := range []string{"/var/lib/docker/volumes/", "/overlay2/"} {
		if strings.Contains(r.Stdout, volume) {
			t.Errorf("a rule is about what docker removes:\n%s", r.Stdout)
		}
	}
	h.WriteFile("/etc/audit/rules.d/50-hostguard.rules", r.Stdout)
	if left := uncovered(); len(left) > 0 {
		t.Errorf("with the rules that --missing prints %v are not covered:\n%s", left, r.Stdout)
	}
}
