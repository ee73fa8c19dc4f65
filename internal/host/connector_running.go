package host

import (
	"context"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/hostguard/hostguard/internal/composefile"
	"github.com/hostguard/hostguard/internal/springconf"
)

// EnvDrift is a variable that a container was made with otherwise than is written
// now. The values are not in it.
type EnvDrift struct {
	Service   string
	Container string
	Name      string
	Place     springconf.Place // where it is written; zero: nowhere
	Kind      DriftKind
}

// DriftKind says how a variable differs.
type DriftKind uint8

// The ways in which a container's variable differs from what is written.
const (
	DriftFromShell DriftKind = iota + 1 // no difference: what is written leaves the value to the shell, and the container has it
	DriftMissing                        // the container was made without it
	DriftOther                          // it was made with another value
	DriftUnwritten                      // it was made with a setting that no file gives
)

// madeContainer is a container of a connector as it was made.
type madeContainer struct {
	name    string
	started time.Time
	running bool
	env     []springconf.Variable
	mounts  []ContainerMount
}

// madeOf returns a connector's containers by their services. There are none in a
// file tree, and while no docker runs.
func (h *Host) madeOf(ctx context.Context, c Connector) (map[string][]madeContainer, error) {
	if len(c.containers) == 0 {
		return nil, nil
	}
	details, err := h.ContainerDetails(ctx)
	if err != nil {
		return nil, err
	}
	made := map[string][]madeContainer{}
	for _, of := range c.containers {
		d, there := details[of.ID]
		if !there {
			continue // gone meanwhile
		}
		m := madeContainer{name: of.Name, started: d.Started, running: d.Running, mounts: of.Mounts}
		for _, v := range d.Env {
			at := springconf.Place{Source: "container " + of.Name, Key: v.Name}
			m.env = append(m.env, springconf.Variable{Name: v.Name, Value: v.Value, Place: at, Origin: at})
		}
		made[of.ComposeService()] = append(made[of.ComposeService()], m)
	}
	return made, nil
}

// compareEnv compares what a container was made with and what is written. Of
// variables that are written nowhere only settings of the application count: the
// image brings others.
func compareEnv(s ComposeService, m madeContainer) []EnvDrift {
	var drift []EnvDrift
	add := func(name string, at springconf.Place, kind DriftKind) {
		drift = append(drift, EnvDrift{Service: s.Name, Container: m.name, Name: name, Place: at, Kind: kind})
	}
	for _, v := range s.Environment {
		i := slices.IndexFunc(m.env, func(o springconf.Variable) bool { return o.Name == v.Name })
		at := springconf.Place{Source: v.File, Line: v.Line, Key: v.Name}
		switch {
		case !v.Known && i >= 0:
			add(v.Name, at, DriftFromShell)
		case !v.Known:
		case i < 0:
			add(v.Name, at, DriftMissing)
		case !m.env[i].Value.Equal(v.Value):
			add(v.Name, at, DriftOther)
		}
	}
	for _, v := range m.env {
		written := slices.ContainsFunc(s.Environment, func(o composefile.EnvVar) bool { return o.Name == v.Name })
		if !written && isSetting(v.Name) {
			add(v.Name, springconf.Place{}, DriftUnwritten)
		}
	}
	return drift
}

// isSetting reports whether a variable may set a property of the applications.
func isSetting(name string) bool {
	upper := strings.ToUpper(strings.ReplaceAll(strings.ReplaceAll(name, ".", "_"), "-", "_"))
	for _, prefix := range []string{"APPLICATION_", "SPRING_", "SERVER_", "USERS_", "AES", "JAVA_TOOL_", "JDK_JAVA_", "ALLOW"} {
		if strings.HasPrefix(upper, prefix) {
			return true
		}
	}
	return false
}

// sameMounts reports whether a container mounts what is written where it is
// written.
func sameMounts(written, made []ContainerMount) bool {
	return !slices.ContainsFunc(written, func(w ContainerMount) bool {
		return !slices.ContainsFunc(made, func(m ContainerMount) bool {
			return path.Clean(m.Destination) == path.Clean(w.Destination) &&
				(w.Type == "volume" && m.Name == w.Name || w.Type == "bind" && path.Clean(m.Source) == w.Source)
		})
	})
}
