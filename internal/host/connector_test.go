package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const oneService = "services: {ecc-provider: {image: rdlabengpa/ids_execution_core_container:v1, volumes: ['./cert:/cert', 'data:/d']}}\nvolumes: {data: {}}\n"

func TestConnectorNamed(t *testing.T) {
	t.Parallel()
	h := hostTree(t, with(map[string]string{
		"opt/tc/docker-compose.yml": oneService,
		"opt/tc/.env":               "COMPOSE_PROJECT_NAME=trueconnector\n",
		"opt/tc/docker-compose.override.yml": "services: {ecc-provider: {env_file: ecc.env, volumes: ['ext:/e', 'bound:/b']}}\n" +
			"volumes: {ext: {external: true}, bound: {driver_opts: {o: bind, device: /mnt/b}}}\n",
		"opt/tc/ecc.env":                       "",
		"var/lib/docker/volumes/ext/opts.json": `{"MountType":"none","MountOpts":"bind","MountDevice":"/mnt/ext"}`,
	}), Options{ConnectorDirs: []string{"/opt/tc/"}})
	connectors, err := h.Connectors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Connector{{
		Dir: "/opt/tc", Source: "configuration", Project: "trueconnector",
		ComposeFiles: []string{"/opt/tc/docker-compose.yml", "/opt/tc/docker-compose.override.yml"},
		EnvFiles:     []string{"/opt/tc/.env", "/opt/tc/ecc.env"},
		BindMounts:   []string{"/opt/tc/cert"},
		Volumes: []VolumeRef{
			{Name: "ext", External: true, Path: "/mnt/ext", MountedBy: []string{"ecc-provider"}},
			{Name: "trueconnector_bound", Path: "/mnt/b", MountedBy: []string{"ecc-provider"}},
			{Name: "trueconnector_data", Path: "/var/lib/docker/volumes/trueconnector_data/_data", MountedBy: []string{"ecc-provider"}},
		},
		Services: []ComposeService{{
			Name: "ecc-provider", Image: "rdlabengpa/ids_execution_core_container:v1", File: "/opt/tc/docker-compose.override.yml", Line: 1,
			Mounts: []ContainerMount{
				{Type: "volume", Name: "trueconnector_bound", Destination: "/b", ReadWrite: true}, {Type: "bind", Source: "/opt/tc/cert", Destination: "/cert", ReadWrite: true},
				{Type: "volume", Name: "trueconnector_data", Destination: "/d", ReadWrite: true}, {Type: "volume", Name: "ext", Destination: "/e", ReadWrite: true},
			},
		}},
	}}
	if diff := cmp.Diff(want, connectors, cmpopts.IgnoreUnexported(Connector{})); diff != "" {
		t.Error(diff)
	}
}

// TestConnectorFiles: compose files are found as docker compose finds them.
func TestConnectorFiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files     map[string]string
		want, err string
	}{
		"first of the names":         {map[string]string{"opt/tc/compose.yml": oneService, "opt/tc/docker-compose.yaml": oneService}, "compose.yml", ""},
		"first of the overrides":     {map[string]string{"opt/tc/compose.yaml": oneService, "opt/tc/docker-compose.override.yml": "{}", "opt/tc/compose.override.yaml": "{}"}, "compose.yaml compose.override.yaml", ""},
		"COMPOSE_FILE":               {map[string]string{"opt/tc/compose.yaml": "x", "opt/tc/.env": "COMPOSE_FILE=a.yml:sub/b.yml", "opt/tc/a.yml": oneService, "opt/tc/sub/b.yml": "{}"}, "a.yml sub/b.yml", ""},
		"COMPOSE_PATH_SEPARATOR":     {map[string]string{"opt/tc/.env": "COMPOSE_FILE=a.yml,../b.yml\nCOMPOSE_PATH_SEPARATOR=,", "opt/tc/a.yml": oneService, "opt/b.yml": "{}"}, "a.yml /opt/b.yml", ""},
		"COMPOSE_FILE of the shell":  {map[string]string{"opt/tc/compose.yaml": oneService, "opt/tc/.env": "COMPOSE_FILE\n"}, "", "COMPOSE_FILE to the shell"},
		"none":                       {map[string]string{"opt/tc/readme": ""}, "", "it has no compose file"},
		"no folder":                  {map[string]string{"opt/": ""}, "", "cannot read the connector's folder (configuration)"},
		"a file":                     {map[string]string{"opt/tc": ""}, "", "it is not a folder"},
		"a link to a compose file":   {map[string]string{"opt/tc/compose.yaml": "→ /etc/shadow", "etc/shadow": "secret"}, "", "symbolic link"},
		"a link to .env":             {map[string]string{"opt/tc/compose.yaml": oneService, "opt/tc/.env": "→ /etc/shadow", "etc/shadow": "secret"}, "", "symbolic link"},
		"a folder as .env":           {map[string]string{"opt/tc/compose.yaml": oneService, "opt/tc/.env/": ""}, "", "not a regular file"},
		"COMPOSE_FILE=/etc/shadow":   {map[string]string{"opt/tc/.env": "COMPOSE_FILE=/etc/shadow", "etc/shadow": "root:secret:1"}, "", "cannot read /etc/shadow:1: a mapping is wanted here"},
		"not YAML":                   {map[string]string{"opt/tc/compose.yaml": "a: [secret"}, "", "compose.yaml:1: it is not YAML"},
		"large together":             {map[string]string{"opt/tc/.env": "COMPOSE_FILE=a.yml:b.yml", "opt/tc/a.yml": oneService + strings.Repeat("#\n", maxComposeFile/3), "opt/tc/b.yml": strings.Repeat("#\n", maxComposeFile/3)}, "", "compose files may hold together"},
		"large":                      {map[string]string{"opt/tc/compose.yaml": strings.Repeat("#\n", maxComposeFile)}, "", "too large to read"},
		"an env_file that is absent": {map[string]string{"opt/tc/compose.yaml": "services: {a: {env_file: x.env}}"}, "", "cannot find the file that env_file names"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hostTree(t, c.files, Options{ConnectorDirs: []string{"/opt/tc"}})
			connectors, err := h.Connectors(t.Context())
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "secret") {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(strings.Join(connectors[0].ComposeFiles, " "), "/opt/tc/", "")
			if got != c.want {
				t.Errorf("files %s, want %s", got, c.want)
			}
		})
	}
}

