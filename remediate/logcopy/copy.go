package logcopy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/posixacl"
	"github.com/hostguard/hostguard/internal/rotatedlogs"
)

// Temporary files' names begin with a dot, so that no list shows them.
const (
	tempPrefix = ".hostguard-"
	tempSuffix = ".part"
)

func isTemp(name string) bool {
	return strings.HasPrefix(name, tempPrefix) && strings.HasSuffix(name, tempSuffix)
}

// refusal is why a log is not copied though nothing failed; the zero value: it is.
type refusal struct {
	text     string
	changing bool // the next run may find it at rest
}

// copy makes one copy: whole and durable under its name, or none.
func (o *Options) copy(ctx context.Context, dir, volume *os.File, log rotatedlogs.Log, name string) (refusal, error) {
	src, before, err := rotatedlogs.Open(volume, log.Path, o.Limits)
	if err != nil {
		return refusal{text: err.Error()}, nil
	}
	defer src.Close()
	if before.Size() != log.Size || !before.ModTime().Equal(log.ModTime) {
		return refusal{"it is being changed", true}, nil
	}
	temp := tempPrefix + strings.ToLower(rand.Text()) + tempSuffix
	fd, err := unix.Openat(int(dir.Fd()), temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return refusal{}, err
	}
	dst := os.NewFile(uintptr(fd), temp)
	defer dst.Close()
	named := false
	defer func() {
		if !named {
			unix.Unlinkat(int(dir.Fd()), temp, 0)
		}
	}()
	n, err := transfer(ctx, dst, src, before.Size())
	if err != nil {
		return refusal{}, bare(err)
	}
	after, err := src.Stat()
	if err != nil {
		return refusal{}, bare(err)
	}
	if n != before.Size() || !same(before, after) {
		return refusal{"it was changed while it was read", true}, nil
	}
	if err := o.finish(dst, before); err != nil {
		return refusal{}, bare(err)
	}
	if err := unix.Renameat2(int(dir.Fd()), temp, int(dir.Fd()), name, unix.RENAME_NOREPLACE); err != nil {
		return refusal{}, fmt.Errorf("cannot give the copy its name: %w", err)
	}
	named = true
	return refusal{}, nil
}

// transfer copies size bytes, and looks for one more.
func transfer(ctx context.Context, dst io.Writer, src io.Reader, size int64) (int64, error) {
	buf := make([]byte, 256<<10)
	src = io.LimitReader(src, size+1)
	var done int64
	for {
		if ctx.Err() != nil {
			return done, context.Cause(ctx)
		}
		n, err := src.Read(buf)
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return done, err
			}
			done += int64(n)
		}
		if errors.Is(err, io.EOF) {
			return done, nil
		}
		if err != nil {
			return done, err
		}
	}
}

// same reports whether a file was left alone: ctime moves with every change,
// and nobody can set it.
func same(a, b fs.FileInfo) bool {
	x, ok1 := a.Sys().(*syscall.Stat_t)
	y, ok2 := b.Sys().(*syscall.Stat_t)
	return ok1 && ok2 && x.Size == y.Size && x.Mtim == y.Mtim && x.Ctim == y.Ctim && x.Nlink == y.Nlink
}

// finish gives the copy its owner, mode and time, and makes it durable. An
// access list that the folder's default one gave it is taken off first: with
// the mode's bits its entries would come to life.
func (o *Options) finish(dst *os.File, log fs.FileInfo) error {
	fd := int(dst.Fd())
	if err := unix.Fremovexattr(fd, posixacl.Access); err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("cannot take off its access list: %w", err)
	}
	if err := unix.Fchown(fd, 0, int(o.GID)); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, 0o440); err != nil {
		return err
	}
	stat, ok := log.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("the log's time is not known")
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: stat.Mtim.Sec, Nsec: stat.Mtim.Nsec}}
	if err := futimens(fd, times); err != nil {
		return fmt.Errorf("cannot set its time: %w", err)
	}
	return dst.Sync()
}

func futimens(fd int, times []unix.Timespec) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), times, 0)
}

// bare takes the operation and the path off an error: ours says both.
func bare(err error) error {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		return inner.Err
	}
	return err
}
