// Package ledgerfile writes the files of the SSH key ledger (package
// keyledger): it starts one, appends events, signs, and completes what a crash
// left incomplete. No check reaches it.
//
// An append is: lock, reserve the space, write the events, fsync, write their
// checkpoint, fsync. Whenever that is cut off, the files hold the ledger as it
// was, followed by nothing, by a piece of the events, by all of them unsigned,
// or by all of them and a piece of their checkpoint. The next Open cuts off the
// piece and signs what is whole.
package ledgerfile

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	pathrs "github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/keyledger"
)

// ErrUnstarted marks a host that has no ledger yet.
var ErrUnstarted = errors.New("there is no key ledger yet: start one with hostguard keys enrol")

// Store is the locked ledger of a host.
type Store struct {
	// Ledger is what is in the files, nil when there is no event yet.
	Ledger *keyledger.Ledger
	// Recovered says what of an earlier run was completed or cut off; empty: nothing.
	Recovered []string

	dir     *os.File // locked
	path    string   // of the folder, for messages
	key     ed25519.PrivateKey
	signers []byte
}

// Open locks the ledger of the host whose files are at root ("/": this one),
// reads it, and completes an append that was cut off. With create it makes the
// folder and the signing key of a ledger that is to be started; else a host
// without ledger is ErrUnstarted. Another process that holds the lock is a
// *LockedError; a ledger that somebody changed is a *keyledger.Problem, and is
// left as it is.
func Open(root string, create bool, now time.Time) (*Store, error) {
	s := &Store{path: filepath.Join(root, keyledger.Dir)}
	if err := s.open(root, create, now); err != nil {
		s.Close()
		if errors.Is(err, ErrUnstarted) {
			return nil, err
		}
		return nil, fmt.Errorf("cannot open the key ledger in %s: %w", s.path, err)
	}
	return s, nil
}

// Close gives the lock back.
func (s *Store) Close() {
	if s.dir != nil {
		// A program that this process starts right now has the folder open for a
		// moment, too, and the lock with it.
		_ = unix.Flock(int(s.dir.Fd()), unix.LOCK_UN)
		s.dir.Close()
	}
}

func (s *Store) open(root string, create bool, now time.Time) error {
	var err error
	if s.dir, err = openFolder(root, create); err != nil {
		return err
	}
	if err := s.lock(); err != nil {
		return err
	}
	if err := s.read(); err != nil {
		return err
	}
	started := s.Ledger != nil
	switch err := s.readKey(); {
	case errors.Is(err, fs.ErrNotExist) && started:
		return fmt.Errorf("its signing key %s is gone: put it back from a copy, or move the folder away and start anew with hostguard keys enrol", keyledger.SigningKeyFile)
	case errors.Is(err, fs.ErrNotExist) && create:
		if err := s.makeKey(); err != nil {
			return err
		}
	case errors.Is(err, fs.ErrNotExist):
		return ErrUnstarted
	case err != nil:
		return err
	}
	own := keyledger.SignersLine(s.key.Public().(ed25519.PublicKey))
	if !bytes.Contains(append([]byte("\n"), s.signers...), append([]byte("\n"), own...)) {
		return fmt.Errorf("%s does not name the key in %s: signatures would not hold", keyledger.SignersFile, keyledger.SigningKeyFile)
	}
	if started {
		if err := s.recover(now); err != nil {
			return err
		}
	}
	if s.Ledger == nil && !create {
		return ErrUnstarted
	}
	return nil
}

// openFolder opens the ledger's folder. Its parents up to /var/lib are the
// host's; what follows is ours, and is neither a link nor anybody else's.
func openFolder(root string, create bool) (*os.File, error) {
	parent, rest := path.Split(path.Dir(keyledger.Dir))
	handle, err := pathrs.OpenInRoot(root, parent)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{rest, path.Base(keyledger.Dir)} {
		next, err := openBelow(handle, name, create)
		handle.Close()
		if err != nil {
			return nil, err
		}
		handle = next
	}
	return handle, nil
}

