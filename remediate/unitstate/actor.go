package unitstate

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/unitfile"
)

// Actor observes and moves the units of one host.
type Actor struct{ root string }

// New returns the actor of the running host ("/" or "") or of a file tree, in
// which only links can be moved.
func New(root string) *Actor {
	if root == "" {
		root = "/"
	}
	return &Actor{root}
}

// live reports whether there is a systemd that can be asked.
func (a *Actor) live() bool { return a.root == "/" && runs() }

// Observe returns the state of the units that a target names, freshly read.
func (a *Actor) Observe(ctx context.Context, target string) (State, error) {
	var sd *systemd
	if a.live() {
		var err error
		if sd, err = connect(ctx); err != nil {
			return State{}, err
		}
		defer sd.close()
	}
	return a.observe(ctx, sd, target)
}

func (a *Actor) observe(ctx context.Context, sd *systemd, target string) (State, error) {
	tree, err := unitfile.Open(host.New(host.Options{Root: a.root}))
	if err != nil {
		return State{}, fmt.Errorf("cannot read unit files: %w", err)
	}
	var s State
	for _, name := range namesIn(target) {
		u := Unit{Name: name}
		if err := a.observeLinks(tree, &u); err != nil {
			return State{}, fmt.Errorf("cannot find the links of %s: %w", name, err)
		}
		if sd != nil {
			is, err := sd.look(ctx, name)
			if err != nil {
				return State{}, err
			}
			u.Activity = is.activity()
		}
		s.Units = append(s.Units, u)
	}
	return s, nil
}

// Preflight refuses a move that could not be made: nothing is changed.
func (a *Actor) Preflight(ctx context.Context, from, to State) error {
	for _, after := range to.Units {
		before, _ := from.unit(after.Name)
		for _, name := range paths(before, after) {
			if before.link(name) == after.link(name) {
				continue
			}
			if err := a.writable(path.Dir(name)); err != nil {
				return fmt.Errorf("cannot change %s: %w", name, err)
			}
		}
	}
	if !a.live() {
		return nil
	}
	sd, err := connect(ctx)
	if err != nil {
		return err
	}
	sd.close()
	return nil
}

