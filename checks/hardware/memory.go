package hardware

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	units "github.com/docker/go-units"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/quantity"
)

const maxInstances = 1000

// Validate refuses numbers of instances that cannot be meant.
func (p memoryParams) Validate() error {
	if p.Instances < 0 || p.Instances > maxInstances {
		return fmt.Errorf("instances: want 0 to %d", maxInstances)
	}
	return nil
}

func (p memoryParams) perInstance() quantity.Bytes {
	return p.ECC + p.DataApp + p.UsageControl + p.PIP
}

func memory(ctx context.Context, h *host.Host, p memoryParams) (checks.Verdict, error) {
	hw, err := h.Hardware(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	connectors, err := h.ConnectorApps(ctx)
	if err == nil && len(connectors) == 0 {
		err = host.ErrNoConnector
	}
	need, err := needed(connectors, err, p)
	return judgeMemory(hw, need, err)
}

// need is the memory that a host must have, and how it was reckoned.
type need struct {
	bytes  quantity.Bytes
	reason string
}

// needed reckons the memory of all instances. An error says why what is
// returned is only the least that can be: one instance, or what is known.
func needed(connectors []host.ConnectorApps, connectorErr error, p memoryParams) (need, error) {
	instances, limits := 0, quantity.Bytes(0)
	err := connectorErr
	for _, c := range connectors {
		n, sum, countErr := count(c)
		instances += n
		limits += sum
		err = errors.Join(err, countErr)
	}
	if p.Instances > 0 {
		instances, err = p.Instances, nil
	}
	instances = max(instances, 1)
	per := p.perInstance()
	n := need{
		quantity.Bytes(instances)*per + p.Reserve,
		fmt.Sprintf("%d x %v and %v for the system", instances, per, p.Reserve),
	}
	if limits > quantity.Bytes(instances)*per {
		n = need{limits + p.Reserve, fmt.Sprintf("the services' limits, %v, and %v for the system", limits, p.Reserve)}
	}
	return n, err
}

// count returns a connector's instances, one for each execution core container, and
// the sum of its services' memory limits. With an error both are what is known.
func count(c host.ConnectorApps) (instances int, limits quantity.Bytes, err error) {
	if c.Err != nil {
		return 0, 0, fmt.Errorf("cannot count the instances in %s: %w", c.Connector.Dir, c.Err)
	}
	cores := map[string]bool{}
	for _, app := range c.Of(host.RoleCore) {
		cores[app.Service.Name] = true
	}
	for _, s := range c.Connector.Services {
		if len(s.Profiles) > 0 {
			continue // not started unless asked for
		}
		replicas := 1
		if s.Replicas != "" {
			n, numberErr := strconv.Atoi(s.Replicas)
			if numberErr != nil || n < 0 || n > maxInstances {
				err = errors.Join(err, fmt.Errorf("cannot tell how many containers service %s has at %s:%d", s.Name, s.File, s.Line))
				continue
			}
			replicas = n
		}
		if cores[s.Name] {
			instances += replicas
		}
		bytes, limitErr := units.RAMInBytes(s.Memory)
		switch {
		case limitErr == nil && bytes > 0:
			limits += quantity.Bytes(bytes) * quantity.Bytes(replicas)
		case limitErr != nil && s.Memory != "":
			err = errors.Join(err, fmt.Errorf("cannot tell the memory limit of service %s at %s:%d", s.Name, s.File, s.Line))
		}
	}
	if instances == 0 && err == nil {
		err = fmt.Errorf("cannot count the instances in %s: no service is an execution core by its image or its settings; set the parameter instances", c.Connector.Dir)
	}
	return instances, limits, err
}

// judgeMemory wants as much memory as is needed. When the need is not known
// for certain (err), too little is still too little, and enough is not known.
func judgeMemory(hw host.Hardware, n need, err error) (checks.Verdict, error) {
	v := checks.Verdict{Status: checks.Pass}
	look := func(source, key string, got quantity.Bytes) {
		e := checks.Evidence{Source: source, Key: key, Got: got.String()}
		if got < n.bytes {
			v.Status = checks.Fail
			e.Want = fmt.Sprintf("at least %v (%s)", n.bytes, n.reason)
		}
		v.Evidence = append(v.Evidence, e)
	}
	look("/proc/meminfo", "MemTotal", quantity.Bytes(hw.Memory))
	for _, l := range hw.MemoryLimit {
		look(l.Source, "memory left to containers", quantity.Bytes(l.Amount))
	}
	switch {
	case v.Status == checks.Fail:
		v.Reason = "The host has less memory than the connector's instances need."
		return v, nil
	case err != nil:
		return checks.Verdict{Evidence: v.Evidence}, fmt.Errorf("cannot tell how much memory is needed: %w", err)
	}
	v.Evidence = append(v.Evidence, checks.Evidence{Source: "compose files", Key: "memory needed", Got: fmt.Sprintf("%v (%s)", n.bytes, n.reason)})
	return v, nil
}