func openBelow(parent *os.File, name string, create bool) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(int(parent.Fd()), name, flags, 0)
	if errors.Is(err, unix.ENOENT) {
		if !create {
			return nil, ErrUnstarted
		}
		if err := unix.Mkdirat(int(parent.Fd()), name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("cannot make the folder %s: %w", name, err)
		}
		if err := syncFolder(parent); err != nil {
			return nil, fmt.Errorf("cannot make the folder %s: %w", name, err)
		}
		fd, err = unix.Openat(int(parent.Fd()), name, flags, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the folder %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, err
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		f.Close()
		return nil, fmt.Errorf("the folder %s belongs to uid %d with mode %04o: others than root could write into it", name, st.Uid, st.Mode&0o7777)
	}
	return f, nil
}

// syncFolder makes new names in a folder durable, which may be open for looking
// at only.
func syncFolder(dir *os.File) error {
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// openFile opens one of the ledger's files; one that is no regular file of ours
// is refused.
func (s *Store) openFile(name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(s.dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && int(st.Uid) == os.Geteuid() && st.Mode&0o022 == 0 {
		return os.NewFile(uintptr(fd), name), nil
	}
	unix.Close(fd)
	return nil, fmt.Errorf("%s is no regular file that root alone may write", name)
}

func (s *Store) read() error {
	var files keyledger.Files
	for name, into := range map[string]*io.Reader{keyledger.LedgerFile: &files.Ledger, keyledger.CheckpointsFile: &files.Checkpoints} {
		f, err := s.openFile(name, unix.O_RDONLY)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		defer f.Close()
		*into = f
	}
	var err error
	if s.signers, err = s.readSmall(keyledger.SignersFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	files.Signers = s.signers
	s.Ledger, err = keyledger.Read(files, keyledger.Options{EverySignature: true})
	if errors.Is(err, keyledger.ErrUnstarted) {
		s.Ledger, err = nil, nil
	}
	return err
}

// readSmall reads a file of a few lines.
func (s *Store) readSmall(name string) ([]byte, error) {
	f, err := s.openFile(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, 64<<10)
	n, err := io.ReadFull(f, data)
	switch {
	case err == nil:
		return nil, fmt.Errorf("%s is too large", name)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return data[:n], nil
	}
	return nil, fmt.Errorf("cannot read %s: %w", name, bare(err))
}

// pemType is that of a private key in PKCS #8, which ssh-keygen reads since 9.6.
const pemType = "PRIVATE KEY"

func (s *Store) readKey() error {
	data, err := s.readSmall(keyledger.SigningKeyFile)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemType {
		return fmt.Errorf("cannot read %s: it is no private key in PEM", keyledger.SigningKeyFile)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", keyledger.SigningKeyFile, err)
	}
	own, ok := key.(ed25519.PrivateKey)
	if !ok {
		return fmt.Errorf("cannot sign with %s: it is no Ed25519 key", keyledger.SigningKeyFile)
	}
	s.key = own
	return nil
}

func (s *Store) makeKey() error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	data, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	// The key last: while there is none the rest is made again.
	line := keyledger.SignersLine(key.Public().(ed25519.PublicKey))
	if err := s.makeFile(keyledger.SignersFile, line, 0o644); err != nil {
		return err
	}
	if err := s.makeFile(keyledger.SigningKeyFile, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: data}), 0o600); err != nil {
		return err
	}
	s.key, s.signers = key, line
	return nil
}

// makeFile makes a whole file durable under its name, or nothing.
func (s *Store) makeFile(name string, data []byte, mode uint32) error {
	temp := name + ".new" // only we make it: the folder is locked
	f, err := s.openFile(temp, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC)
	if err == nil {
		if err = unix.Fchmod(int(f.Fd()), mode); err == nil {
			_, err = f.Write(data)
		}
		if err == nil {
			err = f.Sync()
		}
		f.Close()
	}
	if err == nil {
		err = unix.Renameat(int(s.dir.Fd()), temp, int(s.dir.Fd()), name)
	}
	if err == nil {
		err = s.dir.Sync()
	}
	if err != nil {
		return fmt.Errorf("cannot make %s: %w", name, bare(err))
	}
	return nil
}

func bare(err error) error {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		return inner.Err
	}
	return err
}
