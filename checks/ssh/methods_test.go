package ssh

import (
	"context"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

func TestRootLoginStrictness(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config, want string
		status       checks.Status
		says         []string
	}{
		"no: root gets in by key":                    {keyOnly, notAtAll, checks.Fail, []string{"lets root (and 1 more) in by publickey", "permitrootlogin want no got without-password"}},
		"no: root is shut out":                       {keyOnly + "PermitRootLogin no\n", notAtAll, checks.Pass, []string{"no method"}},
		"no: a Match block opens it":                 {keyOnly + "PermitRootLogin no\nMatch Address 10.0.0.0/8\nPermitRootLogin prohibit-password\n", notAtAll, checks.Fail, []string{sshdConfig + ":6", "from 10."}},
		"no: the lists shut root out":                {keyOnly + "DenyUsers root toor\n", notAtAll, checks.Pass, []string{"uid 0"}},
		"no: the lists leave another one with uid 0": {keyOnly + "DenyUsers root\n", notAtAll, checks.Fail, []string{"lets toor in"}},
		"no: by forced command":                      {keyOnly + "PermitRootLogin forced-commands-only\n", notAtAll, checks.Fail, nil},
		"forced commands: any key":                   {keyOnly, byForcedCommand, checks.Fail, []string{"permitrootlogin want forced-commands-only got without-password"}},
		"forced commands: so it is":                  {keyOnly + "PermitRootLogin forced-commands-only\n", byForcedCommand, checks.Pass, nil},
		"forced commands: no is stricter":            {keyOnly + "PermitRootLogin no\n", byForcedCommand, checks.Pass, nil},
		"by key":                                     {keyOnly, byKey, checks.Pass, []string{"publickey"}},
		"a host that root trusts is no password":     {keyOnly + "HostbasedAuthentication yes\n", byKey, checks.Pass, []string{"hostbased"}},
		"an empty password is one":                   {"PermitRootLogin yes\nPermitEmptyPasswords yes\nAuthenticationMethods none\n", byKey, checks.Fail, []string{"by none"}},
		"keyboard-interactive without its device":    {"PermitRootLogin yes\nPasswordAuthentication no\nUsePAM yes\nAuthenticationMethods keyboard-interactive:bsdauth publickey\n", byKey, checks.Pass, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			look := func(ctx context.Context, h *host.Host) (checks.Verdict, error) {
				return methods(ctx, h, methodsParams{onlyRoot, c.want})
			}
			expect(t, look, hostTree(t, files{sshdConfig: c.config}), c.status, c.says...)
		})
	}
	// Another account with uid 0 may come from a directory.
	h := hostTree(t, files{sshdConfig: keyOnly + "DenyUsers root toor\n", "etc/nsswitch.conf": "passwd: files sss\n"})
	expect(t, func(ctx context.Context, h *host.Host) (checks.Verdict, error) {
		return methods(ctx, h, methodsParams{onlyRoot, notAtAll})
	}, h, checks.Fail, "accounts with uid 0 from sss")
}

func TestStrictnessIsOneOfThree(t *testing.T) {
	t.Parallel()
	for _, p := range []methodsParams{{everyone, "yes"}, {onlyRoot, ""}, {"nobody", byKey}} {
		if p.Validate() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
}
