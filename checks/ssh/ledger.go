package ssh

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/keyledger"
	"github.com/hostguard/hostguard/internal/quantity"
)

const (
	looksAtLedger = "Compares the keys in the files of all accounts with hostguard's key ledger (hostguard keys list), whose chain of hashes and last signature are verified first."
	blindToLedger = "Keys that come from elsewhere: AuthorizedKeysCommand, certificates. Root can write a new ledger and sign it: compare its head with an earlier report's (--expect-head)."
)

// ledgerView is the ledger beside what it speaks of.
type ledgerView struct {
	ledger *host.KeyLedger
	keys   []host.KeyInFile
	unseen []host.UnseenKeys
	now    time.Time

	onlyKnown bool // that there is no ledger is another rule's matter
}

func lookAtLedger(ctx context.Context, h *host.Host) (ledgerView, error) {
	v := ledgerView{now: time.Now()}
	var err error
	if v.ledger, err = h.KeyLedger(ctx); err != nil {
		return v, err
	}
	a, err := h.AuthorizedKeys(ctx)
	if err != nil {
		return v, err
	}
	v.keys, v.unseen = a.InFiles()
	return v, nil
}

// aboutKeys is a probe whose judge has no parameters.
func aboutKeys(judge func(ledgerView) (checks.Verdict, error)) checks.Probe {
	return func(ctx context.Context, h *host.Host) (checks.Verdict, error) {
		v, err := lookAtLedger(ctx, h)
		if err != nil {
			return checks.Verdict{}, err
		}
		return judge(v)
	}
}

// opinion is what a judge makes of one key in a file.
type opinion struct {
	skip      bool   // it is not this judge's matter
	bad       string // what is wrong, a clause that follows the key
	want, got string
}

const enrol = `start it with "hostguard keys enrol --person ACCOUNT=NAME"`

// judgeKeys hears an opinion on every key in a file. The known key is nil when
// the ledger does not have it or says that it is gone.
func (v ledgerView) judgeKeys(of func(in *host.KeyInFile, known *keyledger.Key) opinion) (checks.Verdict, error) {
	if len(v.keys) == 0 && len(v.unseen) == 0 {
		return checks.Inapplicable("No account has a key in a file."), nil
	}
	if p := v.ledger.Problem; p != nil {
		return checks.Verdict{}, fmt.Errorf("cannot go by the key ledger, which was changed: %s/%w", keyledger.Dir, p)
	}
	if v.ledger.Ledger == nil || v.ledger.Ledger.Signed == 0 {
		if len(v.keys) == 0 {
			return checks.Verdict{}, v.cannotSee()
		}
		if v.onlyKnown {
			return checks.Inapplicable("There is no key ledger."), nil
		}
		reason := fmt.Sprintf("There is no key ledger: %s.", enrol)
		if v.ledger.Ledger != nil {
			reason = `The first entries of the key ledger are not signed yet: run "hostguard keys enrol" again.`
		}
		var at []checks.Evidence
		for i := range v.keys {
			e := keyPlace(&v.keys[i])
			e.Want, e.Got = "an entry in "+path.Join(keyledger.Dir, keyledger.LedgerFile), v.keys[i].Kind
			at = append(at, e)
		}
		return checks.Failed(reason, at...), nil
	}
	var bad, seen []checks.Evidence
	reason := ""
	for i := range v.keys {
		in := &v.keys[i]
		known := v.ledger.Ledger.State.Find(in.Account, in.Key)
		if known != nil && !known.Live() {
			known = nil
		}
		o := of(in, known)
		e := keyPlace(in)
		e.Want, e.Got = o.want, o.got
		switch {
		case o.skip:
		case o.bad != "":
			if reason == "" {
				reason = fmt.Sprintf("The key %s of %s %s.", in.Key, in.Account, o.bad)
			}
			bad = append(bad, e)
		default:
			seen = append(seen, e)
		}
	}
	if n := len(bad) - 1; n > 0 {
		reason = fmt.Sprintf("%s (%d more.)", reason, n)
	}
	switch {
	case len(bad) > 0:
		return checks.Failed(reason, bad...), nil
	case len(v.unseen) > 0:
		return checks.Verdict{Evidence: seen}, v.cannotSee()
	case len(seen) == 0:
		return checks.Inapplicable("None of the keys in files is one that this is about."), nil
	}
	return checks.Passed(seen...), nil
}

func (v ledgerView) cannotSee() error {
	if n := len(v.unseen) - 1; n > 0 {
		return fmt.Errorf("%w (and %d more)", v.unseen[0].Err, n)
	}
	return v.unseen[0].Err
}

// keyPlace is the line that holds a key.
func keyPlace(in *host.KeyInFile) checks.Evidence {
	return checks.Evidence{Source: in.File, Line: in.Line, Key: in.Account + " " + in.Key}
}

