package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/dockerconf"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/posixacl"
)

type accessParams struct {
	Group string `yaml:"group" doc:"The group that may use docker."`
}

// Validate wants a group.
func (p accessParams) Validate() error {
	if p.Group == "" {
		return errors.New("group is empty")
	}
	return nil
}

// owned is a file whose access is judged.
type owned struct {
	host.FileMode
	what  string
	most  uint32 // the most its mode may allow
	group bool   // the group that may use docker may have it, too; else root's only
}

func socketAccess(ctx context.Context, h *host.Host, p accessParams) (checks.Verdict, error) {
	l, a, err := layoutAndAccounts(ctx, h)
	if err != nil || l.Kind == "" {
		return checks.Inapplicable("Docker is not installed."), err
	}
	if l.Unread != nil {
		return checks.Verdict{}, fmt.Errorf("cannot tell which sockets docker has: %w", l.Unread)
	}
	daemon, err := h.DockerDaemon(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	var files []owned
	for _, s := range l.Sockets {
		most, what, group := uint32(0o660), "docker's socket", true
		if s.Name != "docker.sock" {
			what, group = "containerd's socket", false
		}
		m, err := h.TargetMode(s.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return checks.Verdict{}, err
		}
		files = append(files, owned{m, what, most, group})
	}
	return judgeSocketAccess(files, daemon, a, p)
}

func layoutAndAccounts(ctx context.Context, h *host.Host) (host.DockerLayout, *host.Accounts, error) {
	l, err := h.DockerLayout(ctx)
	if err != nil {
		return l, nil, err
	}
	if l.Kind == "rootless" {
		return l, nil, errors.New("cannot tell who may use docker: only a rootless one is here, which is its user's")
	}
	a, err := h.Accounts(ctx)
	return l, a, err
}

// judgeSocketAccess wants docker's sockets for root and one group: as they are,
// and as they are made at the next start.
func judgeSocketAccess(files []owned, daemon host.DockerDaemon, a *host.Accounts, p accessParams) (checks.Verdict, error) {
	bad, seen := judgeOwned(files, a, p.Group)
	setting := func(key string, fine func(string) bool, want string) {
		value, file, line := dockerconf.Setting(daemon.Socket, "Socket", key)
		switch e := (checks.Evidence{Source: file, Line: line, Key: key, Got: value}); {
		case line == 0:
		case fine(value):
			seen = append(seen, e)
		default:
			e.Want = want
			bad = append(bad, e)
		}
	}
	if len(daemon.Socket) > 0 {
		setting("SocketMode", func(v string) bool { n, err := strconv.ParseUint(v, 8, 32); return err == nil && n&^0o660 == 0 }, "0660 or less")
		setting("SocketUser", func(v string) bool { return v == "root" || v == "0" }, "root")
		setting("SocketGroup", func(v string) bool { return mayHave(a, v, p.Group) }, p.Group+" or root")
		// systemd's default lets everybody connect (systemd.socket(5)).
		if _, file, line := dockerconf.Setting(daemon.Socket, "Socket", "SocketMode"); line == 0 {
			bad = append(bad, checks.Evidence{Source: cmp.Or(file, daemon.Socket[0].Name), Key: "SocketMode", Want: "0660 or less", Got: "not set, which is 0666: everybody"})
		}
	}
	if o, ok := daemon.Configured["group"]; ok {
		e := checks.Evidence{Source: o.Source, Line: o.Line, Key: "group", Got: o.Last()}
		if !mayHave(a, o.Last(), p.Group) {
			e.Want = p.Group
			bad = append(bad, e)
		} else {
			seen = append(seen, e)
		}
	}
	if len(bad) > 0 {
		return checks.Failed("Others than root and the group "+p.Group+" can use docker's socket: whoever can is root on this host.", bad...), nil
	}
	if len(seen) == 0 {
		return checks.Inapplicable("Docker has no socket yet, and nothing says how it is made: docker makes it for root and its group."), nil
	}
	return checks.Passed(seen...), nil
}

// mayHave reports whether a socket's group, by name or number, is root's or the
// one that may use docker.
func mayHave(a *host.Accounts, group, docker string) bool {
	if group == "root" || group == "0" || group == docker {
		return true
	}
	g := a.Group(docker)
	return g != nil && group == strconv.FormatUint(uint64(g.GID), 10)
}

// judgeOwned wants files of root that nobody else has more of than allowed.
func judgeOwned(files []owned, a *host.Accounts, docker string) (bad, seen []checks.Evidence) {
	for _, f := range files {
		wrong := func(key, want, got string) {
			bad = append(bad, checks.Evidence{Source: f.Path, Key: f.what + ": " + key, Want: want, Got: got})
		}
		clean := len(bad)
		if f.UID != 0 {
			wrong("owner", "root", userName(a, f.UID))
		}
		perm := f.Perm & 0o777
		if f.ACL != nil { // then the group's bits are the mask
			perm = perm&^0o070 | uint32(f.ACL.Group())<<3
		}
		// A group has what others may have; root's, and the one that may use
		// docker, what the owner's class allows.
		group := groupName(a, f.GID)
		allowed, of := f.most&^0o070|f.most&0o007<<3, "root:root"
		if f.group {
			of = "root:" + docker
		}
		if f.GID == 0 || f.group && mayHave(a, group, docker) {
			allowed = f.most | f.most>>3&0o070
		}
		if perm&^allowed != 0 {
			wrong("mode", fmt.Sprintf("%04o %s, or less", f.most, of), fmt.Sprintf("%04o %s:%s", perm, userName(a, f.UID), group))
		}
		for _, e := range f.ACL.Named() {
			if e.Perm&^uint8(f.most&7) == 0 || e.ID == 0 {
				continue
			}
			who := "user " + userName(a, e.ID)
			if e.Tag == posixacl.Group {
				if who = "group " + groupName(a, e.ID); f.group && mayHave(a, groupName(a, e.ID), docker) {
					continue
				}
			}
			wrong("access list", "nobody else", who)
		}
		if len(bad) == clean {
			seen = append(seen, checks.Evidence{Source: f.Path, Key: f.what, Got: fmt.Sprintf("%04o %s:%s", perm, userName(a, f.UID), group)})
		}
	}
	return bad, seen
}

func userName(a *host.Accounts, uid uint32) string {
	if i := slices.IndexFunc(a.Users, func(u host.User) bool { return u.UID == uid }); i >= 0 {
		return a.Users[i].Name
	}
	return strconv.FormatUint(uint64(uid), 10)
}

func groupName(a *host.Accounts, gid uint32) string {
	if i := slices.IndexFunc(a.Groups, func(g host.Group) bool { return g.GID == gid }); i >= 0 {
		return a.Groups[i].Name
	}
	return strconv.FormatUint(uint64(gid), 10)
}

// maxConfigFiles bounds what is looked at below /etc/docker.
const maxConfigFiles = 1000

func fileAccess(ctx context.Context, h *host.Host) (checks.Verdict, error) {
	l, a, err := layoutAndAccounts(ctx, h)
	if err != nil || l.Kind == "" {
		return checks.Inapplicable("Docker is not installed."), err
	}
	daemon, err := h.DockerDaemon(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	w := fileWalk{h: h, seen: map[string]bool{}}
	for _, p := range slices.Concat(l.Config, l.UnitFiles) {
		w.add(p.Path, "configuration", 0o755)
		if p.Name == "docker" {
			w.below(ctx, p.Path)
		}
	}
	for _, p := range l.Binaries {
		w.add(p.Path, "program", 0o755)
	}
	if l.DataRoot.Path != "" {
		w.add(l.DataRoot.Path, "data root", 0o711)
	}
	for key, most := range map[string]uint32{"tlskey": 0o600, "tlscert": 0o644, "tlscacert": 0o644} {
		if o, ok := daemon.Configured[key]; ok && path.IsAbs(o.Last()) {
			delete(w.seen, path.Clean(o.Last()))
			w.files = slices.DeleteFunc(w.files, func(f owned) bool { return f.Path == path.Clean(o.Last()) })
			w.add(path.Clean(o.Last()), key, most)
		}
	}
	return judgeFileAccess(w.files, a, w.err)
}

// fileWalk collects files and the folders above them: whoever may write to one
// can put another file in a file's place.
type fileWalk struct {
	h     *host.Host
	seen  map[string]bool
	files []owned
	err   error
}

func (w *fileWalk) add(name, what string, most uint32) {
	for at := path.Clean(name); !w.seen[at]; at, what, most = path.Dir(at), "folder above it", 0o755 {
		w.seen[at] = true
		m, err := w.h.TargetMode(at)
		if errors.Is(err, fs.ErrNotExist) {
			if at == path.Clean(name) {
				return // what is above matters where it is made
			}
			continue
		}
		if err != nil {
			w.err = errors.Join(w.err, err)
			return
		}
		if m.IsDir() && m.Perm&0o1000 != 0 { // only who owns a file can replace it there
			most |= 0o022
		}
		if m.Type == 0o020000 { // a unit masked by a link to /dev/null
			return
		}
		w.files = append(w.files, owned{m, what, most, false})
		if at == "/" {
			return
		}
	}
}

func (w *fileWalk) below(ctx context.Context, dir string) {
	all, err := w.h.FilesBelow(ctx, dir, maxConfigFiles)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.err = errors.Join(w.err, err)
	}
	for _, m := range all {
		if m.IsLink() || w.seen[m.Path] {
			continue
		}
		w.seen[m.Path] = true
		most := uint32(0o755)
		if base := path.Base(m.Path); strings.HasSuffix(base, "key.pem") || strings.HasSuffix(base, ".key") || base == "key.json" {
			most = 0o600
		}
		w.files = append(w.files, owned{m, "configuration", most, false})
	}
}

// judgeFileAccess wants docker's configuration, programs and data to be root's
// to change, its keys root's to read, and its data no one's to list.
func judgeFileAccess(files []owned, a *host.Accounts, unseen error) (checks.Verdict, error) {
	bad, seen := judgeOwned(files, a, "")
	switch {
	case len(bad) > 0:
		return checks.Failed(fmt.Sprintf("Others than root can change what docker does, or read what only it may: %s.", bad[0].Source), few(bad)...), nil
	case unseen != nil:
		return checks.Verdict{Evidence: few(seen)}, fmt.Errorf("cannot look at all of docker's files: %w", unseen)
	case len(seen) == 0:
		return checks.Verdict{}, errors.New("cannot find any file of docker's")
	}
	return checks.Passed(few(seen)...), nil
}
