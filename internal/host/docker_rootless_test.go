package host

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A docker that a user runs is laid out by his word, which is taken for what is
// his only.
func TestRootlessDocker(t *testing.T) {
	t.Parallel()
	const unit = "home/u/.config/systemd/user/docker.service"
	base := map[string]string{"etc/passwd": "root:x:0:0::/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\nv:x:1001:1001::/srv/v:/bin/sh\n",
		"etc/group": "", "etc/shadow": "", unit: ""}
	more := func(files ...string) map[string]string {
		all := map[string]string{}
		for name, text := range base {
			all[name] = text
		}
		for i := 0; i < len(files); i += 2 {
			all[files[i]] = files[i+1]
		}
		return all
	}
	const conf = "home/u/.config/docker/daemon.json"
	for name, c := range map[string]struct {
		files map[string]string
		root  string // data root; empty: it cannot be told, and says says why
		says  string
	}{
		"defaults":                     {base, "/home/u/.local/share/docker", "default"},
		"another folder of the home":   {more(conf, `{"data-root": "/home/u/d"}`), "/home/u/d", "/home/u/.config/docker/daemon.json:1, the word of u (uid 1000)"},
		"a folder of root":             {more(conf, `{"data-root": "/etc"}`), "", "cannot believe that the rootless docker of u keeps its data in /etc"},
		"one that leads out of home":   {more(conf, `{"data-root": "/home/u/d"}`, "home/u/d", "→ /etc"), "", "cannot believe"},
		"a link as configuration":      {more(conf, "→ /etc/passwd"), "", "symbolic link"},
		"a folder as configuration":    {more(conf+"/x", ""), "", "not a regular file"},
		"a configuration of no docker": {more(conf, "{"), "", "daemon.json"},
		"no account":                   {map[string]string{unit: ""}, "", "/etc/passwd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := hostTree(t, c.files, Options{}).DockerLayout(t.Context())
			if err != nil || l.Kind != "rootless" {
				t.Fatalf("%+v %v", l, err)
			}
			if c.root == "" {
				if len(l.Rootless) > 0 || l.Unread == nil || !strings.Contains(l.Unread.Error(), c.says) {
					t.Errorf("%+v", l)
				}
				return
			}
			if len(l.Rootless) != 1 || l.Rootless[0].User != "u (uid 1000)" || l.Rootless[0].DataRoot.Path != c.root || !strings.Contains(l.Rootless[0].DataRoot.Source, c.says) {
				t.Fatalf("%+v %v", l.Rootless, l.Unread)
			}
			d := l.Rootless[0]
			for what, got := range map[string][]Place{
				"/run/user/1000/docker.sock /run/user/1000/docker/containerd/containerd.sock": d.Sockets,
				"/home/u/.config/docker /home/u/.config/docker/daemon.json":                   d.Config,
				"/home/u/.config/systemd/user/docker.service /home/u/.config/systemd/user":    d.UnitFiles,
				c.root + "/containerd /run/user/1000/docker/containerd":                       d.Containerd,
			} {
				var paths []string
				for _, p := range got {
					paths = append(paths, p.Path)
				}
				if strings.Join(paths, " ") != what {
					t.Errorf("%q, want %q", paths, what)
				}
			}
		})
	}
	t.Run("of two users, one with a home elsewhere", func(t *testing.T) {
		t.Parallel()
		l, err := hostTree(t, more("srv/v/.config/systemd/user/docker.service", ""), Options{}).DockerLayout(t.Context())
		if err != nil || len(l.Rootless) != 2 || l.Rootless[1].DataRoot.Path != "/srv/v/.local/share/docker" {
			t.Errorf("%+v %v", l, err)
		}
	})
}

// heldHelper makes this test program say that it runs and wait until its input
// ends, whatever its arguments are.
const heldHelper = "HOSTGUARD_TEST_HELD_HELPER"

func init() {
	if os.Getenv(heldHelper) != "" {
		fmt.Println("running")
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
}

// What a running one was started with counts beside its file.
func TestRootlessProcess(t *testing.T) {
	t.Parallel()
	h := hostTree(t, map[string]string{"home/u/.config/docker/daemon.json": "{}", "home/u/bin/dockerd": ""}, Options{})
	lay := func(args ...string) (RootlessDocker, error) {
		t.Helper()
		cmd := exec.Command(os.Args[0])
		cmd.Args, cmd.Env = append([]string{"dockerd"}, args...), []string{heldHelper + "=1"}
		input, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		output, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer input.Close()
		// What was just started shows no command line until the kernel has laid it out.
		if _, err := bufio.NewReader(output).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		return h.layRootless(User{Name: "u", UID: 1000, Home: "/home/u"}, []Process{{PID: cmd.Process.Pid, UID: 1000, Exe: "/opt/dockerd"}}, nil)
	}
	d, err := lay("--data-root=/home/u/other", "-H", "unix:///home/u/s")
	if err != nil || d.DataRoot.Path != "/home/u/other" || !strings.HasPrefix(d.DataRoot.Source, "process ") ||
		len(d.Sockets) != 3 || d.Sockets[1].Path != "/home/u/s" || len(d.Binaries) != 1 || d.Binaries[0].Path != "/home/u/bin/dockerd" {
		t.Errorf("%+v %v", d, err)
	}
	for args, says := range map[string]string{
		"--data-root=/":        "cannot believe",
		"--config-file=/etc/x": "says it reads /etc/x",
	} {
		if _, err := lay(args); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", args, err)
		}
	}
	const ended = 1 << 30 // has no command line, as a process that wiped its own
	_, err = h.layRootless(User{Name: "u", UID: 1000, Home: "/home/u"}, []Process{{PID: ended, UID: 1000, Exe: "/opt/dockerd"}}, nil)
	if err == nil || !strings.Contains(err.Error(), "shows no command line") {
		t.Errorf("no command line: %v", err)
	}
}
