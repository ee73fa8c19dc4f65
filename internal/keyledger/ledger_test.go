package keyledger

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// signingKey is a key that is the same in every run.
func signingKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

// fingerprint makes a fingerprint of a key that there is not.
func fingerprint(n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "key %d", n))
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// start is when the ledgers of the tests begin.
var start = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// ledger is a ledger in memory.
type ledger struct{ events, checkpoints, signers []byte }

func (f ledger) files() Files {
	return Files{bytes.NewReader(f.events), bytes.NewReader(f.checkpoints), f.signers}
}

func (f ledger) read(t testing.TB) *Ledger {
	t.Helper()
	l, err := Read(f.files(), Options{EverySignature: true})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// add appends events and signs them.
func (f *ledger) add(t testing.TB, now time.Time, events ...Event) {
	t.Helper()
	var l *Ledger
	if len(f.events) > 0 {
		l = f.read(t)
	}
	f.addTo(t, l, now, events...)
}

func (f *ledger) addTo(t testing.TB, l *Ledger, now time.Time, events ...Event) {
	t.Helper()
	lines, err := l.Next(events, now)
	if err != nil {
		t.Fatal(err)
	}
	f.events = append(f.events, lines...)
	last := lines[bytes.LastIndexByte(lines[:len(lines)-1], '\n')+1:]
	f.checkpoints = append(f.checkpoints, l.NextCheckpoint(events[len(events)-1].Sequence, sha256.Sum256(last), now, signingKey(1))...)
	f.signers = SignersLine(signingKey(1).Public().(ed25519.PublicKey))
}

// long is a ledger of n events, appended by up to three at a time: the hundred
// keys of twenty accounts, with what happens to keys.
func long(t testing.TB, n int) ledger {
	t.Helper()
	var f ledger
	l := &Ledger{}
	for i := 0; i < n; {
		var events []Event
		for range min(1+i%3, n-i) {
			k := i % 100
			kind := []Kind{Enrolled, Informed, Tested, RemovedOutside, Enrolled, Revoked}[i/100%6]
			events = append(events, Event{Kind: kind, Account: fmt.Sprintf("user%d", k%20), Key: fingerprint(k), Person: "Zoë \"Z\" O’Hara",
				By: "uid 0, SUDO_USER admin", Reason: fmt.Sprintf("event %d", i)})
			i++
		}
		f.addTo(t, l, start.Add(time.Duration(i)*time.Hour), events...)
		last := f.checkpoints[bytes.LastIndexByte(f.checkpoints[:len(f.checkpoints)-1], '\n')+1:]
		line := f.events[bytes.LastIndexByte(f.events[:len(f.events)-1], '\n')+1:]
		l = &Ledger{Sequence: i, Head: sha256.Sum256(line), checkpointHead: sha256.Sum256(last)}
	}
	return f
}

func TestALedgerIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	f := long(t, 1000)
	var again []byte
	l, err := Read(f.files(), Options{EverySignature: true, Visit: func(e *Event) { again = e.AppendLine(again) }})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, f.events) {
		t.Error("the events written again are not those that were read")
	}
	if l.Sequence != 1000 || l.Signed != 1000 || l.Torn != 0 || l.Unsigned() != 0 || l.Size != int64(len(f.events)) {
		t.Errorf("read %d events, %d signed, %d torn, %d bytes", l.Sequence, l.Signed, l.Torn, l.Size)
	}
	lines := bytes.SplitAfter(f.events, []byte("\n"))
	for i, line := range lines[:1000] {
		if got := l.Find(sha256.Sum256(line)); got != i+1 {
			t.Fatalf("Find(hash of line %d) = %d", i+1, got)
		}
	}
	if l.Find(Hash{1}) != 0 {
		t.Error("found a hash that no line has")
	}
	if want := (Signer{signingKey(1).Public().(ed25519.PublicKey)}).Fingerprint(); l.Signer != want {
		t.Errorf("Signer = %s, want %s", l.Signer, want)
	}
}

