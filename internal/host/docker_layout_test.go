package host

import (
	"context"
	"errors"
	"github.com/hostguard/hostguard/internal/dockerconf"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// hostTree makes a host of files; "→ target" as content makes a link, a name that
// ends in / a folder.
func hostTree(t *testing.T, files map[string]string, opts Options) *Host {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := strings.CutPrefix(content, "→ "); link {
			err = os.Symlink(target, full)
		} else if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(full, 0o755)
		} else {
			err = os.WriteFile(full, []byte(content), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	opts.Root = root
	return New(opts)
}

// with lays files over those of a Debian host with docker.io.
func with(files map[string]string) map[string]string {
	all := map[string]string{
		"usr/sbin/dockerd":                     "",
		"usr/bin/docker":                       "",
		"usr/bin/containerd":                   "",
		"sbin":                                 "→ usr/sbin",
		"bin":                                  "→ usr/bin",
		"lib":                                  "→ usr/lib",
		"var/run":                              "→ /run",
		"run/":                                 "",
		"var/lib/docker/":                      "",
		"etc/default/docker":                   "# DOCKER_OPTS=\"--dns 192.0.2.1\"\n",
		"etc/docker/":                          "",
		"usr/lib/systemd/system/docker.socket": "[Socket]\nListenStream=/run/docker.sock\n",
		"usr/lib/systemd/system/containerd.service": "[Service]\nExecStart=/usr/bin/containerd\n",
		"usr/lib/systemd/system/docker.service": "[Unit]\nDescription=Docker\n[Service]\nEnvironmentFile=-/etc/default/docker\n" +
			"ExecStart=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS\n[Install]\n",
	}
	for name, content := range files {
		all[name] = content
	}
	return all
}

// TestDockerLayoutDataRoot is hard case 27: daemon.json, flags and drop-ins
// disagree, and the data root moves.
func TestDockerLayoutDataRoot(t *testing.T) {
	t.Parallel()
	const dropIn = "etc/systemd/system/docker.service.d/override.conf"
	for name, c := range map[string]struct {
		files             map[string]string
		path, source, err string
		conflict          string // key and line of the first
	}{
		"default":                         {nil, "/var/lib/docker", "default", "", ""},
		"daemon.json":                     {map[string]string{"etc/docker/daemon.json": "{\n \"data-root\": \"/data/docker/\"\n}"}, "/data/docker", "/etc/docker/daemon.json:2", "", ""},
		"its older key":                   {map[string]string{"etc/docker/daemon.json": `{"graph": "/data"}`}, "/data", "/etc/docker/daemon.json:1", "", ""},
		"flag in a drop-in":               {map[string]string{dropIn: "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd -H fd:// --data-root /flag\n"}, "/flag", "/" + dropIn + ":3", "", ""},
		"flag in the environment file":    {map[string]string{"etc/default/docker": `DOCKER_OPTS="--data-root=/env -D"`}, "/env", "/usr/lib/systemd/system/docker.service:5", "", ""},
		"both":                            {map[string]string{"etc/docker/daemon.json": "{\n\n\"data-root\":\"/a\"}", "etc/default/docker": "DOCKER_OPTS=-g/b"}, "/b", "/usr/lib/systemd/system/docker.service:5", "", "data-root 3"},
		"two ExecStart":                   {map[string]string{dropIn: "[Service]\nExecStart=/usr/sbin/dockerd --data-root /flag\n"}, "", "", "2 ExecStart= are set, the last at /" + dropIn + ":2", ""},
		"another file":                    {map[string]string{"etc/default/docker": "DOCKER_OPTS=--config-file=/srv/d.json", "srv/d.json": `{"data-root":"/c"}`}, "/c", "/srv/d.json:1", "", ""},
		"a link":                          {map[string]string{"var/lib/docker/": "", "data/real/": "", "etc/docker/daemon.json": `{"data-root":"/link"}`, "link": "→ data/real"}, "/data/real", "/etc/docker/daemon.json:1, which says /link", "", ""},
		"not JSON":                        {map[string]string{"etc/docker/daemon.json": "{\n\"data-root\": secret}"}, "", "", "cannot read /etc/docker/daemon.json:2", ""},
		"cut off":                         {map[string]string{"etc/docker/daemon.json": "{\n\"data-root\": \"/a\""}, "", "", "daemon.json:2: it ends too early", ""},
		"not an object":                   {map[string]string{"etc/docker/daemon.json": "[]"}, "", "", "it is not a JSON object", ""},
		"a folder":                        {map[string]string{"etc/docker/daemon.json/": ""}, "", "", "not a regular file", ""},
		"empty":                           {map[string]string{"etc/docker/daemon.json": " \n"}, "/var/lib/docker", "default", "", ""},
		"masked":                          {map[string]string{"etc/systemd/system/docker.service": "→ /dev/null", "dev/null": ""}, "", "", "no ExecStart= is set", ""},
		"containerd imports more":         {map[string]string{"etc/containerd/config.toml": "version = 2\nimports = [\"/x\"]\n"}, "/var/lib/docker", "default", "", "imports 2"},
		"unit of the administrator":       {map[string]string{"etc/systemd/system/docker.service": "[Service]\nExecStart=/opt/dockerd --data-root=/opt/data\n"}, "/opt/data", "/etc/systemd/system/docker.service:2", "", ""},
		"drop-in hidden by one in /etc":   {map[string]string{"usr/lib/systemd/system/docker.service.d/override.conf": "[Service]\nExecStart=\n", dropIn: ""}, "/var/lib/docker", "default", "", ""},
		"environment file that is needed": {map[string]string{dropIn: "[Service]\nEnvironmentFile=/absent\n"}, "", "", "/absent", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := with(c.files)
			if _, folder := files["etc/docker/daemon.json/"]; folder {
				delete(files, "etc/docker/")
			}
			l, err := hostTree(t, files, Options{}).DockerLayout(t.Context())
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "secret") {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if l.Kind != "package" || l.DataRoot.Path != c.path || l.DataRoot.Source != c.source {
				t.Errorf("%q, data root %+v; want %s by %s", l.Kind, l.DataRoot, c.path, c.source)
			}
			conflict := ""
			if len(l.Conflicts) > 0 {
				conflict = l.Conflicts[0].Key + " " + string(rune('0'+l.Conflicts[0].Line))
			}
			if conflict != c.conflict {
				t.Errorf("conflict %q, want %q: %+v", conflict, c.conflict, l.Conflicts)
			}
		})
	}
}

func TestDockerLayoutPlaces(t *testing.T) {
	t.Parallel()
	h := hostTree(t, with(map[string]string{
		"etc/docker/daemon.json":                        `{"hosts": ["unix:///var/run/other.sock", "tcp://127.0.0.1:2375"]}`,
		"etc/containerd/config.toml":                    "root = \"/data/containerd\"\n[plugins]\nstate = '/no'\n",
		"etc/systemd/system/docker.service.d/10-x.conf": "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd\n",
	}), Options{})
	l, err := h.DockerLayout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, places := range [][]Place{l.Binaries, l.Sockets, l.Config, l.UnitFiles, l.Containerd} {
		for _, p := range places {
			mark := ""
			if !p.Exists {
				mark = " absent"
			}
			got = append(got, p.Name+" "+p.Path+mark)
		}
	}
	want := []string{
		"dockerd /usr/sbin/dockerd", "docker /usr/bin/docker", "containerd /usr/bin/containerd",
		"docker.sock /run/other.sock absent", "containerd.sock /run/containerd/containerd.sock absent",
		"docker /etc/docker", "daemon.json /etc/docker/daemon.json", "defaults /etc/default/docker", "containerd /etc/containerd", "config.toml /etc/containerd/config.toml",
		"docker.service /usr/lib/systemd/system/docker.service", "docker.service /etc/systemd/system/docker.service.d/10-x.conf",
		"docker.socket /usr/lib/systemd/system/docker.socket", "containerd.service /usr/lib/systemd/system/containerd.service",
		"root /data/containerd absent", "state /run/containerd absent",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if l.DockerCommand() != "/usr/bin/docker" {
		t.Errorf("docker command %q", l.DockerCommand())
	}
}

func TestDockerLayoutKinds(t *testing.T) {
	t.Parallel()
	snap := map[string]string{"snap/docker/current": "→ 2932", "snap/docker/2932/bin/dockerd": "", "snap/docker/2932/bin/docker": ""}
	rootless := map[string]string{"home/u/.config/systemd/user/docker.service": ""}
	for name, c := range map[string]struct {
		files                  map[string]string
		kind, others, dataRoot string
	}{
		"none":     {map[string]string{"usr/bin/docker": ""}, "", "", ""},
		"snap":     {snap, "snap", "", "/var/snap/docker/common/var-lib-docker"},
		"rootless": {rootless, "rootless", "rootless", ""},
		"package beside a snap and a rootless one": {
			with(map[string]string{"snap/docker/current/": "", "home/u/.config/systemd/user/docker.service": ""}), "package", "snap rootless", "/var/lib/docker",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := hostTree(t, c.files, Options{}).DockerLayout(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var others []string
			for _, o := range l.Others {
				others = append(others, o.Name)
			}
			if l.Kind != c.kind || strings.Join(others, " ") != c.others || l.DataRoot.Path != c.dataRoot {
				t.Errorf("%q, others %q, data root %q; want %+v", l.Kind, others, l.DataRoot.Path, c)
			}
		})
	}
}

func TestDockerLogs(t *testing.T) {
	t.Parallel()
	h := hostTree(t, with(map[string]string{"etc/docker/daemon.json": "{\"log-driver\":\"local\",\n\"log-opts\":{\"max-file\":\"3\",\"max-size\":\"10m\"}}"}), Options{})
	logs, err := h.DockerLogs(t.Context())
	if want := (DockerLogs{"local", "10m", "/etc/docker/daemon.json:2"}); err != nil || logs != want {
		t.Errorf("%+v, error %v, want %+v", logs, err, want)
	}
}

func TestDockerSockets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hosts, activated []string
		want             string
	}{
		"none":                {nil, nil, "/run/docker.sock"},
		"fd alone":            {[]string{"fd://"}, nil, "/run/docker.sock"},
		"fd and its unit":     {[]string{"fd://"}, []string{"/run/a.sock", "2375"}, "/run/a.sock"},
		"unix":                {[]string{"unix:///x.sock", "fd://"}, nil, "/x.sock /run/docker.sock"},
		"a path":              {[]string{"/x.sock"}, nil, "/x.sock"},
		"network only":        {[]string{"tcp://0.0.0.0:2375"}, nil, ""},
		"unix without a path": {[]string{"unix://"}, nil, "/run/docker.sock"},
	} {
		var streams []dockerconf.Stream
		for _, a := range c.activated {
			streams = append(streams, dockerconf.Stream{Address: a})
		}
		if got := strings.Join(dockerSockets(c.hosts, streams), " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestUnreadDockerOptions: a daemon answers whose daemon.json cannot be read.
func TestUnreadDockerOptions(t *testing.T) {
	t.Parallel()
	h := New(Options{})
	unread := errors.New("it ends too early")
	if _, err := h.dockerConf.get(t.Context(), func(context.Context) (dockerConf, error) {
		return dockerConf{kind: "package", err: unread}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.dockerEngine.get(t.Context(), func(context.Context) (Engine, error) {
		return Engine{DataRoot: "/var/lib/docker"}, nil
	}); err != nil {
		t.Fatal(err)
	}
	l, err := h.DockerLayout(t.Context())
	if err != nil || !errors.Is(l.Unread, unread) || len(l.Conflicts) != 1 {
		t.Errorf("%+v, error %v", l, err)
	}
}
