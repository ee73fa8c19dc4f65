package docker

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/composefile"
	"github.com/hostguard/hostguard/internal/dockerconf"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab/checktest"
	"github.com/hostguard/hostguard/internal/posixacl"
)

const dir = "/opt/tc"

// running is a deployment of one connector whose one service has one container,
// changed by f; another container is "other".
func running(f func(*host.ComposeService, *host.Container, *host.ContainerDetail), other *host.ContainerDetail) deployment {
	labels := map[string]string{"com.docker.compose.project.working_dir": dir, "com.docker.compose.service": "ecc"}
	s := host.ComposeService{Name: "ecc", Image: "x/ids_execution_core_container:1", File: dir + "/compose.yaml", Line: 2}
	c := host.Container{ID: "1", Name: "tc-ecc-1", Image: s.Image, State: "running", Labels: labels}
	d := host.ContainerDetail{ID: "1", Name: c.Name, Image: s.Image, Running: true, Restart: "no", Limits: host.ContainerLimits{LogDriver: "json-file"}}
	if f != nil {
		f(&s, &c, &d)
	}
	all := deployment{
		connectors: []host.Connector{{Dir: dir, Services: []host.ComposeService{s}}},
		containers: []host.Container{c}, details: map[string]host.ContainerDetail{"1": d}, asked: true, engine: host.Engine{Socket: "/run/docker.sock"},
	}
	if other != nil {
		other.ID, other.Name = "2", "other"
		if other.Restart == "" {
			other.Restart = "no"
		}
		state := "exited"
		if other.Running {
			state = "running"
		}
		all.containers = append(all.containers, host.Container{ID: "2", Name: "other", Image: "y", State: state})
		all.details["2"] = *other
	}
	return all
}

// The same of a service as it is written, before there is a container.
func written(f func(*host.ComposeService)) deployment {
	s := host.ComposeService{Name: "ecc", Image: "x/ids_execution_core_container:1", File: dir + "/compose.yaml", Line: 2}
	f(&s)
	return deployment{connectors: []host.Connector{{Dir: dir, Services: []host.ComposeService{s}}}}
}

var (
	noConnector = deployment{asked: true, engine: host.Engine{Socket: "/run/docker.sock"}, unread: host.ErrNoConnector}
	blind       = deployment{unread: errors.New("docker does not answer")}
)

func TestJudgeRights(t *testing.T) {
	t.Parallel()
	of := func(r composefile.Rights) deployment { return written(func(s *host.ComposeService) { s.Rights = r }) }
	for name, c := range map[string]struct {
		d    deployment
		p    rightsParams
		want string
	}{
		"nothing more":                 {running(nil, nil), rightsParams{}, "pass"},
		"privileged":                   {running(nil, &host.ContainerDetail{Privileged: true, AppArmor: "unconfined"}), rightsParams{}, "fail"},
		"privileged and allowed":       {running(nil, &host.ContainerDetail{Privileged: true}), rightsParams{Allow: []string{"other"}}, "pass"},
		"a capability of docker's own": {running(nil, &host.ContainerDetail{CapAdd: []string{"CHOWN"}}), rightsParams{Capabilities: dockerCapabilities}, "pass"},
		"all capabilities":             {running(nil, &host.ContainerDetail{CapAdd: []string{"ALL"}}), rightsParams{Capabilities: dockerCapabilities}, "fail"},
		"a device by its group":        {running(nil, &host.ContainerDetail{DeviceRules: []string{"b 8:0 rwm"}}), rightsParams{}, "fail"},
		"devices by a written rule":    {written(func(s *host.ComposeService) { s.Rights.DeviceRules = []string{"a *:* rwm"} }), rightsParams{}, "fail"},
		"an allowed device":            {running(nil, &host.ContainerDetail{Devices: []string{"/dev/null"}}), rightsParams{Devices: []string{"/dev/null"}}, "pass"},
		"apparmor off, older spelling": {running(nil, &host.ContainerDetail{SecurityOpt: []string{"apparmor:unconfined"}}), rightsParams{}, "fail"},
		"apparmor not in force":        {running(nil, &host.ContainerDetail{AppArmor: "unconfined"}), rightsParams{}, "fail"},
		"no apparmor in the kernel":    {running(nil, &host.ContainerDetail{SecurityOpt: []string{"label=disable"}}), rightsParams{}, "pass"},
		"written privileged":           {of(composefile.Rights{Privileged: "yes"}), rightsParams{}, "fail"},
		"written not privileged":       {of(composefile.Rights{Privileged: "false"}), rightsParams{}, "pass"},
		"by a variable":                {of(composefile.Rights{Privileged: "${P}"}), rightsParams{}, "error: only whoever runs compose knows privileged: ${P}"},
		"a capability by a variable":   {of(composefile.Rights{CapAdd: []string{"${C}"}}), rightsParams{}, "error: ${C}"},
		"written with a capability":    {of(composefile.Rights{CapAdd: []string{"cap_sys_admin"}}), rightsParams{}, "fail"},
		"written with a device":        {of(composefile.Rights{Devices: []string{"/dev/sda:/dev/sda:r"}}), rightsParams{}, "fail"},
		"seccomp off for all":          {func() deployment { d := running(nil, nil); d.engine.Seccomp = "unconfined"; return d }(), rightsParams{}, "fail: every system call"},
	} {
		v, err := judgeRights(c.d, c.p)
		t.Run(name, func(t *testing.T) { checktest.Judged(t, v, err, c.want) })
	}
	if v, err := judgeRights(noConnector, rightsParams{}); !errors.Is(err, host.ErrNoConnector) {
		t.Errorf("no connector: %v, error %v", v, err)
	}
	if v, err := judgeRights(blind, rightsParams{}); err == nil {
		t.Errorf("a docker that does not answer: %v", v)
	}
	seen := running(nil, &host.ContainerDetail{Privileged: true})
	seen.unread = errors.New("half is not seen")
	if v, err := judgeRights(seen, rightsParams{}); err != nil || v.Status != checks.Fail {
		t.Errorf("what is seen to be wrong, beside what is not seen: %v, error %v", v, err)
	}
}

