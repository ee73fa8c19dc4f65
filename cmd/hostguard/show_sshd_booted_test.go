package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/sshdconf/sshdtest"
)

// On a booted host show sshd prints what the running daemon has, and what listens
// is what systemd says.
func TestShowSSHDOnABootedHost(t *testing.T) {
	t.Parallel()
	h := lab.Boot(t)
	const program = "/usr/local/bin/hostguard"
	h.Install(lab.Binary(t), program)
	h.WriteFile("/etc/ssh/sshd_config.d/10-a.conf", "Banner /a\nMatch Group adm Address 192.0.2.0/24\nPasswordAuthentication no\nMatch LocalPort 2222\nMaxSessions 2\n")
	h.Must("usermod", "-aG", "adm", "daemon")
	const unit = "/etc/systemd/system/ssh.service.d/x.conf"
	h.WriteFile("/etc/default/mine", "OPTS=-o 'MaxStartups 1:2:3'\n")
	h.WriteFile(unit, "[Service]\nEnvironmentFile=/etc/default/mine\nEnvironment=V=/b\\\\x20c\nExecStart=\nExecStart=/usr/sbin/sshd -D -o \"VersionAddendum a b\" $OPTS -o Banner=${V}\n")
	h.Must("systemctl", "daemon-reload")
	h.Must("systemctl", "restart", "ssh.service")
	options := []string{"-o", "VersionAddendum a b", "-o", "MaxStartups 1:2:3", "-o", `Banner=/b\x20c`}

	equal := func(t *testing.T, h *lab.Host, spec string, args ...string) (notes string) {
		t.Helper()
		want := []string{"/usr/sbin/sshd", "-T"}
		if want = append(want, options...); spec != "" {
			want = append(want, "-C", spec)
		}
		said := h.Must(want...)
		r := h.Run(append([]string{program, "show", "sshd"}, args...)...)
		if diff := sshdtest.LineDiff(said, r.Stdout); diff != "" || r.Code != 0 {
			t.Errorf("%s: exit code %d\n%s%s", spec, r.Code, diff, r.Stderr)
		}
		return r.Stderr
	}
	asked := []string{"--user", "daemon", "--addr", "192.0.2.7", "--lport", "22"}
	t.Run("as sshd says", func(t *testing.T) {
		h := h.For(t)
		if notes := equal(t, h, "user=daemon,addr=192.0.2.7,lport=22", asked...); notes != "" {
			t.Errorf("notes: %s", notes)
		}
		equal(t, h, "user=root,addr=198.51.100.1,lport=2222", "--user", "root", "--addr", "198.51.100.1", "--lport", "2222")
		out := h.Must(append([]string{program, "show", "sshd", "--origin"}, asked...)...)
		for _, line := range []string{
			`(?m)^# OpenSSH_9\S+ Debian\S* \(/usr/sbin/sshd\), options -D .* from process \d+$`,
			`(?m)^# for user=daemon groups=daemon,adm addr=192.0.2.7 lport=22$`,
			`(?m)^# Match Group adm Address 192.0.2.0/24 \(/etc/ssh/sshd_config.d/10-a.conf:2\) holds$`,
			`(?m)^passwordauthentication no +# /etc/ssh/sshd_config.d/10-a.conf:3 in Match Group adm Address 192.0.2.0/24 of line 2$`,
			`(?m)^versionaddendum a b +# command line, process \d+$`,
			`(?m)^banner /b.x20c +# command line, process \d+; without effect: /a \(/etc/ssh/sshd_config.d/10-a.conf:1\)$`,
			`(?m)^maxsessions 10 +# default; not here: 2 \(/etc/ssh/sshd_config.d/10-a.conf:5 in Match LocalPort 2222 of line 4\)$`,
		} {
			if !regexp.MustCompile(line).MatchString(out) {
				t.Errorf("no line %s in\n%s", line, out)
			}
		}
	})
	t.Run("options of the unit that is stopped", func(t *testing.T) {
		h := h.For(t)
		h.Must("systemctl", "stop", "ssh.service")
		h.Must("mkdir", "-p", "/run/sshd")
		equal(t, h, "user=daemon,addr=192.0.2.7,lport=22", asked...)
		if out := h.Must(append([]string{program, "show", "sshd", "--origin"}, asked...)...); !strings.Contains(out, "from "+unit+":5") {
			t.Errorf("where its options come from:\n%.200s", out)
		}
	})
	t.Run("HardCase13 what a socket listens on", func(t *testing.T) {
		h := h.For(t)
		const dropIn = "/etc/systemd/system/ssh.socket.d/addresses.conf"
		h.WriteFile(dropIn, "[Socket]\nListenStream=\nListenStream=192.0.2.2:2200\nListenStream=2222\n")
		h.Must("systemctl", "disable", "-q", "ssh.service")
		h.Must("systemctl", "daemon-reload")
		h.Must("systemctl", "enable", "-q", "--now", "ssh.socket")
		notes := equal(t, h, "user=daemon,addr=192.0.2.7,lport=22", asked...)
		want := "ssh.socket listens in sshd's place: 192.0.2.2:2200 (" + dropIn + ":3), [::]:2222 (" + dropIn + ":4)"
		if !strings.Contains(notes, want) {
			t.Errorf("notes: %s\nwant %s", notes, want)
		}
		var s shownSSHD
		if err := json.Unmarshal([]byte(h.Must(append([]string{program, "show", "sshd", "--format", "json"}, asked...)...)), &s); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range s.Sockets[0].Listen {
			got = append(got, l.Address)
		}
		said := strings.Fields(strings.NewReplacer("Listen=", "", "(Stream)", "").Replace(h.Must("systemctl", "show", "-p", "Listen", "ssh.socket")))
		if !slices.Equal(got, said) || !s.Sockets[0].Active || s.Sockets[0].AtBoot == "" {
			t.Errorf("%+v, and systemd says %q", s.Sockets[0], said)
		}
		if out := h.Must(program, "show", "sshd", "--matrix", "--user", "root", "--format", "json"); !strings.Contains(out, `"lport":2200`) || strings.Contains(out, `"lport":22,`) {
			t.Errorf("the matrix does not come to the socket's ports:\n%s", out)
		}
		if out := h.Must(program, "show", "sshd", "--origin", "--lport", "22"); !strings.Contains(out, "; without effect: ssh.socket listens") || !strings.Contains(out, "# "+want) {
			t.Errorf("the socket is not among the origins:\n%.600s", out)
		}
		h.Must("systemctl", "disable", "-q", "--now", "ssh.socket")
		h.Must("systemctl", "start", "ssh.service")
		if notes := equal(t, h, "user=daemon,addr=192.0.2.7,lport=22", asked...); strings.Contains(notes, "ssh.socket") {
			t.Errorf("it is off, and noted: %s", notes)
		}
	})
	t.Run("several sshds", func(t *testing.T) {
		h := h.For(t)
		h.WriteFile("/etc/ssh/other", "Port 2200\nPidFile none\nBanner /other\n")
		h.Must("/usr/sbin/sshd", "-f", "/etc/ssh/other")
		pid := strings.TrimSpace(h.Must("pgrep", "-f", "sshd -f /etc/ssh/other"))
		r := h.Run(append([]string{program, "show", "sshd"}, asked...)...)
		if r.Code != 0 || !strings.Contains(r.Stderr, `the host has 2 sshds`) || !strings.Contains(r.Stderr, `--args-from "process `+pid+`"`) || !strings.Contains(r.Stdout, "\nbanner /b") {
			t.Errorf("exit code %d: %s", r.Code, r.Stderr)
		}
		if out := h.Must(program, "show", "sshd", "--args-from", "process "+pid); !strings.Contains(out, "\nbanner /other\n") {
			t.Errorf("not the other one:\n%s", out)
		}
		h.Must("kill", pid)
	})
	t.Run("refused", func(t *testing.T) {
		h := h.For(t)
		h.WriteFile("/etc/ssh/sshd_config.d/20-b.conf", "\nNonsense yes\n")
		r := h.Run(program, "show", "sshd")
		if r.Code != exitIncomplete || r.Stdout != "" || !strings.Contains(r.Stderr, "sshd refuses its configuration: /etc/ssh/sshd_config.d/20-b.conf:2: ") {
			t.Errorf("exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
		}
	})
}

// A whole check runs sshd at most four times, however many daemons and Match
// blocks there are.
func TestCheckRunsSSHDFourTimesAtMost(t *testing.T) {
	t.Parallel()
	h := lab.Boot(t)
	h.Install(lab.Binary(t), "/usr/local/bin/hostguard")
	var blocks strings.Builder
	for i := range 40 {
		fmt.Fprintf(&blocks, "Match User u%d Address 10.%d.0.0/16\nMaxSessions %d\n", i, i, i+1)
	}
	h.WriteFile("/etc/ssh/sshd_config.d/m.conf", blocks.String())
	count := countExecutions(t, h.Path("/usr/sbin/sshd"))
	for _, daemons := range []int{1, 2, 6} {
		for i := 1; i < daemons; i++ {
			name := fmt.Sprintf("/etc/ssh/other%d", i)
			h.WriteFile(name, fmt.Sprintf("Port %d\nPidFile none\n%s", 2200+10*daemons+i, blocks.String()))
			h.Must("/usr/sbin/sshd", "-f", name)
		}
		count()
		r := h.Run("/usr/local/bin/hostguard", "check", "--format", "json")
		if !json.Valid([]byte(r.Stdout)) {
			t.Fatalf("no report: %s", r.Stderr)
		}
		if n := count(); n == 0 || n > 4 {
			t.Errorf("with %d daemons sshd was run %d times", daemons, n)
		}
	}
}

// countExecutions returns a function that says how often a program was run since
// it was called last, by fanotify(7).
func countExecutions(t *testing.T, program string) func() int {
	t.Helper()
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_EXEC, unix.AT_FDCWD, program); err != nil {
		t.Fatal(err)
	}
	return func() int {
		n := 0
		buf := make([]byte, 16<<10)
		for {
			size, err := unix.Read(fd, buf)
			if err != nil || size <= 0 {
				return n
			}
			for event := buf[:size]; len(event) >= 24; event = event[binary.LittleEndian.Uint32(event):] {
				if opened := int32(binary.LittleEndian.Uint32(event[16:])); opened >= 0 {
					unix.Close(int(opened))
				}
				n++
			}
		}
	}
}
