package packetfilter

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hostguard/hostguard/internal/nftables"
)

// Bounds of an evaluation. A ruleset of ten thousand rules takes some
// hundred thousand steps.
const (
	maxSteps  = 3_000_000 // rules tried on states, for all flows of a family together
	stepBatch = 1024
	maxStates = 2_000
	maxDepth  = 64
)

// ErrIntricate is that a ruleset needs more work than it is given.
var ErrIntricate = errors.New("the packet filter's rules are too intricate to be followed")

// An evaluator follows packets of one address family and protocol.
type evaluator struct {
	w       *World
	u       *universe
	v6      bool
	proto   uint8
	names   map[*Interface][]value
	protoIs []value
	first   registers
	begun   *state // that try began with
	plain   bool   // chains of type nat are left out
	steps   int
	budget  *atomic.Int64 // steps that are left
	known   *sync.Map     // guardsOf → []guard
	err     error

	// Where the packets are.
	hook    nftables.Hook
	in, out *Interface
	tracked bool // connection tracking has seen them
	nat     bool // in a chain of type nat

	lost     *[]*state // states of which nobody can tell what becomes
	dropped  *[]drop
	boundary func(d dim, lo, hi number) // collects what fields are compared with, in place of comparing
}

type drop struct {
	*state
	place *Place
}

// registers are the 64 bytes that expressions work on.
type registers [64]value

// work is a state in the middle of a rule.
type work struct {
	s    *state
	regs *registers
	at   int // the next expression
}

// walk sends states through a chain. It returns those that come out of its end
// or return from it, and those that are accepted.
func (e *evaluator) walk(c *nftables.Chain, states []*state, depth int) (through, accepted []*state) {
	if depth > maxDepth {
		e.err = ErrIntricate
	}
	var returned []*state
	guards := e.guards(c)
	for n, rule := range c.Rules {
		if len(states) == 0 || e.err != nil {
			break
		}
		guard := &guards[n]
		if guard.idle {
			continue
		}
		var next []*state
		changed := false
		for i, s := range states {
			if e.steps++; e.steps%stepBatch == 0 && e.budget != nil && e.budget.Add(-stepBatch) < 0 {
				e.err = ErrIntricate
				return nil, nil
			}
			var r result
			if !guard.excludes(s) {
				r = e.try(rule, s)
			}
			if !r.acted {
				if changed {
					next = append(next, s)
				}
				continue
			}
			if !changed {
				changed, next = true, append(next, states[:i]...)
			}
			next = append(next, r.on...)
			accepted = append(accepted, r.accepted...)
			returned = append(returned, r.returned...)
			for _, j := range r.jumps {
				chain := e.w.Rules.Jump(rule.Chain, j.to.Chain)
				if chain == nil {
					*e.lost = append(*e.lost, j.s.doubt(reason{rule, len(rule.Exprs) - 1}))
					continue
				}
				back, ok := e.walk(chain, []*state{j.s}, depth+1)
				accepted = append(accepted, ok...)
				if j.to.Code == nftables.Goto {
					returned = append(returned, back...)
				} else {
					next = append(next, back...)
				}
			}
		}
		if changed {
			if states = next; len(states) > 1 && len(states) <= 64 {
				states = merge(states)
			}
			if len(states)+len(accepted) > maxStates {
				if states, accepted = mergeMany(states), mergeMany(accepted); len(states)+len(accepted) > maxStates {
					e.err = ErrIntricate
				}
			}
		}
	}
	return append(states, returned...), accepted
}

// mergeMany forgets which rule let states through, so that more of them join.
func mergeMany(states []*state) []*state {
	first := map[bool]*Place{}
	for i, s := range states {
		t := *s
		if first[s.by == nil] == nil {
			first[s.by == nil] = s.by
		}
		t.by = first[s.by == nil]
		states[i] = &t
	}
	return merge(states)
}

// effective reports whether a rule can change what becomes of a packet.
func effective(r *nftables.Rule) bool {
	for _, x := range r.Exprs {
		switch x := x.(type) {
		case nftables.Verdict, nftables.NAT, nftables.Redirect, nftables.Masquerade, nftables.Reject, nftables.NoTrack, nftables.Unknown,
			nftables.PayloadWrite, nftables.CTSet, nftables.MetaSet:
			return true
		case nftables.Target:
			if !harmless(x) {
				return true
			}
		case nftables.Lookup:
			if x.To == nftables.VerdictRegister {
				return true
			}
		}
	}
	return false
}

type jump struct {
	s  *state
	to nftables.Verdict
}

