package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"

	"github.com/hostguard/hostguard/checks/all"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/keyledger"
	"github.com/hostguard/hostguard/internal/strictyaml"
	"github.com/hostguard/hostguard/reports"
)

// ledgerCheck is the check that an expected head is a parameter of.
const ledgerCheck = "ssh-key-ledger"

// expectHead gives the head that the key ledger must still have to the rules
// that look at the ledger.
func expectHead(a *audit, head string) error {
	if _, err := keyledger.ParseHash(head); err != nil {
		return fmt.Errorf("cannot use --expect-head: %w", err)
	}
	given := strictyaml.Node{File: "--expect-head", Line: 1, Column: 1, Kind: strictyaml.Text, Text: head}
	for i := range a.Bound {
		b := &a.Bound[i]
		if b.Rule.Check != ledgerCheck {
			continue
		}
		again, err := bindRule(b.Rule, checksByName(all.Families), append(slices.Clip(b.Layers), layer{"--expect-head", given.Under("expect_head")}), nil)
		if err != nil {
			return err
		}
		again.Level = b.Level
		*b = again
	}
	return nil
}

// looksAtLedger is an error when none of the rules that are run looks at the
// key ledger: an expected head would be passed over.
func looksAtLedger(rules []selected) error {
	for _, s := range rules {
		if s.Rule.Check == ledgerCheck && !s.skipped {
			return nil
		}
	}
	return fmt.Errorf("cannot use --expect-head: no rule that is run looks at the key ledger")
}

// ledgerOf is where the key ledger stands, nil when there is none that counts.
// A finding says why.
func ledgerOf(ctx context.Context, h *host.Host) *reports.Ledger {
	if os.Geteuid() != 0 {
		return nil
	}
	k, err := h.KeyLedger(ctx)
	if err != nil || k.Ledger == nil || k.Ledger.Sequence == 0 {
		return nil
	}
	return &reports.Ledger{Path: path.Join(keyledger.Dir, keyledger.LedgerFile), Sequence: k.Ledger.Sequence, Head: k.Ledger.Head.String(), Signed: k.Ledger.Unsigned() == 0}
}