// problem reads a ledger and returns what is wrong with it.
func (f ledger) problem(t testing.TB, what string) *Problem {
	t.Helper()
	_, err := Read(f.files(), Options{})
	var p *Problem
	if !errors.As(err, &p) {
		t.Fatalf("%s: taken (%v)", what, err)
	}
	return p
}

// Every flip of a single bit, in either file, is refused, and the line that was
// changed is named.
func TestEverySingleBitFlipIsRefused(t *testing.T) {
	t.Parallel()
	step := stepOr(t, 997)
	f := long(t, 1000)
	w := windowed(t, f)
	flips, whole := 0, 0
	for name, data := range map[string][]byte{LedgerFile: f.events, CheckpointsFile: f.checkpoints} {
		line := 1
		for at := range data {
			if data[at] == '\n' && line%7 == 0 || at%step == 0 {
				for bit := range 8 {
					data[at] ^= 1 << bit
					p := w.problem(name, line)
					flips++
					if flips%1009 == 0 { // and that looking from there on is as good as from the beginning
						if q := f.problem(t, "a flip"); p == nil || *q != *p {
							t.Errorf("%s:%d: bit %d of byte %d: %v, read from the beginning %v", name, line, bit, at, p, q)
						}
						whole++
					}
					if p == nil || p.File != name || p.Line != line {
						t.Errorf("%s:%d: bit %d of byte %d: %v", name, line, bit, at, p)
					}
					data[at] ^= 1 << bit
				}
			}
			if data[at] == '\n' {
				line++
			}
		}
	}
	t.Logf("%d flips, %d of them read from the beginning", flips, whole)
}

// stepOr is which of the bytes are tried: every nth, or as
// HOSTGUARD_LEDGER_FLIPS says; 1 is all of them.
func stepOr(t *testing.T, n int) int {
	s := os.Getenv("HOSTGUARD_LEDGER_FLIPS")
	if s == "" {
		return n
	}
	step, err := strconv.Atoi(s)
	if err != nil || step < 1 {
		t.Fatalf("HOSTGUARD_LEDGER_FLIPS=%s", s)
	}
	return step
}

// window reads a ledger from one of its lines on, as if it had read those before.
type window struct {
	f       ledger
	starts  map[string][]int
	ledgers map[string][]Ledger // by file and line: what was known before that line
	points  []point
	from    []int // by line of the ledger: the first point that is not before it
	in      *bufio.Reader
}

func windowed(t testing.TB, f ledger) *window {
	w := &window{f: f, starts: map[string][]int{}, ledgers: map[string][]Ledger{}, in: bufio.NewReaderSize(nil, maxLine)}
	whole := f.read(t)
	var l Ledger
	for line := range bytes.Lines(f.checkpoints) {
		w.ledgers[CheckpointsFile] = append(w.ledgers[CheckpointsFile], l)
		c, err := parseCheckpoint(line[:len(line)-1])
		if err != nil {
			t.Fatal(err)
		}
		w.points = append(w.points, point{c.sequence, c.head})
		l = Ledger{Signed: c.sequence, checkpointHead: sha256.Sum256(line)}
	}
	l = Ledger{State: newState(), Signed: whole.Signed}
	next := 0
	for line := range bytes.Lines(f.events) {
		w.ledgers[LedgerFile] = append(w.ledgers[LedgerFile], l)
		w.from = append(w.from, next)
		l.Head = sha256.Sum256(line)
		if n := len(w.from); w.points[next].sequence == n {
			next, l.lastPoint = next+1, n
		}
	}
	for name, data := range map[string][]byte{LedgerFile: f.events, CheckpointsFile: f.checkpoints} {
		w.starts[name] = []int{0}
		for i, c := range data {
			if c == '\n' {
				w.starts[name] = append(w.starts[name], i+1)
			}
		}
	}
	return w
}

func (w *window) problem(name string, line int) *Problem {
	data := w.f.events
	if name == CheckpointsFile {
		data = w.f.checkpoints
	}
	return w.problemOf(name, line, bytes.NewReader(data[w.starts[name][line-1]:]))
}

