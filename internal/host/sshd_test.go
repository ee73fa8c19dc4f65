package host

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/sshdconf"
)

func TestListener(t *testing.T) {
	t.Parallel()
	unit := &SSHD{Path: "/usr/sbin/sshd", Args: []string{"-D", "-o", "Banner /my banner", "-4"}}
	for name, c := range map[string]struct {
		p          Process
		argv       []string
		want       []string
		is         bool
		unresolved bool
	}{
		"as Debian starts it":     {Process{Exe: "/usr/sbin/sshd"}, []string{"sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"}, []string{"-D"}, true, false},
		"the title is the unit's": {Process{Exe: "/usr/sbin/sshd"}, []string{"sshd: /usr/sbin/sshd -D -o Banner /my banner -4 [listener] 0 of 10-100 startups"}, unit.Args, true, false},
		"options with blanks": {Process{Exe: "/usr/sbin/sshd"}, []string{"sshd: /usr/sbin/sshd -o PermitRootLogin no -oAllowUsers a b -f /x [listener] 0 of 10-100 startups"},
			[]string{"-o", "PermitRootLogin no", "-oAllowUsers a b", "-f", "/x"}, true, false},
		"options that are not plain": {Process{Exe: "/usr/sbin/sshd"}, []string{`sshd: /usr/sbin/sshd -oBanner=/b\\x20c -oVersionAddendum=\303\266\t [listener] 0 of 10-100 startups`},
			[]string{`-oBanner=/b\x20c`, "-oVersionAddendum=ö"}, true, false},
		"an option lost its argument": {Process{Exe: "/usr/sbin/sshd"}, []string{"sshd: /usr/sbin/sshd -o [listener] 0"}, nil, true, true},
		"replaced since":              {Process{Exe: "/usr/sbin/sshd (deleted)"}, []string{"sshd: /usr/sbin/sshd [listener] 0 of 10-100 startups"}, nil, true, false},
		"without a title yet":         {Process{Exe: "/usr/sbin/sshd"}, []string{"/usr/sbin/sshd", "-D", "-p", "2222"}, []string{"-D", "-p", "2222"}, true, false},
		"a session":                   {Process{Exe: "/usr/sbin/sshd"}, []string{"sshd: op [priv]"}, nil, false, false},
		"a session by inetd":          {Process{Exe: "/usr/sbin/sshd"}, []string{"/usr/sbin/sshd", "-i"}, nil, false, false},
		"a test run":                  {Process{Exe: "/usr/sbin/sshd"}, []string{"/usr/sbin/sshd", "-T"}, nil, false, false},
		"too long to be seen whole":   {Process{Exe: "/usr/sbin/sshd"}, []string{"sshd: /usr/sbin/sshd " + strings.Repeat("-o X=y ", 150)}, nil, true, true},
		"in a container":              {Process{Exe: "/usr/sbin/sshd", Container: "abc"}, []string{"sshd: /usr/sbin/sshd -D [listener] 0"}, nil, false, false},
		"another program":             {Process{Exe: "/usr/bin/evil"}, []string{"sshd: /usr/sbin/sshd -D [listener] 0"}, nil, false, false},
		"a kernel thread":             {Process{Kernel: true}, nil, nil, false, false},
	} {
		d, is := listener(c.p, c.argv, unit)
		if is != c.is {
			t.Errorf("%s: a listener: %v", name, is)
			continue
		}
		if is && (!slices.Equal(d.Args, c.want) || (d.Unresolved != "") != c.unresolved) {
			t.Errorf("%s: %q (%s), want %q", name, d.Args, d.Unresolved, c.want)
		}
		if is && d.Replaced != strings.HasSuffix(c.p.Exe, "(deleted)") {
			t.Errorf("%s: replaced: %v", name, d.Replaced)
		}
	}
}

// What a user runs under sshd's name, with sshd's title, is neither run nor
// read by us: it is an SSH server of somebody else's.
func TestPretendedSSHD(t *testing.T) {
	t.Parallel()
	h := New(Options{Root: sshTree(t, map[string]string{"usr/sbin/sshd": ""}).Root()})
	cmd := exec.Cmd{Path: "/bin/sleep", Args: []string{"sshd: /home/u/sshd -f /etc/shadow [listener] 0 of 10-100 startups", "60"}}
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	pid := cmd.Process.Pid
	for uid, want := range map[uint32]string{0: "/home/u/sshd", 1000: fmt.Sprintf("process %d of uid 1000 (/home/u/sshd)", pid)} {
		daemons, theirs, err := h.sshDaemons(t.Context(), map[int]Process{pid: {PID: pid, UID: uid, Exe: "/home/u/sshd"}})
		must(t, err)
		got := daemons[0].Path
		if len(theirs) == 1 && theirs[0].Running && !slices.ContainsFunc(daemons, func(d *SSHD) bool { return d.Path != sshdProgram }) {
			got = theirs[0].Place
		}
		if got != want {
			t.Errorf("uid %d: %s, want %s", uid, got, want)
		}
	}
}

