package host

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	dockermount "github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/nat"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
)

// realDockerd starts a dockerd of the test's own and returns its folder and a
// client for it. Socket paths must be short, so the folder is not t.TempDir's.
func realDockerd(t *testing.T) (string, *client.Client) {
	t.Helper()
	lab.Need(t, lab.Docker)
	dir, err := os.MkdirTemp("/tmp", "hgd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Unmount(dir+"/exec/netns/default", unix.MNT_DETACH) // dockerd leaves it where a container used the host's network
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("cannot clean up: %v", err)
		}
	})
	config := filepath.Join(dir, "daemon.json")
	if err := os.WriteFile(config, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	cmd := exec.Command("/usr/sbin/dockerd", "--config-file="+config, "--data-root="+dir+"/data", "--exec-root="+dir+"/exec",
		"--pidfile="+dir+"/pid", "-H", "unix://"+socket, "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) // it ends its containerd by itself
		select {
		case <-ended:
		case <-time.After(15 * time.Second):
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	})
	c, err := client.NewClientWithOpts(client.WithHost("unix://"+socket), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); ; {
		if _, err := c.Ping(t.Context()); err == nil {
			return dir, c
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("dockerd ended: %v\n%s", err, log.String())
		case <-deadline:
			t.Fatal("dockerd does not answer")
		case <-tick.C:
		}
	}
}

// importImage makes an image that holds one file.
func importImage(t *testing.T, c *client.Client, name string, changes ...string) {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "x", Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	answer, err := c.ImageImport(t.Context(), image.ImportSource{Source: &archive, SourceName: "-"}, name, image.ImportOptions{Changes: changes})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	b.ReadFrom(answer)
	answer.Close()
}

