package ssh

import (
	"context"
	"fmt"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

func servers(ctx context.Context, h *host.Host) (checks.Verdict, error) {
	s, err := h.SSHServers(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeServers(s), nil
}

// judgeServers wants no SSH server but one OpenSSH.
func judgeServers(s *host.SSHServers) checks.Verdict {
	const want = "OpenSSH's sshd as the only SSH server"
	var bad, seen []checks.Evidence
	reason := ""
	for _, o := range s.Others {
		e := checks.Evidence{Source: o.Place, Key: o.Program}
		if o.Running {
			e.Want, e.Got = want, "another SSH server, or an unknown one on its port"
			bad = append(bad, e)
			if reason == "" {
				reason = fmt.Sprintf("%s is an SSH server besides OpenSSH's: the rules for logins do not reach it.", o.Program)
			}
		} else {
			e.Got = "installed, not started"
			seen = append(seen, e)
		}
	}
	for _, d := range s.SSHDs {
		e := checks.Evidence{Source: d.ArgsFrom, Key: d.Path, Got: strings.TrimSpace(d.Release + " " + strings.Join(d.Args, " "))}
		seen = append(seen, e)
	}
	switch {
	case len(bad) > 0:
		return checks.Failed(reason, append(bad, seen...)...)
	case len(s.SSHDs) == 0:
		return checks.Inapplicable("No SSH server is installed.", seen...)
	}
	return checks.Passed(seen...)
}