func sshTree(t *testing.T, files map[string]string) *Host {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		full := filepath.Join(root, name)
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			must(t, os.Symlink(target, full))
			continue
		}
		must(t, os.WriteFile(full, []byte(text), 0o644))
	}
	return New(Options{Root: root})
}

func TestSSHDAtStart(t *testing.T) {
	t.Parallel()
	const sshd = "usr/sbin/sshd"
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no unit":              {map[string]string{sshd: ""}, "/usr/sbin/sshd [] the defaults"},
		"not installed":        {map[string]string{"etc/x": ""}, "none"},
		"Debian's unit":        {map[string]string{sshd: "", "lib/systemd/system/ssh.service": "[Service]\nEnvironmentFile=-/etc/default/ssh\nExecStartPre=/usr/sbin/sshd -t\nExecStart=/usr/sbin/sshd -D $SSHD_OPTS\n", "etc/default/ssh": "# x\nSSHD_OPTS=-4 -p 22\n"}, "/usr/sbin/sshd [-D -4 -p 22] /lib/systemd/system/ssh.service:4"},
		"quotes and variables": {map[string]string{sshd: "", "lib/systemd/system/ssh.service": "[Service]\nEnvironment='B=Banner /a b'\nEnvironmentFile=/etc/d/*\nExecStart=/usr/sbin/sshd -o \"${B}\" $MORE\n", "etc/d/1": "MORE=-o 'UsePAM no'\n"}, "/usr/sbin/sshd [-o Banner /a b -o UsePAM no] /lib/systemd/system/ssh.service:4"},
		"no variable":          {map[string]string{sshd: "", "lib/systemd/system/ssh.service": "[Service]\nExecStart=-/usr/sbin/sshd -D ${NONE} $SSHD_OPTS\n"}, "/usr/sbin/sshd [-D] /lib/systemd/system/ssh.service:2"},
		"the admin's":          {map[string]string{"usr/local/sbin/sshd": "", "lib/systemd/system/ssh.service": "[Service]\nExecStart=/usr/sbin/sshd -D\n", "etc/systemd/system/ssh.service": "[Service]\nExecStart=/usr/local/sbin/sshd -D -f /x\n"}, "/usr/local/sbin/sshd [-D -f /x] /etc/systemd/system/ssh.service:2"},
		"masked":               {map[string]string{sshd: "", "etc/systemd/system/ssh.service": "-> /dev/null", "dev/null": "", "lib/systemd/system/ssh.service": "[Service]\nExecStart=/usr/sbin/sshd -p 1\n"}, "/usr/sbin/sshd [] the defaults"},
		"a drop-in wins":       {map[string]string{sshd: "", "lib/systemd/system/ssh.service": "[Service]\nExecStart=/usr/sbin/sshd -D\n", "etc/systemd/system/ssh.service.d/10.conf": "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -e\n"}, "/usr/sbin/sshd [-e] /etc/systemd/system/ssh.service.d/10.conf:3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := sshTree(t, c.files).sshdAtStart(context.Background())
			must(t, err)
			got := "none"
			if d != nil {
				got = fmt.Sprintf("%s %v %s", d.Path, d.Args, d.ArgsFrom)
			}
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestIsOtherSSHUnit(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"dropbear.service": true, "dropbear.socket": true, "dropbear@4-192.0.2.1:22-192.0.2.2:5.service": true, "tinysshd@.service": true,
		"lshd.service": true, "ssh.service": false, "dropbear.timer": false, "dropbear-x.service": false, "dropbear": false,
	} {
		if got := IsOtherSSHUnit(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSSHDRelease(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ program, want string }{
		"Debian 12":       {"\x00OpenSSH_9.2\x00OpenSSH_9.2p1 Debian-2+deb12u10\x00OpenSSH_2.*,OpenSSH_3.0*\x00\x00OpenSSH_5*\x00libpam.so.0\x00libgssapi_krb5.so\x00", "9.2 OpenSSH_9.2p1 Debian-2+deb12u10 pam gssapi"},
		"without PAM":     {"\x00OpenSSH_9.9p1\x00libgssapi_krb5.so\x00", "9.9 OpenSSH_9.9p1 gssapi"},
		"something else":  {"#!/bin/sh\n", "unknown"},
		"only the faults": {"\x00OpenSSH_7.4*\x00OpenSSH_6.6.1*\x00", "unknown"},
	} {
		p := sshTree(t, map[string]string{"usr/sbin/sshd": c.program}).sshdRelease("/usr/sbin/sshd")
		got := p.version.String()
		if p.err == nil {
			got += " " + p.release
			if !p.noPAM {
				got += " pam"
			}
			if !p.noGSS {
				got += " gssapi"
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if p := sshTree(t, map[string]string{"x": ""}).sshdRelease("/usr/sbin/sshd"); p.err == nil {
		t.Error("a program that is not there has a release")
	}
}

func TestServicePort(t *testing.T) {
	t.Parallel()
	data := []byte("# x\nssh\t\t22/tcp\t\t\t# SSH\ndomain 53/udp\ndomain 53/tcp\nhttp 80/tcp www\n")
	for name, want := range map[string]int{"ssh": 22, "domain": 53, "www": 80, "SSH": 0, "nosuch": 0} {
		if got, _ := servicePort(data, name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}

func TestHostAddresses(t *testing.T) {
	t.Parallel()
	data := []byte("127.0.0.1 localhost # x\n::1 localhost ip6-localhost\n10.1.2.3\tmulti\n10.1.2.4 multi MULTI2\nfd00::1 six multi\nbad multi\n#10.9.9.9 multi\n")
	for name, want := range map[string]string{
		"localhost": "[::1 127.0.0.1] true", "LOCALHOST": "[::1 127.0.0.1] true", "multi": "[fd00::1 10.1.2.3 10.1.2.4] true", "multi2": "[10.1.2.4] true", "nosuch": "[] false",
	} {
		addrs, ok := hostAddresses(data, name)
		if got := fmt.Sprint(addrs, ok); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestSSHDDifferences(t *testing.T) {
	t.Parallel()
	h := sshTree(t, map[string]string{"etc/ssh/sshd_config": "AllowGroups a b\n"})
	c, err := sshdconf.Parse(sshdFS{h}, sshdconf.Options{Version: sshdconf.V9_2})
	must(t, err)
	e, err := c.For(sshdconf.Connection{})
	must(t, err)
	var text strings.Builder
	e.WriteTo(&text)
	if d := differences(sshdconf.Connection{}, e, text.String()); len(d) > 0 {
		t.Errorf("the same text differs: %+v", d)
	}
	said := strings.Replace(text.String(), "passwordauthentication yes", "passwordauthentication no", 1)
	said = strings.Replace(said, "allowgroups b\n", "", 1) + "newkeyword 1\n"
	var got []string
	for _, d := range differences(sshdconf.Connection{}, e, said) {
		got = append(got, fmt.Sprintf("%s %s/%s", d.Keyword, d.Ours, d.Theirs))
	}
	if want := []string{"allowgroups a b/a", "newkeyword /1", "passwordauthentication yes/no"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestSSHDTestSpec(t *testing.T) {
	t.Parallel()
	got := testSpec(sshdconf.Connection{User: "op", Host: "a,b", Addr: "::1", LocalPort: 22})
	if got != "user=op,addr=::1,lport=22" {
		t.Error(got)
	}
}

// A second sshd that runs with options and a file of its own is found, is
// asked with them, and is seen to be older than its file once that changes.
func TestRunningSSHD(t *testing.T) {
	lab.Need(t, lab.SSHD, lab.Root)
	dir := t.TempDir()
	config, key, pid := filepath.Join(dir, "sshd_config"), filepath.Join(dir, "key"), filepath.Join(dir, "pid")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	port := freePort(t)
	must(t, os.WriteFile(config, fmt.Appendf(nil, "ListenAddress 127.0.0.1:%d\nHostKey %s\nPidFile %s\nPasswordAuthentication yes\nMatch Address 10.0.0.0/8 User root\nBanner /b\nMatch LocalPort 2222\nMaxSessions 3\n", port, key, pid), 0o600))
	// A daemon wants /run/sshd: it gets one in a mount namespace of its own.
	cmd := exec.Command("/usr/bin/unshare", "--mount", "--propagation", "private", "/bin/sh", "-c",
		`mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec /usr/sbin/sshd -D -f "$0" -o "PasswordAuthentication no" -o MaxAuthTries=2`, config)
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	waitFor(t, func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})

	h := New(Options{})
	servers, err := h.SSHServers(t.Context())
	must(t, err)
	i := slices.IndexFunc(servers.SSHDs, func(d *SSHD) bool { return d.PID == cmd.Process.Pid })
	if i < 0 {
		t.Fatalf("process %d is not among %d daemons", cmd.Process.Pid, len(servers.SSHDs))
	}
	d := servers.SSHDs[i]
	must(t, d.Err)
	e, err := d.Config.For(sshdconf.Connection{})
	must(t, err)
	if s := e.Get("passwordauthentication"); s.Text() != "no" || s.Values[0].At.File != sshdconf.CommandLine {
		t.Errorf("its options do not count: %+v (%q)", s, d.Args)
	}
	says, err := h.SSHDSays(t.Context())
	must(t, err)
	if w := says[d]; w.Err != nil || w.Refusal != "" || len(w.Disagree) > 0 || w.Points < 1 {
		t.Errorf("sshd says otherwise: %+v", w)
	}
	changed, read, _, err := h.StaleSince(d)
	must(t, err)
	if changed.After(read) {
		t.Errorf("changed %v, read %v", changed, read)
	}
	waitFor(t, func() bool { // the kernel's clock ticks
		must(t, os.WriteFile(config, []byte("UsePAM yes\n"), 0o600))
		changed, read, by, err := h.StaleSince(d)
		must(t, err)
		return changed.After(read) && by == config
	})
	must(t, os.Remove(pid))
	if _, _, _, err := h.StaleSince(d); err == nil || !strings.Contains(err.Error(), "PidFile") {
		t.Errorf("without a pid file nothing shows a reload: %v", err)
	}
}

// What is included can change without any file or folder that is there now being
// younger than the daemon.
func TestStaleSinceLinksAndWhatIsGone(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(-time.Hour)
	for name, c := range map[string]struct {
		include string
		change  func(t *testing.T, dir string)
		by      string
		unsure  bool
	}{
		"a link to a file": {"link", func(t *testing.T, dir string) {
			must(t, os.Remove(dir+"/link"))
			must(t, os.Symlink("sub/a.conf", dir+"/link"))
		}, "/link", false},
		"a link to a folder": {"folder/*.conf", func(t *testing.T, dir string) {
			must(t, os.Remove(dir+"/folder"))
			must(t, os.Symlink(dir+"/sub", dir+"/folder"))
		}, "/folder", false},
		"a file is gone":   {"sub/b.conf", func(t *testing.T, dir string) { must(t, os.Remove(dir+"/sub/b.conf")) }, "/sub", false},
		"a folder is gone": {"sub/*.conf", func(t *testing.T, dir string) { must(t, os.Rename(dir+"/sub", dir+"/away")) }, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			must(t, os.Mkdir(dir+"/sub", 0o755))
			for _, file := range []string{"a.conf", "b.conf"} {
				must(t, os.WriteFile(dir+"/sub/"+file, []byte("UsePAM yes\n"), 0o600))
			}
			must(t, os.Symlink("sub/b.conf", dir+"/link"))
			must(t, os.Symlink("sub", dir+"/folder"))
			must(t, os.WriteFile(dir+"/sshd_config", []byte("PidFile "+dir+"/pid\nInclude "+dir+"/"+c.include+"\n"), 0o600))
			time.Sleep(20 * time.Millisecond)
			must(t, os.WriteFile(dir+"/pid", []byte("77\n"), 0o600))
			time.Sleep(20 * time.Millisecond)
			c.change(t, dir)
			h := New(Options{})
			d := &SSHD{PID: 77, Started: at}
			var err error
			d.Config, err = sshdconf.Parse(sshdFS{h}, sshdconf.Options{Version: sshdconf.Newest, Arguments: []string{"-f", dir + "/sshd_config"}})
			must(t, err)
			changed, read, by, err := h.StaleSince(d)
			switch {
			case c.unsure && (err == nil || !strings.Contains(err.Error(), dir)):
				t.Errorf("no error: changed %v, read %v", changed, read)
			case !c.unsure && (err != nil || !changed.After(read) || by != dir+c.by):
				t.Errorf("changed %v by %s, read %v: %v", changed, by, read, err)
			}
		})
	}
}

// Files are masked by links to /dev/null: sshd reads nothing there.
func TestSSHDReadsNothingInDevNull(t *testing.T) {
	t.Parallel()
	link := t.TempDir() + "/50-masked.conf"
	must(t, os.Symlink("/dev/null", link))
	if data, err := (sshdFS{New(Options{})}).ReadFile(link); err != nil || len(data) > 0 {
		t.Errorf("%q, %v", data, err)
	}
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func waitFor(t *testing.T, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ready(); {
		if time.Now().After(deadline) {
			t.Fatal("it does not get ready")
		}
		time.Sleep(10 * time.Millisecond)
	}
}