// writable says why no link can be made in, or taken from, a folder; one that
// does not exist yet is judged by its parent.
func (a *Actor) writable(dir string) error {
	fd, err := a.openFolder(dir)
	if errors.Is(err, unix.ENOENT) && dir != "/" {
		return a.writable(path.Dir(dir))
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	var fs unix.Statfs_t
	if err := errors.Join(unix.Fstat(fd, &stat), unix.Fstatfs(fd, &fs)); err != nil {
		return fmt.Errorf("cannot look at the folder %s: %w", dir, err)
	}
	const immutable, appendOnly = 0x10, 0x20 // FS_IMMUTABLE_FL, FS_APPEND_FL of ioctl_iflags(2)
	flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	switch {
	case fs.Flags&unix.ST_RDONLY != 0:
		return fmt.Errorf("the file system of %s is read-only", dir)
	case err == nil && flags&(immutable|appendOnly) != 0:
		return fmt.Errorf("the folder %s is immutable or append-only (chattr)", dir)
	case stat.Uid != 0 || stat.Mode&0o022 != 0 && stat.Mode&unix.S_ISVTX == 0:
		return fmt.Errorf("the folder %s can be changed by others than root", dir)
	}
	return nil
}

// Move brings units from one state to another: links first, then systemd reads
// them, then what must not run is stopped and what must run is started. Each
// link may be as in either state, and so may each unit, so that a move that was
// cut short can be repeated or taken back; anything else is a conflict. A unit
// whose activity is the same in both states is left alone.
func (a *Actor) Move(ctx context.Context, target string, from, to State) error {
	var sd *systemd
	if a.live() {
		var err error
		if sd, err = connect(ctx); err != nil {
			return err
		}
		defer sd.close()
	}
	now, err := a.observe(ctx, sd, target)
	if err != nil {
		return err
	}
	if err := between(from, to, now); err != nil {
		return err
	}
	if sd != nil {
		if err := startable(ctx, sd, from, to); err != nil {
			return err
		}
	}
	linked := false
	for _, after := range to.Units {
		before, _ := from.unit(after.Name)
		changed, err := a.moveLinks(before, after)
		linked = linked || changed
		if err != nil {
			return fmt.Errorf("cannot change what enables %s: %w", after.Name, err)
		}
	}
	if sd == nil {
		return nil
	}
	if err := a.refresh(ctx, sd, to, linked); err != nil {
		return err
	}
	return a.moveActivity(ctx, sd, from, to)
}

// between refuses links that are in neither state.
func between(from, to, now State) error {
	for _, u := range now.Units {
		before, known := from.unit(u.Name)
		after, alsoKnown := to.unit(u.Name)
		if !known || !alsoKnown {
			return conflict(u.Name, "it was not planned for")
		}
		for _, l := range u.Links {
			if l.Text != before.link(l.Path).Text && l.Text != after.link(l.Path).Text {
				return conflict(u.Name, "somebody else has made or changed the link %s -> %s", l.Path, l.Text)
			}
		}
	}
	return nil
}

// differs reports whether a unit's activity is to change.
func differs(from State, after Unit) bool {
	before, _ := from.unit(after.Name)
	return !before.Activity.equal(after.Activity) || before.Activity == Maybe && after.Activity == Down
}

// startable refuses, before anything is changed, what cannot be started: its
// unit file has gone or was masked meanwhile.
func startable(ctx context.Context, sd *systemd, from, to State) error {
	for _, u := range to.Units {
		if !differs(from, u) || u.Activity != Up {
			continue
		}
		is, err := sd.look(ctx, u.Name)
		if err != nil {
			return err
		}
		if is.loadState == "masked" || is.loadState == "not-found" && !is.needReload {
			return conflict(u.Name, "it cannot be started: systemd says that its unit file is %s", is.loadState)
		}
	}
	return nil
}

// Back takes a move back that was cut short, failed or is undone. A unit that
// ran and cannot be started any more is a conflict: its links are back, and why
// it does not start a person must find out.
func (a *Actor) Back(ctx context.Context, target string, from, to State) error {
	err := a.Move(ctx, target, to, from)
	var job *jobError
	if errors.As(err, &job) {
		return conflict(job.unit, "what enables it is as before, but %v", err)
	}
	return err
}

// refresh makes systemd read what has changed: links, or the file of a unit
// that is to be started.
func (a *Actor) refresh(ctx context.Context, sd *systemd, to State, linked bool) error {
	for _, u := range to.Units {
		if linked {
			break
		}
		is, err := sd.look(ctx, u.Name)
		if err != nil {
			return err
		}
		linked = is.needReload && u.Activity == Up
	}
	if !linked {
		return nil
	}
	return sd.reload(ctx)
}

// moveActivity stops and starts. What activates others is stopped first, or it
// would start them again; and is started first, because a socket cannot listen
// for a service that already runs. So a service that runs while its socket must
// be started is stopped for a moment.
func (a *Actor) moveActivity(ctx context.Context, sd *systemd, from, to State) error {
	moves := func(u Unit) bool { return differs(from, u) }
	now := map[string]unit{}
	for _, u := range to.Units {
		is, err := sd.look(ctx, u.Name)
		if err != nil {
			return err
		}
		now[u.Name] = is
	}
	var stop, start []string
	for _, u := range to.Units {
		if moves(u) && u.Activity == Down && now[u.Name].activity() == Up {
			stop = append(stop, u.Name)
		}
		if moves(u) && u.Activity == Up && now[u.Name].activity() == Down {
			start = append(start, u.Name)
		}
	}
	for _, u := range to.Units {
		inTheWay := slices.ContainsFunc(start, func(name string) bool {
			return strings.HasSuffix(name, ".socket") && slices.Contains(now[name].triggers, u.Name)
		})
		if moves(u) && inTheWay && u.Activity == Up && now[u.Name].activity() == Up {
			stop, start = append(stop, u.Name), append(start, u.Name)
		}
	}
	for _, name := range stop {
		if err := sd.stop(ctx, name); err != nil {
			return err
		}
	}
	for _, name := range start {
		if err := sd.start(ctx, name); err != nil {
			return err
		}
	}
	return a.verifyActivity(ctx, sd, from, to)
}

// verifyActivity looks again at the whole: a unit may have been started by
// another after its turn.
func (a *Actor) verifyActivity(ctx context.Context, sd *systemd, from, to State) error {
	for _, u := range to.Units {
		if !differs(from, u) {
			continue
		}
		is, err := sd.settled(ctx, u.Name)
		if err != nil {
			return err
		}
		if is.activity() == u.Activity {
			continue
		}
		if u.Activity == Down {
			return &jobError{"stop", u.Name, fmt.Errorf("something has started it again: %w", is.why())}
		}
		return &jobError{"start", u.Name, is.why()}
	}
	return nil
}

func isService(name string) bool { return strings.HasSuffix(name, ".service") }
