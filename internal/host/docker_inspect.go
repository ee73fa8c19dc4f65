package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hostguard/hostguard/internal/secret"
)

// Bounds of what is asked about containers one by one.
const (
	maxInspected    = 2000
	maxInspectBytes = 32 << 20 // of all answers together; one container's is about 8 KiB
)

// ContainerDetail is what docker knows of one container besides the list: how it
// was made, which compose files and daemon.json may have changed since.
type ContainerDetail struct {
	ID       string
	Name     string // without the leading slash
	Image    string // as it was named
	ImageID  string // "sha256:…"
	Running  bool
	Created  time.Time
	Started  time.Time // the last time; zero: never
	Restarts int       // by the restart policy

	User string // as in the image or given: "", "0", "nobody:nogroup"
	Env  []EnvVariable

	Privileged     bool
	CapAdd         []string // without "CAP_", upper case, sorted; "ALL"
	CapDrop        []string
	SecurityOpt    []string // as given: "seccomp=unconfined", "no-new-privileges"
	AppArmor       string   // the profile in force; "unconfined"; empty: the kernel has none
	Devices        []string // host paths of devices
	DeviceRules    []string // of the devices control group: "c 1:3 mr"
	ReadOnlyRootFS bool

	// Namespaces: "host", "container:ID", "private", "shareable", a network's name …
	Network, PID, IPC, UTS, UserNS, CgroupNS string

	Mounts []ContainerMount
	// Publish are the ports as they were asked for when the container was made;
	// HostPort 0: docker chooses.
	Publish    []ContainerPort
	PublishAll bool // every port that the image exposes

	Restart string // "no", "always", "unless-stopped", "on-failure"
	Limits  ContainerLimits
}

// EnvVariable is one variable of a container's environment. Whoever may use
// docker can read it.
type EnvVariable struct {
	Name  string
	Value secret.Text
}

// ContainerLimits is what docker grants one container at most, as it was made:
// docker drops limits that the kernel cannot keep.
type ContainerLimits struct {
	CPUs      float64 // processors; 0: no limit
	Memory    int64   // bytes; 0: no limit
	LogDriver string
	LogOpts   map[string]string // with the daemon's own laid under
}

// ContainerDetails returns what docker knows of each container, by id. One that
// is gone by now is left out. Each is asked for once in a run.
func (h *Host) ContainerDetails(ctx context.Context) (map[string]ContainerDetail, error) {
	return h.dockerDetails.get(ctx, func(ctx context.Context) (map[string]ContainerDetail, error) {
		containers, err := h.Containers(ctx)
		if err != nil {
			return nil, err
		}
		ids := make([]string, len(containers))
		for i, c := range containers {
			ids[i] = c.ID
		}
		return askDocker(ctx, h, func(api dockerAPI, ctx context.Context) (map[string]ContainerDetail, error) {
			return api.details(ctx, ids)
		})
	})
}

func (d dockerAPI) details(ctx context.Context, ids []string) (map[string]ContainerDetail, error) {
	if len(ids) > maxInspected {
		return nil, fmt.Errorf("cannot ask docker at %s: it has %d containers, and %d are the most that are looked at", d.socket, len(ids), maxInspected)
	}
	ctx, cancel := withDockerTimeout(ctx)
	defer cancel()
	found := make(map[string]ContainerDetail, len(ids))
	var left atomic.Int64
	left.Store(maxInspectBytes)
	var failed error
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan string)
	for range min(dockerWorkers, len(ids)) {
		wg.Go(func() {
			for id := range next {
				c, err := d.detail(ctx, id, &left)
				mu.Lock()
				switch {
				case err == nil:
					found[id] = c
				case !errors.Is(err, errGone):
					failed = cmp.Or(failed, err)
				}
				stop := failed != nil
				mu.Unlock()
				if stop {
					cancel() // the others cannot make the answer whole
				}
			}
		})
	}
	for _, id := range ids {
		next <- id
	}
	close(next)
	wg.Wait()
	if failed != nil {
		return nil, dockerError(d.socket, failed)
	}
	return found, nil
}

// errGone marks a container that was removed since it was listed.
var errGone = errors.New("no such container")

// detail asks for one container. The client of docker's library decodes four
// times as much as is wanted here, so the answer is read directly.
func (d dockerAPI) detail(ctx context.Context, id string, left *atomic.Int64) (ContainerDetail, error) {
	at := "http://docker/v" + d.ClientVersion() + "/containers/" + url.PathEscape(id) + "/json"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return ContainerDetail{}, err
	}
	response, err := d.HTTPClient().Do(request)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address, which says nothing
		}
		return ContainerDetail{}, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return ContainerDetail{}, errGone
	default:
		return ContainerDetail{}, fmt.Errorf("it answers %d for a container that it lists", response.StatusCode)
	}
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return ContainerDetail{}, err
	}
	if left.Add(-int64(len(data))) < 0 {
		return ContainerDetail{}, fmt.Errorf("%w: what it says of its containers is over %d bytes", ErrTooLarge, maxInspectBytes)
	}
	var said inspected
	if err := json.Unmarshal(data, &said); err != nil {
		return ContainerDetail{}, fmt.Errorf("it describes a container in a way that is not understood: %w", withoutValue(err))
	}
	return said.detail()
}

