package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	units "github.com/docker/go-units"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/composefile"
	"github.com/hostguard/hostguard/internal/host"
)

type driftParams struct {
	Older bool `yaml:"older" doc:"Whether a container that is older than a compose file or .env fails, even when no difference is seen; else only differences do."`
}

func composeDrift(ctx context.Context, h *host.Host, p driftParams) (checks.Verdict, error) {
	d, err := deployed.Of(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	if p.Older {
		return judgeAge(d, func(name string) (time.Time, error) {
			info, err := h.Stat(name)
			if err != nil {
				return time.Time{}, err
			}
			return info.ModTime(), nil
		})
	}
	logs, err := h.DockerLogs(ctx)
	d.unread = errors.Join(d.unread, err)
	return judgeDrift(d, logs)
}

// judgeDrift wants each container of a connector as its compose files are now:
// what is judged by the files is judged of the containers too, then.
func judgeDrift(d deployment, logs host.DockerLogs) (checks.Verdict, error) {
	var bad, seen []checks.Evidence
	unknown := []error{d.unread}
	for _, c := range d.containers {
		conn := d.ours(c)
		detail, there := d.details[c.ID]
		if conn == nil || !there || conn.ComposeErr != nil {
			continue
		}
		s := service(conn, c)
		if s == nil {
			bad = append(bad, checks.Evidence{Source: "container " + c.Name, Key: "service", Want: "one of the compose files in " + conn.Dir, Got: c.ComposeService() + ", which they no longer have"})
			continue
		}
		at := drifted{service: *s, container: detail, logs: logs, files: conn.Files}
		at.look()
		bad, unknown = append(bad, at.bad...), append(unknown, at.unknown...)
		if len(at.bad) == 0 {
			seen = append(seen, checks.Evidence{Source: "container " + c.Name, Key: "as written", Got: fmt.Sprintf("service %s at %s:%d", s.Name, s.File, s.Line)})
		}
	}
	if len(bad) > 0 {
		return checks.Failed("A container is not as its compose file says: the files, by which it is judged, are not what runs.", few(bad)...), nil
	}
	if err := errors.Join(unknown...); err != nil {
		return checks.Verdict{Evidence: few(seen)}, err
	}
	if len(seen) == 0 {
		return checks.Inapplicable("No container of the connector was made yet."), nil
	}
	return checks.Passed(few(seen)...), nil
}

// drifted collects in what a container differs from its service.
type drifted struct {
	service   host.ComposeService
	container host.ContainerDetail
	logs      host.DockerLogs
	files     []string // configs and secrets of the project
	bad       []checks.Evidence
	unknown   []error
}

// differs notes that a container has got where want is written.
func (x *drifted) differs(key, want, got string) {
	x.bad = append(x.bad, checks.Evidence{
		Source: "container " + x.container.Name, Key: key, Got: got,
		Want: fmt.Sprintf("%s (%s:%d)", want, x.service.File, x.service.Line),
	})
}

// same compares texts, of which the written one may be a variable that is set
// in no file: compose took it from the shell, and what it took is not drift.
func (x *drifted) same(key, want, got string) {
	if want != got && !strings.Contains(want, "$") {
		x.differs(key, cmp.Or(want, "none"), cmp.Or(got, "none"))
	}
}

func (x *drifted) look() {
	s, c := x.service, x.container
	if s.Image != "" { // built where it runs, else
		x.same("image", s.Image, c.Image)
	}
	x.limits()
	x.mounts()
	x.ports()
	w, r := rightsWritten(s.Rights), rightsOf(c)
	if !strings.Contains(s.Rights.Privileged, "$") {
		x.same("privileged", strconv.FormatBool(w.privileged), strconv.FormatBool(r.privileged))
	}
	sorted := func(list []string) string {
		list = slices.Clone(list)
		slices.Sort(list)
		return strings.Join(slices.Compact(list), " ")
	}
	x.same("cap_add", sorted(w.capabilities), sorted(r.capabilities))
	if !strings.HasPrefix(w.pid, "service:") || !strings.HasPrefix(r.pid, "container:") {
		x.same("pid", w.pid, r.pid)
	}
	if w.network == "host" || r.network == "host" {
		x.same("network_mode", w.network, r.network)
	}
	if w.ipc == "host" || r.ipc == "host" {
		x.same("ipc", w.ipc, r.ipc)
	}
	if s.Rights.User != "" { // else the image's
		x.same("user", s.Rights.User, c.User)
	}
	x.same("restart", s.Rights.RestartPolicy(), c.Restart)
}

func (x *drifted) limits() {
	s, l := x.service, x.container.Limits
	if want, err := strconv.ParseFloat(cmp.Or(s.CPUs, "0"), 64); err == nil && math.Abs(want-l.CPUs) > 0.005 {
		x.differs("processors", cmp.Or(s.CPUs, "no limit"), strconv.FormatFloat(l.CPUs, 'g', -1, 64))
	}
	if want, err := units.RAMInBytes(cmp.Or(s.Memory, "0")); err == nil && max(want, 0) != l.Memory {
		x.differs("memory", cmp.Or(s.Memory, "no limit"), units.BytesSize(float64(l.Memory)))
	}
	if x.logs.Driver == "" {
		return // what the daemon lays under is not known
	}
	driver := cmp.Or(s.LogDriver, x.logs.Driver)
	x.same("log driver", driver, l.LogDriver)
	size := s.LogMaxSize
	if size == "" && driver == x.logs.Driver {
		size = x.logs.MaxSize
	}
	x.same("log max-size", size, l.LogOpts["max-size"])
}

func (x *drifted) mounts() {
	written := map[string]host.ContainerMount{}
	for _, m := range x.service.Mounts {
		written[path.Clean(m.Destination)] = m
	}
	for _, m := range x.container.Mounts {
		w, there := written[path.Clean(m.Destination)]
		delete(written, path.Clean(m.Destination))
		switch {
		case there && m.Type == w.Type && m.Name == w.Name && (m.Type == "volume" || path.Clean(m.Source) == path.Clean(w.Source)) && m.ReadWrite == w.ReadWrite:
		case there:
			x.differs("mount at "+m.Destination, describeMount(w), describeMount(m))
		case m.Type == "bind" && !m.ReadWrite && slices.Contains(x.files, m.Source): // a config or secret
		case m.Type == "volume" && anonymous(m.Name), m.Type != "volume" && m.Type != "bind": // the image's own, tmpfs
		default:
			x.differs("mount at "+m.Destination, "none", describeMount(m))
		}
	}
	for _, m := range x.service.Mounts {
		if _, missing := written[path.Clean(m.Destination)]; missing {
			x.differs("mount at "+m.Destination, describeMount(m), "none")
		}
	}
}

// anonymous reports whether docker chose a volume's name.
func anonymous(name string) bool {
	return len(name) == 64 && strings.Trim(name, "0123456789abcdef") == ""
}

func describeMount(m host.ContainerMount) string {
	text := "volume " + m.Name
	if m.Type == "bind" {
		text = m.Source
	}
	if !m.ReadWrite {
		text += ", read-only"
	}
	return text
}

// ports compares what is published. Ports that docker chooses are equal.
func (x *drifted) ports() {
	want := map[string]bool{}
	for _, p := range x.service.Ports {
		all, err := published(p)
		if err != nil {
			if !strings.Contains(p.Address+p.Published+p.Target, "$") {
				x.unknown = append(x.unknown, fmt.Errorf("cannot tell which ports service %s publishes at %s:%d: %w", x.service.Name, x.service.File, x.service.Line, err))
			}
			return
		}
		for _, p := range all {
			want[p] = true
		}
	}
	for _, p := range x.container.Publish {
		name := publishedAs(p.HostIP, p.HostPort, p.ContainerPort, p.Protocol)
		if !want[name] {
			x.differs("port", "not published", name)
		}
		delete(want, name)
	}
	for _, p := range x.service.Ports { // in the file's order
		all, _ := published(p)
		for _, name := range all {
			if want[name] {
				x.differs("port", name, "not published")
				delete(want, name)
			}
		}
	}
}

// maxRange bounds the ports of one range.
const maxRange = 1 << 16

// published are the ports that an entry of ports: publishes, each in words.
func published(p composefile.Port) ([]string, error) {
	address := netip.IPv4Unspecified()
	if p.Address != "" {
		var err error
		if address, err = netip.ParseAddr(p.Address); err != nil {
			return nil, errors.New("an address is none")
		}
	}
	target, err := portRange(p.Target)
	if err != nil {
		return nil, err
	}
	var outside []uint16
	if p.Published != "" {
		if outside, err = portRange(p.Published); err != nil {
			return nil, err
		}
	}
	var all []string
	for i, inside := range target {
		on := uint16(0) // docker chooses one, as it does of a range for one port
		if len(outside) == len(target) {
			on = outside[i]
		} else if len(outside) > 0 && len(target) > 1 {
			return nil, errors.New("ranges of different sizes")
		}
		all = append(all, publishedAs(address, on, inside, cmp.Or(p.Protocol, "tcp")))
	}
	return all, nil
}

func portRange(text string) ([]uint16, error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	from, err1 := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	if err1 != nil || err2 != nil || to < from || to-from >= maxRange {
		return nil, errors.New("a port is no number")
	}
	var all []uint16
	for n := from; n <= to; n++ {
		all = append(all, uint16(n))
	}
	return all, nil
}

func publishedAs(ip netip.Addr, on, inside uint16, protocol string) string {
	outside := "a port that docker chooses"
	if on != 0 {
		outside = strconv.Itoa(int(on))
	}
	if ip.IsUnspecified() { // every address: docker writes 0.0.0.0 or ::
		return fmt.Sprintf("%s to %d/%s", outside, inside, protocol)
	}
	return fmt.Sprintf("%s of %v to %d/%s", outside, ip.Unmap(), inside, protocol)
}

// judgeAge wants containers made after the last change of the files that they
// are made from.
func judgeAge(d deployment, changed func(string) (time.Time, error)) (checks.Verdict, error) {
	var bad, seen []checks.Evidence
	unknown := []error{d.unread}
	for _, c := range d.containers {
		conn := d.ours(c)
		detail, there := d.details[c.ID]
		if conn == nil || !there {
			continue
		}
		older := false
		for _, file := range slices.Concat(conn.ComposeFiles, conn.EnvFiles) {
			at, err := changed(file)
			if err != nil {
				unknown = append(unknown, err)
				continue
			}
			if at.After(detail.Created) {
				older = true
				bad = append(bad, checks.Evidence{
					Source: "container " + c.Name, Key: "made", Want: fmt.Sprintf("after %s was changed (%s)", file, at.UTC().Format(time.DateTime)), Got: detail.Created.UTC().Format(time.DateTime),
				})
			}
		}
		if !older {
			seen = append(seen, checks.Evidence{Source: "container " + c.Name, Key: "made", Got: detail.Created.UTC().Format(time.DateTime) + ", after its files"})
		}
	}
	if len(bad) > 0 {
		return checks.Failed("A container is older than the files it was made from: what they say now is not in it.", few(bad)...), nil
	}
	if err := errors.Join(unknown...); err != nil {
		return checks.Verdict{Evidence: few(seen)}, err
	}
	if len(seen) == 0 {
		return checks.Inapplicable("No container of the connector was made yet."), nil
	}
	return checks.Passed(few(seen)...), nil
}
