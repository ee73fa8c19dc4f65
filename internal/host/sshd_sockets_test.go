package host

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What listens in sshd's place, in file trees; on a booted host cmd's test holds
// it against systemd.
func TestSSHSockets(t *testing.T) {
	t.Parallel()
	const unit = "usr/lib/systemd/system/ssh.socket"
	boot := map[string]string{
		"usr/lib/systemd/system/default.target": "[Unit]\nRequires=sockets.target\n", "usr/lib/systemd/system/sockets.target": "[Unit]\n",
		"etc/systemd/system/sockets.target.wants/ssh.socket": "-> /" + unit,
	}
	debian := "[Socket]\nListenStream=22\nAccept=no\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no socket unit": {nil, ""},
		"not enabled":    {map[string]string{unit: debian, "etc/systemd/system/sockets.target.wants/ssh.socket": "absent"}, "ssh.socket→ssh.service [::]:22@/" + unit + ":2"},
		"as Debian 12":   {map[string]string{unit: debian}, "ssh.socket→ssh.service at boot [::]:22@/" + unit + ":2"},
		"for each connection, as Debian 11": {map[string]string{unit: "[Socket]\nListenStream=22\nAccept=yes\n"},
			"ssh.socket→ssh@.service at boot [::]:22@/" + unit + ":2"},
		"a drop-in adds": {map[string]string{unit: debian, "etc/systemd/system/ssh.socket.d/a.conf": "[Socket]\nListenStream=192.0.2.1:2222\n"},
			"ssh.socket→ssh.service at boot [::]:22@/" + unit + ":2 192.0.2.1:2222@/etc/systemd/system/ssh.socket.d/a.conf:2"},
		"a drop-in forgets and adds": {map[string]string{unit: debian, "etc/systemd/system/ssh.socket.d/a.conf": "[Socket]\n# mine\nListenStream=\nListenStream=[::1]:2222\nListenStream=/run/s\n"},
			"ssh.socket→ssh.service at boot [::1]:2222@/etc/systemd/system/ssh.socket.d/a.conf:4 /run/s@/etc/systemd/system/ssh.socket.d/a.conf:5"},
		"any Listen forgets all": {map[string]string{unit: debian, "etc/systemd/system/ssh.socket.d/a.conf": "[Socket]\nListenDatagram=\n"}, "ssh.socket→ssh.service at boot"},
		"of two drop-ins of one name /etc wins": {map[string]string{unit: debian, "etc/systemd/system/ssh.socket.d/a.conf": "[Socket]\nListenStream=1\n", "usr/lib/systemd/system/ssh.socket.d/a.conf": "[Socket]\nListenStream=2\n"},
			"ssh.socket→ssh.service at boot [::]:22@/" + unit + ":2 [::]:1@/etc/systemd/system/ssh.socket.d/a.conf:2"},
		"a drop-in is masked": {map[string]string{unit: debian, "etc/systemd/system/ssh.socket.d/a.conf": "-> /dev/null", "usr/lib/systemd/system/ssh.socket.d/a.conf": "[Socket]\nListenStream=2\n"},
			"ssh.socket→ssh.service at boot [::]:22@/" + unit + ":2"},
		"for all sockets": {map[string]string{unit: debian, "etc/systemd/system/socket.d/a.conf": "[Socket]\nListenStream=3\n"},
			"ssh.socket→ssh.service at boot [::]:22@/" + unit + ":2 [::]:3@/etc/systemd/system/socket.d/a.conf:2"},
		"another service": {map[string]string{unit: "[Socket]\nListenStream=22\nService=mysshd.service\n"}, "ssh.socket→mysshd.service at boot [::]:22@/" + unit + ":2"},
		"by a generator": {map[string]string{unit: debian, "usr/lib/systemd/system-generators/sshd-socket-generator": "x",
			"run/systemd/generator/ssh.socket.d/addresses.conf": "[Socket]\nListenStream=\nListenStream=0.0.0.0:2222\n"},
			"ssh.socket→ssh.service at boot 0.0.0.0:2222@/run/systemd/generator/ssh.socket.d/addresses.conf:3 by /usr/lib/systemd/system-generators/sshd-socket-generator"},
		"masked": {map[string]string{unit: debian, "etc/systemd/system/ssh.socket": "-> /dev/null"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{}
			for _, more := range []map[string]string{boot, c.files} {
				for name, text := range more {
					if files[name] = text; text == "absent" {
						delete(files, name)
					}
				}
			}
			sockets, err := sshTree(t, files).SSHSockets(t.Context())
			must(t, err)
			var got []string
			for _, s := range sockets {
				text := s.Unit + "→" + s.Starts
				if s.InForce() {
					text += " at boot"
				}
				for _, l := range s.Listen {
					text += fmt.Sprintf(" %s@%s:%d", l.Address, l.File, l.Line)
				}
				if s.Generator != "" {
					text += " by " + s.Generator
				}
				got = append(got, text)
			}
			if strings.Join(got, "\n") != c.want {
				t.Errorf("%q\nwant %q", got, c.want)
			}
		})
	}
}

// Of an image that does not boot it cannot be told what listens.
func TestSSHSocketsOfAnImageThatDoesNotBoot(t *testing.T) {
	t.Parallel()
	inForce, err := sshTree(t, map[string]string{"usr/lib/systemd/system/ssh.socket": "[Socket]\nListenStream=22\n"}).SSHListens(t.Context())
	if err == nil || len(inForce) > 0 {
		t.Errorf("%v, %v", inForce, err)
	}
}

func TestSameStream(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		written, has string
		want         bool
	}{
		{"22", "[::]:22", true}, {"22", "0.0.0.0:22", true}, {"23", "[::]:22", false}, {"192.0.2.1:22", "192.0.2.1:22", true},
		{"192.0.2.1:22", "0.0.0.0:22", false}, {"/run/s", "/run/s", true}, {"/run/s", "[::]:22", false},
	} {
		if got := sameStream(streamAddress(c.written), c.has); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if !slices.Equal([]string{streamAddress("022"), streamAddress("@x")}, []string{"[::]:22", "@x"}) {
		t.Error(streamAddress("022"), streamAddress("@x"))
	}
}