// TestRealDocker: facts equal what docker inspect says, with no container and
// with many.
func TestRealDocker(t *testing.T) {
	dir, c := realDockerd(t)
	ctx := t.Context()
	api, err := New(Options{}).dialDocker(ctx, filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := api.list(ctx); err != nil || len(got) != 0 {
		t.Fatalf("an empty docker lists %v, error %v", got, err)
	}
	engine, err := api.engine(ctx)
	if err != nil || engine.DataRoot != dir+"/data" || engine.LoggingDriver != "json-file" || engine.Rootless || engine.UserNS {
		t.Errorf("engine %+v, error %v", engine, err)
	}
	count, _ := strconv.Atoi(os.Getenv("HOSTGUARD_DOCKER_CONTAINERS"))
	if count == 0 {
		count = 20
	}
	makeContainers(t, c, dir, count)
	compareWithInspect(t, api, c, dir)
	t.Run("labels of an image", func(t *testing.T) { seeThroughImageLabels(t, api, c) })
	compareDetails(t, api, c)

	best := time.Hour
	for range 20 {
		start := time.Now()
		if _, err := api.list(ctx); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	t.Logf("%d containers listed in %v, %v each", count, best, best/time.Duration(count))
	if each := best / time.Duration(count); each > 500*time.Microsecond {
		t.Errorf("a container costs %v, 500µs is the most", each)
	}
}

// makeContainers makes containers of a connector, with labels as hostile as
// docker takes them.
func makeContainers(t *testing.T, c *client.Client, dir string, count int) {
	t.Helper()
	ctx := t.Context()
	const name = "rdlabengpa/ids_execution_core_container:v1"
	importImage(t, c, name)
	for _, v := range []volume.CreateOptions{
		{Name: "plain"}, {Name: "bound", Driver: "local", DriverOpts: map[string]string{"type": "none", "o": "bind", "device": dir}},
	} {
		if _, err := c.VolumeCreate(ctx, v); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	work := make(chan int)
	for range 4 {
		wg.Go(func() {
			for i := range work {
				config, hostConfig := &container.Config{
					Image: name, Cmd: []string{"/x"}, Env: []string{"A=1", "EMPTY=", "B=x=y"},
					Labels: map[string]string{
						labelProject: "p", labelDir: "/opt/tc", labelService: "ecc-provider",
						"evil\x1b[2J": "\u202e\"}\n\x9b" + strings.Repeat("x", 100),
					},
				}, &container.HostConfig{
					NetworkMode: "none",
					// Rights, namespaces and limits of every kind, and none of the first.
					Privileged: i%5 == 1, ReadonlyRootfs: i%5 == 2, PidMode: []container.PidMode{"", "host"}[i%2], IpcMode: []container.IpcMode{"", "host", "shareable"}[i%3],
					UTSMode: []container.UTSMode{"", "host"}[i%2], RestartPolicy: container.RestartPolicy{Name: []container.RestartPolicyMode{"no", "always", "unless-stopped"}[i%3]},
					PortBindings: nat.PortMap{"8449/tcp": {{HostIP: "127.0.0.1", HostPort: strconv.Itoa(20000 + i)}, {HostPort: "0"}}, "53/udp": {{HostIP: "::1", HostPort: "53"}}},
					LogConfig:    container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "1m"}},
					Mounts: []dockermount.Mount{
						{Type: dockermount.TypeBind, Source: dir, Target: "/bind", ReadOnly: true},
						{Type: dockermount.TypeVolume, Source: "plain", Target: "/plain"},
						{Type: dockermount.TypeVolume, Source: "bound", Target: "/bound"},
						{Type: dockermount.TypeTmpfs, Target: "/tmpfs"},
					},
				}
				if i%3 == 1 {
					config.User = "65534:65534"
					hostConfig.CapAdd, hostConfig.CapDrop, hostConfig.SecurityOpt = []string{"net_admin", "CAP_SYS_PTRACE"}, []string{"ALL"}, []string{"no-new-privileges", "seccomp=unconfined"}
					hostConfig.Devices = []container.DeviceMapping{{PathOnHost: "/dev/null", PathInContainer: "/dev/x", CgroupPermissions: "r"}}
				}
				if _, err := c.ContainerCreate(ctx, config, hostConfig, nil, nil, fmt.Sprintf("c%d", i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range count {
		work <- i
	}
	close(work)
	wg.Wait()
}

// seeThroughImageLabels makes a container that shows compose's labels and has
// them from its image.
func seeThroughImageLabels(t *testing.T, api dockerAPI, c *client.Client) {
	importImage(t, c, "posing:1", "LABEL "+labelDir+"=/opt/tc "+labelService+"=ecc-provider")
	made, err := c.ContainerCreate(t.Context(), &container.Config{Image: "posing:1", Cmd: []string{"/x"}}, nil, nil, nil, "posing")
	must(t, err)
	defer func() { must(t, c.ContainerRemove(t.Context(), made.ID, container.RemoveOptions{})) }()
	inspected, err := c.ContainerInspect(t.Context(), made.ID)
	must(t, err)
	containers, err := api.list(t.Context())
	must(t, err)
	i := slices.IndexFunc(containers, func(c Container) bool { return c.ID == made.ID })
	if shown := inspected.Config.Labels[labelDir]; i < 0 || shown != "/opt/tc" || containers[i].ComposeDir() != "" {
		t.Errorf("docker shows %q, and so do we: %+v", shown, containers)
	}
}

func compareWithInspect(t *testing.T, api dockerAPI, c *client.Client, dir string) {
	t.Helper()
	ctx := t.Context()
	containers, err := api.list(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range containers[:min(len(containers), 20)] {
		inspected, err := c.ContainerInspect(ctx, got.ID)
		if err != nil {
			t.Fatal(err)
		}
		created, err := time.Parse(time.RFC3339Nano, inspected.Created)
		if err != nil {
			t.Fatal(err)
		}
		want := Container{
			ID: inspected.ID, Name: strings.TrimPrefix(inspected.Name, "/"), Image: inspected.Config.Image, ImageID: inspected.Image, State: inspected.State.Status,
			Created: created.Truncate(time.Second).Local(), Labels: inspected.Config.Labels, NetworkMode: string(inspected.HostConfig.NetworkMode),
		}
		for _, m := range inspected.Mounts {
			want.Mounts = append(want.Mounts, ContainerMount{Type: string(m.Type), Name: m.Name, Source: m.Source, Destination: m.Destination, ReadWrite: m.RW})
		}
		byTarget := func(a, b ContainerMount) int { return strings.Compare(a.Destination, b.Destination) }
		slices.SortFunc(want.Mounts, byTarget)
		slices.SortFunc(got.Mounts, byTarget)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("docker inspect (-), hostguard (+):\n%s", diff)
		}
	}
	volumes, err := api.volumes(ctx)
	want := []Volume{
		{Name: "bound", Driver: "local", Path: dir + "/data/volumes/bound/_data", Device: dir},
		{Name: "plain", Driver: "local", Path: dir + "/data/volumes/plain/_data"},
	}
	if diff := cmp.Diff(want, volumes); err != nil || diff != "" {
		t.Errorf("volumes: error %v\n%s", err, diff)
	}
	device, err := New(Options{}).savedDevice(dir + "/data/volumes/bound")
	if err != nil || device != dir {
		t.Errorf("the device as docker saved it: %q, error %v", device, err)
	}
	h := New(Options{})
	found, err := h.foundProjects(containers, nil)
	if err != nil || len(found) != 1 || found[0].dir != "/opt/tc" || len(found[0].containers) != len(containers) {
		t.Errorf("projects %d, error %v", len(found), err)
	}
}

// TestRealDockerdRefusesBoth: what the layout calls a conflict, dockerd calls
// one too (hard case 27).
func TestRealDockerdRefusesBoth(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Docker)
	dir := t.TempDir()
	config := filepath.Join(dir, "daemon.json")
	if err := os.WriteFile(config, []byte(`{"data-root": "`+dir+`/a", "hosts": ["unix://`+dir+`/s"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/usr/sbin/dockerd", "--config-file="+config, "--data-root="+dir+"/b", "-H", "unix://"+dir+"/t").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "specified both as a flag and in the configuration file") ||
		!strings.Contains(string(out), "data-root") || !strings.Contains(string(out), "hosts") {
		t.Errorf("dockerd: %v: %s", err, out)
	}
	h := hostTree(t, with(map[string]string{
		"etc/docker/daemon.json": `{"data-root": "/a", "hosts": ["unix:///s"]}`,
		"etc/default/docker":     "DOCKER_OPTS=--data-root=/b",
	}), Options{})
	l, err := h.DockerLayout(t.Context())
	if err != nil || len(l.Conflicts) != 2 || l.Conflicts[0].Key != "data-root" || l.Conflicts[1].Key != "hosts" {
		t.Errorf("conflicts %+v, error %v", l.Conflicts, err)
	}
}

// compareDetails compares what is read of containers one by one with docker's own
// word; one that is gone is no error.
func compareDetails(t *testing.T, api dockerAPI, c *client.Client) {
	t.Helper()
	ctx := t.Context()
	containers, err := api.list(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{strings.Repeat("0", 64)}
	for _, c := range containers {
		ids = append(ids, c.ID)
	}
	got, err := api.details(ctx, ids)
	if err != nil || len(got) != len(containers) {
		t.Fatalf("limits of %d containers, want %d, error %v", len(got), len(containers), err)
	}
	for id, d := range got {
		want, err := c.ContainerInspect(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(asInspected(want), shown(d)); diff != "" {
			t.Errorf("docker inspect (-) and what is read (+) differ:\n%s", diff)
		}
	}
}

// shown is what is read of a container in words.
func shown(d ContainerDetail) map[string]string {
	var env, mounts, publish []string
	for _, e := range d.Env {
		env = append(env, e.Name+"="+e.Value.Reveal())
	}
	for _, m := range d.Mounts {
		mounts = append(mounts, fmt.Sprint(m))
	}
	for _, p := range d.Publish {
		publish = append(publish, fmt.Sprintf("%v:%d>%d/%s", p.HostIP, p.HostPort, p.ContainerPort, p.Protocol))
	}
	slices.Sort(publish)
	return map[string]string{
		"name": d.Name, "image": d.Image, "image id": d.ImageID, "user": d.User, "env": fmt.Sprint(env), "mounts": fmt.Sprint(mounts), "publish": fmt.Sprint(publish),
		"running": fmt.Sprint(d.Running), "created": d.Created.Format(time.RFC3339Nano), "started": fmt.Sprint(d.Started.IsZero()),
		"rights":     fmt.Sprint(d.Privileged, d.CapAdd, d.CapDrop, d.SecurityOpt, d.Devices, d.ReadOnlyRootFS),
		"namespaces": fmt.Sprint(d.Network, d.PID, d.IPC, d.UTS, d.UserNS, d.CgroupNS),
		"restart":    d.Restart, "limits": fmt.Sprint(d.Limits),
	}
}

// asInspected is the same of docker's own client.
func asInspected(c container.InspectResponse) map[string]string {
	var mounts, publish, devices []string
	sort := slices.Clone(c.Mounts)
	slices.SortFunc(sort, func(a, b container.MountPoint) int { return strings.Compare(a.Destination, b.Destination) })
	for _, m := range sort {
		mounts = append(mounts, fmt.Sprint(ContainerMount{string(m.Type), m.Name, m.Source, m.Destination, m.RW}))
	}
	for port, bindings := range c.HostConfig.PortBindings {
		for _, b := range bindings {
			publish = append(publish, fmt.Sprintf("%s:%s>%s", either(b.HostIP, "0.0.0.0"), either(b.HostPort, "0"), port))
		}
	}
	slices.Sort(publish)
	for _, d := range c.HostConfig.Devices {
		devices = append(devices, d.PathOnHost)
	}
	hc := c.HostConfig
	plain := func(names []string) []string {
		names = slices.Clone(names)
		for i, n := range names {
			names[i] = strings.TrimPrefix(n, "CAP_")
		}
		slices.Sort(names)
		return names
	}
	return map[string]string{
		"name": strings.TrimPrefix(c.Name, "/"), "image": c.Config.Image, "image id": c.Image, "user": c.Config.User, "env": fmt.Sprint(c.Config.Env), "mounts": fmt.Sprint(mounts), "publish": fmt.Sprint(publish),
		"running": fmt.Sprint(c.State.Running), "created": c.Created, "started": fmt.Sprint(strings.HasPrefix(c.State.StartedAt, "0001")),
		"rights":     fmt.Sprint(hc.Privileged, plain(hc.CapAdd), plain(hc.CapDrop), hc.SecurityOpt, devices, hc.ReadonlyRootfs),
		"namespaces": fmt.Sprint(hc.NetworkMode, hc.PidMode, hc.IpcMode, hc.UTSMode, hc.UsernsMode, hc.CgroupnsMode),
		"restart":    string(hc.RestartPolicy.Name), "limits": fmt.Sprint(ContainerLimits{float64(hc.NanoCPUs) / 1e9, hc.Memory, hc.LogConfig.Type, hc.LogConfig.Config}),
	}
}

func either(a, b string) string {
	if a == "" {
		return b
	}
	return a
}
