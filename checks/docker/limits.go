package docker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	units "github.com/docker/go-units"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

type limitsParams struct {
	CPUs    bool `yaml:"cpus" doc:"Whether each service must have a limit of processor time."`
	Memory  bool `yaml:"memory" doc:"Whether each service must have a limit of memory."`
	LogSize bool `yaml:"log_size" doc:"Whether the log of each service must have a limit of size."`
}

func limits(ctx context.Context, h *host.Host, p limitsParams) (checks.Verdict, error) {
	connectors, err := h.Connectors(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	if len(connectors) == 0 {
		return checks.Verdict{}, host.ErrNoConnector
	}
	logs, err := h.DockerLogs(ctx)
	if err != nil && p.LogSize {
		return checks.Verdict{}, err
	}
	made, err := madeContainers(ctx, h, connectors)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeLimits(connectors, logs, made, p)
}

// madeContainer is a container of a connector with the limits that it has.
type madeContainer struct {
	name   string
	limits host.ContainerLimits
}

// madeContainers are the connectors' containers that there are. A docker that is
// down has none that run, and a file tree shows none.
func madeContainers(ctx context.Context, h *host.Host, connectors []host.Connector) ([]madeContainer, error) {
	if !h.Running() {
		return nil, nil
	}
	all, err := h.Containers(ctx)
	if errors.Is(err, host.ErrDockerDown) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot tell the limits of the connector's containers: %w", err)
	}
	details, err := h.ContainerDetails(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot tell the limits of the connector's containers: %w", err)
	}
	var made []madeContainer
	for _, c := range all {
		dir := c.ComposeDir()
		if dir == "" || !slices.ContainsFunc(connectors, func(conn host.Connector) bool { return conn.Dir == dir }) {
			continue
		}
		if d, there := details[c.ID]; there {
			made = append(made, madeContainer{c.Name, d.Limits})
		}
	}
	return made, nil
}

// judgeLimits wants each service of each connector limited, and each container
// that was made of one: it keeps what it was made with. It is an error when a
// compose file, or a limit in it, cannot be understood.
func judgeLimits(connectors []host.Connector, logs host.DockerLogs, made []madeContainer, p limitsParams) (checks.Verdict, error) {
	var missing, seen []checks.Evidence
	var unknown []error
	for _, c := range connectors {
		if c.ComposeErr != nil {
			unknown = append(unknown, fmt.Errorf("cannot tell the limits of the connector in %s: %w", c.Dir, c.ComposeErr))
			continue
		}
		if len(c.Services) == 0 {
			unknown = append(unknown, fmt.Errorf("cannot tell the limits of the connector in %s: its compose files declare no service", c.Dir))
		}
		for _, s := range c.Services {
			var within []string
			for _, l := range []struct {
				wanted          bool
				name, key, want string
				look            func() (got string, limited bool, err error)
			}{
				{p.CPUs, "processors", "deploy.resources.limits.cpus", "a number of processors", func() (string, bool, error) { return cpuLimit(s.CPUs) }},
				{p.Memory, "memory", "deploy.resources.limits.memory", "an amount of memory", func() (string, bool, error) { return sizeLimit(s.Memory) }},
				{p.LogSize, "log", "logging.options.max-size", "a size", func() (string, bool, error) { return logLimit(s, logs) }},
			} {
				if !l.wanted {
					continue
				}
				got, limited, err := l.look()
				switch {
				case err != nil:
					unknown = append(unknown, fmt.Errorf("cannot tell %s of service %s at %s:%d: %w", l.key, s.Name, s.File, s.Line, err))
				case limited:
					within = append(within, l.name+" "+got)
				default:
					missing = append(missing, checks.Evidence{Source: s.File, Line: s.Line, Key: s.Name + ": " + l.key, Want: l.want, Got: got})
				}
			}
			seen = append(seen, checks.Evidence{Source: s.File, Line: s.Line, Key: "limits of " + s.Name, Got: strings.Join(within, ", ")})
		}
	}
	for _, c := range made {
		e, lacks := judgeMade(c, p)
		seen, missing = append(seen, e...), append(missing, lacks...)
	}
	switch {
	case len(missing) > 0: // seen for certain, whatever else is not known
		return checks.Failed("Services of the connector lack limits: one of them can take the whole host.", missing...), nil
	case len(unknown) > 0:
		return checks.Verdict{Evidence: seen}, errors.Join(unknown...)
	}
	return checks.Passed(seen...), nil
}

