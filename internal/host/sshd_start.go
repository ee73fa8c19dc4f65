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

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/unitfile"
)

// sshdUnits are the units that start sshd, by distribution.
var sshdUnits = []string{"ssh.service", "sshd.service"}

// sshdAtStart is the daemon as its unit starts it, nil when sshd is not
// installed.
func (h *Host) sshdAtStart(ctx context.Context) (*SSHD, error) {
	command, from, unit, err := h.sshdCommand(ctx)
	if err != nil {
		return nil, err
	}
	d := &SSHD{Path: sshdProgram, ArgsFrom: "the defaults"}
	if len(command) > 0 {
		d.ArgsFrom, d.Unit = from, unit
		if err := h.startedBy(d, command); err != nil {
			return nil, err
		}
	}
	there, err := h.Exists(d.Path)
	if err != nil {
		return nil, fmt.Errorf("cannot tell whether sshd is installed: %w", err)
	}
	if !there {
		return nil, nil
	}
	return d, nil
}

// startedBy fills in the program and the options of a command, whose variables
// are those of its unit. An empty one would keep sshd from starting.
func (h *Host) startedBy(d *SSHD, command []string) error {
	env, err := h.unitEnvironment(d.Unit)
	if err != nil {
		return err
	}
	args := unitfile.Expand(command[1:], env)
	d.Path, d.Args = command[0], slices.DeleteFunc(args, func(w string) bool { return w == "" })
	return nil
}

// sshdCommand is the command line of the unit that starts sshd: what the
// service manager has, else what the unit files say.
func (h *Host) sshdCommand(ctx context.Context) (words []string, from, unit string, err error) {
	if h.Running() && h.systemdAnswers(ctx) == nil {
		units, err := h.loadedUnits(ctx, sshdUnits...)
		if err != nil {
			return nil, "", "", err
		}
		for _, name := range sshdUnits {
			u := units[name]
			if u.Service != nil && len(u.Service.ExecStart) > 0 && path.Base(u.Service.ExecStart[0].Path) == "sshd" {
				c := u.Service.ExecStart[0]
				from := u.FragmentPath
				if written, line, err := h.execStart(from, name); err == nil && len(written) == len(c.Args) && slices.Equal(written[1:], c.Args[1:]) {
					from = line // which may be a drop-in's
				}
				return append([]string{c.Path}, c.Args[min(1, len(c.Args)):]...), from, u.ID, nil
			}
		}
		return nil, "", "", nil
	}
	for _, name := range sshdUnits {
		file, err := h.unitFile(name)
		if err != nil {
			return nil, "", "", fmt.Errorf("cannot tell how sshd is started: %w", err)
		}
		if file == "" {
			continue
		}
		words, from, err := h.execStart(file, name)
		if err != nil || len(words) > 0 {
			return words, from, name, err
		}
	}
	return nil, "", "", nil
}

// sshdSockets start one sshd for each connection where they say Accept=yes, by
// the template of the same name, as Debian 11's does, see systemd.socket(5).
var sshdSockets = map[string]string{"ssh.socket": "ssh@.service", "sshd.socket": "sshd@.service"}

// sshdPerConnection are the sshds that sockets start, now or after the next
// boot. No process of theirs listens, and their unit is not the daemon's.
func (h *Host) sshdPerConnection(ctx context.Context) ([]*SSHD, error) {
	var found []*SSHD
	for _, socket := range slices.Sorted(maps.Keys(sshdSockets)) {
		accepts, err := h.acceptsAlone(ctx, socket)
		if err != nil {
			return nil, err
		}
		template := sshdSockets[socket]
		if !accepts {
			continue
		}
		file, err := h.unitFile(template)
		if err != nil || file == "" {
			return nil, fmt.Errorf("cannot tell how %s starts sshd: %w", socket, cmp.Or(err, fs.ErrNotExist))
		}
		words, from, err := h.execStart(file, template)
		if err != nil {
			return nil, err
		}
		if len(words) == 0 {
			return nil, fmt.Errorf("cannot tell how %s starts sshd: %s starts something else", socket, template)
		}
		d := &SSHD{ArgsFrom: from, Unit: template}
		if err := h.startedBy(d, words); err != nil {
			return nil, err
		}
		d.Args = slices.DeleteFunc(d.Args, func(a string) bool { return a == "-i" })
		found = append(found, d)
	}
	return found, nil
}

