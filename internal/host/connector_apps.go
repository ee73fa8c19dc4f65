package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/hostguard/hostguard/internal/secret"
	"github.com/hostguard/hostguard/internal/springconf"
)

// Role is what a service of a connector does.
type Role string

// The roles.
const (
	RoleCore         Role = "execution core"
	RoleDataApp      Role = "data app"
	RoleUsageControl Role = "usage control"
	RolePIP          Role = "PIP"
	RoleOther        Role = "" // of another kind, or it cannot be told
)

// ConnectorApps is a connector with its services as applications.
type ConnectorApps struct {
	Connector Connector
	Apps      []ConnectorApp        // by service, what is written before what was made; empty with Err
	Err       error                 // why its services cannot be told
	Variables []springconf.Variable // of .env, sorted by name
	Compose   []ConfigFile          // its compose files
	Sources   []ConfigFile          // files that are configs and secrets of compose
	Drift     []EnvDrift            // where containers were made with another environment than is written
}

// Of are the applications of some roles.
func (c ConnectorApps) Of(roles ...Role) []ConnectorApp {
	return slices.DeleteFunc(slices.Clone(c.Apps), func(a ConnectorApp) bool { return !slices.Contains(roles, a.Role) })
}

// ConnectorApp is one service of a connector with all that it is told: as it is
// written, and once more as its container was made, when that differs.
type ConnectorApp struct {
	Service   ComposeService
	Role      Role
	Container string           // the container that was made so; empty: as it is written
	Made      []string         // with Container empty: containers that were made just so
	Started   time.Time        // when the oldest of these containers that run was started; zero: none runs
	Mounts    []ContainerMount // with where volumes lie; Source empty: that cannot be told
	Env       []springconf.Variable
	Config    []ConfigFile // files of its configuration folder, sorted by path
	ConfigErr error        // why that folder cannot be seen
	*springconf.App
}

// Name says which application it is: "service ecc-provider", "container ecc".
func (a ConnectorApp) Name() string {
	if a.Container != "" {
		return "container " + a.Container
	}
	return "service " + a.Service.Name
}

// Variable returns a variable of the environment, under the first of the names
// that is set.
func (a ConnectorApp) Variable(names ...string) (springconf.Variable, bool) {
	for _, name := range names {
		for _, v := range a.Env {
			if v.Name == name {
				return v, true
			}
		}
	}
	return springconf.Variable{}, false
}

// Property returns what a property comes to; see springconf.App. It is an error
// when the configuration folder cannot be seen.
func (a ConnectorApp) Property(key string, more ...string) (springconf.Value, error) {
	if a.ConfigErr != nil {
		return springconf.Value{}, a.ConfigErr
	}
	v, err := a.App.Property(key, more...)
	if err != nil {
		err = fmt.Errorf("%s: %w", a.Name(), err)
	}
	return v, err
}

// File returns a file of the configuration folder by its base name.
func (a ConnectorApp) File(name string) (ConfigFile, bool) {
	i := slices.IndexFunc(a.Config, func(f ConfigFile) bool { return path.Base(f.Path) == name })
	if i < 0 {
		return ConfigFile{}, false
	}
	return a.Config[i], true
}

// ErrNotMounted marks a path of a container that the image brings.
var ErrNotMounted = errors.New("no folder of the host is mounted there")

// HostPath returns where the host keeps a path of the application's container:
// the mounted folder and the path below it (empty: the path itself is mounted).
func (a ConnectorApp) HostPath(inside string) (dir, rel string, err error) {
	inside = path.Clean("/" + inside)
	longest := -1
	var found ContainerMount
	for _, m := range a.Mounts {
		at := strings.TrimSuffix(path.Clean(m.Destination), "/")
		if (inside == at || strings.HasPrefix(inside, at+"/")) && len(at) > longest {
			longest, found = len(at), m
		}
	}
	if longest < 0 {
		return "", "", fmt.Errorf("cannot look at %s of %s: %w", inside, a.Name(), ErrNotMounted)
	}
	if found.Source == "" {
		return "", "", fmt.Errorf("cannot look at %s of %s: where its mount lies cannot be told", inside, a.Name())
	}
	return found.Source, strings.TrimPrefix(inside[longest:], "/"), nil
}

// ReadInside reads a file of at most max bytes by its path in the application's
// container, as ReadUntrusted does, and tells where the host keeps it.
func (h *Host) ReadInside(a ConnectorApp, inside string, max int64) (data []byte, hostPath string, info fs.FileInfo, err error) {
	dir, rel, err := a.HostPath(inside)
	if err != nil {
		return nil, "", nil, err
	}
	hostPath = path.Join(dir, rel)
	if rel == "" {
		dir, rel = path.Split(dir)
	}
	data, info, err = h.ReadUntrusted(dir, rel, max)
	return data, hostPath, info, err
}

