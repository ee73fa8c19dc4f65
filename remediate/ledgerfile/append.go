package ledgerfile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/keyledger"
	"github.com/hostguard/hostguard/remediate/statedir"
)

// mostCheckpoint is room for the line of a checkpoint.
const mostCheckpoint = 1 << 10

// Append adds events, signs them, and makes both durable. When it fails nothing
// is recorded, unless the error says so. Events is not empty.
func (s *Store) Append(events []keyledger.Event, now time.Time) error {
	lines, err := s.Ledger.Next(events, now)
	if err != nil {
		return err
	}
	var size, checkpointSize int64
	if l := s.Ledger; l != nil {
		size, checkpointSize = l.Size, l.CheckpointSize
	}
	if size+int64(len(lines)) > keyledger.MaxFile || checkpointSize+mostCheckpoint > keyledger.MaxFile {
		return fmt.Errorf("cannot append to the key ledger: %s is full at %d MiB: move it away and start anew with hostguard keys enrol", s.path, keyledger.MaxFile>>20)
	}
	last := lines[bytes.LastIndexByte(lines[:len(lines)-1], '\n')+1:]
	head := keyledger.Hash(sha256.Sum256(last))
	if err := s.write(lines, size, checkpointSize, events[len(events)-1].Sequence, head, now); err != nil {
		return fmt.Errorf("cannot append to the key ledger in %s: %w", s.path, err)
	}
	return s.reread(head)
}

func (s *Store) write(lines []byte, size, checkpointSize int64, sequence int, head keyledger.Hash, now time.Time) error {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_APPEND
	ledger, err := statedir.OpenFile(s.dir, keyledger.LedgerFile, flags)
	if err != nil {
		return err
	}
	defer ledger.Close()
	checkpoints, err := statedir.OpenFile(s.dir, keyledger.CheckpointsFile, flags)
	if err != nil {
		return err
	}
	defer checkpoints.Close()
	if size == 0 || checkpointSize == 0 { // they may be new
		if err := s.dir.Sync(); err != nil {
			return bare(err)
		}
	}
	if err := errors.Join(statedir.Reserve(ledger, size, int64(len(lines))), statedir.Reserve(checkpoints, checkpointSize, mostCheckpoint)); err != nil {
		return err
	}
	if err := statedir.WriteDurably(ledger, lines); err != nil {
		return s.takeBack(err, ledger, size, checkpoints, checkpointSize)
	}
	if err := statedir.WriteDurably(checkpoints, s.Ledger.NextCheckpoint(sequence, head, now, s.key)); err != nil {
		return s.takeBack(err, ledger, size, checkpoints, checkpointSize)
	}
	return nil
}

// takeBack undoes a failed append: first the checkpoint, since one that speaks
// of events that are gone would look like an attack. What it cannot take back
// stays as a crash would have left it, for the next run.
func (s *Store) takeBack(cause error, ledger *os.File, size int64, checkpoints *os.File, checkpointSize int64) error {
	for _, f := range []struct {
		*os.File
		size int64
	}{{checkpoints, checkpointSize}, {ledger, size}} {
		err := unix.Ftruncate(int(f.Fd()), f.size)
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			return fmt.Errorf("%w; nor could it be taken back (%s: %w): the next hostguard keys enrol completes it", cause, f.Name(), bare(err))
		}
	}
	return cause
}

// recover completes an append that was cut off: what is whole is signed, pieces
// are cut off.
func (s *Store) recover(now time.Time) error {
	l := s.Ledger
	if l.Torn == 0 && l.TornCheckpoint == 0 && l.Unsigned() == 0 {
		return nil
	}
	for _, f := range []struct {
		name       string
		size, torn int64
	}{{keyledger.LedgerFile, l.Size, l.Torn}, {keyledger.CheckpointsFile, l.CheckpointSize, l.TornCheckpoint}} {
		if f.torn == 0 {
			continue
		}
		if err := s.cut(f.name, f.size); err != nil {
			return fmt.Errorf("cannot cut off what an earlier run left incomplete: %w", err)
		}
		s.Recovered = append(s.Recovered, fmt.Sprintf("%d bytes at the end of %s, of an append that was cut off, were removed", f.torn, f.name))
	}
	if n := l.Unsigned(); n > 0 {
		f, err := statedir.OpenFile(s.dir, keyledger.CheckpointsFile, unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := errors.Join(s.dir.Sync(), statedir.Reserve(f, l.CheckpointSize, mostCheckpoint)); err != nil {
			return err
		}
		if err := statedir.WriteDurably(f, l.NextCheckpoint(l.Sequence, l.Head, now, s.key)); err != nil {
			if errCut := s.cut(keyledger.CheckpointsFile, l.CheckpointSize); errCut != nil {
				err = errors.Join(err, errCut)
			}
			return fmt.Errorf("cannot sign what an earlier run left unsigned: %w", err)
		}
		s.Recovered = append(s.Recovered, fmt.Sprintf("events %d to %d, recorded by a run that was cut off before it signed them, were signed", l.Signed+1, l.Sequence))
	}
	if l.Sequence == 0 { // there was nothing but a piece
		s.Ledger = nil
		return nil
	}
	return s.reread(l.Head)
}

func (s *Store) cut(name string, size int64) error {
	f, err := statedir.OpenFile(s.dir, name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Ftruncate(int(f.Fd()), size); err != nil {
		return fmt.Errorf("cannot cut %s: %w", name, err)
	}
	return bare(f.Sync())
}

// reread reads the files again, and wants them whole, signed and with this head.
func (s *Store) reread(head keyledger.Hash) error {
	if err := s.read(); err != nil {
		return fmt.Errorf("cannot read the key ledger in %s as it was just written: %w", s.path, err)
	}
	if l := s.Ledger; l == nil || l.Head != head || l.Unsigned() > 0 || l.Torn > 0 || l.TornCheckpoint > 0 {
		return fmt.Errorf("the key ledger in %s is not as it was just written", s.path)
	}
	return nil
}