// acceptsAlone reports whether a socket unit listens, or will after the next
// boot, and starts a service for each connection.
func (h *Host) acceptsAlone(ctx context.Context, socket string) (bool, error) {
	file, err := h.unitFile(socket)
	if err != nil {
		return false, fmt.Errorf("cannot tell how sshd is started: %w", err)
	}
	if file == "" {
		return false, nil
	}
	accept := false
	err = h.eachEntry(file, socket, func(e unitfile.Entry, _ string) {
		if e.Section == "Socket" && e.Key == "Accept" {
			accept = isTrue(e.Value)
		}
	})
	if err != nil || !accept {
		return false, err
	}
	if h.Running() && h.systemdAnswers(ctx) == nil {
		units, err := h.UnitsAndBoot(ctx, socket)
		if err != nil {
			return false, err
		}
		return units[socket].Active() || units[socket].Boot != "", nil
	}
	files, err := h.UnitFiles(ctx)
	return err != nil || files.AtBoot()[socket] != "", nil // an image that does not boot may be of one that does
}

// sshdOfOtherUnits are the sshds that units of any other name start with the
// next boot, and those that sockets of any other name start now. Of a tree that
// does not boot none are looked for.
func (h *Host) sshdOfOtherUnits(ctx context.Context) ([]*SSHD, error) {
	runs := h.Running() && h.systemdAnswers(ctx) == nil
	tree, err := h.UnitFiles(ctx)
	if err != nil {
		if runs {
			return nil, fmt.Errorf("cannot tell which units start sshd: %w", err)
		}
		return nil, nil
	}
	names := slices.Collect(maps.Keys(tree.AtBoot()))
	if runs {
		units, err := h.AllUnits(ctx)
		if err != nil {
			return nil, fmt.Errorf("cannot tell which units start sshd: %w", err)
		}
		for _, u := range units {
			if strings.HasSuffix(u.Name, ".socket") && u.Active() && !slices.Contains(names, u.Name) {
				names = append(names, u.Name)
			}
		}
	}
	slices.Sort(names)
	var found []*SSHD
	for _, name := range names {
		if _, known := sshdSockets[name]; known {
			continue
		}
		service := name
		if stem, ok := strings.CutSuffix(name, ".socket"); ok {
			entries, err := tree.Entries(name)
			if err != nil {
				continue // systemd cannot read it either
			}
			service = stem + ".service"
			for _, e := range entries {
				switch {
				case e.Section != "Socket":
				case e.Key == "Accept" && isTrue(e.Value):
					service = stem + "@.service"
				case e.Key == "Service" && e.Value != "":
					service = e.Value
				}
			}
		}
		if !strings.HasSuffix(service, ".service") || slices.Contains(sshdUnits, service) ||
			slices.ContainsFunc(found, func(d *SSHD) bool { return d.Unit == service }) {
			continue
		}
		d, err := h.sshdOf(tree, service)
		if err != nil {
			return nil, fmt.Errorf("cannot tell how %s starts sshd: %w", service, err)
		}
		if d != nil {
			found = append(found, d)
		}
	}
	return found, nil
}

// sshdOf is the sshd that a service starts, nil where it starts something else.
func (h *Host) sshdOf(tree *unitfile.Tree, service string) (*SSHD, error) {
	entries, err := tree.Entries(service)
	if err != nil {
		return nil, nil // systemd cannot read it either
	}
	command := ""
	for _, e := range entries {
		if e.Section == "Service" && e.Key == "ExecStart" && (e.Value == "" || command == "") {
			command = e.Value
		}
	}
	if !strings.Contains(command, "sshd") {
		return nil, nil
	}
	words, err := unitfile.Command(command)
	if err != nil || len(words) == 0 || path.Base(words[0]) != "sshd" {
		return nil, err
	}
	d := &SSHD{ArgsFrom: service, Unit: service}
	if err := h.startedBy(d, words); err != nil {
		return nil, err
	}
	d.Args = slices.DeleteFunc(d.Args, func(a string) bool { return a == "-i" })
	return d, nil
}