// ConnectorApps returns the connectors' services as applications: environment,
// configuration files, properties. One whose compose files cannot be understood
// has an Err; what Connectors cannot tell is an error here.
func (h *Host) ConnectorApps(ctx context.Context) ([]ConnectorApps, error) {
	return h.connectorApps.get(ctx, h.findConnectorApps)
}

func (h *Host) findConnectorApps(ctx context.Context) ([]ConnectorApps, error) {
	connectors, err := h.Connectors(ctx)
	if err != nil {
		return nil, err
	}
	var all []ConnectorApps
	for _, c := range connectors {
		apps := ConnectorApps{Connector: c}
		switch {
		case c.ComposeErr != nil:
			apps.Err = fmt.Errorf("cannot tell the services of the connector in %s: %w", c.Dir, c.ComposeErr)
		case len(c.Services) == 0:
			apps.Err = fmt.Errorf("cannot tell the services of the connector in %s: its compose files declare none", c.Dir)
		default:
			apps.Err = h.addApps(ctx, &apps)
		}
		all = append(all, apps)
	}
	return all, nil
}

func (h *Host) addApps(ctx context.Context, c *ConnectorApps) error {
	for _, name := range slices.Sorted(maps.Keys(c.Connector.variables)) {
		v := c.Connector.variables[name]
		at := springconf.Place{Source: v.File, Line: v.Line, Key: name}
		variable := springconf.Variable{Name: name, Value: secret.New(v.Value), Place: at, Origin: at}
		if !v.Known {
			variable.Missing = cmp.Or(v.From, name)
		}
		c.Variables = append(c.Variables, variable)
	}
	c.Compose = h.readAll(c.Connector.Dir, c.Connector.ComposeFiles, maxComposeFile)
	c.Sources = h.readAll(c.Connector.Dir, c.Connector.Files, maxConfigFile)
	made, err := h.madeOf(ctx, c.Connector)
	if err != nil {
		return fmt.Errorf("cannot tell how the containers of the connector in %s were made: %w", c.Connector.Dir, err)
	}
	volumes := map[string]string{}
	for _, v := range c.Connector.Volumes {
		volumes[v.Name] = v.Path
	}
	folders := configFolders{h: h, read: map[string]configFolder{}}
	for _, s := range c.Connector.Services {
		c.add(s, made[s.Name], volumes, &folders)
	}
	return nil
}

// add adds a service as it is written and, where they differ, as its containers
// were made.
func (c *ConnectorApps) add(s ComposeService, made []madeContainer, volumes map[string]string, folders *configFolders) {
	mounts := slices.Clone(s.Mounts)
	for i, m := range mounts {
		if m.Type == "volume" {
			mounts[i].Source = volumes[m.Name]
		}
	}
	apps := []ConnectorApp{{Service: s, Mounts: mounts, Env: writtenVariables(s)}}
	for _, m := range made {
		drift := compareEnv(s, m)
		if len(drift) == 0 && sameMounts(mounts, m.mounts) {
			apps[0].Made = append(apps[0].Made, m.name)
			if m.running && (apps[0].Started.IsZero() || m.started.Before(apps[0].Started)) {
				apps[0].Started = m.started
			}
			continue
		}
		c.Drift = append(c.Drift, drift...)
		other := ConnectorApp{Service: s, Container: m.name, Mounts: m.mounts, Env: m.env}
		if m.running {
			other.Started = m.started
		}
		apps = append(apps, other)
	}
	for _, a := range apps {
		a.Config, a.ConfigErr = folders.of(a)
		a.Role = roleOf(s, a.Config)
		files := make([]springconf.File, len(a.Config))
		for i, f := range a.Config {
			files[i] = springconf.File{Name: f.Path, Data: f.Data, Err: f.Err}
		}
		a.App = springconf.New(a.Env, s.Command, files)
		c.Apps = append(c.Apps, a)
	}
}

// writtenVariables are those that the compose files give a service.
func writtenVariables(s ComposeService) []springconf.Variable {
	var vars []springconf.Variable
	for _, v := range s.Environment {
		written := springconf.Variable{
			Name: v.Name, Value: v.Value,
			Place:  springconf.Place{Source: v.File, Line: v.Line, Key: v.Name},
			Origin: springconf.Place{Source: v.Origin.File, Line: v.Origin.Line, Key: v.OriginName},
		}
		if !v.Known {
			written.Missing = v.Missing
		}
		vars = append(vars, written)
	}
	return vars
}
