package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/rotatedlogs"
)

// LogVolume is a connector's volume with the rotated logs in it.
type LogVolume struct {
	Owner  string // whom copies of its logs are named after: the one service that mounts it, else the volume
	Volume VolumeRef
	Path   string // its data's folder, without links; empty: it is not made yet

	Logs    []rotatedlogs.Log
	Refused []rotatedlogs.Refused // in the place of a log
	Err     error                 // why not all of it could be seen
}

// ConnectorLogs looks for rotated logs in the volumes of all connectors, in
// the order of the connectors and of the volumes' names. No connector at all is
// ErrNoConnector.
func (h *Host) ConnectorLogs(ctx context.Context) ([]LogVolume, error) {
	return h.connectorLogs.get(ctx, h.findConnectorLogs)
}

func (h *Host) findConnectorLogs(ctx context.Context) ([]LogVolume, error) {
	connectors, err := h.Connectors(ctx)
	if err != nil {
		return nil, err
	}
	if len(connectors) == 0 {
		return nil, ErrNoConnector
	}
	var found []LogVolume
	seen := map[string]bool{}
	for _, c := range connectors {
		for _, ref := range c.Volumes {
			if seen[ref.Name] {
				continue // several connectors may share one
			}
			seen[ref.Name] = true
			found = append(found, h.lookForLogs(ctx, ref))
		}
	}
	tellApart(found)
	return found, nil
}

// tellApart names volumes after themselves where one owner would be that of
// several: a service with two volumes, or services of two connectors.
func tellApart(volumes []LogVolume) {
	for again := true; again; {
		again = false
		owners := map[string]int{}
		for _, v := range volumes {
			owners[v.Owner]++
		}
		for i := range volumes {
			if v := &volumes[i]; owners[v.Owner] > 1 && v.Owner != v.Volume.Name {
				v.Owner, again = v.Volume.Name, true
			}
		}
	}
}

func (h *Host) lookForLogs(ctx context.Context, ref VolumeRef) LogVolume {
	v := LogVolume{Owner: ref.Name, Volume: ref}
	if len(ref.MountedBy) == 1 && rotatedlogs.IsOwner(ref.MountedBy[0]) {
		v.Owner = ref.MountedBy[0]
	}
	if !rotatedlogs.IsOwner(ref.Name) {
		v.Err = errors.New("its name cannot be part of a file's name")
		return v
	}
	dir, err := h.OpenVolume(ctx, ref)
	if errors.Is(err, fs.ErrNotExist) {
		return v
	}
	if err != nil {
		v.Err = err
		return v
	}
	defer dir.Close()
	v.Path = dir.Name()
	v.Logs, v.Refused, v.Err = rotatedlogs.Find(ctx, dir, rotatedlogs.Usual)
	return v
}

// OpenVolume opens the folder of a volume's data, for reading. Above docker's
// data root links are the administrator's; from there on, and all the way of a
// volume that binds a folder, none is followed: it may lie where a user put it.
// The file's name is the folder's real path. A volume that is not made yet is
// fs.ErrNotExist.
func (h *Host) OpenVolume(ctx context.Context, ref VolumeRef) (*os.File, error) {
	if ref.Path == "" {
		return nil, fmt.Errorf("cannot tell where the data of volume %s lie", ref.Name)
	}
	name := path.Clean(ref.Path)
	layout, err := h.DockerLayout(ctx)
	if err != nil {
		return nil, err
	}
	if root := layout.DataRoot; root.Path != "" {
		if below, is := strings.CutPrefix(name, root.Path+"/"); is {
			real, err := h.Resolve(root.Path)
			if err != nil {
				return nil, err
			}
			name = path.Join(real, below)
		}
	}
	top, err := h.open("/", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer top.Close()
	fd, err := unix.Openat2(int(top.Fd()), "."+name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if errors.Is(err, unix.ELOOP) {
		err = errors.New("a symbolic link is on the way, and none is followed to a volume")
	}
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
