package host

import (
	"context"
	"debug/buildinfo"
	"errors"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Where the docker command looks for its compose plugin, the first wins, and
// where a compose of its own lies. Plugins in the home of a user are his own.
var composePlugins = []string{
	"/usr/local/lib/docker/cli-plugins/docker-compose",
	"/usr/local/libexec/docker/cli-plugins/docker-compose",
	"/usr/lib/docker/cli-plugins/docker-compose",
	"/usr/libexec/docker/cli-plugins/docker-compose",
}

// ComposeProgram is a docker compose that is installed for everybody.
type ComposeProgram struct {
	Path   string
	Plugin bool // called as "docker compose"; else as "docker-compose"
	// Module is the Go package that the program was built from, read from the
	// file: "github.com/docker/compose/v2/cmd". Empty: it is no Go program,
	// which compose is since version 2.
	Module   string
	Version  string // of the module; empty or "(devel)" when the build left it out
	Writable string // why others than root can replace it; empty: they cannot
}

// V2 reports whether the program is compose version 2 or later: version 1 was
// no Go program. Debian's build leaves the major version out of the package.
func (p ComposeProgram) V2() bool { return strings.HasPrefix(p.Module, "github.com/docker/compose/") }

// ComposePrograms returns the docker composes that are installed for
// everybody, plugins first. Nothing is executed.
func (h *Host) ComposePrograms(ctx context.Context) ([]ComposeProgram, error) {
	standalone, err := h.findPrograms([]string{"docker-compose"})
	if err != nil {
		return nil, err
	}
	var programs []ComposeProgram
	for _, name := range composePlugins {
		real, err := h.Resolve(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		programs = append(programs, ComposeProgram{Path: real, Plugin: true})
	}
	for _, p := range standalone {
		programs = append(programs, ComposeProgram{Path: p.Path})
	}
	for i := range programs {
		if err := h.describeProgram(&programs[i]); err != nil {
			return nil, err
		}
	}
	return programs, nil
}

// describeProgram fills in what the program's file tells.
func (h *Host) describeProgram(p *ComposeProgram) error {
	f, err := h.open(p.Path, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return pathError("stat", p.Path, err)
	}
	if !info.Mode().IsRegular() {
		return pathError("read", p.Path, ErrNotRegular)
	}
	stat := info.Sys().(*syscall.Stat_t)
	switch {
	case stat.Uid != 0:
		p.Writable = "it does not belong to root"
	case info.Mode().Perm()&0o022 != 0:
		p.Writable = "its mode lets group or others write: " + info.Mode().Perm().String()
	}
	if info.Mode().Perm()&0o111 == 0 {
		return nil // no program: Module stays empty
	}
	if build, err := buildinfo.Read(f); err == nil {
		p.Module, p.Version = build.Path, build.Main.Version
	}
	return nil
}

// DockerCommand returns where the docker command lies; empty: nowhere.
func (l DockerLayout) DockerCommand() string {
	for _, p := range l.Binaries {
		if p.Name == "docker" && path.IsAbs(p.Path) {
			return p.Path
		}
	}
	return ""
}