// result is what a rule makes of a state.
type result struct {
	acted    bool     // else the state goes on as it was
	missed   bool     // a condition did not hold for the state as it was
	on       []*state // go on with the next rule
	accepted []*state
	returned []*state
	jumps    []jump
}

// try runs a rule's expressions on a state.
func (e *evaluator) try(rule *nftables.Rule, s *state) result {
	var r result
	e.first, e.begun = registers{}, s
	var todo []work
	for w := (work{s, &e.first, 0}); ; {
		for w.s != nil && w.at < len(rule.Exprs) {
			x := rule.Exprs[w.at]
			w.at++
			w.s = e.step(rule, x, w, &todo, &r)
		}
		if w.s != nil { // the rule's end, without a verdict
			r.on = append(r.on, w.s)
		}
		if len(todo) == 0 {
			break
		}
		w, todo = todo[len(todo)-1], todo[:len(todo)-1]
	}
	if r.missed && len(r.on) == 0 && len(r.accepted) == 0 && len(r.returned) == 0 && len(r.jumps) == 0 {
		return r // acted stays false: nothing happened
	}
	if r.missed {
		r.on = append(r.on, s)
	}
	r.acted = !(len(r.accepted) == 0 && len(r.returned) == 0 && len(r.jumps) == 0 && len(r.on) == 1 && r.on[0] == s)
	return r
}

// step runs one expression. It returns the state with which the rule goes on,
// nil when it does not.
func (e *evaluator) step(rule *nftables.Rule, x nftables.Expr, w work, todo *[]work, r *result) *state {
	s, regs := w.s, w.regs
	why := reason{rule, w.at - 1}
	test := func(not bool, when ...condition) *state {
		if e.boundary != nil {
			return s
		}
		if len(when) == 1 && s.misses(&when[0]) {
			if not {
				return s
			}
			if s == e.begun {
				r.missed = true
			} else {
				r.on = append(r.on, s)
			}
			return nil
		}
		in, out := e.split(s, when[0], why)
		for _, c := range when[1:] {
			rest := out
			out = nil
			for _, o := range rest {
				i, left := e.split(o, c, why)
				in, out = append(in, i...), append(out, left...)
			}
		}
		if not {
			in, out = out, in
		}
		r.on = append(r.on, out...)
		if len(in) == 0 {
			return nil
		}
		for _, other := range in[1:] {
			copied := *regs
			*todo = append(*todo, work{other, &copied, w.at})
		}
		return in[0]
	}
	quiet := func(holds bool) *state {
		if e.boundary != nil {
			return s
		}
		if holds {
			r.on = append(r.on, s.doubt(why))
			return s
		}
		copied := *regs
		*todo = append(*todo, work{s.doubt(why), &copied, w.at})
		r.on = append(r.on, s)
		return nil
	}
	switch x := x.(type) {
	case nftables.Plain:
	case nftables.Payload:
		if !e.payload(s, x, regs[x.To:x.To+x.Len]) {
			r.on = append(r.on, s)
			return nil
		}
		for i := x.Len; i%4 != 0; i++ { // a register's rest is zero
			regs[x.To+i] = value{}
		}
	case nftables.Header:
		if !x.Present {
			r.on = append(r.on, s)
			return nil
		}
		put(regs, x.To, []value{{}}, 4)
	case nftables.Meta:
		put(regs, x.To, e.meta(s, x.Key), 4)
	case nftables.CT:
		loaded, ok := e.ct(s, x)
		if !ok { // the packet has no connection
			r.on = append(r.on, s)
			return nil
		}
		put(regs, x.To, loaded, 4)
	case nftables.FIB:
		return e.fib(s, x, w, todo)
	case nftables.Immediate:
		put(regs, x.To, knownValues(x.Data), 4)
	case nftables.Bitwise:
		for i := range x.Len {
			if x.Other {
				regs[x.To+i] = value{kind: unknown, sym: 0xff}
			} else {
				regs[x.To+i] = regs[x.From+i].masked(x.Mask[i], x.Xor[i])
			}
		}
	case nftables.Byteorder:
		moved := slices.Clone(regs[x.From : x.From+x.Len])
		for i := 0; i+x.Size <= len(moved); i += x.Size {
			slices.Reverse(moved[i : i+x.Size])
		}
		copy(regs[x.To:], moved)
	case nftables.Cmp:
		c, not := e.comparison(regs[x.From:x.From+len(x.Data)], x)
		return test(not, c)
	case nftables.Range:
		return test(x.Not, e.between(regs[x.From:x.From+len(x.Lo)], x.Lo, x.Hi))
	case nftables.Lookup:
		return e.lookup(rule, x, w, todo, r)
	case nftables.Limit:
		return quiet(x.Quiet)
	case nftables.Match:
		when, rate := e.match(s, x)
		if rate != nil {
			return quiet(rate.Quiet)
		}
		return test(false, when...)
	case nftables.MetaSet:
		if x.Key == metaMark {
			t := *s
			t.mark = markOf(regs[x.From : x.From+4])
			return &t
		}
	case nftables.CTSet:
		if x.Key == ctMark {
			t := *s
			t.ctmark = markOf(regs[x.From : x.From+4])
			return &t
		}
	case nftables.NoTrack:
		t := *s
		t.untracked = true
		return &t
	case nftables.Verdict:
		return e.verdict(why, x, s, r)
	case nftables.Reject:
		e.drop(s, rule)
		return nil
	case nftables.Masquerade:
		e.translated(s, r)
		return nil
	case nftables.NAT:
		return e.translate(why, x, w, r)
	case nftables.Redirect:
		e.redirect(rule, s, portOf(regs, x.PortMin, x.PortMax), r)
		return nil
	case nftables.Target:
		return e.target(why, x, s, r)
	case nftables.PayloadWrite:
		if x.Base == nftables.NetworkHeader && (x.Offset == 1 || x.Offset == 8) && x.Len <= 2 || x.Base == nftables.LinkHeader {
			return s // type of service, time to live, link addresses
		}
		e.lose(s, why)
		return nil
	case nftables.Unknown:
		// It may hold or not, or end the chain.
		u := s.doubt(why)
		e.drop(u, rule)
		r.accepted = append(r.accepted, u)
		r.on = append(r.on, u)
		return u
	default:
		e.lose(s, why)
		return nil
	}
	return s
}