func TestJudgeNamespaces(t *testing.T) {
	t.Parallel()
	p := namespacesParams{Namespaces: []string{"network", "pid", "ipc", "uts"}}
	for name, c := range map[string]struct {
		d    deployment
		want string
	}{
		"its own":          {running(nil, &host.ContainerDetail{Network: "bridge", PID: "container:1", IPC: "private", CgroupNS: "host"}), "pass"},
		"network":          {running(nil, &host.ContainerDetail{Network: "host"}), "fail"},
		"processes":        {running(nil, &host.ContainerDetail{PID: "host"}), "fail"},
		"memory":           {running(nil, &host.ContainerDetail{IPC: "host"}), "fail"},
		"name":             {running(nil, &host.ContainerDetail{UTS: "host"}), "fail"},
		"written":          {written(func(s *host.ComposeService) { s.Rights.Network = "host" }), "fail"},
		"from a variable":  {written(func(s *host.ComposeService) { s.Rights.PID = "${X}" }), "error: ${X}"},
		"compose unread":   {deployment{unread: errors.New("tabs")}, "error: tabs"},
		"another's subset": {written(func(s *host.ComposeService) { s.Rights.Network = "service:x" }), "pass"},
	} {
		v, err := judgeNamespaces(c.d, p)
		t.Run(name, func(t *testing.T) { checktest.Judged(t, v, err, c.want) })
	}
	for names, valid := range map[string]bool{"pid": true, "": false, "user": false} {
		if err := (namespacesParams{Namespaces: strings.Fields(names)}).Validate(); (err == nil) != valid {
			t.Errorf("%q: %v", names, err)
		}
	}
}

