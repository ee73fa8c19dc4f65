package logs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/posixacl"
	"github.com/hostguard/hostguard/internal/rotatedlogs"
)

type copiesParams struct {
	Reader string `yaml:"reader" doc:"The account that reads the copies."`
	Group  string `yaml:"group" doc:"The group that the copies belong to; empty: the reader's primary group."`
	Dir    string `yaml:"dir" doc:"The folder with the copies."`
}

// Validate wants an absolute path.
func (p copiesParams) Validate() error { return validDir(p.Dir) }

func validDir(dir string) error {
	if !path.IsAbs(dir) || path.Clean(dir) == "/" {
		return fmt.Errorf("dir: %q is not the absolute path of a folder", dir)
	}
	return nil
}

const (
	maxCopies   = 100_000
	maxEvidence = 50
)

// CopiesRepair is what would make the folder and its copies as they should be.
type CopiesRepair struct {
	Dir    string
	GID    uint32 // of the group of the copies
	Make   bool   // the folder is missing
	Modes  []CopyMode
	More   int      // copies at fault beyond those
	Person []string // what only a person can mend; then nothing else is to be changed
}

// CopyMode is the mode that the folder or a copy should have.
type CopyMode struct {
	Path string
	Mode uint32
}

// copiesFacts is what was seen of the folder with the copies.
type copiesFacts struct {
	above []host.FileMode // the folders from / on
	dir   host.FileMode
	files []host.FileMode // below it
}

func copies(ctx context.Context, h *host.Host, p copiesParams) (checks.Verdict, error) {
	if p.Reader == "" {
		return unnamed(), nil
	}
	a, err := h.Accounts(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	u := a.User(p.Reader)
	if u == nil {
		return checks.Verdict{}, fmt.Errorf("cannot tell what %s can read: it is not in /etc/passwd", p.Reader)
	}
	group := logGroup(a, p.Reader, p.Group)
	if group == nil {
		return checks.Verdict{}, fmt.Errorf("cannot tell which group may read the copies: %q is none", p.Group)
	}
	var f copiesFacts
	p.Dir = path.Clean(p.Dir)
	for at := path.Dir(p.Dir); ; at = path.Dir(at) {
		m, err := h.FileMode(at)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return checks.Verdict{}, err
		}
		if err == nil {
			f.above = append(f.above, m)
		}
		if at == "/" {
			break
		}
	}
	if f.dir, err = h.FileMode(p.Dir); errors.Is(err, fs.ErrNotExist) {
		v := checks.Failed(fmt.Sprintf("%s, the folder for copies of the connector's logs, does not exist.", p.Dir),
			checks.Evidence{Source: p.Dir, Key: "folder", Want: "a folder", Got: "absent"})
		v.Repair = CopiesRepair{Dir: p.Dir, GID: group.GID, Make: true}
		return v, nil
	} else if err != nil {
		return checks.Verdict{}, err
	}
	var unseen error
	if f.dir.IsDir() {
		f.files, unseen = h.FilesBelow(ctx, p.Dir, maxCopies)
	}
	v := judgeCopies(f, newPerson(a, u), group)
	if v.Status != checks.Fail && unseen != nil {
		return checks.Verdict{Evidence: v.Evidence}, fmt.Errorf("cannot look at all copies: %w", unseen)
	}
	return v, nil
}

// judgeCopies wants the reader to read, and nobody but root to write.
func judgeCopies(f copiesFacts, who person, group *host.Group) checks.Verdict {
	j := copiesJudge{who: who, repair: CopiesRepair{Dir: f.dir.Path, GID: group.GID}}
	if path.Dir(f.dir.Path) == "/" {
		j.person("%s is a folder of the system: name one below it for copies (logs.dir)", f.dir.Path)
	}
	for _, m := range f.above {
		switch {
		case m.IsLink():
			j.person("%s is a link: name the folder that it leads to (logs.dir)", m.Path)
			j.fault(m, "no link", "a link", "%s is a link, and hostguard copies logs over none", m.Path)
		case m.UID != 0 || writers(m) != 0:
			j.person("chown root %s && chmod go-w %s, or name another folder for copies (logs.dir)", m.Path, m.Path)
			j.fault(m, "root's, writable by nobody else", describe(m), "others than root can put another folder in the place of the copies, in %s", m.Path)
		case who.may(m)&execute == 0:
			j.person("chmod o+x %s, or name another folder for copies (logs.dir)", m.Path)
			j.fault(m, "a folder that "+who.name+" gets through", describe(m), "%s does not get through %s", who.name, m.Path)
		}
	}
	if m := f.dir; !m.IsDir() {
		j.person("%s is no folder: name one for copies (logs.dir)", m.Path)
		j.fault(m, "a folder", "no folder", "%s is no folder", m.Path)
	} else {
		j.thing(m, group, read|execute, 0o750, 0o750)
	}
	for _, m := range f.files {
		switch {
		case m.IsDir(), m.IsLink():
			j.person("Move %s away: it is no copy", m.Path)
			j.fault(m, "copies of logs only", kind(m), "%s lies among the copies and is none", m.Path)
		case path.Base(m.Path)[0] == '.':
			j.private(m)
		default:
			j.thing(m, group, read, 0o640, 0o440)
		}
	}
	if j.faults > 0 {
		reason := j.first
		if j.faults > 1 {
			reason = fmt.Sprintf("%s, and %d more faults", reason, j.faults-1)
		}
		if len(j.repair.Person) > 0 {
			j.repair.Modes = nil
		}
		v := checks.Failed(reason+".", j.bad...)
		v.Repair = j.repair
		return v
	}
	return checks.Passed(checks.Evidence{Source: f.dir.Path, Key: "mode", Got: fmt.Sprintf("%s, %d copies that %s can read and nobody but root can write", describe(f.dir), len(f.files), who.name)})
}

