package sshdconf_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/sshdconf"
	"github.com/hostguard/hostguard/internal/sshdconf/sshdtest"
)

func worldsOf(t *testing.T, text string, accounts []sshdconf.Account, others bool) []string {
	t.Helper()
	c := parse(t, memFS{mainFile: text}, sshdconf.Options{Version: sshdconf.V9_2})
	worlds, err := c.Worlds(accounts, others)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, w := range worlds {
		var names []string
		for _, a := range w.Accounts {
			names = append(names, a.Name)
		}
		slices.Sort(names)
		if w.Others {
			names = append(names, "others")
		}
		text := ""
		if w.Effective != nil {
			for _, b := range w.Effective.Blocks {
				text += "[" + b.Text + "]"
			}
		} else {
			text = "refused"
		}
		out = append(out, strings.Join(names, ",")+text)
	}
	slices.Sort(out)
	return out
}

func TestWorlds(t *testing.T) {
	t.Parallel()
	people := []sshdconf.Account{
		{Name: "root", Groups: []string{"root"}}, {Name: "op", Groups: []string{"op", "wheel"}}, {Name: "bob", Groups: []string{"bob"}},
	}
	for name, c := range map[string]struct {
		config string
		others bool
		want   []string
	}{
		"no Match":              {"Banner x\n", false, []string{"bob,op,root"}},
		"by user":               {"Match User op\nBanner x\n", false, []string{"op[User op]", "bob,root"}},
		"nobody is meant":       {"Match User nosuch\nBanner x\n", false, []string{"bob,op,root"}},
		"unknown accounts":      {"Match User nosuch\nBanner x\n", true, []string{"others[User nosuch]", "bob,op,root,others"}},
		"by group":              {"Match Group wheel,!bob\nBanner x\n", false, []string{"op[Group wheel,!bob]", "bob,root"}},
		"a net within a net":    {"Match Address 10.0.0.0/8\nBanner x\nMatch Address 10.1.0.0/16\nBanner y\n", false, []string{"bob,op,root", "bob,op,root[Address 10.0.0.0/8]", "bob,op,root[Address 10.0.0.0/8][Address 10.1.0.0/16]"}},
		"one address":           {"Match Address 10.0.0.7\nBanner x\n", false, []string{"bob,op,root", "bob,op,root[Address 10.0.0.7]"}},
		"all but one net":       {"Match Address *,!192.168.0.0/16\nBanner x\n", false, []string{"bob,op,root", "bob,op,root[Address *,!192.168.0.0/16]"}},
		"the whole of IPv6":     {"Match Address ::/0\nBanner x\n", false, []string{"bob,op,root", "bob,op,root[Address ::/0]"}},
		"a text pattern":        {"Match Address 10.*\nBanner x\n", false, []string{"bob,op,root", "bob,op,root[Address 10.*]"}},
		"port":                  {"Match LocalPort 2222\nBanner x\n", false, []string{"bob,op,root", "bob,op,root[LocalPort 2222]"}},
		"two ports":             {"Match LocalPort 1111\nBanner x\nMatch LocalPort 2222\nBanner y\n", false, []string{"bob,op,root", "bob,op,root[LocalPort 1111]", "bob,op,root[LocalPort 2222]"}},
		"user and address":      {"Match User op Address 10.0.0.0/8\nBanner x\n", false, []string{"op[User op Address 10.0.0.0/8]", "bob,op,root"}},
		"host without UseDNS":   {"Match Host *.example.org,*.lan,p*\nBanner x\n", false, []string{"bob,op,root"}},
		"host, its last digits": {"Match Host *.5\nBanner x\n", false, []string{"bob,op,root", "bob,op,root[Host *.5]"}},
		"host with UseDNS":      {"UseDNS yes\nMatch Host *.example.org\nBanner x\n", false, []string{"bob,op,root", "bob,op,root[Host *.example.org]"}},
		"host that is digits":   {"Match Host 10.*\nBanner x\n", false, []string{"bob,op,root", "bob,op,root[Host 10.*]"}},
		"all networks but for the first": {"Match Address 64.0.0.0/2,128.0.0.0/1,::/0\nBanner x\n", false,
			[]string{"bob,op,root", "bob,op,root[Address 64.0.0.0/2,128.0.0.0/1,::/0]"}},
		"all networks, in which no link-local client is": {"Match Address 0.0.0.0/0,::/0\nBanner x\n", false,
			[]string{"bob,op,root", "bob,op,root[Address 0.0.0.0/0,::/0]"}},
		"all addresses": {"Match Address *\nBanner x\n", false, []string{"bob,op,root[Address *]"}},
		"the ports that are tried else": {"Match LocalPort 22\nBanner x\nMatch LocalPort 1\nBanner y\n", false,
			[]string{"bob,op,root", "bob,op,root[LocalPort 1]", "bob,op,root[LocalPort 22]"}},
		"host that is an interface": {"Match Host *%eth0\nBanner x\n", false, []string{"bob,op,root", "bob,op,root[Host *%eth0]"}},
		"host that ends as one":     {"Match Host *eth0\nBanner x\n", false, []string{"bob,op,root", "bob,op,root[Host *eth0]"}},
		"all":                       {"Match all\nBanner x\n", false, []string{"bob,op,root[all]"}},
		// To 9.2 "any" is wrong after another list even where it does not apply.
		"blocks that sshd cannot join": {"Match User op\nAuthenticationMethods publickey\nMatch Address 10.0.0.0/8\nAuthenticationMethods any\n", false,
			[]string{"oprefused", "oprefused", "bob,root", "bob,root[Address 10.0.0.0/8]"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := worldsOf(t, c.config, people, c.others)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// Whatever connection comes, the blocks it satisfies are one of the worlds.
func TestWorldsLeaveNoConnectionOut(t *testing.T) {
	t.Parallel()
	accounts := []sshdconf.Account{}
	for _, name := range []string{"root", "nobody", "daemon", "bin", "sshd"} {
		accounts = append(accounts, sshdconf.Account{Name: name, Groups: groupsOf(name)})
	}
	seen, skipped := 0, 0
	for seed := range uint64(250) {
		g := sshdtest.New(seed, sshdconf.V9_2)
		g.Wild = false
		text := "UseDNS yes\n"
		for range 1 + g.IntN(5) {
			text += g.MatchLine() + "\n\tBanner x\n"
		}
		c, err := sshdconf.Parse(memFS{mainFile: text}, sshdconf.Options{Version: sshdconf.V9_2})
		if err != nil {
			continue
		}
		worlds, err := c.Worlds(accounts, false)
		if err != nil {
			skipped++
			continue
		}
		for range 20 {
			conn := g.Connection(text)
			conn.Groups = groupsOf(conn.User)
			if !slices.ContainsFunc(accounts, func(a sshdconf.Account) bool { return a.Name == conn.User }) ||
				conn.Addr == "garbage" || conn.Addr == "" || conn.LocalAddr == "" || conn.LocalPort == 0 {
				continue // no such connection comes
			}
			conn.Host = cmpOr(conn.Host, conn.Addr)
			conn.RDomain = cmpOr(conn.RDomain, "main")
			e, err := c.For(conn)
			if err != nil {
				continue
			}
			seen++
			if !slices.ContainsFunc(worlds, func(w sshdconf.World) bool {
				return w.Effective != nil && slices.Equal(w.Effective.Blocks, e.Blocks) &&
					slices.ContainsFunc(w.Accounts, func(a sshdconf.Account) bool { return a.Name == conn.User })
			}) {
				t.Fatalf("seed %d: %+v is in no world of\n%s", seed, conn, text)
			}
		}
	}
	if seen < 150 || skipped > 60 {
		t.Errorf("%d connections looked at, %d configurations skipped", seen, skipped)
	}
}

func TestWorldsAreBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 300 {
		b.WriteString("Match User u" + strings.Repeat("x", i) + "\nBanner x\n")
	}
	c := parse(t, memFS{mainFile: b.String()}, sshdconf.Options{})
	if _, err := c.Worlds(nil, true); err == nil {
		t.Error("300 blocks for unknown accounts are looked at")
	}
}

func BenchmarkWorlds(b *testing.B) {
	c, err := sshdconf.Parse(memFS{mainFile: "Match Group wheel\nBanner x\nMatch Address 10.0.0.0/8\nBanner y\n"}, sshdconf.Options{})
	if err != nil {
		b.Fatal(err)
	}
	accounts := make([]sshdconf.Account, 1000)
	for i := range accounts {
		accounts[i] = sshdconf.Account{Name: "user", Groups: []string{"user", "wheel"}}
	}
	for b.Loop() {
		if _, err := c.Worlds(accounts, false); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFor(b *testing.B) {
	c, err := sshdconf.Parse(memFS{mainFile: strings.Repeat("AcceptEnv LANG\n", 80) + "Match Group wheel\nBanner x\nMatch Address 10.0.0.0/8\nBanner y\n"}, sshdconf.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.For(sshdconf.Connection{User: "op", Addr: "10.0.0.1"}); err != nil {
			b.Fatal(err)
		}
	}
}