func TestJudgeMounts(t *testing.T) {
	t.Parallel()
	layout := host.DockerLayout{
		Sockets:    []host.Place{{Name: "docker.sock", Path: "/run/docker.sock"}, {Name: "containerd.sock", Path: "/run/containerd/containerd.sock"}},
		Containerd: []host.Place{{Name: "root", Path: "/var/lib/containerd"}}, DataRoot: host.Place{Path: "/var/lib/docker"},
	}
	p := mountsParams{Folders: []string{"/etc", "/root", "/home"}, ReadOnly: []string{"/etc", "/usr"}}
	links := map[string]string{"/var/run": "/run", "/var/run/docker.sock": "/run/docker.sock", "/opt/link": "/run/docker.sock"}
	resolve := func(name string) (string, error) {
		if name == "/denied" {
			return "", errors.New("permission denied")
		}
		if real := links[path.Clean(name)]; real != "" {
			return real, nil
		}
		return path.Clean(name), nil
	}
	devices := map[string]string{"tc_data": "/var/lib/docker/volumes/tc_data/_data", "bound": "/run", "good": "/srv/data", "root": "/var/lib/docker"}
	bind := func(source string, rw bool) host.ContainerMount {
		return host.ContainerMount{Type: "bind", Source: source, Destination: "/x", ReadWrite: rw}
	}
	volume := func(name string) host.ContainerMount {
		return host.ContainerMount{Type: "volume", Name: name, Destination: "/x", ReadWrite: true}
	}
	for name, c := range map[string]struct {
		m    host.ContainerMount
		want string
	}{
		"a folder of the project":       {bind("/opt/tc/conf", true), "pass"},
		"one in a home":                 {bind("/home/op/tc/conf", true), "pass"},
		"the socket":                    {bind("/run/docker.sock", false), "fail"},
		"the socket by its other name":  {bind("/var/run/docker.sock", true), "fail"},
		"the socket over a link":        {bind("/opt/link", true), "fail"},
		"the socket's folder":           {bind("/var/run/", false), "fail"},
		"containerd's folder":           {bind("/run/containerd", true), "fail"},
		"beside the socket":             {bind("/run/docker.sockx", true), "pass"},
		"the root":                      {bind("/", false), "fail"},
		"a home of all":                 {bind("/home", false), "fail"},
		"docker's data":                 {bind("/var/lib", true), "fail"},
		"a file of /etc to read":        {bind("/etc/localtime", false), "pass"},
		"a file of /etc to write":       {bind("/etc/localtime", true), "fail"},
		"a named volume":                {volume("tc_data"), "pass"},
		"a volume that binds":           {volume("bound"), "fail"},
		"a volume that binds a folder":  {volume("good"), "pass"},
		"a volume of all docker's data": {volume("root"), "fail"},
		"a volume to be made":           {volume("new"), "pass"},
		"in memory":                     {host.ContainerMount{Type: "tmpfs", Destination: "/tmp"}, "pass"},
		"cannot be looked at":           {bind("/denied", true), "error: permission denied"},
	} {
		for where, d := range map[string]deployment{
			"made":    running(nil, &host.ContainerDetail{Mounts: []host.ContainerMount{c.m}}),
			"written": written(func(s *host.ComposeService) { s.Mounts = []host.ContainerMount{c.m} }),
		} {
			v, err := judgeMounts(d, layout, p, devices, resolve)
			t.Run(name+", "+where, func(t *testing.T) { checktest.Judged(t, v, err, c.want) })
		}
	}
}

func TestJudgeImages(t *testing.T) {
	t.Parallel()
	const digest = "@sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for image, c := range map[string]struct {
		p    imagesParams
		want string
	}{
		"x/ecc:v1": {imagesParams{}, "pass"}, "x/ecc": {imagesParams{}, "fail"}, "x/ecc:latest": {imagesParams{}, "fail"}, "host:5000/ecc": {imagesParams{}, "fail"},
		"host:5000/ecc:1": {imagesParams{}, "pass"}, "x/ecc" + digest: {imagesParams{Digest: true}, "pass"}, "x/ecc:2": {imagesParams{Digest: true}, "fail"},
		"x/ecc:v3": {imagesParams{Images: []string{"x/*:v3"}}, "pass"}, "y/ecc:v3": {imagesParams{Images: []string{"x/*:v3"}}, "fail"},
		"x/ecc:${TAG}": {imagesParams{}, "error: ${TAG}"}, "": {imagesParams{}, "fail"}, "sha256:00": {imagesParams{}, "pass"},
	} {
		v, err := judgeImages(written(func(s *host.ComposeService) { s.Image = image }), c.p)
		t.Run(image, func(t *testing.T) { checktest.Judged(t, v, err, c.want) })
	}
}

func TestJudgeRestart(t *testing.T) {
	t.Parallel()
	p := restartParams{Policies: []string{"always"}}
	for want, policy := range map[string]string{"pass": "always", "fail": "on-failure:3", "error: ${R}": "${R}"} {
		v, err := judgeRestart(written(func(s *host.ComposeService) { s.Rights.Restart = policy }), p)
		t.Run(policy, func(t *testing.T) { checktest.Judged(t, v, err, want) })
	}
	for names, valid := range map[string]bool{"no": true, "": false, "sometimes": false} {
		if err := (restartParams{strings.Fields(names)}).Validate(); (err == nil) != valid {
			t.Errorf("%q: %v", names, err)
		}
	}
}

func TestJudgeOthers(t *testing.T) {
	t.Parallel()
	swarm := running(nil, nil)
	swarm.engine.Swarm = true
	for name, c := range map[string]struct {
		d     deployment
		allow []string
		want  string
	}{
		"the connector alone":      {running(nil, nil), nil, "pass"},
		"another runs":             {running(nil, &host.ContainerDetail{Running: true}), nil, "fail"},
		"another, by a pattern":    {running(nil, &host.ContainerDetail{Running: true}), []string{"oth*"}, "pass"},
		"another was stopped":      {running(nil, &host.ContainerDetail{Restart: "on-failure"}), nil, "pass"},
		"another will start again": {running(nil, &host.ContainerDetail{Restart: "unless-stopped"}), nil, "fail"},
		"labels of another folder": {running(func(_ *host.ComposeService, c *host.Container, _ *host.ContainerDetail) {
			c.Labels = map[string]string{"com.docker.compose.project.working_dir": "/opt/x"}
		}, nil), nil, "fail"},
		"a swarm":           {swarm, nil, "fail"},
		"nothing at all":    {noConnector, nil, "pass"},
		"docker is unknown": {blind, nil, "error: does not answer"},
	} {
		v, err := judgeOthers(c.d, othersParams{c.allow})
		t.Run(name, func(t *testing.T) { checktest.Judged(t, v, err, c.want) })
	}
	if v, err := judgeOthers(deployment{}, othersParams{}); err != nil || v.Status != checks.NotApplicable {
		t.Errorf("docker is down: %v, error %v", v, err)
	}
}

