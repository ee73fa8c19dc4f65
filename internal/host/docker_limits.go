package host

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"github.com/containerd/errdefs"
)

// ContainerLimits is what docker grants one container at most, as it was made:
// compose files may have changed since, and docker drops limits that the kernel
// cannot keep.
type ContainerLimits struct {
	CPUs      float64 // processors; 0: no limit
	Memory    int64   // bytes; 0: no limit
	LogDriver string
	LogOpts   map[string]string // with the daemon's own laid under
}

// ContainerLimits asks docker for the limits of containers, by their ids. One
// that is gone by now is left out.
func (h *Host) ContainerLimits(ctx context.Context, ids ...string) (map[string]ContainerLimits, error) {
	return askDocker(ctx, h, func(api dockerAPI, ctx context.Context) (map[string]ContainerLimits, error) {
		return api.limits(ctx, ids)
	})
}

func (d dockerAPI) limits(ctx context.Context, ids []string) (map[string]ContainerLimits, error) {
	ctx, cancel := withDockerTimeout(ctx)
	defer cancel()
	found := make(map[string]ContainerLimits, len(ids))
	var failed error
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, dockerWorkers)
	for _, id := range ids {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			l, err := d.limitsOf(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				found[id] = l
			case !errdefs.IsNotFound(err):
				failed = cmp.Or(failed, err)
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return nil, dockerError(d.socket, failed)
	}
	return found, nil
}

func (d dockerAPI) limitsOf(ctx context.Context, id string) (ContainerLimits, error) {
	c, err := d.ContainerInspect(ctx, id)
	if err != nil {
		return ContainerLimits{}, err
	}
	if c.ContainerJSONBase == nil || c.HostConfig == nil {
		return ContainerLimits{}, errors.New("it says nothing about the limits of a container")
	}
	r := c.HostConfig.Resources
	l := ContainerLimits{
		CPUs:      float64(r.NanoCPUs) / 1e9,
		Memory:    r.Memory,
		LogDriver: c.HostConfig.LogConfig.Type,
		LogOpts:   c.HostConfig.LogConfig.Config,
	}
	if r.CPUQuota > 0 { // the older way to say the same; the period is 100 ms unless told otherwise
		l.CPUs = float64(r.CPUQuota) / float64(cmp.Or(r.CPUPeriod, 100_000))
	}
	return l, nil
}
