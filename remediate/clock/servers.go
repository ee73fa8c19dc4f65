package clock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/timeconf"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/filestate"
)

// Servers wants a time daemon to ask servers.
type Servers struct {
	Kind   string   // of the daemon: host.Chrony …
	Unit   string   // that runs it
	Config string   // the file that it reads first; empty: none
	Names  []string // NAME, NAME:PORT, ADDRESS or [ADDRESS]:PORT
}

// place is a drop-in that a daemon may read.
type place struct {
	path     string
	content  string
	read     func(timeconf.Files) ([]timeconf.Source, error) // what the daemon then has
	activate string                                          // what makes the running daemon read it
}

// Resolve writes the first drop-in that the daemon's configuration reads. It
// goes by what the daemon would read with it in place, so an Include that is
// missing, or a later line that resets the list, is seen before anything is
// written.
func (s Servers) Resolve(ctx context.Context, h *host.Host, d *remediate.Draft) error {
	servers, err := parse(s.Names)
	if err != nil {
		return err
	}
	places, why := s.places(servers)
	for _, p := range places {
		found, err := p.read(withFile{h, p.path, []byte(p.content)})
		if err != nil {
			return fmt.Errorf("cannot tell whether %s reads %s: %w", s.Kind, p.path, err)
		}
		if !hasAll(found, servers, p.path) {
			continue
		}
		return s.write(ctx, h, d, p, servers)
	}
	if why == "" {
		why = fmt.Sprintf("its configuration (%s) reads no folder of drop-ins in which hostguard could name servers", s.Config)
	}
	d.Person("%s: %s. Add there by hand: %s.", s.Kind, why, strings.Join(s.Names, ", "))
	return nil
}

// write folds the drop-in, and its folder where it is missing, into the draft.
func (s Servers) write(ctx context.Context, h *host.Host, d *remediate.Draft, p place, servers []host.TimeServer) error {
	if _, err := filestate.MakeFolder(ctx, d, path.Dir(p.path), filestate.New{Mode: 0o755}); err != nil {
		return err
	}
	_, err := filestate.Edit(ctx, d, p.path, filestate.New{Mode: 0o644}, func([]byte) ([]byte, error) { return []byte(p.content), nil })
	if err != nil {
		return err
	}
	if !d.Running() {
		return nil
	}
	if s.Kind == host.Chrony {
		d.Validate("chronyd's own reading of the servers", func(ctx context.Context) error { return chronydTakes(ctx, h, servers) })
	}
	live, err := h.Units(ctx, s.Unit)
	if err != nil {
		return err
	}
	if live[s.Unit].Active() {
		d.Activate(p.activate, s.Unit)
	}
	return nil
}

const header = "# Written by hostguard fix from ntp.servers in /etc/hostguard/hostguard.yaml.\n"

// places are the drop-ins that come into question, the best first; why says why
// there are none.
func (s Servers) places(servers []host.TimeServer) (places []place, why string) {
	if s.Kind != host.Chrony && slices.ContainsFunc(servers, hasPort) {
		return nil, "it asks servers at port 123 only"
	}
	var names []string
	for _, server := range servers {
		names = append(names, server.Name)
	}
	switch s.Kind {
	case host.Chrony:
		content := header
		for _, server := range servers {
			content += chronyLine(server) + "\n"
		}
		read := func(files timeconf.Files) ([]timeconf.Source, error) {
			if s.Config == "" {
				return nil, nil
			}
			return sources(timeconf.Chrony(files, s.Config))
		}
		return []place{
			{"/etc/chrony/sources.d/hostguard.sources", content, read, readSources},
			{"/etc/chrony/conf.d/hostguard.conf", content, read, "restart"},
			{"/etc/chrony.d/hostguard.conf", content, read, "restart"},
		}, ""
	case host.Timesyncd:
		content := header + "[Time]\nNTP=" + strings.Join(names, " ") + "\n"
		return []place{{"/etc/systemd/timesyncd.conf.d/hostguard.conf", content, func(files timeconf.Files) ([]timeconf.Source, error) {
			c, err := timeconf.Timesyncd(files)
			if err != nil {
				return nil, err
			}
			return c.NTP, nil
		}, "restart"}}, ""
	case host.NTPsec:
		content := header
		for _, name := range names {
			content += "server " + name + " iburst\n"
		}
		return []place{{"/etc/ntpsec/ntp.d/hostguard.conf", content, func(files timeconf.Files) ([]timeconf.Source, error) {
			if s.Config == "" {
				return nil, nil
			}
			return sources(timeconf.NTPD(files, s.Config, true))
		}, "restart"}}, ""
	}
	return nil, "it has no folder of drop-ins"
}

func sources(c *timeconf.Config, err error) ([]timeconf.Source, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(c.Problems) > 0 {
		return nil, nil
	}
	return c.Sources, nil
}

// hasAll reports whether every server is among the sources and stands in the file.
func hasAll(found []timeconf.Source, servers []host.TimeServer, file string) bool {
	for _, server := range servers {
		if !slices.ContainsFunc(found, func(s timeconf.Source) bool { return s.Name == server.Name && s.File == file }) {
			return false
		}
	}
	return true
}

func hasPort(s host.TimeServer) bool { return s.Port != 0 && s.Port != 123 }

func chronyLine(s host.TimeServer) string {
	line := "server " + s.Name
	if hasPort(s) {
		line += fmt.Sprintf(" port %d", s.Port)
	}
	return line + " iburst"
}

// parse reads the servers. Their names reach configuration files: what is not a
// name or an address is refused here again, whoever wrote it.
func parse(names []string) ([]host.TimeServer, error) {
	var servers []host.TimeServer
	for _, name := range names {
		server, err := host.ParseTimeServer(name)
		if err == nil && strings.ContainsFunc(server.Name, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._:%", r))
		}) {
			err = fmt.Errorf("%q is not the name of a time server", name)
		}
		if err != nil {
			return nil, err
		}
		servers = append(servers, server)
	}
	return servers, nil
}

// withFile is a host's files with one more, or another content of one.
type withFile struct {
	timeconf.Files
	name    string
	content []byte
}

func (w withFile) ReadFile(name string) ([]byte, error) {
	if name == w.name {
		return w.content, nil
	}
	return w.Files.ReadFile(name)
}

func (w withFile) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := w.Files.ReadDir(name)
	if name != path.Dir(w.name) {
		return entries, err
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	base := path.Base(w.name)
	if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == base }) {
		entries = append(slices.Clone(entries), newEntry(base))
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return entries, nil
}

func (w withFile) Glob(pattern string) ([]string, error) {
	names, err := w.Files.Glob(pattern)
	if err != nil {
		return nil, err
	}
	if ok, err := path.Match(pattern, w.name); err == nil && ok && !slices.Contains(names, w.name) {
		names = append(names, w.name)
		slices.Sort(names)
	}
	return names, nil
}

// newEntry is the entry of a regular file that is not there yet.
type newEntry string

func (e newEntry) Name() string               { return string(e) }
func (e newEntry) IsDir() bool                { return false }
func (e newEntry) Type() fs.FileMode          { return 0 }
func (e newEntry) Info() (fs.FileInfo, error) { return nil, fs.ErrNotExist }
