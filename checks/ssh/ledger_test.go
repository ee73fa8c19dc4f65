package ssh

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/keyledger"
	"github.com/hostguard/hostguard/internal/quantity"
)

const day = 24 * time.Hour

var ledgerNow = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func testKey(n int) string { return fmt.Sprintf("SHA256:%043d", n) }

// happened is an event so many days ago.
type happened struct {
	days int
	keyledger.Event
}

func event(days int, kind keyledger.Kind, key int, person string) happened {
	return happened{days, keyledger.Event{Kind: kind, Account: "operator", Key: testKey(key), Person: person}}
}

// ledgerOf makes a ledger of events, each appended alone; the last ones stay
// unsigned.
func ledgerOf(t *testing.T, unsigned int, events ...happened) *keyledger.Ledger {
	t.Helper()
	signer := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	signers := keyledger.SignersLine(signer.Public().(ed25519.PublicKey))
	var lines, checkpoints []byte
	var l *keyledger.Ledger
	for i, e := range events {
		at := ledgerNow.Add(-time.Duration(e.days) * day)
		list := []keyledger.Event{e.Event}
		line, err := l.Next(list, at)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line...)
		if i < len(events)-unsigned {
			checkpoints = append(checkpoints, l.NextCheckpoint(i+1, sha256.Sum256(line), at, signer)...)
		}
		if l, err = keyledger.Read(keyledger.Files{Ledger: bytes.NewReader(lines), Checkpoints: bytes.NewReader(checkpoints), Signers: signers}, keyledger.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func inFiles(keys ...int) []host.KeyInFile {
	var list []host.KeyInFile
	for i, k := range keys {
		list = append(list, host.KeyInFile{Account: "operator", File: "/home/operator/.ssh/authorized_keys", Line: i + 1, Key: testKey(k), Kind: "ED25519 256"})
	}
	return list
}

func TestKeysAndTheLedger(t *testing.T) {
	t.Parallel()
	const (
		enrolled = keyledger.Enrolled
		removed  = keyledger.RemovedOutside
		informed = keyledger.Informed
		tested   = keyledger.Tested
	)
	max := func(p KeyAgeParams) func(ledgerView) (checks.Verdict, error) {
		return func(v ledgerView) (checks.Verdict, error) { return judgeAge(v, p) }
	}
	age := max(KeyAgeParams{MaxAge: quantity.Duration(90 * day)})
	soon := max(KeyAgeParams{MaxAge: quantity.Duration(90 * day), Within: quantity.Duration(14 * day)})
	hidden := []host.UnseenKeys{{Account: "backup", Err: errors.New("cannot see the keys of backup")}}
	for name, c := range map[string]struct {
		judge  func(ledgerView) (checks.Verdict, error)
		events []happened
		keys   []host.KeyInFile
		unseen []host.UnseenKeys
		tail   int
		want   checks.Status
		says   string
	}{
		"known": {judge: judgeRecorded, events: []happened{event(3, enrolled, 1, "Ann")}, keys: inFiles(1), want: checks.Pass, says: "since 2026-05-29 (3 days ago)"},
		"case 38: unknown": {judge: judgeRecorded, events: []happened{event(3, enrolled, 1, "Ann")}, keys: inFiles(1, 2), want: checks.Fail,
			says: "authorized_keys:2"},
		"unknown on this account": {judge: judgeRecorded, events: []happened{event(3, enrolled, 1, "Ann")},
			keys: []host.KeyInFile{{Account: "other", Key: testKey(1), File: "/f", Line: 1}}, want: checks.Fail, says: "not in the key ledger"},
		"gone by its word": {judge: judgeRecorded, events: []happened{event(3, enrolled, 1, "Ann"), event(2, removed, 1, "")}, keys: inFiles(1), want: checks.Fail,
			says: "says that it is gone"},
		"came back": {judge: judgeRecorded, events: []happened{event(3, enrolled, 1, "Ann"), event(2, removed, 1, ""), event(1, enrolled, 1, "Ann")}, keys: inFiles(1), want: checks.Pass},
		"unsigned events do not count": {judge: judgeRecorded, events: []happened{event(3, enrolled, 1, "Ann"), event(2, enrolled, 2, "Ann")}, tail: 1,
			keys: inFiles(1, 2), want: checks.Fail, says: testKey(2)},
		"no ledger":                          {judge: judgeRecorded, keys: inFiles(1), want: checks.Fail, says: "hostguard keys enrol"},
		"no ledger and no key":               {judge: judgeRecorded, want: checks.NotApplicable},
		"a first run that was cut off":       {judge: judgeRecorded, events: []happened{event(3, enrolled, 1, "Ann")}, tail: 1, keys: inFiles(1), want: checks.Fail, says: "not signed yet"},
		"an unseen file":                     {judge: judgeRecorded, events: []happened{event(3, enrolled, 1, "Ann")}, keys: inFiles(1), unseen: hidden, want: checks.Error, says: "backup"},
		"an unseen file and no ledger":       {judge: judgeRecorded, unseen: hidden, want: checks.Error, says: "backup"},
		"an unseen file beside a bad one":    {judge: judgeRecorded, events: []happened{event(3, enrolled, 1, "Ann")}, keys: inFiles(2), unseen: hidden, want: checks.Fail},
		"a person":                           {judge: judgeAssigned, events: []happened{event(3, enrolled, 1, "Ann")}, keys: inFiles(1), want: checks.Pass, says: "Ann"},
		"no person":                          {judge: judgeAssigned, events: []happened{event(3, enrolled, 1, "")}, keys: inFiles(1), want: checks.Fail, says: "nobody"},
		"a person given later":               {judge: judgeAssigned, events: []happened{event(3, enrolled, 1, ""), event(2, enrolled, 1, "Ann")}, keys: inFiles(1), want: checks.Pass},
		"an unknown key is another's matter": {judge: judgeAssigned, events: []happened{event(3, enrolled, 1, "Ann")}, keys: inFiles(2), want: checks.NotApplicable},
		"persons without a ledger":           {judge: judgeAssigned, keys: inFiles(1), want: checks.Fail},

		"90 days": {judge: age, events: []happened{event(90, enrolled, 1, "Ann")}, keys: inFiles(1), want: checks.Pass},
		"91 days": {judge: age, events: []happened{event(91, enrolled, 1, "Ann")}, keys: inFiles(1), want: checks.Fail, says: "older than 90d"},
		"taken out and put back": {judge: age, events: []happened{event(91, enrolled, 1, "Ann"), event(9, removed, 1, ""), event(1, enrolled, 1, "Ann")}, keys: inFiles(1),
			want: checks.Fail, says: "2026-03-02 (91 days ago)"},
		"a person given later makes it no younger": {judge: age, events: []happened{event(91, enrolled, 1, ""), event(1, enrolled, 1, "Ann")}, keys: inFiles(1), want: checks.Fail},
		"from the future":                          {judge: age, events: []happened{event(-2, enrolled, 1, "Ann")}, keys: inFiles(1), want: checks.Fail, says: "has not come yet"},
		"ages without ledger":                      {judge: age, keys: inFiles(1), want: checks.Fail},
		"15 days left":                             {judge: soon, events: []happened{event(75, enrolled, 1, "Ann")}, keys: inFiles(1), want: checks.Pass},
		"13 days left": {judge: soon, events: []happened{event(77, enrolled, 1, "Ann")}, keys: inFiles(1), want: checks.Fail,
			says: "replaced by 2026-06-14"},
		"overdue is another's matter":          {judge: soon, events: []happened{event(91, enrolled, 1, "Ann")}, keys: inFiles(1), want: checks.Pass},
		"what is due without ledger":           {judge: soon, keys: inFiles(1), want: checks.NotApplicable},
		"a first key needs no note":            {judge: judgeNoted, events: []happened{event(9, enrolled, 1, "Ann")}, keys: inFiles(1), want: checks.NotApplicable},
		"a second key without a note":          {judge: judgeNoted, events: []happened{event(9, enrolled, 1, "Ann"), event(3, enrolled, 2, "Ann")}, keys: inFiles(2), want: checks.Fail, says: "neither"},
		"a second key whose person was told":   {judge: judgeNoted, events: []happened{event(9, enrolled, 1, "Ann"), event(3, enrolled, 2, "Ann"), event(3, informed, 2, "")}, keys: inFiles(2), want: checks.Fail, says: "that it was tried"},
		"a second key that was tried":          {judge: judgeNoted, events: []happened{event(9, enrolled, 1, "Ann"), event(3, enrolled, 2, "Ann"), event(3, tested, 2, "")}, keys: inFiles(2), want: checks.Fail, says: "its person was told"},
		"a second key with both":               {judge: judgeNoted, events: []happened{event(9, enrolled, 1, "Ann"), event(3, enrolled, 2, "Ann"), event(3, tested, 2, ""), event(2, informed, 2, "")}, keys: inFiles(2), want: checks.Pass},
		"notes end with the key's first going": {judge: judgeNoted, events: []happened{event(9, enrolled, 1, "Ann"), event(8, tested, 1, ""), event(8, informed, 1, ""), event(7, removed, 1, ""), event(3, enrolled, 1, "Ann")}, keys: inFiles(1), want: checks.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := ledgerView{ledger: &host.KeyLedger{}, keys: c.keys, unseen: c.unseen, now: ledgerNow}
			if c.events != nil {
				v.ledger.Ledger = ledgerOf(t, c.tail, c.events...)
			}
			got, err := c.judge(v)
			wantVerdict(t, got, err, c.want, c.says)
		})
	}
	v := ledgerView{ledger: &host.KeyLedger{Problem: &keyledger.Problem{File: "ledger.jsonl", Line: 7, What: "was changed"}}, keys: inFiles(1), now: ledgerNow}
	for _, judge := range []func(ledgerView) (checks.Verdict, error){judgeRecorded, judgeAssigned, judgeNoted, age, soon} {
		got, err := judge(v)
		wantVerdict(t, got, err, checks.Error, "/var/lib/hostguard/keys/ledger.jsonl:7")
	}
}

func wantVerdict(t *testing.T, got checks.Verdict, err error, want checks.Status, says string) {
	t.Helper()
	status, text := got.Status, got.Reason
	for _, e := range got.Evidence {
		text += fmt.Sprintf("\n%s:%d %s: got %s, want %s", e.Source, e.Line, e.Key, e.Got, e.Want)
	}
	if err != nil {
		status, text = checks.Error, err.Error()
	}
	if status != want || !strings.Contains(text, says) {
		t.Errorf("%v, want %v with %q:\n%s", status, want, says, text)
	}
}

func TestLedgerIntact(t *testing.T) {
	t.Parallel()
	old := ledgerOf(t, 0, event(5, keyledger.Enrolled, 1, "Ann"))
	l := ledgerOf(t, 0, event(5, keyledger.Enrolled, 1, "Ann"), event(4, keyledger.Tested, 1, ""))
	other := ledgerOf(t, 0, event(5, keyledger.Enrolled, 2, "Ann"))
	head := func(l *keyledger.Ledger) ledgerParams { return ledgerParams{ExpectHead: l.Head.String()} }
	for name, c := range map[string]struct {
		ledger *host.KeyLedger
		params ledgerParams
		want   checks.Status
		says   string
	}{
		"whole":                              {&host.KeyLedger{Ledger: l}, ledgerParams{}, checks.Pass, l.Head.String()},
		"none":                               {&host.KeyLedger{}, ledgerParams{}, checks.NotApplicable, "no key ledger"},
		"none, and one was expected":         {&host.KeyLedger{}, head(l), checks.Fail, "no ledger"},
		"the expected head":                  {&host.KeyLedger{Ledger: l}, head(l), checks.Pass, "ledger.jsonl:2 expected head"},
		"an earlier head":                    {&host.KeyLedger{Ledger: l}, head(old), checks.Pass, "ledger.jsonl:1 expected head"},
		"an older copy was put back":         {&host.KeyLedger{Ledger: old}, head(l), checks.Fail, "older copy"},
		"another ledger, signed":             {&host.KeyLedger{Ledger: other}, head(l), checks.Fail, l.Head.String()},
		"an unsigned tail is no alarm":       {&host.KeyLedger{Ledger: ledgerOf(t, 1, event(5, keyledger.Enrolled, 1, "Ann"), event(4, keyledger.Tested, 1, ""))}, ledgerParams{}, checks.Pass, "ledger.jsonl:2 unsigned tail"},
		"nothing signed":                     {&host.KeyLedger{Ledger: ledgerOf(t, 1, event(5, keyledger.Enrolled, 1, "Ann"))}, ledgerParams{}, checks.Fail, "cut off"},
		"changed":                            {&host.KeyLedger{Problem: &keyledger.Problem{File: "ledger.jsonl", Line: 7, What: "was changed after it was written"}}, ledgerParams{}, checks.Fail, "ledger.jsonl:7"},
		"no signers":                         {&host.KeyLedger{Problem: &keyledger.Problem{File: "allowed_signers", What: "names no key"}}, ledgerParams{}, checks.Fail, "allowed_signers names no key"},
		"a signing key that others can read": {&host.KeyLedger{Ledger: l, Unsafe: []host.UnsafeFile{{Path: "/var/lib/hostguard/keys/signing_key", Want: "0600", Got: "0640"}}}, ledgerParams{}, checks.Fail, "use the key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantVerdict(t, judgeLedger(c.ledger, c.params), nil, c.want, c.says)
		})
	}
	for head, ok := range map[string]bool{"": true, l.Head.String(): true, "abc": false, strings.ToUpper(l.Head.String()): false} {
		if err := (ledgerParams{ExpectHead: head}).Validate(); (err == nil) != ok {
			t.Errorf("expect_head %q: %v", head, err)
		}
	}
}