func (w *window) problemOf(name string, line int, rest io.Reader) *Problem {
	l := w.ledgers[name][line-1]
	in := &lineReader{file: name, in: w.in, lines: line - 1}
	w.in.Reset(rest)
	var err error
	if name == LedgerFile {
		l.State = newState()
		err = l.readEvents(in, w.points[w.from[line-1]:], Options{})
	} else {
		_, err = l.readCheckpoints(in, w.f.signers, Options{})
	}
	var p *Problem
	errors.As(err, &p)
	return p
}

// Every truncation of the ledger is refused, at a line's end too: the
// checkpoints know how long it was.
func TestEveryTruncationIsRefused(t *testing.T) {
	t.Parallel()
	f := long(t, 1000)
	w := windowed(t, f)
	whole := f.events
	step := stepOr(t, 11)
	line := 1000
	for n := len(whole) - 1; n >= 0; n-- {
		if whole[n] == '\n' && n < len(whole)-1 {
			line-- // the newline of the line before the last that is left
		}
		if n%step != 0 && (n == 0 || whole[n-1] != '\n') {
			continue
		}
		w.f.events = whole[:n]
		at := line
		if n > 0 && whole[n-1] == '\n' {
			at = line // the whole line is missing
		}
		if p := w.problem(LedgerFile, at); p == nil || p.Line != at || p.File != LedgerFile {
			t.Fatalf("cut to %d bytes: %v, want line %d", n, p, at)
		}
		if n%4999 == 0 {
			cut := f
			cut.events = whole[:n]
			if p := cut.problem(t, "a truncation"); p.Line != at {
				t.Fatalf("cut to %d bytes: %v, want line %d", n, p, at)
			}
		}
	}
}

// Checkpoints may lack their last line or its end, as after a crash; more of
// them may not be missing.
func TestTruncatedCheckpoints(t *testing.T) {
	t.Parallel()
	f := long(t, 12) // appends of 1, 2, 1, 2 … events
	whole := f.checkpoints
	starts := []int{}
	for at := 0; at < len(whole); at += bytes.IndexByte(whole[at:], '\n') + 1 {
		starts = append(starts, at)
	}
	for n := range whole {
		cut := f
		cut.checkpoints = whole[:n]
		if n < starts[len(starts)-1] {
			if p := cut.problem(t, "cut checkpoints"); p.File != LedgerFile {
				t.Errorf("cut to %d bytes: %v", n, p)
			}
			continue
		}
		l := cut.read(t)
		if l.Signed != 10 || l.Unsigned() != 2 || l.TornCheckpoint != int64(n-starts[len(starts)-1]) {
			t.Errorf("cut to %d bytes: %d signed, %d not, %d bytes torn", n, l.Signed, l.Unsigned(), l.TornCheckpoint)
		}
		if l.State.Find("user11", fingerprint(11)) != nil {
			t.Error("an unsigned event counts")
		}
	}
}

// Lines that change places, that are left out or that are there twice.
func TestReorderedLinesAreRefused(t *testing.T) {
	t.Parallel()
	f := long(t, 1000)
	w := windowed(t, f)
	for name, data := range map[string][]byte{LedgerFile: f.events, CheckpointsFile: f.checkpoints} {
		lines := bytes.SplitAfter(data, []byte("\n"))
		lines = lines[:len(lines)-1]
		try := func(what string, line int, lines [][]byte) {
			g := f
			if name == LedgerFile {
				g.events = bytes.Join(lines, nil)
			} else {
				g.checkpoints = bytes.Join(lines, nil)
			}
			if p := g.problem(t, what); p.File != name || p.Line != line {
				t.Errorf("%s %s: %v, want line %d", name, what, p, line)
			}
		}
		for i := range lines[:len(lines)-1] {
			rest := bytes.NewReader(data[w.starts[name][i]+len(lines[i])+len(lines[i+1]):])
			from := max(i-1, 0) // its line before is one of two that could be at fault
			if p := w.problemOf(name, from+1, io.MultiReader(bytes.NewReader(bytes.Join(lines[from:i], nil)), bytes.NewReader(lines[i+1]), bytes.NewReader(lines[i]), rest)); p == nil || p.File != name || p.Line != i+1 {
				t.Errorf("%s lines %d and %d swapped: %v", name, i+1, i+2, p)
			}
			if i%23 != 0 {
				continue
			}
			if j := (i*7919 + 1) % len(lines); j > i+1 {
				swapped := slices.Clone(lines)
				swapped[i], swapped[j] = swapped[j], swapped[i]
				try(fmt.Sprintf("lines %d and %d swapped", i+1, j+1), i+1, swapped)
			}
			try(fmt.Sprintf("line %d left out", i+1), i+1, slices.Delete(slices.Clone(lines), i, i+1))
			try(fmt.Sprintf("line %d twice", i+1), i+2, slices.Insert(slices.Clone(lines), i, lines[i]))
		}
	}
}

