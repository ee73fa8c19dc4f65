package docker

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

// text is a verdict in a line: status, then KEY=GOT of each evidence.
func text(v checks.Verdict) string {
	words := []string{v.Status.String()}
	for _, e := range v.Evidence {
		words = append(words, fmt.Sprintf("%s:%d:%s=%s", e.Source, e.Line, e.Key, e.Got))
	}
	return strings.Join(words, " | ")
}

// complete fails a test whose verdict lacks what every verdict has.
func complete(t *testing.T, name string, v checks.Verdict) {
	t.Helper()
	if v.Status == checks.Fail && (v.Reason == "" || len(v.Evidence) == 0) {
		t.Errorf("%s: a failure without reason or place: %+v", name, v)
	}
	for _, e := range v.Evidence {
		if e.Source == "" || v.Status == checks.Fail && e.Want == "" && e.Got == "" {
			t.Errorf("%s: evidence without a place: %+v", name, e)
		}
	}
}

func TestJudgeInstallation(t *testing.T) {
	t.Parallel()
	dockerd := host.Place{Name: "dockerd", Path: "/usr/sbin/dockerd"}
	client := host.Place{Name: "docker", Path: "/usr/bin/docker"}
	snap := host.Place{Name: "snap", Path: "/snap/docker/current"}
	user := host.Place{Name: "rootless", Path: "/run/user/1000/docker.sock"}
	for name, c := range map[string]struct {
		layout host.DockerLayout
		kinds  string
		want   string
	}{
		"package":                {host.DockerLayout{Kind: "package", Binaries: []host.Place{dockerd, client}}, "package", "pass | /usr/sbin/dockerd:0:dockerd=package | /usr/bin/docker:0:docker=package"},
		"none":                   {host.DockerLayout{}, "package", "fail | /usr/bin, /usr/sbin, /usr/local/bin, /usr/local/sbin:0:dockerd=none"},
		"the command alone":      {host.DockerLayout{Binaries: []host.Place{client}}, "package", "fail | /usr/bin/docker:0:docker=command only | /usr/bin, /usr/sbin, /usr/local/bin, /usr/local/sbin:0:dockerd=none"},
		"snap":                   {host.DockerLayout{Kind: "snap", Binaries: []host.Place{{Name: "dockerd", Path: "/snap/x/dockerd"}}}, "package", "fail | /snap/x/dockerd:0:installation=snap"},
		"snap is accepted":       {host.DockerLayout{Kind: "snap", Binaries: []host.Place{{Name: "dockerd", Path: "/snap/x/dockerd"}}}, "package snap", "pass | /snap/x/dockerd:0:dockerd=snap"},
		"rootless":               {host.DockerLayout{Kind: "rootless", Others: []host.Place{user}}, "package", "fail | /run/user/1000/docker.sock:0:installation=rootless"},
		"rootless is accepted":   {host.DockerLayout{Kind: "rootless", Others: []host.Place{user}}, "rootless", "pass"},
		"two rootless ones":      {host.DockerLayout{Kind: "rootless", Others: []host.Place{user, user}}, "rootless", "fail | /run/user/1000/docker.sock:0:docker=a further rootless docker | /run/user/1000/docker.sock:0:docker=a further rootless docker"},
		"a snap beside it":       {host.DockerLayout{Kind: "package", Binaries: []host.Place{dockerd}, Others: []host.Place{snap}}, "package", "fail | /snap/docker/current:0:docker=a further snap docker"},
		"a user's own beside it": {host.DockerLayout{Kind: "package", Binaries: []host.Place{dockerd}, Others: []host.Place{user}}, "package", "fail | /run/user/1000/docker.sock:0:docker=a further rootless docker"},
	} {
		v := judgeInstallation(c.layout, installationParams{Kinds: strings.Fields(c.kinds)})
		complete(t, name, v)
		if got := text(v); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", name, got, c.want)
		}
	}
	for kinds, valid := range map[string]bool{"": false, "package": true, "package snap rootless": true, "flatpak": false} {
		if err := (installationParams{Kinds: strings.Fields(kinds)}).Validate(); (err == nil) != valid {
			t.Errorf("kinds %q: %v", kinds, err)
		}
	}
}