// unitFile is the file of a unit that wins, empty when there is none or it is
// masked. (The tree of all unit files is not read for this: an image need not
// boot.)
func (h *Host) unitFile(name string) (string, error) {
	for _, dir := range unitDirs {
		real, err := h.Resolve(dir + "/" + name)
		switch {
		case errors.Is(err, fs.ErrNotExist) && h.isMask(dir+"/"+name):
			return "", nil
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR):
			continue
		case err != nil:
			return "", err
		case real == "/dev/null":
			return "", nil
		}
		return dir + "/" + name, nil
	}
	return "", nil
}

// execStart reads ExecStart= of a unit file and its drop-ins; none where it
// starts something else.
func (h *Host) execStart(file, unit string) (words []string, from string, err error) {
	command := ""
	err = h.eachEntry(file, unit, func(e unitfile.Entry, name string) {
		if e.Section == "Service" && e.Key == "ExecStart" {
			command, from = e.Value, fmt.Sprintf("%s:%d", name, e.Line)
		}
	})
	if err != nil || command == "" {
		return nil, "", err
	}
	words, err = unitfile.Command(command)
	switch {
	case err != nil && strings.Contains(command, "sshd"):
		return nil, "", fmt.Errorf("cannot tell how sshd is started: %s: %w", from, err)
	case err != nil || len(words) == 0 || path.Base(words[0]) != "sshd":
		return nil, "", nil
	}
	return words, from, nil
}

// dropInDirs are the folders of drop-ins, the first wins: those of unit files
// and what generators and the service manager itself make.
var dropInDirs = slices.Concat(
	[]string{"/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient", "/run/systemd/generator.early"},
	unitDirs[:1], []string{"/run/systemd/system", "/run/systemd/generator"}, unitDirs[2:], []string{"/run/systemd/generator.late"},
)

// eachEntry hands out what a unit file and its drop-ins say, in the order in
// which they apply.
func (h *Host) eachEntry(file, unit string, hand func(e unitfile.Entry, file string)) error {
	files := []string{file}
	dropIns := map[string]string{} // by name: one in a folder of higher precedence hides the others
	_, kind, _ := strings.Cut(unit, ".")
	for _, sub := range []string{kind + ".d", unit + ".d"} { // what is for all units of its kind comes below
		for _, dir := range slices.Backward(dropInDirs) {
			more, err := h.Glob(dir + "/" + literally(sub) + "/*.conf")
			if err != nil {
				return fmt.Errorf("cannot tell how sshd is started: %w", err)
			}
			for _, name := range more {
				dropIns[path.Base(name)] = name
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(dropIns)) {
		files = append(files, dropIns[name])
	}
	for _, name := range files {
		data, _, err := h.readUnit(name) // one that is masked says nothing
		if err != nil {
			return fmt.Errorf("cannot tell how sshd is started: %w", err)
		}
		for _, e := range unitfile.Parse(data) {
			hand(e, name)
		}
	}
	return nil
}

// unitEnvironment is what Environment= and EnvironmentFile= of a unit set; files
// win over what stands in the unit, see systemd.exec(5).
func (h *Host) unitEnvironment(unit string) (map[string]string, error) {
	env := map[string]string{}
	file, err := h.unitFile(unit)
	if err != nil || file == "" {
		return env, err
	}
	var files []string
	err = h.eachEntry(file, unit, func(e unitfile.Entry, _ string) {
		switch {
		case e.Section != "Service":
		case e.Key == "Environment":
			unitfile.Assignments(e.Value, env)
		case e.Key == "EnvironmentFile" && e.Value == "":
			files = nil
		case e.Key == "EnvironmentFile":
			if name := strings.TrimPrefix(e.Value, "-"); path.IsAbs(name) { // else systemd ignores the line
				files = append(files, name)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for _, pattern := range files {
		names, err := h.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("cannot tell how sshd is started: %w", err)
		}
		for _, name := range names {
			data, err := h.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("cannot tell how sshd is started: %w", err)
			}
			unitfile.EnvironmentFile(data, env)
		}
	}
	return env, nil
}
