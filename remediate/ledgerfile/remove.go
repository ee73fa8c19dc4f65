package ledgerfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/keyledger"
	"github.com/hostguard/hostguard/remediate/flock"
	"github.com/hostguard/hostguard/remediate/statedir"
)

// files of a ledger, in the order in which they can go: at no moment does a
// checkpoint speak of events that are not there.
var files = []string{keyledger.CheckpointsFile, keyledger.LedgerFile, keyledger.SigningKeyFile, keyledger.SignersFile}

// Files lists which of a ledger's files the host whose files are at root has,
// sorted, and whether it has their folder.
func Files(root string) (present []string, folder bool, err error) {
	dir, err := statedir.Open(root, keyledger.Dir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return []string{}, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("cannot look at the key ledger in %s: %w", keyledger.Dir, err)
	}
	defer dir.Close()
	present = []string{}
	for _, name := range files {
		switch err := unix.Faccessat(int(dir.Fd()), name, unix.F_OK, unix.AT_SYMLINK_NOFOLLOW); {
		case err == nil:
			present = append(present, name)
		case !errors.Is(err, unix.ENOENT):
			return nil, false, fmt.Errorf("cannot look at %s/%s: %w", keyledger.Dir, name, err)
		}
	}
	slices.Sort(present)
	return present, true, nil
}

// Remove takes back the start of a ledger: it removes the ledger's files but
// those to keep, and their folder unless that is to be kept. Nobody else may be
// writing.
func Remove(root string, keep []string, folder bool) error {
	dir, err := statedir.Open(root, keyledger.Dir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot remove the key ledger in %s: %w", keyledger.Dir, err)
	}
	defer dir.Close()
	if err := flock.Take(dir); err != nil {
		return fmt.Errorf("cannot remove the key ledger in %s: %w", keyledger.Dir, err)
	}
	for _, name := range append(slices.Clone(files), keyledger.SigningKeyFile+temporary, keyledger.SignersFile+temporary) {
		if slices.Contains(keep, name) {
			continue
		}
		if err := unix.Unlinkat(int(dir.Fd()), name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("cannot remove %s/%s: %w", keyledger.Dir, name, err)
		}
	}
	if err := statedir.Sync(dir); err != nil {
		return err
	}
	if folder {
		return nil
	}
	parent, err := statedir.Open(root, path.Dir(keyledger.Dir), false)
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := unix.Unlinkat(int(parent.Fd()), path.Base(keyledger.Dir), unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTEMPTY) { // what else lies in it stays
		return fmt.Errorf("cannot remove %s: %w", keyledger.Dir, os.NewSyscallError("rmdir", err))
	}
	return statedir.Sync(parent)
}