func TestSignaturesFromElsewhereAreRefused(t *testing.T) {
	t.Parallel()
	var f ledger
	f.add(t, start, Event{Kind: Enrolled, Account: "a", Key: fingerprint(1)})
	f.add(t, start.Add(time.Hour), Event{Kind: Enrolled, Account: "a", Key: fingerprint(2)})
	whole := f.read(t)
	first, second, _ := bytes.Cut(f.checkpoints, []byte("\n"))
	c, err := parseCheckpoint(bytes.TrimSuffix(second, []byte("\n")))
	if err != nil {
		t.Fatal(err)
	}
	other := signingKey(2)
	elsewhere := func(namespace string) []byte {
		digest := sha512.Sum512(c.message())
		signature := ed25519.Sign(signingKey(1), []byte("SSHSIG"+wire(namespace, "", "sha512", string(digest[:]))))
		return []byte("SSHSIG\x00\x00\x00\x01" + wire(publicBlob(signingKey(1).Public().(ed25519.PublicKey)), namespace, "", "sha512", wire(keyType, string(signature))))
	}
	if !bytes.Equal(elsewhere(Namespace), c.signature) {
		t.Fatal("the test does not sign as we do")
	}
	for what, signature := range map[string][]byte{
		"by another key":                    sign(other, c.message()),
		"by another key in our name":        append([]byte(envelope(signingKey(1).Public().(ed25519.PublicKey))), ed25519.Sign(other, signedData(c.message()))...),
		"of another checkpoint":             sign(signingKey(1), []byte("another")),
		"for a file, by ssh-keygen -n file": elsewhere("file"),
		"with something behind":             append(slices.Clone(c.signature), 0),
		"empty":                             nil,
	} {
		d := c
		d.signature = signature
		g := f
		g.checkpoints = append(append(slices.Clone(first), '\n'), d.appendLine(nil)...)
		if p := g.problem(t, what); p.File != CheckpointsFile || p.Line != 2 {
			t.Errorf("%s: %v", what, p)
		}
	}
	g := f
	g.signers = SignersLine(other.Public().(ed25519.PublicKey))
	if p := g.problem(t, "another signer"); p.File != CheckpointsFile || p.Line != 2 {
		t.Error(p)
	}
	for _, signers := range []string{"", "# nobody\n", "hostguard ssh-ed25519 AAAA\n", "* namespaces=\"keyledger@hostguard\"" + string(f.signers[len(`hostguard namespaces="keyledger@hostguard"`):])} {
		g.signers = []byte(signers)
		if p := g.problem(t, signers); p.File != SignersFile {
			t.Error(p)
		}
	}
	g = f // an older ledger with its older signature is whole: that is what --expect-head is for
	g.events, g.checkpoints = f.events[:bytes.IndexByte(f.events, '\n')+1], first[:len(first):len(first)]
	g.checkpoints = append(g.checkpoints, '\n')
	if l := g.read(t); l.Find(whole.Head) != 0 || whole.Find(l.Head) != 1 {
		t.Error("the older ledger is not told from the newer one by its head")
	}
}