func put(regs *registers, at int, v []value, fill int) {
	if at < 0 {
		return
	}
	n := copy(regs[at:], v)
	for ; n%4 != 0 || n < fill && n < 4; n++ { // a register's rest is zero
		if at+n >= len(regs) {
			return
		}
		regs[at+n] = value{}
	}
}

func (e *evaluator) drop(s *state, rule *nftables.Rule) {
	*e.dropped = append(*e.dropped, drop{s, &Place{Chain: rule.Chain, Rule: rule}})
}

// lose gives up on a state: it may end anywhere.
func (e *evaluator) lose(s *state, why reason) { *e.lost = append(*e.lost, s.doubt(why)) }

// comparison turns a Cmp into a range, inverted or not.
func (e *evaluator) comparison(v []value, x nftables.Cmp) (c condition, not bool) {
	switch x.Op {
	case nftables.Equal:
		return e.equal(v, x.Data), false
	case nftables.NotEqual:
		return e.equal(v, x.Data), true
	}
	zero, ones := make([]byte, len(x.Data)), slices.Repeat([]byte{0xff}, len(x.Data))
	switch x.Op {
	case nftables.LessOrEqual:
		return e.between(v, zero, x.Data), false
	case nftables.Greater:
		return e.between(v, zero, x.Data), true
	case nftables.GreaterOrEqual:
		return e.between(v, x.Data, ones), false
	case nftables.Less:
		return e.between(v, x.Data, ones), true
	}
	return condition{unsure: true}, false
}

func (e *evaluator) verdict(why reason, x nftables.Verdict, s *state, r *result) *state {
	switch {
	case x.Code == nftables.Continue:
		return s
	case x.Code == nftables.Break:
		r.on = append(r.on, s)
	case x.Code == nftables.Return:
		r.returned = append(r.returned, s)
	case x.Code == nftables.Jump, x.Code == nftables.Goto:
		r.jumps = append(r.jumps, jump{s, x})
	case x.Code&0xff == nftables.Accept:
		e.accept(why.rule, s, r)
	case x.Code&0xff == nftables.Drop:
		e.drop(s, why.rule)
	case x.Code&0xff == nftables.Queue:
		e.queue(why, s, r)
	default:
		e.lose(s, why)
	}
	return nil
}

// queue hands packets to a program, which accepts or drops them.
func (e *evaluator) queue(why reason, s *state, r *result) {
	u := s.doubt(why)
	e.drop(u, why.rule)
	r.accepted = append(r.accepted, u)
}

func (e *evaluator) accept(rule *nftables.Rule, s *state, r *result) {
	t := *s
	if !e.nat {
		t.by = &Place{Chain: rule.Chain, Rule: rule}
	}
	r.accepted = append(r.accepted, &t)
}

func markOf(v []value) mark {
	b := make([]byte, 4)
	for i := range b {
		if v[i].kind != known {
			return mark{unknown: true}
		}
		b[i] = v[i].bits
	}
	return mark{value: binary.NativeEndian.Uint32(b)}
}
