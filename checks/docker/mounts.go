package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

type mountsParams struct {
	Folders  []string `yaml:"folders" doc:"Folders of the host that no container may have, nor what contains them; docker's and containerd's sockets and data are always among them."`
	ReadOnly []string `yaml:"read_only" doc:"Folders of the host below which a container may have things only to read."`
	Allow    []string `yaml:"allow" doc:"Containers or services, by name, that may mount anything."`
}

// Validate wants absolute paths.
func (p mountsParams) Validate() error {
	for _, f := range slices.Concat(p.Folders, p.ReadOnly) {
		if !path.IsAbs(f) {
			return fmt.Errorf("%q is not an absolute path", f)
		}
	}
	return nil
}

func containerMounts(ctx context.Context, h *host.Host, p mountsParams) (checks.Verdict, error) {
	d, err := deployed.Of(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	layout, err := h.DockerLayout(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	devices := map[string]string{} // folder that a volume binds
	for _, conn := range d.connectors {
		for _, v := range conn.Volumes {
			devices[v.Name] = v.Path
		}
	}
	if d.asked {
		volumes, err := h.Volumes(ctx)
		if err != nil {
			return checks.Verdict{}, err
		}
		for _, v := range volumes {
			devices[v.Name] = cmp.Or(v.Device, v.Path)
		}
	}
	return judgeMounts(d, layout, p, devices, func(name string) (string, error) { return resolve(h, name, 0) })
}

// maxLinks bounds how many links that lead nowhere yet are followed, as the
// kernel does; see path_resolution(7).
const maxLinks = 40

// resolve is where a path leads, links followed as far as there is something:
// docker's socket is not there while docker is down, and a folder that is
// missing docker makes.
func resolve(h *host.Host, name string, links int) (string, error) {
	real, err := h.Resolve(name)
	name = path.Clean(name)
	if !errors.Is(err, fs.ErrNotExist) || name == "/" {
		return real, err
	}
	dir, err := resolve(h, path.Dir(name), links)
	if err != nil {
		return "", err
	}
	name = path.Join(dir, path.Base(name))
	target, err := h.Readlink(name)
	if err != nil {
		return name, nil // no link, or nothing
	}
	if links == maxLinks {
		return "", fmt.Errorf("%s leads to more than %d links", name, maxLinks)
	}
	if !path.IsAbs(target) {
		target = path.Join(dir, target)
	}
	return resolve(h, target, links+1)
}

// forbidden is a place of the host that no container may have.
type forbidden struct{ path, what string }

// judgeMounts wants no container to have docker's sockets, in whatever folder
// they come, and nothing with which it could change the host.
func judgeMounts(d deployment, l host.DockerLayout, p mountsParams, devices map[string]string, resolve func(string) (string, error)) (checks.Verdict, error) {
	var places []forbidden
	for _, s := range l.Sockets {
		what := "docker's socket"
		if s.Name != "docker.sock" {
			what = "containerd's socket"
		}
		at := s.Path
		if real, err := resolve(at); err == nil {
			at = real // the configuration may say /var/run
		}
		places = append(places, forbidden{at, what})
	}
	if len(l.Sockets) == 0 {
		places = append(places, forbidden{"/run/docker.sock", "docker's socket"})
	}
	for _, c := range append(l.Containerd, l.DataRoot) {
		if c.Path != "" {
			places = append(places, forbidden{c.Path, "docker's data"})
		}
	}
	for _, f := range p.Folders {
		places = append(places, forbidden{f, f})
	}
	return judgeSubjects(d, d.subjects(false, p.Allow), "A container has a part of the host with which it can take it over.",
		func(s subject) (bad, seen []checks.Evidence, err error) {
			count := 0
			for _, m := range s.mounts {
				source := m.Source
				switch m.Type {
				case "volume":
					source = devices[m.Name]
				case "bind":
				default:
					continue
				}
				if source == "" {
					continue // a volume that another driver keeps, or that is to be made
				}
				real, failed := resolve(source)
				if failed != nil {
					err = errors.Join(err, fmt.Errorf("cannot tell what %s mounts: %w", s.name, failed))
					continue
				}
				count++
				got := mountText(m, source, real)
				if m.Type == "volume" && within(real, l.DataRoot.Path) && real != l.DataRoot.Path {
					continue // where docker itself keeps volumes
				}
				if i := slices.IndexFunc(places, func(f forbidden) bool { return within(f.path, real) }); i >= 0 {
					bad = append(bad, s.evidence(s.name+": mount", "without "+places[i].what, got))
					continue
				}
				if i := slices.IndexFunc(p.ReadOnly, func(f string) bool { return within(real, f) }); i >= 0 && m.ReadWrite {
					bad = append(bad, s.evidence(s.name+": mount", "read-only, since it is below "+p.ReadOnly[i], got))
				}
			}
			if len(bad) > 0 {
				return bad, nil, nil
			}
			return nil, []checks.Evidence{s.evidence("mounts of "+s.name, "", fmt.Sprintf("%d of the host's folders, none with docker's sockets", count))}, err
		})
}

func mountText(m host.ContainerMount, source, real string) string {
	text := source
	if m.Type == "volume" {
		text = "volume " + m.Name + " (" + source + ")"
	}
	if real != path.Clean(source) {
		text += " (leads to " + real + ")"
	}
	if text += " at " + m.Destination; !m.ReadWrite {
		text += ", read-only"
	}
	return text
}

// within reports whether a path is a folder or lies below it.
func within(name, dir string) bool {
	return dir != "" && (name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/"))
}