func TestJudgeConfiguration(t *testing.T) {
	t.Parallel()
	root := host.Place{Path: "/var/lib/docker", Source: "default"}
	conflict := host.Conflict{Source: "/etc/docker/daemon.json", Line: 3, Key: "data-root", Want: "set in one place", Got: "set twice", Reason: "Twice."}
	for name, c := range map[string]struct {
		layout host.DockerLayout
		want   string
	}{
		"none":          {host.DockerLayout{}, "not-applicable"},
		"rootless":      {host.DockerLayout{Kind: "rootless"}, "not-applicable"},
		"consistent":    {host.DockerLayout{Kind: "package", DataRoot: root}, "pass | default:0:data-root=/var/lib/docker"},
		"one conflict":  {host.DockerLayout{Kind: "package", DataRoot: root, Conflicts: []host.Conflict{conflict}}, "fail | /etc/docker/daemon.json:3:data-root=set twice"},
		"two conflicts": {host.DockerLayout{Kind: "snap", Conflicts: []host.Conflict{conflict, conflict}}, "fail | /etc/docker/daemon.json:3:data-root=set twice | /etc/docker/daemon.json:3:data-root=set twice"},
	} {
		v := judgeConfiguration(c.layout)
		complete(t, name, v)
		if got := text(v); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestJudgeAnswer(t *testing.T) {
	t.Parallel()
	engine := host.Engine{Socket: "/run/docker.sock", Version: "20.10", APIVersion: "1.41", DataRoot: "/d"}
	v := judgeAnswer(engine, []host.Container{{State: "running"}, {State: "exited"}}, "ssh://user:secret@host")
	want := "pass | /run/docker.sock:0:docker engine=20.10 (API 1.41) | /run/docker.sock:0:containers=2, of which 1 run | /run/docker.sock:0:data root=/d | " +
		"environment:0:DOCKER_HOST=set for the docker command; hostguard asked this host's own socket"
	if got := text(v); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	down := judgeDown(host.DockerLayout{Sockets: []host.Place{{Name: "docker.sock", Path: "/run/docker.sock"}}},
		errors.New("cannot use docker's socket /run/docker.sock: connection refused"))
	complete(t, "down", down)
	if got, want := text(down), "fail | /run/docker.sock:0:docker API=nothing listens: connection refused"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestJudgeCompose(t *testing.T) {
	t.Parallel()
	const module = "github.com/docker/compose/v2/cmd"
	plugin := host.ComposeProgram{Path: "/plugin", Plugin: true, Module: module, Version: "v2.30.0"}
	old := host.ComposeProgram{Path: "/usr/bin/docker-compose"}
	for name, c := range map[string]struct {
		programs []host.ComposeProgram
		command  string
		want     string
	}{
		"plugin":                       {[]host.ComposeProgram{plugin}, "/docker", "pass | /plugin:0:docker compose=" + module + " v2.30.0"},
		"standalone":                   {[]host.ComposeProgram{{Path: "/usr/bin/docker-compose", Module: module}}, "/docker", "pass | /usr/bin/docker-compose:0:docker-compose=" + module + " (version not noted)"},
		"plugin and version 1":         {[]host.ComposeProgram{plugin, old}, "/docker", "pass"},
		"none":                         {nil, "/docker", "fail"},
		"version 1":                    {[]host.ComposeProgram{old}, "/docker", "fail | /usr/bin/docker-compose"},
		"plugin without docker":        {[]host.ComposeProgram{plugin}, "", "fail | /plugin"},
		"standalone without docker":    {[]host.ComposeProgram{plugin, {Path: "/usr/bin/docker-compose", Module: module}}, "", "pass | /usr/bin/docker-compose"},
		"another program as plugin":    {[]host.ComposeProgram{{Path: "/p", Plugin: true, Module: "example.org/x"}}, "/docker", "fail | /p"},
		"a good plugin that is hidden": {[]host.ComposeProgram{{Path: "/p", Plugin: true}, plugin}, "/docker", "fail | /p"},
		"others can replace it":        {[]host.ComposeProgram{{Path: "/p", Plugin: true, Module: module, Writable: "it does not belong to root"}}, "/docker", "fail | /p:0:owner and mode=it does not belong to root"},
	} {
		v := judgeCompose(c.programs, c.command)
		complete(t, name, v)
		if got := text(v); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestJudgeLimits(t *testing.T) {
	t.Parallel()
	all := limitsParams{CPUs: true, Memory: true, LogSize: true}
	good := host.ComposeService{Name: "ecc", File: "/c.yml", Line: 3, CPUs: "1", Memory: "1024M", LogMaxSize: "200M"}
	change := func(f func(*host.ComposeService)) host.ComposeService { s := good; f(&s); return s }
	file := host.DockerLogs{Driver: "json-file"}
	for name, c := range map[string]struct {
		service host.ComposeService
		logs    host.DockerLogs
		params  limitsParams
		want    string
	}{
		"all":                        {good, file, all, "pass | /c.yml:3:limits of ecc=processors 1, memory 1024M, log 200M"},
		"no processors":              {change(func(s *host.ComposeService) { s.CPUs = "" }), file, all, "fail | /c.yml:3:ecc: deploy.resources.limits.cpus=none"},
		"zero processors":            {change(func(s *host.ComposeService) { s.CPUs = "0.0" }), file, all, "fail | /c.yml:3:ecc: deploy.resources.limits.cpus=0.0"},
		"no memory":                  {change(func(s *host.ComposeService) { s.Memory = "" }), file, all, "fail | /c.yml:3:ecc: deploy.resources.limits.memory=none"},
		"zero memory":                {change(func(s *host.ComposeService) { s.Memory = "0" }), file, all, "fail | /c.yml:3:ecc: deploy.resources.limits.memory=0"},
		"no log size":                {change(func(s *host.ComposeService) { s.LogMaxSize = "" }), file, all, "fail | /c.yml:3:ecc: logging.options.max-size=none"},
		"endless log":                {change(func(s *host.ComposeService) { s.LogMaxSize = "-1" }), file, all, "fail | /c.yml:3:ecc: logging.options.max-size=-1"},
		"not asked for":              {change(func(s *host.ComposeService) { s.CPUs, s.Memory, s.LogMaxSize = "", "", "" }), file, limitsParams{}, "pass | /c.yml:3:limits of ecc="},
		"the daemon's log size":      {change(func(s *host.ComposeService) { s.LogMaxSize = "" }), host.DockerLogs{Driver: "json-file", MaxSize: "10m", Source: "d.json:2"}, all, "pass | /c.yml:3:limits of ecc=processors 1, memory 1024M, log 10m (d.json:2)"},
		"of another driver":          {change(func(s *host.ComposeService) { s.LogMaxSize, s.LogDriver = "", "json-file" }), host.DockerLogs{Driver: "local", MaxSize: "10m"}, all, "fail | /c.yml:3:ecc: logging.options.max-size=none"},
		"driver local":               {change(func(s *host.ComposeService) { s.LogMaxSize, s.LogDriver = "", "local" }), file, all, "pass | /c.yml:3:limits of ecc=processors 1, memory 1024M, log driver local, 20 MB in five files"},
		"driver journald":            {change(func(s *host.ComposeService) { s.LogDriver = "journald" }), file, all, "fail | /c.yml:3:ecc: logging.options.max-size=driver journald, whose size docker does not limit"},
		"the daemon's is syslog":     {good, host.DockerLogs{Driver: "syslog"}, all, "fail | /c.yml:3:ecc: logging.options.max-size=driver syslog, whose size docker does not limit"},
		"driver none":                {change(func(s *host.ComposeService) { s.LogMaxSize, s.LogDriver = "", "none" }), file, all, "pass | /c.yml:3:limits of ecc=processors 1, memory 1024M, log driver none"},
		"a variable of the shell":    {change(func(s *host.ComposeService) { s.Memory = "${MEM}" }), file, all, "error variable that is set in no file"},
		"nonsense":                   {change(func(s *host.ComposeService) { s.CPUs = "many" }), file, all, "error no limit that docker understands"},
		"not a number":               {change(func(s *host.ComposeService) { s.CPUs = "NaN" }), file, all, "error no limit that docker understands"},
		"missing, and one not known": {change(func(s *host.ComposeService) { s.CPUs, s.Memory = "", "${MEM}" }), file, all, "fail | /c.yml:3:ecc: deploy.resources.limits.cpus=none"},
	} {
		v, err := judgeLimits([]host.Connector{{Dir: "/c", Services: []host.ComposeService{c.service}}}, c.logs, nil, c.params)
		if wanted, isError := strings.CutPrefix(c.want, "error "); isError {
			if err == nil || !strings.Contains(err.Error(), wanted) {
				t.Errorf("%s: error %v, want %q", name, err, wanted)
			}
			continue
		}
		complete(t, name, v)
		if got := text(v); err != nil || got != c.want {
			t.Errorf("%s: %s, error %v, want %s", name, got, err, c.want)
		}
	}
	for name, c := range map[string]host.Connector{
		"not understood": {Dir: "/c", ComposeErr: errors.New("include")},
		"no service":     {Dir: "/c"},
	} {
		if v, err := judgeLimits([]host.Connector{c}, file, nil, all); err == nil {
			t.Errorf("%s: %s", name, text(v))
		}
	}
}

// TestJudgeMade: a container keeps the limits it was made with, whatever the
// compose files say by now.
func TestJudgeMade(t *testing.T) {
	t.Parallel()
	good := host.ContainerLimits{CPUs: 0.5, Memory: 64 << 20, LogDriver: "json-file", LogOpts: map[string]string{"max-size": "1m"}}
	change := func(f func(*host.ContainerLimits)) host.ContainerLimits {
		l := good
		f(&l)
		return l
	}
	all := limitsParams{CPUs: true, Memory: true, LogSize: true}
	const without = ": it was made without, or the kernel cannot keep one"
	for name, c := range map[string]struct {
		limits host.ContainerLimits
		params limitsParams
		want   string
	}{
		"all":                  {good, all, "pass | container ecc:0:limits=processors 0.5, memory 64MiB, log 1m"},
		"no processors":        {change(func(l *host.ContainerLimits) { l.CPUs = 0 }), all, "fail | container ecc:0:processors limit=none" + without},
		"no memory":            {change(func(l *host.ContainerLimits) { l.Memory = 0 }), all, "fail | container ecc:0:memory limit=none" + without},
		"no memory wanted":     {change(func(l *host.ContainerLimits) { l.Memory = 0 }), limitsParams{CPUs: true}, "pass | container ecc:0:limits=processors 0.5"},
		"no log size":          {change(func(l *host.ContainerLimits) { l.LogOpts = nil }), all, "fail | container ecc:0:log limit=none" + without},
		"a driver with limits": {change(func(l *host.ContainerLimits) { l.LogDriver, l.LogOpts = "local", nil }), all, "pass | container ecc:0:limits=processors 0.5, memory 64MiB, log driver local, 20 MB in five files"},
		"a driver without":     {change(func(l *host.ContainerLimits) { l.LogDriver = "journald" }), all, "fail | container ecc:0:log limit=driver journald, whose size docker does not limit" + without},
		"no log":               {change(func(l *host.ContainerLimits) { l.LogDriver = "none" }), all, "pass | container ecc:0:limits=processors 0.5, memory 64MiB, log driver none"},
	} {
		service := host.ComposeService{Name: "ecc", File: "/c.yml", Line: 3, CPUs: "1", Memory: "1g", LogDriver: "json-file", LogMaxSize: "1m"}
		v, err := judgeLimits([]host.Connector{{Dir: "/c", Services: []host.ComposeService{service}}}, host.DockerLogs{Driver: "json-file"},
			[]madeContainer{{"ecc", c.limits}}, c.params)
		if v.Status == checks.Pass {
			v.Evidence = v.Evidence[1:] // what the file says
		}
		if got := text(v); err != nil || got != c.want {
			t.Errorf("%s: %s, error %v, want %s", name, got, err, c.want)
		}
	}
}