type copiesJudge struct {
	who    person
	bad    []checks.Evidence
	first  string
	faults int
	repair CopiesRepair
}

// maxRepairs is how many copies are mended at once.
const maxRepairs = 500

func (j *copiesJudge) person(format string, args ...any) {
	if len(j.repair.Person) < maxEvidence {
		j.repair.Person = append(j.repair.Person, fmt.Sprintf(format, args...)+".")
	}
}

func (j *copiesJudge) fault(m host.FileMode, want, got, format string, args ...any) {
	if j.faults == 0 {
		j.first = fmt.Sprintf(format, args...)
	}
	if j.faults++; j.faults <= maxEvidence {
		j.bad = append(j.bad, checks.Evidence{Source: m.Path, Key: "mode", Want: want, Got: got})
	}
}

// thing judges the folder or a copy, by the most that its mode may be.
func (j *copiesJudge) thing(m host.FileMode, group *host.Group, needs uint8, most, usual uint32) {
	before := j.faults
	j.rights(m, group, needs, most)
	_, dated := rotatedlogs.Day(path.Base(m.Path))
	switch {
	case j.faults == before:
	case !dated && !m.IsDir(): // what it is nobody knows: it may be in use elsewhere
		j.person("Move %s away: it is no copy of a rotated log", m.Path)
	case len(j.repair.Modes) == maxRepairs:
		j.repair.More++
	default:
		j.repair.Modes = append(j.repair.Modes, CopyMode{m.Path, usual})
	}
}

func (j *copiesJudge) rights(m host.FileMode, group *host.Group, needs uint8, most uint32) {
	want := fmt.Sprintf("%04o or less, root:%s", most, group.Name)
	switch {
	case m.UID != 0:
		j.fault(m, want, describe(m), "%s does not belong to root", m.Path)
	case writers(m) != 0:
		j.fault(m, want, describe(m), "others than root can write %s", m.Path)
	case j.who.may(m)&needs != needs:
		j.fault(m, want, describe(m), "%s cannot read %s", j.who.name, m.Path)
	case m.Perm&0o7 != 0:
		j.fault(m, want, describe(m), "everybody can read %s", m.Path)
	case m.GID != group.GID && m.Perm&0o070 != 0 && m.GID != 0:
		j.fault(m, want, describe(m), "another group can read %s", m.Path)
	case len(m.ACL.Named()) > 0 || len(m.Default.Named()) > 0:
		j.fault(m, want, describe(m)+", with an access list", "%s has an access list that lets in others", m.Path)
	}
}

// private judges what a run that was cut off left: nobody's to read or write.
func (j *copiesJudge) private(m host.FileMode) {
	if m.UID != 0 || writers(m) != 0 || m.Perm&0o7 != 0 {
		j.fault(m, "root's alone", describe(m), "others than root can read or write %s", m.Path)
	}
}

// writers are the bits by which others than the owner may write. With an access
// list the group's bits are its mask, the most that any entry gives.
func writers(m host.FileMode) uint32 { return m.Perm & 0o022 }

func describe(m host.FileMode) string {
	return fmt.Sprintf("%04o, uid %d, gid %d", m.Perm, m.UID, m.GID)
}

func kind(m host.FileMode) string {
	if m.IsDir() {
		return "a folder"
	}
	return "a link"
}

const (
	execute = 1
	write   = 2
	read    = 4
)

// person is an account with the numbers that the kernel knows it by.
type person struct {
	name   string
	uid    uint32
	groups map[uint32]bool
}

func newPerson(a *host.Accounts, u *host.User) person {
	p := person{u.Name, u.UID, map[uint32]bool{u.GID: true}}
	for _, name := range a.GroupsOf(u.Name) {
		p.groups[a.Group(name).GID] = true
	}
	return p
}

// may is what the kernel lets a person do with a file, see acl(5).
func (p person) may(m host.FileMode) uint8 {
	if p.uid == 0 {
		return read | write | execute
	}
	if p.uid == m.UID {
		return uint8(m.Perm >> 6 & 7)
	}
	mask := uint8(m.Perm >> 3 & 7) // with an access list
	var byGroup uint8
	inGroup := false
	for _, e := range m.ACL {
		switch {
		case e.Tag == posixacl.User && e.ID == p.uid:
			return e.Perm & mask
		case e.Tag == posixacl.GroupObj && p.groups[m.GID], e.Tag == posixacl.Group && p.groups[e.ID]:
			byGroup |= e.Perm & mask
			inGroup = true
		}
	}
	if m.ACL == nil && p.groups[m.GID] {
		byGroup, inGroup = mask, true
	}
	if inGroup {
		return byGroup
	}
	return uint8(m.Perm & 7)
}