// Hundreds of containers are not listed one by one.
func TestManyContainers(t *testing.T) {
	t.Parallel()
	d := running(nil, nil)
	for i := range 1000 {
		id := fmt.Sprint(i, "x")
		d.containers = append(d.containers, host.Container{ID: id, Name: id})
		d.details[id] = host.ContainerDetail{ID: id, Privileged: true}
	}
	if v, _ := judgeRights(d, rightsParams{}); v.Status != checks.Fail || len(v.Evidence) != maxEvidence+1 {
		t.Errorf("%v with %d places", v.Status, len(v.Evidence))
	}
}

func TestJudgeDrift(t *testing.T) {
	t.Parallel()
	logs := host.DockerLogs{Driver: "json-file"}
	anonymous := strings.Repeat("0f", 32)
	for name, c := range map[string]struct {
		f    func(*host.ComposeService, *host.Container, *host.ContainerDetail)
		want string // status and the places' keys
	}{
		"as written": {nil, "pass as written"},
		"memory": {func(s *host.ComposeService, _ *host.Container, d *host.ContainerDetail) {
			s.Memory, d.Limits.Memory = "1g", 512<<20
		}, "fail memory"},
		"the same memory in other words": {func(s *host.ComposeService, _ *host.Container, d *host.ContainerDetail) {
			s.Memory, d.Limits.Memory, s.CPUs, d.Limits.CPUs = "1024M", 1<<30, "0.50", 0.5
		}, "pass as written"},
		"processors": {func(s *host.ComposeService, _ *host.Container, d *host.ContainerDetail) { d.Limits.CPUs = 2 }, "fail processors"},
		"a variable of the shell": {func(s *host.ComposeService, _ *host.Container, d *host.ContainerDetail) {
			s.Image, s.Memory, s.CPUs, s.Ports = "${I}", "${M}", "${C}", []composefile.Port{{Published: "${P}", Target: "1"}}
			d.Publish = []host.ContainerPort{{HostPort: 1, ContainerPort: 1, Protocol: "tcp"}}
		}, "pass as written"},
		"another log driver": {func(s *host.ComposeService, _ *host.Container, d *host.ContainerDetail) { d.Limits.LogDriver = "none" }, "fail log driver"},
		"volumes of the image, a secret": {func(s *host.ComposeService, _ *host.Container, d *host.ContainerDetail) {
			d.Mounts = []host.ContainerMount{{Type: "volume", Name: anonymous, Destination: "/v", ReadWrite: true}, {Type: "bind", Source: dir + "/secret", Destination: "/run/secrets/s"}}
		}, "pass as written"},
		"a secret to write": {func(s *host.ComposeService, _ *host.Container, d *host.ContainerDetail) {
			d.Mounts = []host.ContainerMount{{Type: "bind", Source: dir + "/secret", Destination: "/run/secrets/s", ReadWrite: true}}
		}, "fail mount at /run/secrets/s"},
		"a mount nobody wrote": {func(s *host.ComposeService, _ *host.Container, d *host.ContainerDetail) {
			d.Mounts = []host.ContainerMount{{Type: "bind", Source: "/etc", Destination: "/x"}}
		}, "fail mount at /x"},
		"a mount that is missing": {func(s *host.ComposeService, _ *host.Container, d *host.ContainerDetail) {
			s.Mounts = []host.ContainerMount{{Type: "volume", Name: "v", Destination: "/x"}}
		}, "fail mount at /x"},
		"every address, by either name": {func(s *host.ComposeService, _ *host.Container, d *host.ContainerDetail) {
			s.Ports = []composefile.Port{{Published: "80", Target: "80"}}
			d.Publish = []host.ContainerPort{{HostPort: 80, ContainerPort: 80, Protocol: "tcp"}}
			d.Publish[0].HostIP = parse("::")
		}, "pass as written"},
		"a port too many": {func(s *host.ComposeService, _ *host.Container, d *host.ContainerDetail) {
			d.Publish = []host.ContainerPort{{HostIP: parse("0.0.0.0"), HostPort: 80, ContainerPort: 80, Protocol: "tcp"}}
		}, "fail port"},
		"no number": {func(s *host.ComposeService, _ *host.Container, _ *host.ContainerDetail) {
			s.Ports = []composefile.Port{{Target: "x"}}
		}, "error: a port is no number"},
		"a service that is gone": {func(s *host.ComposeService, _ *host.Container, _ *host.ContainerDetail) { s.Name = "other" }, "fail service"},
	} {
		d := running(c.f, nil)
		d.connectors[0].Files = []string{dir + "/secret"}
		v, err := judgeDrift(d, logs)
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(c.want, "error") {
				if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(c.want, "error: ")) {
					t.Errorf("error %v, want %s", err, c.want)
				}
				return
			}
			status, key, _ := strings.Cut(c.want, " ")
			if err != nil || v.Status.String() != status || len(v.Evidence) != 1 || v.Evidence[0].Key != key {
				t.Errorf("%+v, error %v, want %s", v, err, c.want)
			}
			complete(t, name, v)
		})
	}
	if v, err := judgeDrift(written(func(*host.ComposeService) {}), logs); err != nil || v.Status != checks.NotApplicable {
		t.Errorf("no container: %+v, error %v", v, err)
	}
	if v, err := judgeDrift(blind, logs); err == nil {
		t.Errorf("docker does not answer: %+v", v)
	}
}

