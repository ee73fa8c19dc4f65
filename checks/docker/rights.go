package docker

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

type rightsParams struct {
	Capabilities []string `yaml:"capabilities" doc:"Capabilities (capabilities(7)) that may be added, without CAP_; those that docker gives by itself are among the defaults."`
	Devices      []string `yaml:"devices" doc:"Devices of the host that a container may have."`
	Allow        []string `yaml:"allow" doc:"Containers or services, by name, that may do anything."`
}

// dockerCapabilities are what every container has unless it drops them: to name
// them adds nothing.
var dockerCapabilities = []string{
	"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
	"NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}

func containerRights(ctx context.Context, h *host.Host, p rightsParams) (checks.Verdict, error) {
	d, err := deployed.Of(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeRights(d, p)
}

// judgeRights wants containers that are not root on the host by another name.
func judgeRights(d deployment, p rightsParams) (checks.Verdict, error) {
	v, err := judgeSubjects(d, d.subjects(false, p.Allow), "A container has rights with which it can take over the host.",
		func(s subject) (bad, seen []checks.Evidence, err error) {
			r := s.rights
			wrong := func(key, want, got string) { bad = append(bad, s.evidence(s.name+": "+key, want, got)) }
			if r.privileged {
				wrong("privileged", "not privileged", "privileged: all capabilities and all devices of the host")
			}
			for _, c := range r.capabilities {
				if !slices.Contains(p.Capabilities, c) && !strings.Contains(c, "$") {
					wrong("cap_add", "none that is not allowed", c)
				}
			}
			for _, o := range r.security {
				if r.privileged { // takes them off anyway
					break
				}
				wrong("security_opt", "docker's own profiles", o)
			}
			for _, dev := range r.devices {
				if on, _, _ := strings.Cut(dev, ":"); !slices.Contains(p.Devices, on) && !strings.Contains(dev, "$") {
					wrong("devices", "none of the host that is not allowed", dev)
				}
			}
			if len(bad) > 0 {
				return bad, nil, nil
			}
			if len(r.unclear) > 0 {
				err = fmt.Errorf("cannot tell what %s (%s:%d) may do: only whoever runs compose knows %s", s.name, s.source, s.line, strings.Join(r.unclear, ", "))
			}
			return nil, []checks.Evidence{s.evidence("rights of "+s.name, "", "not privileged, no capability added, no device")}, err
		})
	if d.asked && d.engine.Seccomp == "unconfined" {
		v = checks.Failed("Containers may make every system call.", append(badOf(v), checks.Evidence{
			Source: "the daemon", Key: "seccomp profile", Want: "docker's own, or a stricter one", Got: "unconfined",
		})...)
		err = nil
	}
	return v, err
}

// badOf is the evidence of a failure, and none of another verdict.
func badOf(v checks.Verdict) []checks.Evidence {
	if v.Status == checks.Fail {
		return v.Evidence
	}
	return nil
}

type namespacesParams struct {
	Namespaces []string `yaml:"namespaces" doc:"Which of the host's may not be shared: network, pid, ipc, uts."`
	Allow      []string `yaml:"allow" doc:"Containers or services, by name, that may share them."`
}

// Validate wants namespaces that there are.
func (p namespacesParams) Validate() error {
	for _, n := range p.Namespaces {
		if !slices.Contains([]string{"network", "pid", "ipc", "uts"}, n) {
			return fmt.Errorf("namespaces: %q is none of network, pid, ipc, uts", n)
		}
	}
	if len(p.Namespaces) == 0 {
		return fmt.Errorf("namespaces is empty")
	}
	return nil
}

func containerNamespaces(ctx context.Context, h *host.Host, p namespacesParams) (checks.Verdict, error) {
	d, err := deployed.Of(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeNamespaces(d, p)
}

// judgeNamespaces wants containers that do not share namespaces with the host.
func judgeNamespaces(d deployment, p namespacesParams) (checks.Verdict, error) {
	return judgeSubjects(d, d.subjects(false, p.Allow), "A container shares namespaces with the host.",
		func(s subject) (bad, seen []checks.Evidence, err error) {
			for _, name := range p.Namespaces {
				mode := map[string]string{"network": s.rights.network, "pid": s.rights.pid, "ipc": s.rights.ipc, "uts": s.rights.uts}[name]
				switch {
				case mode == "host":
					bad = append(bad, s.evidence(s.name+": "+name, "its own", "the host's"))
				case strings.Contains(mode, "$"):
					err = fmt.Errorf("cannot tell whether %s (%s:%d) shares the host's %s: only whoever runs compose knows %s", s.name, s.source, s.line, name, mode)
				}
			}
			if len(bad) > 0 {
				return bad, nil, nil
			}
			return nil, []checks.Evidence{s.evidence("namespaces of "+s.name, "", "its own")}, err
		})
}
