package filestate

import (
	"errors"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Preflight checks the moves of one transaction before the first of them
// writes. Its zero value is ready; it writes nothing.
type Preflight struct {
	needs map[uint64]need   // by device: what all moves so far need together
	made  map[string]uint64 // folders that earlier moves make, and the device they will be on
}

// need is the room that new files take until the old ones are removed.
type need struct{ bytes, inodes uint64 }

// Check reports why Move would be refused: what holds the path fast (read-only
// file system, immutable file or folder, mount point, a writer), what makes it
// unsafe (a link, other names, an owner or a folder that is not root's), what is
// lacking (its folder, space or inodes, for all moves checked so far together),
// or that it is not in the state from (ErrConflict). A folder that an earlier
// move makes counts as there.
func (f *Preflight) Check(root, name string, from, to State) error {
	p, _, err := begin(root, name, from, to, "preflight")
	if device, made := f.made[path.Dir(name)]; made && errors.Is(err, fs.ErrNotExist) {
		f.remember(name, to, device)
		return nil
	}
	if err != nil {
		return err
	}
	defer p.close()
	if isMeta(from) {
		return p.checkMeta(from)
	}
	if err := p.checkPath(from); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(p.fd(), &st); err != nil {
		return p.errorf("%w", err)
	}
	f.remember(name, to, st.Dev)
	if to.Type == Absent {
		return nil
	}
	return f.room(p, st.Dev, to)
}

func (f *Preflight) remember(name string, to State, device uint64) {
	if to.Type == Folder {
		if f.made == nil {
			f.made = map[string]uint64{}
		}
		f.made[name] = device
	}
}

// room wants that all new files so far fit on a device at once.
func (f *Preflight) room(p *place, device uint64, to State) error {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(p.fd(), &st) }); err != nil {
		return p.errorf("%w", err)
	}
	block := max(uint64(st.Bsize), 4096)
	free := st.Bavail
	if os.Geteuid() == 0 {
		free = st.Bfree
	}
	if f.needs == nil {
		f.needs = map[uint64]need{}
	}
	n := f.needs[device]
	n.inodes++
	n.bytes += (uint64(len(to.Content))/block + 2) * block // and a block for attributes
	f.needs[device] = n
	if has := free * uint64(st.Bsize); st.Blocks > 0 && has < n.bytes {
		return p.errorf("%w: %d KiB are free beside it, and %d KiB are needed until the old files are removed", unix.ENOSPC, has>>10, n.bytes>>10)
	}
	if st.Files > 0 && st.Ffree < n.inodes { // btrfs and others say 0 of 0
		return p.errorf("%w: %d inodes are free beside it, and %d are needed until the old files are removed", unix.ENOSPC, st.Ffree, n.inodes)
	}
	return nil
}

// checkPath checks the path of a thing that is to be made, replaced or removed.
func (p *place) checkPath(from State) error {
	if err := p.checkFileSystem(p.fd(), true); err != nil {
		return err
	}
	if err := p.checkFlags(p.fd(), "", "its folder"); err != nil {
		return err
	}
	if from.Type != Absent {
		if err := p.checkFlags(p.fd(), p.base, "it"); err != nil {
			return err
		}
		if from.Type == File && !trusted(from.UID) {
			return p.errorf("it belongs to uid %d, who could change it at the same time", from.UID)
		}
	}
	if from.Type == File {
		f, err := p.holds(p.base, from)
		closeFile(f)
		return err
	}
	now, _, err := p.lookAtAny(p.base)
	if err != nil {
		return p.errorf("%w", err)
	}
	if !now.Equal(from) {
		return p.conflict(differs(now, from))
	}
	return nil
}

// checkMeta checks a file or folder that is to be changed in place.
func (p *place) checkMeta(from State) error {
	f, now, err := p.openMeta()
	if errors.Is(err, fs.ErrNotExist) {
		return p.conflict("somebody else removed it meanwhile")
	}
	if err != nil {
		return p.errorf("%w", err)
	}
	defer f.Close()
	if err := p.checkFileSystem(int(f.Fd()), false); err != nil {
		return err
	}
	if err := p.checkFlags(int(f.Fd()), "", "it"); err != nil {
		return err
	}
	if !now.Equal(from) {
		return p.conflict(differs(now, from))
	}
	return nil
}

// noExchange are file systems, by the numbers of statfs(2), whose rename(2)
// knows no RENAME_EXCHANGE. Others refuse when it comes to it.
var noExchange = map[int64]string{
	unix.NFS_SUPER_MAGIC:   "NFS",
	unix.SMB_SUPER_MAGIC:   "SMB",
	unix.CIFS_SUPER_MAGIC:  "SMB",
	unix.SMB2_SUPER_MAGIC:  "SMB",
	unix.V9FS_MAGIC:        "9p",
	unix.EXFAT_SUPER_MAGIC: "exFAT",
	unix.PROC_SUPER_MAGIC:  "proc",
	unix.SYSFS_MAGIC:       "sysfs",
}

func (p *place) checkFileSystem(fd int, exchange bool) error {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(fd, &st) }); err != nil {
		return p.errorf("%w", err)
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return p.errorf("%w: it lies on a file system that is mounted read-only", unix.EROFS)
	}
	if name := noExchange[int64(st.Type)]; exchange && name != "" {
		return p.errorf("it lies on %s, which cannot exchange two files", name)
	}
	return nil
}

// checkFlags looks at what chattr(1) sets, and at what is mounted; name is empty
// for the descriptor itself.
func (p *place) checkFlags(fd int, name, what string) error {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	var st unix.Statx_t
	err := retry(func() error { return unix.Statx(fd, name, flags, unix.STATX_BASIC_STATS, &st) })
	switch {
	case errors.Is(err, unix.ENOENT):
		return p.conflict("somebody else removed it meanwhile")
	case err != nil:
		return p.errorf("%w", err)
	case st.Attributes&unix.STATX_ATTR_IMMUTABLE != 0:
		return p.errorf("%w: %s is immutable (chattr +i): somebody wants it to stay as it is", unix.EPERM, what)
	case st.Attributes&unix.STATX_ATTR_APPEND != 0:
		return p.errorf("%w: %s can only be appended to (chattr +a)", unix.EPERM, what)
	case st.Attributes&unix.STATX_ATTR_VERITY != 0:
		return p.errorf("%w: %s is sealed (fs-verity)", unix.EPERM, what)
	case name != "" && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0:
		return p.errorf("%w: it is a mount point, which cannot be replaced", unix.EBUSY)
	}
	return nil
}