func TestJudgeAge(t *testing.T) {
	t.Parallel()
	made := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	d := running(func(_ *host.ComposeService, _ *host.Container, c *host.ContainerDetail) { c.Created = made }, nil)
	d.connectors[0].ComposeFiles, d.connectors[0].EnvFiles = []string{"/c"}, []string{"/e"}
	times := map[string]time.Time{"/c": made.Add(-time.Hour), "/e": made.Add(-time.Minute)}
	changed := func(name string) (time.Time, error) {
		if at, ok := times[name]; ok {
			return at, nil
		}
		return time.Time{}, errors.New("gone")
	}
	v, err := judgeAge(d, changed)
	checktest.Judged(t, v, err, "pass")
	times["/e"] = made.Add(time.Second)
	v, err = judgeAge(d, changed)
	checktest.Judged(t, v, err, "fail: older")
	delete(times, "/e")
	v, err = judgeAge(d, changed)
	checktest.Judged(t, v, err, "error: gone")
}

func TestJudgeTCP(t *testing.T) {
	t.Parallel()
	options := func(json string) dockerconf.Options {
		o, err := dockerconf.ParseFile("/etc/docker/daemon.json", []byte(json))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	socket := func(at string, unit string) host.Socket {
		return host.Socket{Proto: "tcp", Local: parsePort(at), PID: 7, Unit: unit}
	}
	const verified = `{"hosts": ["tcp://0.0.0.0:2376", "fd://"], "tlsverify": true}`
	process := func(o dockerconf.Options) []host.DaemonProcess {
		return []host.DaemonProcess{{PID: 7, Options: o}}
	}
	for name, c := range map[string]struct {
		f    tcpFacts
		p    tcpParams
		want string
	}{
		"not set":                    {tcpFacts{daemon: host.DockerDaemon{Configured: options(`{}`), ConfigFile: "f"}}, tcpParams{true}, "pass"},
		"a unix socket":              {tcpFacts{daemon: host.DockerDaemon{Configured: options(`{"hosts": ["unix:///run/docker.sock", "/x"]}`)}}, tcpParams{true}, "pass"},
		"open":                       {tcpFacts{daemon: host.DockerDaemon{Configured: options(`{"hosts": ["tcp://0.0.0.0:2375"]}`)}}, tcpParams{true}, "fail"},
		"loopback":                   {tcpFacts{daemon: host.DockerDaemon{Configured: options(`{"hosts": ["tcp://127.0.0.1:2375"]}`)}}, tcpParams{true}, "fail"},
		"without tcp://":             {tcpFacts{daemon: host.DockerDaemon{Configured: options(`{"hosts": ["0.0.0.0:2375"]}`)}}, tcpParams{true}, "fail"},
		"encrypted only":             {tcpFacts{daemon: host.DockerDaemon{Configured: options(`{"hosts": ["tcp://0.0.0.0:2376"], "tls": true}`)}}, tcpParams{true}, "fail"},
		"tlsverify is false":         {tcpFacts{daemon: host.DockerDaemon{Configured: options(`{"hosts": ["tcp://0.0.0.0:2376"], "tlsverify": false}`)}}, tcpParams{true}, "fail"},
		"verified":                   {tcpFacts{daemon: host.DockerDaemon{Configured: options(verified)}}, tcpParams{true}, "pass"},
		"verified and not wanted":    {tcpFacts{daemon: host.DockerDaemon{Configured: options(verified)}}, tcpParams{}, "fail"},
		"docker.socket":              {tcpFacts{daemon: host.DockerDaemon{Configured: options(`{"hosts": ["fd://"]}`), Activated: []dockerconf.Stream{{Address: "2375", File: "s", Line: 3}}}}, tcpParams{true}, "fail"},
		"docker.socket is not used":  {tcpFacts{daemon: host.DockerDaemon{Configured: options(`{"hosts": ["unix://"]}`), Activated: []dockerconf.Stream{{Address: "2375", File: "s", Line: 3}}}}, tcpParams{true}, "pass"},
		"what runs":                  {tcpFacts{daemon: host.DockerDaemon{Running: process(options(`{"hosts": ["tcp://10.0.0.1:2375"]}`))}}, tcpParams{true}, "fail"},
		"the daemon's own word":      {tcpFacts{engine: &host.Engine{Warnings: []string{"WARNING: API is accessible on http://0.0.0.0:2375 without encryption.\n x"}}}, tcpParams{true}, "fail"},
		"another warning":            {tcpFacts{engine: &host.Engine{Warnings: []string{"WARNING: No swap limit support"}}, daemon: host.DockerDaemon{ConfigFile: "f"}}, tcpParams{true}, "pass"},
		"a socket of dockerd's":      {tcpFacts{daemon: host.DockerDaemon{Running: process(nil)}, sockets: []host.Socket{socket("0.0.0.0:2375", "docker.service")}}, tcpParams{true}, "error: tcp 0.0.0.0:2375"},
		"one of docker.socket's":     {tcpFacts{sockets: []host.Socket{socket("[::]:2375", "docker.socket")}}, tcpParams{true}, "error: [::]:2375"},
		"one that is told":           {tcpFacts{daemon: host.DockerDaemon{Configured: options(verified), Running: process(options(verified))}, sockets: []host.Socket{socket("0.0.0.0:2376", ""), socket("[::]:2376", "")}}, tcpParams{true}, "pass"},
		"one told by a name":         {tcpFacts{daemon: host.DockerDaemon{Configured: options(`{"hosts": ["tcp://host.example:2376"], "tlsverify": true}`), Running: process(nil)}, sockets: []host.Socket{socket("10.0.0.5:2376", "")}}, tcpParams{true}, "pass"},
		"one of a container":         {tcpFacts{daemon: host.DockerDaemon{ConfigFile: "f", Running: process(nil)}, sockets: []host.Socket{socket("0.0.0.0:8090", "")}, containers: []host.Container{{Ports: []host.ContainerPort{{HostPort: 8090, Protocol: "tcp"}}}}}, tcpParams{true}, "pass"},
		"another program's":          {tcpFacts{daemon: host.DockerDaemon{ConfigFile: "f"}, sockets: []host.Socket{socket("0.0.0.0:22", "ssh.service")}}, tcpParams{true}, "pass"},
		"docker is not seen":         {tcpFacts{unread: errors.New("not seen")}, tcpParams{true}, "error: not seen"},
		"not seen, and open by file": {tcpFacts{unread: errors.New("not seen"), daemon: host.DockerDaemon{Configured: options(`{"hosts": ["tcp://0.0.0.0:2375"]}`)}}, tcpParams{true}, "fail"},
	} {
		v, err := judgeTCP(c.f, c.p)
		t.Run(name, func(t *testing.T) { checktest.Judged(t, v, err, c.want) })
	}
}

func TestJudgeOption(t *testing.T) {
	t.Parallel()
	p := optionParams{Option: "icc", Want: []string{"false"}, Default: "true"}
	off := dockerconf.Options{"icc": {Values: []string{"false"}, Source: "f", Line: 2}}
	later := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		d    host.DockerDaemon
		said string
		want string
	}{
		"not set":                     {host.DockerDaemon{ConfigFile: "f"}, "", "fail"},
		"set":                         {host.DockerDaemon{Configured: off}, "", "pass"},
		"set, and the daemon agrees":  {host.DockerDaemon{Configured: off}, "false", "pass"},
		"set, and not in force":       {host.DockerDaemon{Configured: off}, "true", "fail"},
		"set, the process was told":   {host.DockerDaemon{Configured: off, Running: []host.DaemonProcess{{Options: off}}}, "", "pass"},
		"set, the process was not":    {host.DockerDaemon{Configured: off, Running: []host.DaemonProcess{{}}}, "", "fail"},
		"the file is younger":         {host.DockerDaemon{Configured: off, Running: []host.DaemonProcess{{Options: off, ConfigFile: "f", Changed: later}}}, "", "error: was changed at 2026-01-02 03:04:05"},
		"younger, but the daemon did": {host.DockerDaemon{Configured: off, Running: []host.DaemonProcess{{Options: off, Changed: later}}}, "false", "pass"},
	} {
		if c.d.ConfigFile == "" {
			c.d.ConfigFile = "f"
		}
		v, err := judgeOption(c.d, c.said, p)
		t.Run(name, func(t *testing.T) { checktest.Judged(t, v, err, c.want) })
	}
	if (optionParams{}).Validate() == nil || p.Validate() != nil {
		t.Error("options are not validated")
	}
}