// date is a day, and how long ago it was or how far it is.
func (v ledgerView) date(t time.Time) string {
	days := int(v.now.Sub(t) / (24 * time.Hour))
	switch text := t.UTC().Format(time.DateOnly); {
	case days > 0:
		return fmt.Sprintf("%s (%s ago)", text, counted(days, "day"))
	case days < 0:
		return fmt.Sprintf("%s (in %s)", text, counted(-days, "day"))
	default:
		return text
	}
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Unrecorded is what repairs a host whose ledger lacks keys that are in files.
type Unrecorded struct {
	Started bool                // there is a ledger, and it does not know them
	Keys    []keyledger.Present // in files, of a host without ledger; sorted
	Unseen  bool                // not all files could be read
}

// unrecorded describes the failure of judgeRecorded.
func (v ledgerView) unrecorded() Unrecorded {
	u := Unrecorded{Started: v.ledger.Ledger != nil, Unseen: len(v.unseen) > 0}
	if u.Started {
		return u
	}
	for i := range v.keys {
		u.Keys = append(u.Keys, keyledger.Present{Account: v.keys[i].Account, Key: v.keys[i].Key})
	}
	slices.SortFunc(u.Keys, func(a, b keyledger.Present) int {
		return cmp.Or(strings.Compare(a.Account, b.Account), strings.Compare(a.Key, b.Key))
	})
	u.Keys = slices.Compact(u.Keys)
	return u
}

// judgeRecorded wants the ledger to know every key in a file.
func judgeRecorded(v ledgerView) (checks.Verdict, error) {
	verdict, err := v.judgeKeys(func(in *host.KeyInFile, known *keyledger.Key) opinion {
		if known != nil {
			return opinion{got: fmt.Sprintf("%s, in the ledger since %s", in.Kind, v.date(known.Since))}
		}
		o := opinion{bad: "stands in a file and not in the key ledger", want: "an entry in the key ledger", got: in.Kind + ", unknown to it"}
		if gone := v.ledger.Ledger.State.Find(in.Account, in.Key); gone != nil {
			o.bad = "stands in a file, and the key ledger says that it is gone"
			o.got = fmt.Sprintf("%s, %v %s", in.Kind, gone.Gone, v.date(gone.GoneAt))
		}
		return o
	})
	if verdict.Status == checks.Fail {
		verdict.Repair = v.unrecorded()
	}
	return verdict, err
}

// judgeAssigned wants a person for every key that the ledger knows.
func judgeAssigned(v ledgerView) (checks.Verdict, error) {
	return v.judgeKeys(func(in *host.KeyInFile, known *keyledger.Key) opinion {
		switch {
		case known == nil:
			return opinion{skip: true}
		case known.Person == "":
			return opinion{bad: "belongs to nobody: the key ledger names no person", want: "the person who has the private key", got: "nobody"}
		}
		return opinion{got: known.Person}
	})
}

// KeyAgeParams say how old a key may become.
type KeyAgeParams struct {
	MaxAge quantity.Duration `yaml:"max_age" doc:"How old a key may be, counted from its first event in the ledger, on whatever account."`
	Within quantity.Duration `yaml:"within" doc:"When not 0: fails for keys that are not too old yet and will be within this time."`
}

func (p KeyAgeParams) Validate() error {
	if p.MaxAge <= 0 {
		return fmt.Errorf("max_age must be more than nothing")
	}
	if p.Within >= p.MaxAge {
		return fmt.Errorf("within must be less than max_age, which is %v", p.MaxAge)
	}
	return nil
}

func keyAge(ctx context.Context, h *host.Host, p KeyAgeParams) (checks.Verdict, error) {
	v, err := lookAtLedger(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeAge(v, p)
}

// soon is how far an event may lie in the future: clocks differ.
const soon = time.Hour

// judgeAge wants no key that is too old, or none that soon will be.
func judgeAge(v ledgerView, p KeyAgeParams) (checks.Verdict, error) {
	v.onlyKnown = p.Within > 0
	return v.judgeKeys(func(in *host.KeyInFile, known *keyledger.Key) opinion {
		if known == nil {
			return opinion{skip: true}
		}
		due := known.Since.Add(time.Duration(p.MaxAge))
		o := opinion{got: fmt.Sprintf("%s, in the ledger since %s", in.Kind, v.date(known.Since)), want: "replaced by " + v.date(due)}
		left := due.Sub(v.now)
		switch {
		case known.Since.After(v.now.Add(soon)):
			if p.Within == 0 {
				o.bad = "came into the key ledger at a time that has not come yet: its age is unknown"
			}
		case p.Within == 0 && left < 0:
			o.bad = fmt.Sprintf("is older than %v", p.MaxAge)
		case p.Within > 0 && left >= 0 && left < time.Duration(p.Within):
			o.bad = fmt.Sprintf("has to be replaced by %s", due.UTC().Format(time.DateOnly))
		}
		return o
	})
}

// judgeNoted wants those who use a key that came after another to have been
// told, and the key to have been tried.
func judgeNoted(v ledgerView) (checks.Verdict, error) {
	v.onlyKnown = true
	return v.judgeKeys(func(_ *host.KeyInFile, known *keyledger.Key) opinion {
		if known == nil || !known.Follows {
			return opinion{skip: true}
		}
		o := opinion{want: `"informed" and "tested" in the key ledger`}
		switch {
		case known.Informed.IsZero() && known.Tested.IsZero():
			o.bad, o.got = "came after another: nobody noted that its person was told, and that it was tried", "neither"
		case known.Informed.IsZero():
			o.bad, o.got = "came after another: nobody noted that its person was told", "tested "+v.date(known.Tested)
		case known.Tested.IsZero():
			o.bad, o.got = "came after another: nobody noted that it was tried", "informed "+v.date(known.Informed)
		default:
			o.got = fmt.Sprintf("informed %s, tested %s", v.date(known.Informed), v.date(known.Tested))
		}
		return o
	})
}

type ledgerParams struct {
	ExpectHead string `yaml:"expect_head" doc:"A head that the ledger had, from an earlier report: it must still be one of its lines (check --expect-head)."`
}

func (p ledgerParams) Validate() error {
	if p.ExpectHead == "" {
		return nil
	}
	_, err := keyledger.ParseHash(p.ExpectHead)
	return err
}

func ledgerIntact(ctx context.Context, h *host.Host, p ledgerParams) (checks.Verdict, error) {
	k, err := h.KeyLedger(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeLedger(k, p), nil
}

// judgeLedger wants the files of the ledger as hostguard wrote them, and nobody
// but root able to write them.
func judgeLedger(k *host.KeyLedger, p ledgerParams) checks.Verdict {
	file := path.Join(keyledger.Dir, keyledger.LedgerFile)
	var bad, seen []checks.Evidence
	reason := ""
	fail := func(why string, at checks.Evidence) {
		if reason == "" {
			reason = why
		}
		bad = append(bad, at)
	}
	if k.Problem != nil {
		fail("The key ledger is not as it was written: the line "+k.Problem.What+".", checks.Evidence{
			Source: path.Join(keyledger.Dir, k.Problem.File), Line: k.Problem.Line, Key: "key ledger", Want: "as it was written and signed", Got: "the line " + k.Problem.What})
		if k.Problem.Line == 0 {
			reason = fmt.Sprintf("The key ledger does not hold: %s %s.", k.Problem.File, k.Problem.What)
			bad[0].Got = k.Problem.What
		}
	}
	l := k.Ledger
	switch {
	case l != nil && l.Signed == 0:
		fail(`No line of the key ledger is signed: its first run was cut off. Run "hostguard keys enrol" again.`,
			checks.Evidence{Source: file, Line: 1, Key: "signature", Want: "a checkpoint in " + keyledger.CheckpointsFile, Got: "none"})
	case l != nil:
		seen = append(seen,
			checks.Evidence{Source: file, Line: l.Signed, Key: "head", Got: fmt.Sprintf("%v after %s", l.HeadOf(l.Signed), counted(l.Signed, "event"))},
			checks.Evidence{Source: path.Join(keyledger.Dir, keyledger.CheckpointsFile), Line: l.Checkpoints, Key: "signature", Got: fmt.Sprintf("%s, %s", l.Signer, l.SignedAt.Format(time.RFC3339))})
		if n := l.Unsigned(); n > 0 || l.Torn > 0 || l.TornCheckpoint > 0 {
			seen = append(seen, checks.Evidence{Source: file, Line: l.Signed + 1, Key: "unsigned tail",
				Got: fmt.Sprintf("%s and %d bytes of a run that was cut off: the next hostguard keys enrol completes them", counted(n, "event"), l.Torn+l.TornCheckpoint)})
		}
	}
	if p.ExpectHead != "" && k.Problem == nil {
		head, _ := keyledger.ParseHash(p.ExpectHead)
		line := 0
		if l != nil {
			line = l.Find(head)
		}
		if line == 0 {
			got := "no ledger"
			if l != nil {
				got = fmt.Sprintf("%s, none with that hash; head %v", counted(l.Sequence, "event"), l.Head)
			}
			fail(fmt.Sprintf("The expected head %s is on no line of the key ledger: it was written anew, or an older copy was put in its place.", p.ExpectHead),
				checks.Evidence{Source: file, Key: "expected head", Want: p.ExpectHead, Got: got})
		} else {
			seen = append(seen, checks.Evidence{Source: file, Line: line, Key: "expected head", Got: p.ExpectHead})
		}
	}
	for _, u := range k.Unsafe {
		why := "Others than root can write into the key ledger."
		if path.Base(u.Path) == keyledger.SigningKeyFile {
			why = "Others than root can use the key that signs the ledger."
		}
		fail(why, checks.Evidence{Source: u.Path, Key: "owner and mode", Want: u.Want, Got: u.Got})
	}
	switch {
	case len(bad) > 0:
		return checks.Failed(reason, append(bad, seen...)...)
	case l == nil:
		return checks.Inapplicable("There is no key ledger.")
	}
	return checks.Passed(seen...)
}
