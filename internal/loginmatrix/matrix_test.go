package loginmatrix

import (
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/sshdconf"
)

// oneFile is a file system with nothing but sshd's configuration.
type oneFile string

func (f oneFile) ReadFile(name string) ([]byte, error) {
	if name == sshdconf.DefaultFile {
		return []byte(f), nil
	}
	return nil, fs.ErrNotExist
}

func (oneFile) Glob(string) ([]string, error) { return nil, nil }

func parse(t testing.TB, text string, v sshdconf.Version) *sshdconf.Config {
	t.Helper()
	c, err := sshdconf.Parse(oneFile(text), sshdconf.Options{Version: v})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var (
	alice = Account{Name: "alice", UID: 1000, Groups: []string{"alice", "ssh"}, Shell: "/bin/sh", Home: "/home/alice", Password: PasswordSet}
	root  = Account{Name: "root", Groups: []string{"root"}, Shell: "/bin/sh", Home: "/root", Password: PasswordSet}
)

// say writes a cell as one line.
func say(c *Cell, a *Account) string {
	var ways []string
	for _, w := range c.Ways {
		ways = append(ways, w.String())
	}
	text := strings.Join(ways, " ")
	for _, part := range []struct{ name, text string }{{"refused", c.Refused}, {"after", c.AfterAuth}, {"after password", c.AfterPassword}} {
		if part.text != "" {
			text += fmt.Sprintf(" %s: %s", part.name, part.text)
		}
	}
	if c.Open(a) {
		text += " open"
	}
	return strings.TrimSpace(text)
}

func TestCells(t *testing.T) {
	t.Parallel()
	const noPAM, forwards = "UsePAM no\n", "; forwarding connections needs no session"
	with := func(a Account, change func(*Account)) Account {
		change(&a)
		return a
	}
	from := func(addr string) Point { return Point{Addr: addr, Host: addr, LAddr: "192.0.2.2", LPort: 22} }
	for name, c := range map[string]struct {
		config  string
		account Account
		point   Point
		keys    int
		want    string
	}{
		"defaults":                           {"", alice, from("192.0.2.1"), 1, "publickey password open"},
		"no key, no password":                {"", with(alice, func(a *Account) { a.Password = PasswordNone }), from("192.0.2.1"), 0, "publickey password"},
		"keyboard-interactive needs PAM":     {"UsePAM yes\nPasswordAuthentication no\n", alice, from("192.0.2.1"), 0, "publickey keyboard-interactive open"},
		"36 SFTP by a subsystem within sshd": {"Subsystem sftp internal-sftp -l INFO\n", with(alice, func(a *Account) { a.ShellEnds = "nologin" }), from("192.0.2.1"), 1, "publickey password open"},
		"36 SFTP by a program":               {"Subsystem sftp /usr/lib/openssh/sftp-server\n", with(alice, func(a *Account) { a.ShellEnds = "nologin" }), from("192.0.2.1"), 1, "publickey password after: nologin" + forwards},
		"36 another command than SFTP":       {"Subsystem sftp internal-sftp\nForceCommand /bin/x\n", with(alice, func(a *Account) { a.ShellEnds = "nologin" }), from("192.0.2.1"), 1, "publickey password after: nologin" + forwards},
		"36 not quite SFTP":                  {"Subsystem sftp internal-sftp2\n", with(alice, func(a *Account) { a.ShellEnds = "nologin" }), from("192.0.2.1"), 1, "publickey password after: nologin" + forwards},
		"09 a list of methods":               {"AuthenticationMethods publickey,password\n", alice, from("192.0.2.1"), 1, "publickey,password open"},
		"09 without the key":                 {"AuthenticationMethods publickey,password\n", alice, from("192.0.2.1"), 0, "publickey,password"},
		"09 two keys":                        {"AuthenticationMethods publickey,publickey\n", alice, from("192.0.2.1"), 1, "publickey,publickey"},
		"10 AllowUsers with another":         {"AllowUsers bob\n", alice, from("192.0.2.1"), 1, "publickey password refused: AllowUsers does not name it"},
		"10 AllowUsers from there":           {"AllowUsers alice@10.0.0.0/8\n", alice, from("10.1.2.3"), 1, "publickey password open"},
		"10 AllowUsers from elsewhere":       {"AllowUsers alice@10.0.0.0/8\n", alice, from("192.0.2.1"), 1, "publickey password refused: AllowUsers does not name it"},
		"10 AllowUsers but not from there":   {"AllowUsers alice@!10.1.0.0/16,10.0.0.0/8\n", alice, from("10.1.2.3"), 1, "publickey password refused: AllowUsers does not name it"},
		"10 DenyUsers from there":            {"DenyUsers *@10.0.0.0/8\n", alice, from("10.1.2.3"), 1, "publickey password refused: DenyUsers names it"},
		"10 DenyGroups":                      {"DenyGroups ssh\n", alice, from("192.0.2.1"), 1, "publickey password refused: DenyGroups names a group of it"},
		"10 AllowGroups by a second group":   {"AllowGroups ss?\n", alice, from("192.0.2.1"), 1, "publickey password open"},
		"10 AllowGroups without it":          {"AllowGroups wheel\n", alice, from("192.0.2.1"), 1, "publickey password refused: AllowGroups names no group of it"},
		"10 in no group at all":              {"DenyGroups wheel\n", with(alice, func(a *Account) { a.Groups = nil }), from("192.0.2.1"), 1, "publickey password refused: DenyGroups names a group of it"},
		"05 a Match block by address":        {"PasswordAuthentication no\nMatch Address 10.0.0.0/8\nPasswordAuthentication yes\n", alice, from("10.0.0.1"), 0, "publickey password open"},
		"05 and elsewhere":                   {"PasswordAuthentication no\nMatch Address 10.0.0.0/8\nPasswordAuthentication yes\n", alice, from("192.0.2.1"), 0, "publickey"},
		"11 root":                            {"", root, from("192.0.2.1"), 0, "publickey"},
		"11 root no":                         {"PermitRootLogin no\n", root, from("192.0.2.1"), 1, "refused: PermitRootLogin is no"},
		"11 root yes":                        {"PermitRootLogin yes\n", root, from("192.0.2.1"), 0, "publickey password open"},
		"no method":                          {"PubkeyAuthentication no\nPasswordAuthentication no\n", alice, from("192.0.2.1"), 1, "refused: no method is open"},
		"36 locked, without PAM":             {noPAM, with(alice, func(a *Account) { a.Locked = "locked" }), from("192.0.2.1"), 1, "publickey password refused: locked"},
		"36 locked, with PAM":                {"UsePAM yes\n", with(alice, func(a *Account) { a.Locked, a.Password = "locked", PasswordLocked }), from("192.0.2.1"), 1, "publickey password keyboard-interactive open"},
		"36 expired, with PAM":               {"UsePAM yes\n", with(alice, func(a *Account) { a.PAM = "expired" }), from("192.0.2.1"), 1, "publickey password keyboard-interactive after: expired"},
		"36 PAM says nothing without it":     {noPAM, with(alice, func(a *Account) { a.PAM = "expired" }), from("192.0.2.1"), 1, "publickey password open"},
		"36 nologin shell":                   {"", with(alice, func(a *Account) { a.ShellEnds = "ends" }), from("192.0.2.1"), 1, "publickey password after: ends" + forwards},
		"36 which forwards nothing":          {"AllowTcpForwarding no\n", with(alice, func(a *Account) { a.ShellEnds = "ends" }), from("192.0.2.1"), 1, "publickey password after: ends"},
		"36 which internal-sftp is not for":  {"Subsystem sftp /usr/lib/openssh/sftp-server\nForceCommand internal-sftp\n", with(alice, func(a *Account) { a.ShellEnds = "ends" }), from("192.0.2.1"), 1, "publickey password open"},
		"36 no shell":                        {"", with(alice, func(a *Account) { a.NoShell = "missing" }), from("192.0.2.1"), 1, "publickey password refused: missing"},
		"36 no shell, in another root":       {"ChrootDirectory /srv\n", with(alice, func(a *Account) { a.NoShell = "missing" }), from("192.0.2.1"), 1, "publickey password open"},
		"old password, by password":          {noPAM, with(alice, func(a *Account) { a.PasswordOld = "old" }), from("192.0.2.1"), 0, "publickey password after password: old"},
		"old password, by key":               {noPAM, with(alice, func(a *Account) { a.PasswordOld = "old" }), from("192.0.2.1"), 1, "publickey password after password: old open"},
		"/etc/nologin":                       {noPAM, with(alice, func(a *Account) { a.NoLogin = "nologin" }), from("192.0.2.1"), 1, "publickey password after: nologin" + forwards},
		"MaxSessions 0":                      {"MaxSessions 0\n", alice, from("192.0.2.1"), 1, "publickey password after: MaxSessions is 0" + forwards},
		"an empty password":                  {"PermitEmptyPasswords yes\n", with(alice, func(a *Account) { a.Password = PasswordEmpty }), from("192.0.2.1"), 0, "publickey password none open"},
		"an empty password is refused":       {"", with(alice, func(a *Account) { a.Password = PasswordEmpty }), from("192.0.2.1"), 0, "publickey password"},
		"PAM has other passwords":            {"UsePAM yes\n", with(alice, func(a *Account) { a.Password, a.OtherPasswords = PasswordNone, true }), from("192.0.2.1"), 0, "publickey password keyboard-interactive open"},
		"keys not known":                     {"PasswordAuthentication no\n", alice, from("192.0.2.1"), KeysUnknown, "publickey open"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := Build(Input{
				Config: parse(t, c.config, sshdconf.V9_2), Accounts: []Account{c.account}, Points: []Point{c.point},
				Keys: func(*Account, sshdconf.Connection, *sshdconf.Effective, bool) (int, string) { return c.keys, "" },
			})
			if err != nil {
				t.Fatal(err)
			}
			cell := m.Row(0)[0]
			if got := say(cell, &c.account); got != c.want {
				t.Errorf("it is %q, want %q", got, c.want)
			}
			if can, why := m.CanLogIn(0); can == (len(why) > 0) {
				t.Errorf("it can log in: %v, and why not: %q", can, why)
			}
			if len(cell.Because) == 0 && cell.Refused != "locked" && cell.Refused != "missing" {
				t.Error("no line decides")
			}
		})
	}
}