func accounts(users ...host.User) *host.Accounts {
	return &host.Accounts{Users: users, Groups: []host.Group{{Name: "root"}, {Name: "docker", GID: 106, Line: 4}, {Name: "users", GID: 100}}}
}

func TestJudgeSocketAccess(t *testing.T) {
	t.Parallel()
	file := func(perm, uid, gid uint32, acl ...posixacl.Entry) []owned {
		m := host.FileMode{Path: "/run/docker.sock", Perm: perm, UID: uid, GID: gid}
		if len(acl) > 0 {
			m.ACL = append(posixacl.List{{Tag: posixacl.GroupObj, Perm: 6}, {Tag: posixacl.Mask, Perm: 6}}, acl...)
		}
		return []owned{{m, "docker's socket", 0o660, true}}
	}
	unit := func(text string) host.DockerDaemon {
		return host.DockerDaemon{Socket: []dockerconf.UnitFile{{Name: "docker.socket", Data: []byte("[Socket]\n" + text)}}}
	}
	for name, c := range map[string]struct {
		files []owned
		d     host.DockerDaemon
		want  string
	}{
		"as docker makes it":       {file(0o660, 0, 106), host.DockerDaemon{}, "pass"},
		"root's alone":             {file(0o600, 0, 0), host.DockerDaemon{}, "pass"},
		"everybody's":              {file(0o666, 0, 106), host.DockerDaemon{}, "fail"},
		"another group's":          {file(0o660, 0, 100), host.DockerDaemon{}, "fail"},
		"another group's, closed":  {file(0o600, 0, 100), host.DockerDaemon{}, "pass"},
		"another owner's":          {file(0o660, 1000, 106), host.DockerDaemon{}, "fail"},
		"a user by access list":    {file(0o660, 0, 106, posixacl.Entry{Tag: posixacl.User, Perm: 6, ID: 33}), host.DockerDaemon{}, "fail"},
		"the group by access list": {file(0o660, 0, 0, posixacl.Entry{Tag: posixacl.Group, Perm: 6, ID: 106}), host.DockerDaemon{}, "pass"},
		"nothing by access list":   {file(0o660, 0, 106, posixacl.Entry{Tag: posixacl.User, ID: 33}), host.DockerDaemon{}, "pass"},
		"a unit that is fine":      {nil, unit("SocketMode=0660\nSocketUser=root\nSocketGroup=docker\n"), "pass"},
		"a unit for everybody":     {nil, unit("SocketMode=0666\n"), "fail"},
		"a unit without a mode":    {nil, unit("ListenStream=/x\n"), "fail"},
		"a unit for another group": {nil, unit("SocketMode=0660\nSocketGroup=users\n"), "fail"},
		"a group by its number":    {nil, unit("SocketMode=0660\nSocketGroup=106\n"), "pass"},
		"the daemon's option":      {nil, host.DockerDaemon{Configured: dockerconf.Options{"group": {Values: []string{"users"}, Source: "f"}}}, "fail"},
	} {
		a := accounts()
		if strings.Contains(name, "number") {
			a = parsedAccounts(t)
		}
		v, err := judgeSocketAccess(c.files, c.d, a, accessParams{"docker"})
		t.Run(name, func(t *testing.T) { checktest.Judged(t, v, err, c.want) })
	}
}

