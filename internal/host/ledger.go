package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/keyledger"
)

type keyLedgerFacts struct {
	keyLedger fact[*KeyLedger]
}

// KeyLedger is the host's ledger of SSH keys, as far as its files can be
// trusted.
type KeyLedger struct {
	Ledger  *keyledger.Ledger  // nil: there is none, or Problem says why it does not count
	Problem *keyledger.Problem // its files are not as they were written
	Unsafe  []UnsafeFile       // files and folders that others could write, or the signing key that others could read
}

// UnsafeFile is a file of hostguard's own whose owner or mode is wrong.
type UnsafeFile struct{ Path, Want, Got string }

// KeyLedger reads the key ledger. It works on a file tree too.
func (h *Host) KeyLedger(ctx context.Context) (*KeyLedger, error) {
	return h.keyLedger.get(ctx, func(context.Context) (*KeyLedger, error) { return h.ReadKeyLedger(keyledger.Options{}) })
}

// ReadKeyLedger reads the key ledger anew.
func (h *Host) ReadKeyLedger(o keyledger.Options) (*KeyLedger, error) {
	k := &KeyLedger{}
	if err := h.ledgerModes(k); err != nil {
		return nil, fmt.Errorf("cannot look at the key ledger: %w", err)
	}
	err := h.readLedger(k, o)
	var problem *keyledger.Problem
	switch {
	case errors.As(err, &problem):
		k.Problem = problem
	case err != nil && !errors.Is(err, keyledger.ErrUnstarted):
		return nil, fmt.Errorf("cannot read the key ledger: %w", err)
	}
	return k, nil
}

func (h *Host) readLedger(k *KeyLedger, o keyledger.Options) error {
	var files keyledger.Files
	// The checkpoints are opened first: a run that appends meanwhile then adds
	// events that look unsigned, and no signatures of events that are not there.
	for _, f := range []struct {
		name string
		into *io.Reader
	}{{keyledger.CheckpointsFile, &files.Checkpoints}, {keyledger.LedgerFile, &files.Ledger}} {
		file, err := h.openLedger(f.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		defer file.Close()
		*f.into = file
	}
	var err error
	if files.Signers, err = h.ReadFile(path.Join(keyledger.Dir, keyledger.SignersFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	k.Ledger, err = keyledger.Read(files, o)
	return err
}

func (h *Host) openLedger(name string) (io.ReadCloser, error) {
	name = path.Join(keyledger.Dir, name)
	f, err := h.open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w (%v)", ErrNotRegular, info.Mode().Type())
	}
	if err != nil {
		f.Close()
		return nil, pathError("read", name, err)
	}
	return f, nil
}

// ledgerModes finds who else than root could have written the ledger, or could
// sign it.
func (h *Host) ledgerModes(k *KeyLedger) error {
	for _, f := range []struct {
		name   string
		folder bool
		others fs.FileMode // what group and others must not have
	}{
		{"..", true, 0o022}, {"", true, 0o022}, {keyledger.LedgerFile, false, 0o022}, {keyledger.CheckpointsFile, false, 0o022},
		{keyledger.SignersFile, false, 0o022}, {keyledger.SigningKeyFile, false, 0o077},
	} {
		name := path.Join(keyledger.Dir, f.name)
		info, err := h.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		want := fmt.Sprintf("a file of root's with no more than mode %04o", 0o777&^f.others&0o666)
		if f.folder {
			want = fmt.Sprintf("a folder of root's with no more than mode %04o", 0o777&^f.others)
		}
		if !ok || info.IsDir() != f.folder || !f.folder && !info.Mode().IsRegular() || st.Uid != 0 || info.Mode().Perm()&f.others != 0 {
			got := fmt.Sprintf("%v", info.Mode())
			if ok {
				got = fmt.Sprintf("%v, uid %d", info.Mode(), st.Uid)
			}
			k.Unsafe = append(k.Unsafe, UnsafeFile{name, want, got})
		}
	}
	return nil
}

// KeyInFile is a line of a file of keys.
type KeyInFile struct {
	Account  string
	File     string
	Line     int
	Key      string // its fingerprint
	Kind     string // "RSA 3072", with "CA" for the key of an authority
	Comment  string // raw
	Modified time.Time
}

// UnseenKeys is a file, or all files, of an account that could not be read.
type UnseenKeys struct {
	Account string // empty: any; no account's name when it is one that the host's files do not have
	Err     error
}

// InFiles returns every line with a key in the files of all accounts, whether
// sshd takes it or not, and what could not be seen.
func (a *AuthorizedKeys) InFiles() (keys []KeyInFile, unseen []UnseenKeys) {
	type place struct {
		account, file string
		line          int
	}
	met := map[place]bool{} // of several sshds that read the same files
	if len(a.Elsewhere) > 0 && len(a.Servers) > 0 {
		from := "accounts from " + strings.Join(a.Elsewhere, ", ")
		unseen = append(unseen, UnseenKeys{from, fmt.Errorf("cannot see the keys of %s", from)})
	}
	for _, s := range a.Servers {
		if s.Err != nil {
			unseen = append(unseen, UnseenKeys{Err: s.Err})
		}
		for _, account := range s.Accounts {
			for _, f := range account.Files {
				if f.Err != nil {
					unseen = append(unseen, UnseenKeys{account.User.Name, fmt.Errorf("cannot see the keys of %s: %w", account.User.Name, f.Err)})
				}
				for i := range f.Entries {
					e := &f.Entries[i]
					at := place{account.User.Name, f.Path, e.Line}
					if met[at] {
						continue
					}
					met[at] = true
					key := e.Fingerprint()
					kind := strings.TrimSpace(strings.TrimSuffix(e.Key.String(), key))
					if e.Options.CertAuthority {
						kind += " CA"
					}
					keys = append(keys, KeyInFile{at.account, f.Path, e.Line, key, kind, e.Comment, f.Modified})
				}
			}
		}
	}
	slices.SortStableFunc(keys, func(a, b KeyInFile) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return keys, unseen
}
