package keyledger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/lab"
)

// shellOf returns the blocks of shell in docs/keyledger.md: the chain's and the
// checkpoints'.
func shellOf(t *testing.T) (chain, checkpoints string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/keyledger.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```sh\n")
	if len(blocks) != 3 {
		t.Fatalf("the page has %d blocks of shell", len(blocks)-1)
	}
	for i := range blocks {
		blocks[i], _, _ = strings.Cut(blocks[i], "```")
	}
	return blocks[1], blocks[2]
}

// shellVerifies runs what the page says on a ledger, and returns what it
// printed, or why it refuses.
func shellVerifies(t *testing.T, f ledger) (string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string][]byte{LedgerFile: f.events, CheckpointsFile: f.checkpoints, SignersFile: f.signers} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var outputs []string
	chain, checkpoints := shellOf(t)
	for _, script := range []string{chain, checkpoints} {
		var stdout, stderr bytes.Buffer
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
		cmd.Env = append(os.Environ(), "TMPDIR="+dir)
		err := cmd.Run()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return "", fmt.Errorf("%s%s", stdout.String(), stderr.String())
		}
		if err != nil {
			t.Fatal(err)
		}
		outputs = append(outputs, strings.TrimSpace(stdout.String()))
	}
	if outputs[0] != outputs[1] {
		return "", fmt.Errorf("the chain ends with %s, the last checkpoint speaks of %s", outputs[0], outputs[1])
	}
	return outputs[0], nil
}

// The documented shell takes what we write, and refuses what we refuse: bits
// flipped, ends cut off, lines swapped, anywhere.
func TestTheDocumentedShellAgrees(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.SSHD)
	f := long(t, 12)
	l := f.read(t)
	if out, err := shellVerifies(t, f); err != nil || out != fmt.Sprintf("%d %v", l.Sequence, l.Head) {
		t.Fatalf("the shell says %q %v, want %d %v", out, err, l.Sequence, l.Head)
	}
	step := 661
	if os.Getenv("HOSTGUARD_LEDGER_FLIPS") != "" {
		step = 37
	}
	refusals := 0
	try := func(what string, g ledger) {
		t.Helper()
		_, ours := Read(g.files(), Options{EverySignature: true})
		_, theirs := shellVerifies(t, g)
		if ours == nil || theirs == nil {
			t.Errorf("%s: hostguard says %v, the shell %v", what, ours, theirs)
		}
		refusals++
	}
	for i := 5; i < len(f.events); i += step {
		g := f
		g.events = bytes.Clone(f.events)
		g.events[i] ^= 1 << (i % 8)
		try(fmt.Sprintf("bit %d of byte %d of the events", i%8, i), g)
		g.events = f.events[:i]
		try(fmt.Sprintf("events cut to %d bytes", i), g)
	}
	for i := 3; i < len(f.checkpoints); i += step {
		g := f
		g.checkpoints = bytes.Clone(f.checkpoints)
		g.checkpoints[i] ^= 1 << (i % 8)
		try(fmt.Sprintf("bit %d of byte %d of the checkpoints", i%8, i), g)
	}
	lines := bytes.SplitAfter(f.events, []byte("\n"))
	for i := range 11 {
		swapped := bytes.Join(lines[:i], nil)
		swapped = append(append(append(swapped, lines[i+1]...), lines[i]...), bytes.Join(lines[i+2:], nil)...)
		if i%4 == 0 {
			try(fmt.Sprintf("lines %d and %d swapped", i+1, i+2), ledger{swapped, f.checkpoints, f.signers})
		}
	}
	g := f
	g.signers = SignersLine(signingKey(2).Public().(ed25519.PublicKey))
	try("another signer", g)
	t.Logf("%d changed ledgers refused by both", refusals)
}

func lastLine(data []byte) Hash {
	return sha256.Sum256(data[bytes.LastIndexByte(data[:len(data)-1], '\n')+1:])
}

// A ledger of 100,000 events is read in half a second, and one that is larger
// than any is refused.
func TestALargeLedger(t *testing.T) {
	var f ledger
	l := &Ledger{}
	for i := range 1000 {
		var events []Event
		for range 100 {
			k := len(events) + 100*(i%50)
			events = append(events, Event{Kind: Enrolled, Account: fmt.Sprintf("user%d", k%20), Key: fingerprint(k), Person: "Olivia Operator",
				By: "uid 0, loginuid 1000 (olivia), SUDO_USER olivia", Reason: "as every three months"})
		}
		f.addTo(t, l, start.Add(time.Duration(i)*time.Hour), events...)
		l = &Ledger{Sequence: 100 * (i + 1), Head: lastLine(f.events), checkpointHead: lastLine(f.checkpoints)}
	}
	best := time.Hour
	for range 3 {
		began := time.Now()
		l, err := Read(f.files(), Options{})
		best = min(best, time.Since(began))
		if err != nil || l.Signed != 100_000 {
			t.Fatalf("%v", err)
		}
	}
	t.Logf("%d events, %d MB with checkpoints: %v", 100_000, (len(f.events)+len(f.checkpoints))>>20, best)
	if best > 2*time.Second { // on an idle machine it is a quarter of it
		t.Errorf("reading took %v", best)
	}
	events := make([]Event, 200_000)
	for i := range events {
		events[i] = Event{Kind: Enrolled, Account: "operator", Key: fingerprint(1), Reason: strings.Repeat("x", 100)}
	}
	more, err := l.Next(events, start)
	if err != nil {
		t.Fatal(err)
	}
	more = append(f.events, more...)
	if len(more) <= MaxFile {
		t.Fatal("not large enough")
	}
	if _, err := Read(ledger{more, f.checkpoints, f.signers}.files(), Options{}); err == nil || !strings.Contains(err.Error(), "cannot read ledger.jsonl: it is larger than 64 MiB") {
		t.Errorf("a ledger that is too large: %v", err)
	}
}