// withoutValue keeps what an answer holds out of the message.
func withoutValue(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%.100q is no %v", wrong.Field, wrong.Type)
	}
	return errors.New("it is not JSON")
}

// inspected is the part of docker's answer that is read.
type inspected struct {
	ID      string `json:"Id"`
	Name    string
	Created string
	Image   string
	State   *struct {
		Running   bool
		StartedAt string
	}
	RestartCount    int
	AppArmorProfile string
	Config          *struct {
		User  string
		Env   []string
		Image string
	}
	HostConfig *struct {
		NetworkMode, PidMode, IpcMode, UTSMode, UsernsMode, CgroupnsMode string

		Privileged, ReadonlyRootfs, PublishAllPorts bool
		CapAdd, CapDrop, SecurityOpt                []string
		DeviceCgroupRules                           []string
		Devices                                     []struct{ PathOnHost string }
		PortBindings                                map[string][]struct{ HostIp, HostPort string }

		RestartPolicy struct{ Name string }
		LogConfig     struct {
			Type   string
			Config map[string]string
		}
		NanoCpus, CpuQuota, CpuPeriod, Memory int64
	}
	Mounts []struct {
		Type, Name, Source, Destination string
		RW                              bool
	}
}

func (i inspected) detail() (ContainerDetail, error) {
	if i.ID == "" || i.State == nil || i.Config == nil || i.HostConfig == nil {
		return ContainerDetail{}, errors.New("it describes a container without its state or configuration")
	}
	hc := i.HostConfig
	c := ContainerDetail{
		ID: i.ID, Name: strings.TrimPrefix(i.Name, "/"), Image: i.Config.Image, ImageID: i.Image,
		Running: i.State.Running, Restarts: i.RestartCount, User: i.Config.User,
		Privileged: hc.Privileged, CapAdd: capabilityNames(hc.CapAdd), CapDrop: capabilityNames(hc.CapDrop),
		SecurityOpt: hc.SecurityOpt, AppArmor: i.AppArmorProfile, DeviceRules: hc.DeviceCgroupRules, ReadOnlyRootFS: hc.ReadonlyRootfs,
		Network: hc.NetworkMode, PID: hc.PidMode, IPC: hc.IpcMode, UTS: hc.UTSMode, UserNS: hc.UsernsMode, CgroupNS: hc.CgroupnsMode,
		PublishAll: hc.PublishAllPorts, Restart: cmp.Or(hc.RestartPolicy.Name, "no"),
		Limits: ContainerLimits{CPUs: float64(hc.NanoCpus) / 1e9, Memory: hc.Memory, LogDriver: hc.LogConfig.Type, LogOpts: hc.LogConfig.Config},
	}
	if hc.CpuQuota > 0 { // the older way to say the same; the period is 100 ms unless told otherwise
		c.Limits.CPUs = float64(hc.CpuQuota) / float64(cmp.Or(hc.CpuPeriod, 100_000))
	}
	var err error
	if c.Created, err = time.Parse(time.RFC3339Nano, i.Created); err != nil {
		return c, errors.New("it does not say when a container was made")
	}
	if at, err := time.Parse(time.RFC3339Nano, i.State.StartedAt); err == nil && at.Year() > 1 {
		c.Started = at
	}
	for _, d := range hc.Devices {
		c.Devices = append(c.Devices, d.PathOnHost)
	}
	for _, e := range i.Config.Env {
		name, value, _ := strings.Cut(e, "=")
		c.Env = append(c.Env, EnvVariable{name, secret.New(value)})
	}
	for _, m := range i.Mounts {
		c.Mounts = append(c.Mounts, ContainerMount{Type: m.Type, Name: m.Name, Source: m.Source, Destination: m.Destination, ReadWrite: m.RW})
	}
	slices.SortFunc(c.Mounts, func(a, b ContainerMount) int { return strings.Compare(a.Destination, b.Destination) })
	for _, target := range slices.Sorted(maps.Keys(hc.PortBindings)) {
		for _, b := range hc.PortBindings[target] {
			p, err := boundPort(target, b.HostIp, b.HostPort)
			if err != nil {
				return c, fmt.Errorf("it publishes a port of container %.64q in a way that is not understood: %w", c.Name, err)
			}
			c.Publish = append(c.Publish, p)
		}
	}
	return c, nil
}

// boundPort reads "8449/tcp" and the address and port of the host it is bound to.
func boundPort(target, address, port string) (ContainerPort, error) {
	var p ContainerPort
	number, protocol, _ := strings.Cut(target, "/")
	p.Protocol = cmp.Or(protocol, "tcp")
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return p, errors.New("its number is none")
	}
	p.ContainerPort = uint16(n)
	if port != "" {
		if n, err = strconv.ParseUint(port, 10, 16); err != nil {
			return p, errors.New("the host's number is none")
		}
		p.HostPort = uint16(n)
	}
	if p.HostIP = netip.IPv4Unspecified(); address != "" {
		if p.HostIP, err = netip.ParseAddr(address); err != nil {
			return p, errors.New("the host's address is none")
		}
	}
	return p, nil
}

// capabilityNames writes capabilities in one way: docker takes them in several.
func capabilityNames(names []string) []string {
	var all []string
	for _, n := range names {
		all = append(all, strings.TrimPrefix(strings.ToUpper(n), "CAP_"))
	}
	slices.Sort(all)
	return all
}