// The line that decides is named, with the Match block it stands in.
func TestBecause(t *testing.T) {
	t.Parallel()
	m, err := Build(Input{
		Config:   parse(t, "PasswordAuthentication no\nAllowUsers bob root\nMatch Address 10.0.0.0/8\nPasswordAuthentication yes\n", sshdconf.V9_2),
		Accounts: []Account{alice, root},
		Points:   []Point{{Addr: "10.0.0.1", Host: "10.0.0.1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := sshdconf.DefaultFile
	if got, want := m.Row(0)[0].Because, []Reason{{file, 2, "allowusers", "bob"}, {file, 2, "allowusers", "root"}}; !slices.Equal(got, want) {
		t.Errorf("alice: %+v", got)
	}
	got := m.Row(1)[0].Because
	if !slices.Contains(got, Reason{"sshd's built-in default", 0, "permitrootlogin", "without-password"}) {
		t.Errorf("root: %+v", got)
	}
}

func TestPoints(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config  string
		version sshdconf.Version
		more    []string
		want    []string // names, beside the four that are always there
	}{
		"nothing":              {"", sshdconf.V9_2, nil, nil},
		"a network":            {"Match Address 10.0.0.0/8\n", sshdconf.V9_2, nil, []string{"from 10.0.0.0"}},
		"a hole in it":         {"Match Address 10.0.0.0/8,!10.1.0.0/16\n", sshdconf.V9_2, nil, []string{"from 10.0.0.0"}},
		"two networks":         {"Match Address 10.0.0.0/8\nMatch Address 10.1.0.0/16\n", sshdconf.V9_2, nil, []string{"from 10.0.0.0", "from 10.1.0.0"}},
		"IPv6":                 {"Match Address fd00::/8\n", sshdconf.V9_2, nil, []string{"from fd00::"}},
		"AllowUsers":           {"AllowUsers a@10.0.0.0/8 b@*\n", sshdconf.V9_2, nil, []string{"from 10.0.0.0"}},
		"AllowUsers in Match":  {"Match User x\nAllowUsers a@10.0.0.1\n", sshdconf.V9_2, nil, []string{"from 10.0.0.1"}},
		"a port":               {"Match LocalPort 2222\n", sshdconf.V9_2, nil, []string{"loopback 127.0.0.1 to port 2222"}},
		"several ports":        {"Port 22\nPort 2022\n", sshdconf.V9_2, nil, nil},
		"a port and a network": {"Match LocalPort 2222\nMatch Address 10.0.0.0/8\n", sshdconf.V9_2, nil, []string{"from 10.0.0.0", "loopback 127.0.0.1 to port 2222", "from 10.0.0.0 to port 2222"}},
		"a local address":      {"Match LocalAddress 10.9.9.9\n", sshdconf.V9_2, nil, []string{"loopback 127.0.0.1 to 10.9.9.9"}},
		"a name without DNS":   {"Match Host *.example.org\n", sshdconf.V9_2, nil, nil},
		"a name with DNS":      {"UseDNS yes\nMatch Host *.example.org\n", sshdconf.V9_2, nil, []string{"from 192.0.2.1 (x.example.org)"}},
		"a routing domain":     {"Match RDomain blue\n", sshdconf.V9_2, nil, []string{"loopback 127.0.0.1 in blue"}},
		"all networks":         {"Match Address 0.0.0.0/0,::/0\n", sshdconf.V9_2, nil, []string{"from fe80::1%lo"}},
		"keys' own networks":   {"", sshdconf.V9_2, []string{"10.0.0.0/8"}, []string{"from 10.0.0.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			points, left := Points(parse(t, c.config, c.version), nil, c.more)
			var got []string
			for _, p := range points[4:] {
				got = append(got, p.Name)
			}
			if !slices.Equal(got, c.want) || left != 0 {
				t.Errorf("points %q and %d left out, want %q", got, left, c.want)
			}
			for _, p := range points {
				if p.Addr == "" || p.LPort == 0 || p.LAddr == "" {
					t.Errorf("a point has holes: %+v", p)
				}
			}
		})
	}
}

// The address that stands for all others is named by nobody.
// TestPointsOfSockets: where systemd listens, Port and ListenAddress are
// without effect (HARD-CASES 13).
func TestPointsOfSockets(t *testing.T) {
	t.Parallel()
	config := parse(t, "Port 22\nMatch LocalPort 2222\nPasswordAuthentication yes\n", sshdconf.V9_2)
	points, _ := Points(config, []string{"192.0.2.2:2200", "[::]:2222", "/run/ssh.sock"}, nil)
	ports := map[int]bool{}
	for _, p := range points {
		ports[p.LPort] = true
	}
	if len(ports) != 2 || !ports[2200] || !ports[2222] {
		t.Errorf("points at the ports %v, want 2200 and 2222", ports)
	}
	if p := PointOf(config, []string{"192.0.2.2:2200"}, sshdconf.Connection{Addr: "10.0.0.1"}); p.LPort != 2200 || p.LAddr != "192.0.2.2" {
		t.Errorf("the usual point is %+v", p)
	}
}

func TestOutsideIsOutside(t *testing.T) {
	t.Parallel()
	points, _ := Points(parse(t, "Match Address 192.0.2.0/24,198.51.100.0/24\n", sshdconf.V9_2), nil, []string{"203.0.113.*"})
	if points[2].Addr != "100.64.0.1" {
		t.Errorf("elsewhere is %s", points[2].Addr)
	}
}

func TestManyPointsAreBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, "Match Address 10.%d.0.0/16\nX11Forwarding no\n", i)
	}
	points, left := Points(parse(t, b.String(), sshdconf.V9_2), nil, nil)
	if len(points) != MaxPoints || left == 0 {
		t.Errorf("%d points and %d left out", len(points), left)
	}
}

