package unitstate

import "context"

// reload makes systemd read all unit files again.
func (a *Actor) reload(ctx context.Context) error {
	if !a.live() {
		return nil
	}
	sd, err := connect(ctx)
	if err != nil {
		return err
	}
	defer sd.close()
	return sd.reload(ctx)
}

// activate calls a method for a unit that runs, and waits for the end. Where
// systemd does not run there is nothing to activate.
func (a *Actor) activate(ctx context.Context, method, name string) error {
	if !a.live() {
		return nil
	}
	sd, err := connect(ctx)
	if err != nil {
		return err
	}
	defer sd.close()
	u, err := sd.settled(ctx, name)
	if err != nil || u.activity() == Down {
		return err
	}
	if u.needReload {
		if err := sd.reload(ctx); err != nil {
			return err
		}
	}
	if method != "ReloadUnit" {
		if err := sd.forgetStarts(ctx, name); err != nil {
			return err
		}
	}
	return sd.job(ctx, method, name, Up)
}

// Restart restarts a unit of this host that runs, and waits for the end.
func Restart(ctx context.Context, name string) error {
	return New("/").activate(ctx, "RestartUnit", name)
}
