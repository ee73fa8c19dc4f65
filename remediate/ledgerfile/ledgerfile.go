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
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/keyledger"
	"github.com/hostguard/hostguard/remediate/flock"
	"github.com/hostguard/hostguard/remediate/statedir"
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
// *flock.LockedError; a ledger that somebody changed is a *keyledger.Problem, and is
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
	s.dir, err = statedir.Open(root, keyledger.Dir, create)
	if errors.Is(err, fs.ErrNotExist) && !create {
		return ErrUnstarted
	}
	if err != nil {
		return err
	}
	if err := flock.Take(s.dir); err != nil {
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

func (s *Store) read() error {
	var files keyledger.Files
	for name, into := range map[string]*io.Reader{keyledger.LedgerFile: &files.Ledger, keyledger.CheckpointsFile: &files.Checkpoints} {
		f, err := statedir.OpenFile(s.dir, name, unix.O_RDONLY)
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
	if s.signers, err = statedir.ReadFile(s.dir, keyledger.SignersFile, maxSmall); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	files.Signers = s.signers
	s.Ledger, err = keyledger.Read(files, keyledger.Options{EverySignature: true})
	if errors.Is(err, keyledger.ErrUnstarted) {
		s.Ledger, err = nil, nil
	}
	return err
}

// maxSmall bounds a file of a few lines.
const maxSmall = 64 << 10

// temporary follows the name of a file that is being made.
const temporary = ".new"

// pemType is that of a private key in PKCS #8, which ssh-keygen reads since 9.6.
const pemType = "PRIVATE KEY"

func (s *Store) readKey() error {
	data, err := statedir.ReadFile(s.dir, keyledger.SigningKeyFile, maxSmall)
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
	temp := name + temporary // only we make it: the folder is locked
	f, err := statedir.OpenFile(s.dir, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC)
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