// judgeMade compares the limits of one container with those wanted.
func judgeMade(c madeContainer, p limitsParams) (seen, lacks []checks.Evidence) {
	log, limited := containerLog(c.limits)
	var within []string
	for _, l := range []struct {
		wanted, limited bool
		name, want, got string
	}{
		{p.CPUs, c.limits.CPUs > 0, "processors", "a number of processors", strconv.FormatFloat(c.limits.CPUs, 'g', -1, 64)},
		{p.Memory, c.limits.Memory > 0, "memory", "an amount of memory", units.BytesSize(float64(c.limits.Memory))},
		{p.LogSize, limited, "log", "a size", log},
	} {
		switch {
		case !l.wanted:
		case l.limited:
			within = append(within, l.name+" "+l.got)
		default:
			if l.name != "log" {
				l.got = "none"
			}
			lacks = append(lacks, checks.Evidence{Source: "container " + c.name, Key: l.name + " limit", Want: l.want,
				Got: l.got + ": it was made without, or the kernel cannot keep one"})
		}
	}
	if len(within) > 0 {
		seen = append(seen, checks.Evidence{Source: "container " + c.name, Key: "limits", Got: strings.Join(within, ", ")})
	}
	return seen, lacks
}

// containerLog tells how the log of a container is limited.
func containerLog(l host.ContainerLimits) (got string, limited bool) {
	switch l.LogDriver {
	case "none":
		return "driver none", true
	case "local", "json-file":
		size := l.LogOpts["max-size"]
		if size == "" && l.LogDriver == "local" {
			return "driver local, 20 MB in five files", true
		}
		got, limited, err := sizeLimit(size)
		return got, limited && err == nil
	}
	return fmt.Sprintf("driver %s, whose size docker does not limit", l.LogDriver), false
}

// cpuLimit reads a number of processors; zero is no limit.
func cpuLimit(s string) (got string, limited bool, err error) {
	if s == "" {
		return "none", false, nil
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n >= 0) || math.IsInf(n, 0) {
		return s, false, notLimit(s)
	}
	return s, n > 0, nil
}

// sizeLimit reads an amount as docker does; zero and less is no limit.
func sizeLimit(s string) (got string, limited bool, err error) {
	if s == "" {
		return "none", false, nil
	}
	if strings.HasPrefix(s, "-") {
		return s, false, nil
	}
	n, err := units.RAMInBytes(s)
	if err != nil {
		return s, false, notLimit(s)
	}
	return s, n > 0, nil
}

func notLimit(s string) error {
	if strings.Contains(s, "$") {
		return errors.New("it comes from a variable that is set in no file")
	}
	return errors.New("it is no limit that docker understands")
}

// logLimit tells how the log of a service is limited: by its own max-size, by
// the daemon's for the same driver, or by the driver: "local" keeps 100 MB at
// most unless told otherwise, "none" keeps nothing.
func logLimit(s host.ComposeService, logs host.DockerLogs) (got string, limited bool, err error) {
	driver := s.LogDriver
	if driver == "" {
		driver = logs.Driver
	}
	if strings.Contains(driver, "$") {
		return driver, false, notLimit(driver)
	}
	size, from := s.LogMaxSize, ""
	// The daemon's options go to containers that name no driver or its own.
	if size == "" && logs.MaxSize != "" && driver == logs.Driver {
		size, from = logs.MaxSize, " ("+logs.Source+")"
	}
	switch driver {
	case "none":
		return "driver none", true, nil
	case "local":
		if size == "" {
			return "driver local, 20 MB in five files", true, nil
		}
	case "json-file":
	default:
		return fmt.Sprintf("driver %s, whose size docker does not limit", driver), false, nil
	}
	got, limited, err = sizeLimit(size)
	return got + from, limited, err
}
