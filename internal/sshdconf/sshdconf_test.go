package sshdconf_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/sshdconf"
)

// memFS is files by path.
type memFS map[string]string

func (m memFS) ReadFile(name string) ([]byte, error) {
	text, ok := m[path.Clean(name)]
	if !ok {
		return nil, fs.ErrNotExist
	}
	if text == "denied" {
		return nil, fs.ErrPermission
	}
	return []byte(text), nil
}

func (m memFS) Glob(pattern string) ([]string, error) {
	var out []string
	for name := range m {
		if ok, err := path.Match(pattern, name); err != nil {
			return nil, err
		} else if ok && (!strings.HasPrefix(path.Base(name), ".") || strings.HasPrefix(path.Base(pattern), ".")) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

func parse(t *testing.T, m memFS, opts sshdconf.Options) *sshdconf.Config {
	t.Helper()
	c, err := sshdconf.Parse(m, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func get(t *testing.T, c *sshdconf.Config, conn sshdconf.Connection, keyword string) sshdconf.Setting {
	t.Helper()
	e, err := c.For(conn)
	if err != nil {
		t.Fatal(err)
	}
	return e.Get(keyword)
}

const (
	mainFile = "/etc/ssh/sshd_config"
	dropIns  = "Include /etc/ssh/sshd_config.d/*.conf\n"
)

func TestHardCase01FirstValueWins(t *testing.T) {
	t.Parallel()
	c := parse(t, memFS{
		mainFile: dropIns + "PasswordAuthentication no\n",
		"/etc/ssh/sshd_config.d/50-cloud-init.conf": "PasswordAuthentication yes\n",
		"/etc/ssh/sshd_config.d/99-hardening.conf":  "# mine\nPasswordAuthentication no\n",
	}, sshdconf.Options{})
	s := get(t, c, sshdconf.Connection{}, "PasswordAuthentication")
	if s.Text() != "yes" || s.Values[0].At.String() != "/etc/ssh/sshd_config.d/50-cloud-init.conf:1" {
		t.Errorf("in effect: %v", s.Values)
	}
	if len(s.Shadowed) != 2 || s.Shadowed[0].At.String() != "/etc/ssh/sshd_config.d/99-hardening.conf:2" {
		t.Errorf("shadowed: %v", s.Shadowed)
	}
}

func TestHardCase02Include(t *testing.T) {
	t.Parallel()
	c := parse(t, memFS{
		mainFile:                               "Include sshd_config.d/*.conf missing/*.conf /gone/file\n",
		"/etc/ssh/sshd_config.d/9-last.conf":   "Port 9\n",
		"/etc/ssh/sshd_config.d/10-first.conf": "Port 10\n",
		"/etc/ssh/sshd_config.d/.hidden.conf":  "Port 1\n",
		"/etc/ssh/sshd_config.d/other.cfg":     "Port 2\n",
	}, sshdconf.Options{})
	if got := get(t, c, sshdconf.Connection{}, "port").Text(); got != "10 9" {
		t.Errorf("order of files: %q", got)
	}
	if !slices.Equal(c.Folders, []string{"/etc/ssh/missing", "/etc/ssh/sshd_config.d", "/gone"}) {
		t.Errorf("folders: %q", c.Folders)
	}
	for depth, ok := range map[int]bool{16: true, 17: false} {
		m := memFS{mainFile: "Include /1\n"}
		for i := 1; i < depth; i++ {
			m[fmt.Sprintf("/%d", i)] = fmt.Sprintf("Include /%d\n", i+1)
		}
		m[fmt.Sprintf("/%d", depth)] = "Port 16\n"
		if _, err := sshdconf.Parse(m, sshdconf.Options{}); (err == nil) != ok {
			t.Errorf("%d nested: %v", depth, err)
		}
	}
}

func TestHardCase03KeywordBeforeInclude(t *testing.T) {
	t.Parallel()
	c := parse(t, memFS{
		mainFile:                        "PermitRootLogin yes\n" + dropIns,
		"/etc/ssh/sshd_config.d/x.conf": "PermitRootLogin no\n",
	}, sshdconf.Options{})
	if s := get(t, c, sshdconf.Connection{}, "permitrootlogin"); s.Text() != "yes" {
		t.Error(s)
	}
}

func TestHardCase04ListsAccumulate(t *testing.T) {
	t.Parallel()
	c := parse(t, memFS{
		mainFile:                        "AllowGroups one\n" + dropIns + "AllowGroups two\nMatch User a\nAllowGroups three\nMatch Address 10.0.0.0/8\nAllowGroups four\n",
		"/etc/ssh/sshd_config.d/x.conf": "AllowGroups narrow\n",
	}, sshdconf.Options{})
	for name, want := range map[string]struct {
		conn sshdconf.Connection
		want string
	}{
		"a drop-in widens":                   {sshdconf.Connection{User: "b"}, "one narrow two"},
		"a satisfied block replaces":         {sshdconf.Connection{User: "a"}, "three"},
		"satisfied blocks add to each other": {sshdconf.Connection{User: "a", Addr: "10.0.0.1"}, "three four"},
	} {
		s := get(t, c, want.conn, "allowgroups")
		if s.Text() != want.want {
			t.Errorf("%s: %q, want %q", name, s.Text(), want.want)
		}
		if name == "a satisfied block replaces" && (len(s.Shadowed) != 3 || s.Values[0].Block == nil || s.Values[0].Block.Line != 4) {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestHardCase05Match(t *testing.T) {
	t.Parallel()
	config := "PasswordAuthentication no\n" + dropIns + `
Match User !root,* Group wheel,!staff
	PasswordAuthentication yes
Match Address 10.0.0.0/8,!10.1.0.0/16
	PasswordAuthentication yes
Match Host *.Example.org LocalPort 2222
	PasswordAuthentication yes
Match LocalAddress ::1 RDomain red
	PasswordAuthentication yes
Match User late
	Include /inc.conf
Match all
	PasswordAuthentication no
	Banner /b
`
	m := memFS{
		mainFile:                        config,
		"/etc/ssh/sshd_config.d/m.conf": "Match User first\nPasswordAuthentication yes\n",
		"/inc.conf":                     "PasswordAuthentication yes\nMatch Address 10.9.9.9\nMaxAuthTries 1\n",
	}
	c := parse(t, m, sshdconf.Options{})
	for want, conns := range map[string][]sshdconf.Connection{
		"yes": {
			{User: "first"},
			{User: "op", Groups: []string{"op", "wheel"}},
			{Addr: "10.2.3.4"},
			{Host: "a.EXAMPLE.org", LocalPort: 2222},
			{LocalAddr: "::1", RDomain: "red"},
			{User: "late"},
		},
		"no": {
			{User: "root", Groups: []string{"wheel"}},
			{User: "op", Groups: []string{"wheel", "staff"}},
			{Addr: "10.1.3.4"},
			{Host: "a.example.org", LocalPort: 22},
			{LocalAddr: "::1"},
			{},
		},
	} {
		for _, conn := range conns {
			s := get(t, c, conn, "passwordauthentication")
			if s.Text() != want {
				t.Errorf("%+v: %s, want %s (%v)", conn, s.Text(), want, s.Values[0].At)
			}
		}
	}
	if s := get(t, c, sshdconf.Connection{}, "banner"); s.Text() != "/b" {
		t.Errorf("Match all: %v", s)
	}
	// The block of an included file ends with it.
	if s := get(t, c, sshdconf.Connection{User: "late", Addr: "10.9.9.9"}, "maxauthtries"); s.Text() != "1" || s.Values[0].Block.Outer == nil {
		t.Errorf("a Match inside an Include inside a Match: %+v", s)
	}
	for criterion, since := range map[string]sshdconf.Version{
		"exec /bin/true": {}, "Version OpenSSH_9*": sshdconf.V10_0, "invalid-user": sshdconf.V10_0,
	} {
		for _, v := range sshdconf.Known {
			_, err := sshdconf.Parse(memFS{mainFile: "Match " + criterion + "\nPort 1\nBanner x\n"}, sshdconf.Options{Version: v})
			var refused *sshdconf.RefusedError
			if !errors.As(err, &refused) {
				t.Errorf("%v accepts %q, or the Port in it", v, criterion)
				continue
			}
			knows := !since.IsZero() && v.AtLeast(since)
			if line := refused.Problems[0].Line; knows && line != 2 || !knows && line != 1 {
				t.Errorf("%v, %q: %v", v, criterion, err)
			}
		}
	}
}

func TestHardCase06LineAfterMatchBelongsToIt(t *testing.T) {
	t.Parallel()
	c := parse(t, memFS{mainFile: "Match User x\nX11Forwarding no\n\n# appended by a script\nPermitRootLogin no\n"}, sshdconf.Options{})
	if s := get(t, c, sshdconf.Connection{User: "root"}, "permitrootlogin"); s.Text() != "without-password" || !s.Default() {
		t.Errorf("for root: %+v", s)
	}
	if d := c.Directives[1]; d.Keyword != "permitrootlogin" || d.Block == nil || d.Line != 5 {
		t.Errorf("directive: %+v", d)
	}
}

func TestHardCase08ChallengeResponse(t *testing.T) {
	t.Parallel()
	for v, want := range map[sshdconf.Version]string{sshdconf.V8_4: "no", sshdconf.V9_2: "no", sshdconf.V10_0: "no"} {
		c := parse(t, memFS{mainFile: "ChallengeResponseAuthentication no\n"}, sshdconf.Options{Version: v})
		if s := get(t, c, sshdconf.Connection{}, "KbdInteractiveAuthentication"); s.Text() != want {
			t.Errorf("%v: %v", v, s)
		}
	}
	// Before 8.7 the older switch, on by default, turns the newer one on.
	c := parse(t, memFS{mainFile: "KbdInteractiveAuthentication no\n"}, sshdconf.Options{Version: sshdconf.V8_4})
	if s := get(t, c, sshdconf.Connection{}, "KbdInteractiveAuthentication"); s.Text() != "yes" {
		t.Errorf("8.4: %v", s)
	}
}

func TestHardCase09AuthenticationMethods(t *testing.T) {
	t.Parallel()
	for text, accepted := range map[string]bool{
		"AuthenticationMethods publickey\nPasswordAuthentication yes\n":         true,
		"AuthenticationMethods publickey,password\nPasswordAuthentication no\n": false,
		"AuthenticationMethods any publickey\n":                                 false,
		"AuthenticationMethods nonsense\n":                                      false,
		"AuthenticationMethods keyboard-interactive:pam publickey\n":            true,
	} {
		if _, err := sshdconf.Parse(memFS{mainFile: text}, sshdconf.Options{Version: sshdconf.V9_2}); (err == nil) != accepted {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestHardCase11ProhibitPassword(t *testing.T) {
	t.Parallel()
	c := parse(t, memFS{mainFile: "PermitRootLogin prohibit-password\n"}, sshdconf.Options{})
	if s := get(t, c, sshdconf.Connection{}, "permitrootlogin"); s.Text() != "without-password" {
		t.Error(s)
	}
}

func TestHardCase12Lexing(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"PasswordAuthentication=no\n":                 "no",
		"PasswordAuthentication = no\n":               "no",
		"\tPasswordAuthentication\t\"no\"\n":          "no",
		"PasswordAuthentication no\r\nUsePAM yes\r\n": "no",
		"PasswordAuthentication no # really\n":        "no",
		"passwordauthentication NO":                   "no",
		"\"PasswordAuthentication\" no\n":             "no",
		"#PasswordAuthentication no\n":                "yes",
	} {
		c := parse(t, memFS{mainFile: text}, sshdconf.Options{Version: sshdconf.V9_2})
		if s := get(t, c, sshdconf.Connection{}, "passwordauthentication"); s.Text() != want {
			t.Errorf("%q: %v", text, s)
		}
	}
	for _, text := range []string{"\ufeffPasswordAuthentication no\n", "PasswordAuthentication no yes\n", "PasswordAuthentication \"no\n", "PasswordAuthentication\n"} {
		_, err := sshdconf.Parse(memFS{mainFile: text}, sshdconf.Options{Version: sshdconf.V9_2})
		var refused *sshdconf.RefusedError
		if !errors.As(err, &refused) || refused.Problems[0].Place.String() != mainFile+":1" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestHardCase13CommandLine(t *testing.T) {
	t.Parallel()
	m := memFS{mainFile: "PasswordAuthentication no\nPort 22\nPort 23\n", "/other": "PermitRootLogin no\n"}
	c := parse(t, m, sshdconf.Options{Arguments: []string{"-D", "-o", "PasswordAuthentication yes", "-p2222", "-4"}})
	s := get(t, c, sshdconf.Connection{}, "passwordauthentication")
	if s.Text() != "yes" || s.Values[0].At.File != sshdconf.CommandLine || len(s.Shadowed) != 1 {
		t.Errorf("-o: %+v", s)
	}
	if s := get(t, c, sshdconf.Connection{}, "listenaddress"); s.Text() != "0.0.0.0:2222" {
		t.Errorf("-p and -4: %v", s)
	}
	if c := parse(t, m, sshdconf.Options{Arguments: []string{"-f", "/other"}}); c.File != "/other" {
		t.Errorf("-f: %q", c.File)
	}
}

func TestHardCase14UnreadableDropIn(t *testing.T) {
	t.Parallel()
	_, err := sshdconf.Parse(memFS{mainFile: "UsePAM yes\n" + dropIns, "/etc/ssh/sshd_config.d/50.conf": "denied"}, sshdconf.Options{})
	var unread *sshdconf.ReadError
	if !errors.As(err, &unread) || unread.File != "/etc/ssh/sshd_config.d/50.conf" || unread.At.Line != 2 || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v", err)
	}
}

func TestHardCase37AuthorizedKeys(t *testing.T) {
	t.Parallel()
	c := parse(t, memFS{mainFile: `AuthorizedKeysFile .ssh/keys "/etc/ssh/keys of/%u" %h/k none
AuthorizedKeysCommand /usr/bin/keys --user %u
AuthorizedKeysCommandUser nobody
TrustedUserCAKeys /etc/ssh/ca.pub
`}, sshdconf.Options{})
	e, err := c.For(sshdconf.Connection{})
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, v := range e.Get("authorizedkeysfile").Values {
		files = append(files, v.Text)
	}
	if want := []string{".ssh/keys", "/etc/ssh/keys of/%u", "%h/k", "none"}; !slices.Equal(files, want) {
		t.Errorf("files: %q", files)
	}
	if got := e.Get("authorizedkeyscommand").Text(); got != "/usr/bin/keys --user %u" {
		t.Errorf("command: %q", got)
	}
	if _, err := sshdconf.Parse(memFS{mainFile: "AuthorizedKeysCommand /x\n"}, sshdconf.Options{}); err == nil {
		t.Error("a command without its user is refused by sshd")
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	fan := memFS{mainFile: "Include /0/*\n"}
	for depth := range 16 {
		for i := range 4 {
			fan[fmt.Sprintf("/%d/%d", depth, i)] = fmt.Sprintf("Include /%d/*\n", depth+1)
		}
	}
	for name, c := range map[string]struct {
		files memFS
		ok    bool
	}{
		"100,000 lines":            {memFS{mainFile: strings.Repeat("AcceptEnv LANG\n", 100_000)}, true},
		"100,000 Match lines":      {memFS{mainFile: strings.Repeat("Match User x\n", 100_000)}, true},
		"a file includes itself":   {memFS{mainFile: "Include " + mainFile + "\n"}, false},
		"a loop of two":            {memFS{mainFile: "Include /a\n", "/a": "Include " + mainFile + "\n"}, false},
		"four files each, 16 deep": {fan, false},
		"a line of 4 MB":           {memFS{mainFile: "AcceptEnv " + strings.Repeat("x", 4<<20) + "\n"}, true},
		"a pattern of stars":       {memFS{mainFile: "Match User " + strings.Repeat("*a", 500) + "\nBanner x\n"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			config, err := sshdconf.Parse(c.files, sshdconf.Options{Version: sshdconf.V9_2})
			if (err == nil) != c.ok {
				t.Errorf("%.200v", err)
			}
			if config != nil {
				config.For(sshdconf.Connection{User: strings.Repeat("a", 5000)})
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"OpenSSH_9.2p1 Debian-2+deb12u10": "9.2", "SSH-2.0-OpenSSH_8.4p1": "8.4", "1:10.0p1-7+deb13u4": "10.0",
		"OpenSSH_10.0, OpenSSL 3": "10.0", "9.6p1": "9.6", "OpenSSH": "unknown", "": "unknown", "OpenSSH_7.*": "unknown",
	} {
		if v, _ := sshdconf.ParseVersion(text); v.String() != want {
			t.Errorf("%q: %v, want %s", text, v, want)
		}
	}
}

// What sshd prints is the same whether we read it or our own output.
func FuzzParse(f *testing.F) {
	f.Add("PasswordAuthentication no\nMatch User a\nPermitRootLogin yes\n", "Banner x\n", uint8(1))
	f.Add("Include /b\nAllowGroups \"a b\" c\nMatch all\nAcceptEnv L\n", "Match Address 10.0.0.0/8\nMaxSessions 3\n", uint8(2))
	f.Add("MaxStartups 1:2:3\nRekeyLimit 1G 1h\nIPQoS af21 0x10\n", "\x00\r\f", uint8(0))
	f.Add("PerSourcePenalties crash:1 no\nCiphers +aes*\nListenAddress [::1]:22\n", "", uint8(2))
	f.Fuzz(func(t *testing.T, main, included string, release uint8) {
		v := sshdconf.Known[int(release)%len(sshdconf.Known)]
		c, err := sshdconf.Parse(memFS{mainFile: main, "/b": included}, sshdconf.Options{Version: v})
		if err != nil {
			return
		}
		conn := sshdconf.Connection{User: "a", Groups: []string{"g"}, Addr: "10.0.0.1", LocalPort: 22}
		e, err := c.For(conn)
		if err != nil {
			return
		}
		for _, s := range e.Lines() {
			for _, value := range s.Setting.Values {
				if value.At != (sshdconf.Place{}) && value.At.File != mainFile && value.At.File != "/b" {
					t.Errorf("%s comes from nowhere: %+v", s.Keyword, value)
				}
			}
		}
		worlds, err := c.Worlds([]sshdconf.Account{{Name: "a", Groups: conn.Groups}}, false)
		if err != nil {
			return
		}
		if !slices.ContainsFunc(worlds, func(w sshdconf.World) bool {
			return w.Effective != nil && slices.Equal(w.Effective.Blocks, e.Blocks)
		}) {
			t.Errorf("the connection's blocks are in none of %d worlds", len(worlds))
		}
	})
}