// What is said of one point is what sshdconf says of the connection: the memory
// of worlds mixes nothing up.
func TestWorldsAreNotMixedUp(t *testing.T) {
	t.Parallel()
	config := parse(t, "PasswordAuthentication no\nMatch User alice Address 10.0.0.0/8\nPasswordAuthentication yes\nMatch Group ssh LocalPort 2222\nPasswordAuthentication yes\nMatch Address 10.0.0.1\nPubkeyAuthentication no\n", sshdconf.V9_2)
	bob := Account{Name: "bob", UID: 1001, Groups: []string{"bob"}}
	points, _ := Points(config, nil, nil)
	accounts := []Account{alice, bob, root}
	m, err := Build(Input{Config: config, Accounts: accounts, Points: points})
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range accounts {
		for j, p := range points {
			e, err := config.For(p.Connection(a.Name, a.Groups))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := fmt.Sprint(m.Row(i)[j].Ways), fmt.Sprint(Ways(e, a.UID == 0)); got != want {
				t.Errorf("%s %s: %s, want %s", a.Name, p.Name, got, want)
			}
		}
	}
}

// crowd is a host with many accounts and Match blocks.
func crowd(t testing.TB, accounts int) Input {
	var b strings.Builder
	b.WriteString("PasswordAuthentication no\nAllowGroups ssh\n")
	for i := range 15 {
		fmt.Fprintf(&b, "Match Address 10.%d.0.0/16 Group team%d\nPasswordAuthentication yes\nX11Forwarding no\n", i, i)
	}
	in := Input{Config: parse(t, b.String(), sshdconf.V9_2), Keys: func(a *Account, _ sshdconf.Connection, _ *sshdconf.Effective, _ bool) (int, string) {
		return int(a.UID % 3), ""
	}}
	in.Points, _ = Points(in.Config, nil, nil)
	in.Points = in.Points[:min(len(in.Points), 20)]
	for i := range accounts {
		name := fmt.Sprintf("user%d", i)
		in.Accounts = append(in.Accounts, Account{Name: name, UID: uint32(1000 + i), Groups: []string{name, "ssh", fmt.Sprintf("team%d", i%20)}, Password: PasswordSet})
	}
	return in
}

// BenchmarkMatrix is 200 accounts on 19 points; it has to take less than 50 ms.
func BenchmarkMatrix(b *testing.B) {
	in := crowd(b, 200)
	for b.Loop() {
		if _, err := Build(in); err != nil {
			b.Fatal(err)
		}
	}
}

func TestFiftyThousandAccountsStaySmall(t *testing.T) {
	in := crowd(t, 50_000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("the matrix of 50,000 accounts takes %d bytes", grown)
	}
	runtime.KeepAlive(m)
}