func TestJudgeFileAccess(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		most uint32
		m    host.FileMode
		want string
	}{
		"configuration":                {0o755, host.FileMode{Perm: 0o644}, "pass"},
		"writable by others":           {0o755, host.FileMode{Perm: 0o646}, "fail"},
		"writable by a group":          {0o755, host.FileMode{Perm: 0o664, GID: 100}, "fail"},
		"writable by root's group":     {0o755, host.FileMode{Perm: 0o664}, "pass"},
		"somebody's":                   {0o755, host.FileMode{Perm: 0o644, UID: 1000}, "fail"},
		"a key":                        {0o600, host.FileMode{Perm: 0o400}, "pass"},
		"a key to read for a group":    {0o600, host.FileMode{Perm: 0o640, GID: 106}, "fail"},
		"a key to read for everybody":  {0o600, host.FileMode{Perm: 0o644}, "fail"},
		"the data root":                {0o711, host.FileMode{Perm: 0o710}, "pass"},
		"the data root to be listed":   {0o711, host.FileMode{Perm: 0o755}, "fail"},
		"somebody by access list":      {0o755, host.FileMode{Perm: 0o664, ACL: posixacl.List{{Tag: posixacl.User, Perm: 6, ID: 33}, {Tag: posixacl.Mask, Perm: 6}, {Tag: posixacl.GroupObj, Perm: 4}}}, "fail"},
		"somebody by access list only": {0o755, host.FileMode{Perm: 0o644, ACL: posixacl.List{{Tag: posixacl.User, Perm: 4, ID: 33}, {Tag: posixacl.Mask, Perm: 4}, {Tag: posixacl.GroupObj, Perm: 4}}}, "pass"},
	} {
		c.m.Path = "/etc/docker/x"
		v, err := judgeFileAccess([]owned{{c.m, "file", c.most, false}}, accounts(), nil)
		t.Run(name, func(t *testing.T) { checktest.Judged(t, v, err, c.want) })
	}
	if v, err := judgeFileAccess(nil, accounts(), nil); err == nil {
		t.Errorf("no file at all: %+v", v)
	}
	if v, err := judgeFileAccess([]owned{{host.FileMode{Path: "/x"}, "file", 0o755, false}}, accounts(), errors.New("a loop")); err == nil {
		t.Errorf("a file that was not seen: %+v", v)
	}
}

