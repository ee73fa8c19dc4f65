package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"time"

	"github.com/hostguard/hostguard/internal/keyledger"
)

// ledgerKey signs the ledgers of test trees.
var ledgerKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// appendToLedger does what a line "ledger DAYS EVENT ACCOUNT KEY PERSON" says: it
// appends an event that happened so many days ago to the tree's ledger, and signs.
func appendToLedger(root *os.Root, words []string) error {
	if len(words) != 5 {
		return fmt.Errorf("want ledger DAYS EVENT ACCOUNT KEY PERSON, got %q", words)
	}
	days, err := strconv.Atoi(words[0])
	if err != nil {
		return err
	}
	e := keyledger.Event{Account: words[2], Key: words[3], Person: words[4], By: "uid 0"}
	for k := keyledger.Enrolled; k <= keyledger.Tested; k++ {
		if k.String() == words[1] {
			e.Kind = k
		}
	}
	in := func(name string) string { return inside(path.Join(keyledger.Dir, name)) }
	signers := keyledger.SignersLine(ledgerKey.Public().(ed25519.PublicKey))
	events, err1 := root.ReadFile(in(keyledger.LedgerFile))
	checkpoints, err2 := root.ReadFile(in(keyledger.CheckpointsFile))
	if err := errors.Join(err1, err2); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l, err := keyledger.Read(keyledger.Files{Ledger: bytes.NewReader(events), Checkpoints: bytes.NewReader(checkpoints), Signers: signers}, keyledger.Options{})
	if err != nil && !errors.Is(err, keyledger.ErrUnstarted) {
		return err
	}
	list := []keyledger.Event{e}
	at := time.Now().Add(-time.Duration(days) * 24 * time.Hour)
	lines, err := l.Next(list, at)
	if err != nil {
		return err
	}
	checkpoint := l.NextCheckpoint(list[0].Sequence, sha256.Sum256(lines), at, ledgerKey)
	for name, data := range map[string][]byte{
		keyledger.LedgerFile: append(events, lines...), keyledger.CheckpointsFile: append(checkpoints, checkpoint...),
		keyledger.SignersFile: signers, keyledger.SigningKeyFile: []byte("a private key\n"),
	} {
		if err := writeHostFile(root, in(name), data, 0o600); err != nil {
			return err
		}
	}
	return errors.Join(root.Chmod(in(""), 0o700), root.Chmod(in(".."), 0o700))
}