// TestConnectorFIFO: a FIFO in place of a file does not hold anybody up.
func TestConnectorFIFO(t *testing.T) {
	t.Parallel()
	h := hostTree(t, map[string]string{"opt/tc/": ""}, Options{ConnectorDirs: []string{"/opt/tc"}})
	if err := syscall.Mkfifo(filepath.Join(h.Root(), "opt/tc/compose.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Connectors(t.Context()); !errors.Is(err, ErrNotRegular) {
		t.Errorf("error %v", err)
	}
}

func TestConnectorNoneInATree(t *testing.T) {
	t.Parallel()
	connectors, err := hostTree(t, with(nil), Options{}).Connectors(t.Context())
	if err != nil || len(connectors) > 0 {
		t.Errorf("%v, error %v", connectors, err)
	}
}

// composed is a container as compose labels it.
func composed(name, image, service, dir string) Container {
	return Container{Name: name, Image: image, Labels: map[string]string{
		labelProject: "p", labelDir: dir, labelService: service, labelFiles: dir + "/a.yml," + dir + "/b.yml",
	}}
}

// TestConnectorDiscovery: containers lead to the folders of connectors, and
// to no others.
func TestConnectorDiscovery(t *testing.T) {
	t.Parallel()
	core := "registry.example:5000/mirror/ids_execution_core_container:v1.14.8"
	for name, c := range map[string]struct {
		containers []Container
		askErr     error
		named      []string
		want, err  string
	}{
		"by image":                    {[]Container{composed("x", core, "core", "/a")}, nil, nil, "/a by label of container x, 1 containers, 2 files", ""},
		"by digest":                   {[]Container{composed("x", "ids_be_data_app@sha256:00", "app", "/a")}, nil, nil, "/a by label of container x, 1 containers, 2 files", ""},
		"by service":                  {[]Container{composed("x", "sha256:00", "uc-dataapp-pip-consumer", "/a")}, nil, nil, "/a by label of container x, 1 containers, 2 files", ""},
		"others beside it":            {[]Container{composed("db", "postgres", "db", "/other"), composed("db2", "postgres", "db", "/a"), composed("x", core, "core", "/a/")}, nil, nil, "/a by label of container x, 2 containers, 2 files", ""},
		"two":                         {[]Container{composed("y", core, "core", "/b"), composed("x", core, "core", "/a")}, nil, nil, "/a by label of container x, 1 containers, 2 files; /b by label of container y, 1 containers, 2 files", ""},
		"unrelated only":              {[]Container{composed("db", "postgres", "db", "/other")}, nil, nil, "", ""},
		"a name that looks alike":     {[]Container{composed("x", "ids_execution_core_container_fake", "eccentric", "/a")}, nil, nil, "", ""},
		"not by compose":              {[]Container{{Name: "x", Image: core}}, nil, nil, "", `cannot tell the folder of container "x"`},
		"a relative folder":           {[]Container{composed("x", core, "core", "../a")}, nil, nil, "", "cannot tell the folder"},
		"docker is down":              {nil, errDockerDown{errors.New("no socket")}, nil, "", "no connector folder is known"},
		"named":                       {[]Container{composed("x", core, "core", "/a"), composed("y", core, "core", "/b")}, nil, []string{"/b/"}, "/b by configuration, 1 containers, 2 files", ""},
		"named, and docker is down":   {nil, errDockerDown{errors.New("no socket")}, []string{"/b"}, "/b by configuration, 0 containers, 0 files", ""},
		"named by a relative path":    {nil, nil, []string{"b"}, "", "not absolute"},
		"named, one without a folder": {[]Container{{Name: "x", Image: core}}, nil, []string{"/b"}, "/b by configuration, 0 containers, 0 files", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			projects, err := New(Options{ConnectorDirs: c.named}).foundProjects(c.containers, c.askErr)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range projects {
				got = append(got, fmt.Sprintf("%s by %s, %d containers, %d files", p.dir, p.source, len(p.containers), len(p.files)))
			}
			if strings.Join(got, "; ") != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestConnectorOfContainers: what containers mount counts, also where the
// compose files cannot be understood.
func TestConnectorOfContainers(t *testing.T) {
	t.Parallel()
	container := composed("x", "ids_be_data_app:v1", "app", "/opt/tc")
	container.Labels[labelFiles] = "/opt/tc/a.yml"
	container.Mounts = []ContainerMount{
		{Type: "bind", Source: "/srv/x/", Destination: "/x"}, {Type: "volume", Name: "p_data"}, {Type: "volume", Name: "ext"},
		{Type: "tmpfs", Destination: "/t"}, {Type: "volume", Name: "../../etc"},
	}
	for name, c := range map[string]struct {
		file     string
		binds    string
		services int
		broken   bool
	}{
		"understood":     {"services: {app: {image: a, volumes: ['./b:/b']}}", "/opt/tc/b /srv/x", 1, false},
		"not understood": {"include: [x.yml]", "/srv/x", 0, true},
	} {
		h := hostTree(t, with(map[string]string{"opt/tc/a.yml": c.file}), Options{})
		got, err := h.readConnector(context.Background(), foundProject{
			dir: "/opt/tc", project: "p", files: []string{"/opt/tc/a.yml"}, containers: []Container{container},
		})
		if err != nil {
			t.Fatal(err)
		}
		volumes := []VolumeRef{
			{Name: "ext", External: true, Path: "/var/lib/docker/volumes/ext/_data", MountedBy: []string{"app"}},
			{Name: "p_data", Path: "/var/lib/docker/volumes/p_data/_data", MountedBy: []string{"app"}},
		}
		if diff := cmp.Diff(volumes, got.Volumes); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if b := strings.Join(got.BindMounts, " "); b != c.binds || len(got.Services) != c.services || (got.ComposeErr != nil) != c.broken {
			t.Errorf("%s: binds %s, %d services, error %v", name, b, len(got.Services), got.ComposeErr)
		}
	}
}

func TestComposePrograms(t *testing.T) {
	t.Parallel()
	h := hostTree(t, map[string]string{
		"usr/bin/docker-compose":          "#!/usr/bin/python3\n",
		"go.mod":                          "module github.com/docker/compose/v2\n",
		"cmd/main.go":                     "package main\nfunc main() {}\n",
		"usr/libexec/docker/cli-plugins/": "",
		"usr/lib/docker/cli-plugins/docker-compose": "\x7fELF",
	}, Options{})
	plugin := "/usr/libexec/docker/cli-plugins/docker-compose"
	build := exec.Command("go", "build", "-o", h.Root()+plugin, "./cmd")
	build.Dir = h.Root()
	build.Env = append(os.Environ(), "GOFLAGS=-mod=mod -buildvcs=false", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(filepath.Join(h.Root(), "usr/bin/docker-compose"), 0o775); err != nil {
		t.Fatal(err)
	}
	programs, err := h.ComposePrograms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range programs {
		got = append(got, fmt.Sprintf("%s plugin=%v v2=%v safe=%v", p.Path, p.Plugin, p.V2(), p.Writable == ""))
	}
	safe := os.Geteuid() == 0 // the tree belongs to whoever runs the test
	want := []string{
		fmt.Sprintf("/usr/lib/docker/cli-plugins/docker-compose plugin=true v2=false safe=%v", safe),
		fmt.Sprintf("%s plugin=true v2=true safe=%v", plugin, safe),
		"/usr/bin/docker-compose plugin=false v2=false safe=false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
