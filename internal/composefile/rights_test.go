package composefile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// rightsOf is what compose-go makes of a service's rights.
func rightsOf(s types.ServiceConfig) Rights {
	r := Rights{
		Privileged: strconv.FormatBool(s.Privileged), CapAdd: s.CapAdd, SecurityOpt: s.SecurityOpt, Network: s.NetworkMode, PID: s.Pid, IPC: s.Ipc,
		UTS: s.Uts, UserNS: s.UserNSMode, Cgroup: s.Cgroup, User: s.User, Restart: s.Restart,
	}
	for _, d := range s.Devices {
		r.Devices = append(r.Devices, d.Source+":"+d.Target+":"+d.Permissions)
	}
	r.DeviceRules = s.DeviceCgroupRules
	if s.Deploy != nil && s.Deploy.RestartPolicy != nil {
		r.RestartCondition = s.Deploy.RestartPolicy.Condition
	}
	sortRights(&r)
	return r
}

// sortRights drops what compose-go does not keep: order, repetitions, and how
// a device or a boolean was written.
func sortRights(r *Rights) {
	r.Privileged = strconv.FormatBool(r.Privileged == "true")
	for i, d := range r.Devices {
		parts := strings.Split(d, ":")
		if len(parts) < 2 {
			parts = append(parts, parts[0])
		}
		if len(parts) < 3 {
			parts = append(parts, "rwm")
		}
		r.Devices[i] = strings.Join(parts, ":")
	}
	for _, list := range []*[]string{&r.CapAdd, &r.SecurityOpt, &r.Devices, &r.DeviceRules} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}

// rights are keys of a service; most have none.
func (g generator) rights() string {
	var b strings.Builder
	for _, line := range []string{
		"privileged: " + pick(g, "true", "false", `"${UNSET:-true}"`),
		"cap_add: " + pick(g, "[NET_ADMIN]", "[CAP_SYS_ADMIN, ALL]"),
		"security_opt: " + pick(g, "['seccomp:unconfined']", "[no-new-privileges]"),
		"devices: " + pick(g, "['/dev/a']", "['/dev/b:/dev/c']", "['/dev/d:/dev/e:r']", "[{source: /dev/f, target: /dev/g, permissions: rw}]"),
		"device_cgroup_rules: " + pick(g, "['c 1:3 mr']", "['a *:* rwm']"),
		"pid: " + pick(g, "host", "'service:s0'"), "ipc: " + pick(g, "host", "shareable"), "uts: host", "userns_mode: host", "cgroup: host",
		"network_mode: " + pick(g, "host", "bridge", "none"),
		"user: " + pick(g, "root", "'0:0'", `"${UNSET:-nobody}"`),
		"restart: " + pick(g, "always", "'no'", "'on-failure:3'", "unless-stopped"),
	} {
		if g.IntN(8) == 0 {
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	return b.String()
}

func TestRestartPolicy(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]Rights{
		"no": {}, "always": {Restart: "no", RestartCondition: "any"}, "on-failure": {Restart: "on-failure:5"}, "unless-stopped": {Restart: "unless-stopped"},
	} {
		if got := r.RestartPolicy(); got != want {
			t.Errorf("%+v: %q, want %q", r, got, want)
		}
	}
	if got := (Rights{Restart: "always", RestartCondition: "none"}).RestartPolicy(); got != "no" {
		t.Errorf("a condition of none: %q", got)
	}
}