// parsedAccounts are those of a tree.
func parsedAccounts(t *testing.T, more ...string) *host.Accounts {
	t.Helper()
	files := map[string]string{
		"/etc/passwd": "root:x:0:0::/root:/bin/bash\nop:x:1000:100::/home/op:/bin/bash\nwww:x:33:33::/:/usr/sbin/nologin\nby:x:1001:106::/home/by:/bin/bash\n",
		"/etc/group":  "root:x:0:\ndocker:x:106:root,op" + strings.Join(more, "") + "\nusers:x:100:\nempty:x:107:\n",
	}
	h := tree(t, files)
	a, err := h.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestJudgeGroup(t *testing.T) {
	t.Parallel()
	today := host.Today()
	for name, c := range map[string]struct {
		more   string
		groups []string
		p      groupParams
		want   string
	}{
		"who is meant, and one by the primary group": {"", []string{"docker"}, groupParams{Group: "docker", Users: []string{"op"}}, "fail: by"},
		"both are meant":              {"", []string{"docker"}, groupParams{Group: "docker", Users: []string{"op", "by"}}, "pass"},
		"nobody is named":             {"", []string{"docker"}, groupParams{Group: "docker"}, "pass"},
		"nobody is named, a service":  {",www", []string{"docker"}, groupParams{Group: "docker"}, "fail: www"},
		"a service that is meant":     {",www", []string{"docker"}, groupParams{Group: "docker", Users: []string{"www", "op", "by"}}, "pass"},
		"no such group":               {"", []string{"none"}, groupParams{Group: "none"}, "pass"},
		"the socket's group, another": {"", []string{"none", "docker"}, groupParams{Group: "none", Users: []string{"op"}}, "fail"},
	} {
		v, err := judgeGroup(parsedAccounts(t, c.more), c.groups, c.p, today)
		t.Run(name, func(t *testing.T) { checktest.Judged(t, v, err, c.want) })
	}
	for name, c := range map[string]struct {
		groups []string
		users  []string
		want   string
	}{
		"somebody":               {[]string{"docker"}, nil, "pass"},
		"nobody":                 {[]string{"empty"}, nil, "fail"},
		"who is named":           {[]string{"docker"}, []string{"op"}, "pass"},
		"a stranger is named":    {[]string{"docker"}, []string{"nemo"}, "fail"},
		"not in the group":       {[]string{"empty"}, []string{"op"}, "fail"},
		"cannot log in":          {[]string{"docker"}, []string{"www"}, "fail"},
		"one of them is missing": {[]string{"docker"}, []string{"op", "nemo"}, "fail"},
	} {
		v, err := judgeRuns(parsedAccounts(t, ",www"), c.groups, groupParams{Group: c.groups[0], Users: c.users}, today)
		t.Run(name, func(t *testing.T) { checktest.Judged(t, v, err, c.want) })
	}
	a := parsedAccounts(t)
	a.Elsewhere = []string{"sss in /etc/nsswitch.conf"}
	if v, err := judgeGroup(a, []string{"docker"}, groupParams{Group: "docker"}, today); err == nil {
		t.Errorf("accounts from elsewhere: %+v", v)
	}
	if (groupParams{Group: "docker", Users: []string{"root"}}).Validate() == nil {
		t.Error("root was taken for a member")
	}
}
