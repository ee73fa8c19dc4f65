package sshdconf

import (
	"slices"
	"strings"
)

// Value is one value that is or was set.
type Value struct {
	Text  string
	At    Place
	Block *Block // the Match block it stands in; nil outside any
}

// slot is the state of one setting during a pass.
type slot struct {
	values   []Value
	shadowed []Value // set later, or replaced: without effect
}

func (s *slot) set() bool { return len(s.values) > 0 }

// refusal is why sshd refuses a line. After a mild one it reads on to the end
// of the file to find more.
type refusal struct {
	text string
	mild bool
}

func refuse(text string) *refusal { return &refusal{text: text} }

// A pass reads the configuration once. sshd makes two: the first when it
// starts, with no connection at hand, in which only "Match all" is satisfied;
// the second for every connection, in which what stands outside Match blocks
// is checked but not set.
type pass struct {
	r       *reader
	decide  func(Term) bool // whether a criterion holds; nil in the first pass
	chosen  map[*Block]bool // the blocks whose criteria hold, instead of decide
	slots   []slot
	at      Place
	active  bool
	block   *Block
	base    *Block // the block that the file being read was included from
	lines   int
	refused []Problem

	portsFixed bool   // -p was given: Port lines are skipped
	startups   [3]int // MaxStartups, whose parts are set one by one
	listen     []listen

	// Filled in the first pass only.
	blocks     []*Block
	blockAt    map[blockKey]*Block
	remarks    []Problem
	directives []Directive
	satisfied  []*Block // filled in the second
}

// blockKey tells Match lines apart: the same file may be included from
// several blocks.
type blockKey struct {
	outer *Block
	at    Place
}

func newPass(r *reader, decide func(Term) bool) *pass {
	return &pass{
		r: r, decide: decide, slots: make([]slot, keywordCount), active: decide == nil,
		startups: [3]int{-1, -1, -1}, blockAt: map[blockKey]*Block{},
	}
}

// How a file is read when it is included.
type mode uint8

const (
	asUsual    mode = iota
	neverMatch      // from a block that is not satisfied: criteria are checked, never satisfied
	blocksOnly      // second pass, outside any block: nothing counts until a Match
)

// run reads the main file and everything it includes.
func (p *pass) run(name string) error {
	if strings.EqualFold(name, "none") {
		return nil
	}
	m := asUsual
	if p.decide != nil {
		m = blocksOnly
	}
	if err := p.file(name, Place{}, m, 0); err != nil {
		return err
	}
	return p.finishListen()
}

func (p *pass) file(name string, from Place, m mode, depth int) error {
	if depth > maxIncludeDepth {
		p.refused = append(p.refused, Problem{from, "Include goes deeper than 16 files"})
		return p.refusedError()
	}
	lines, err := p.r.file(name, from)
	if err != nil {
		return err
	}
	outer := p.base
	p.base = p.block
	defer func() { p.base = outer }()
	bad := false
	for i := range lines {
		p.at = Place{name, lines[i].number}
		if p.lines++; p.lines > maxLines {
			return p.tooLong(p.at)
		}
		mild, err := p.line(&lines[i], &m, depth)
		if err != nil {
			return err
		}
		bad = bad || mild
	}
	if bad {
		return p.refusedError()
	}
	return nil
}

func (p *pass) refusedError() error { return &RefusedError{Problems: p.refused} }

// line reads one line. It returns true when sshd refuses it but reads on.
func (p *pass) line(l *line, m *mode, depth int) (bool, error) {
	first := p.decide == nil
	if p.r.opts.Version.AtLeast(V8_7) && l.rest == "" {
		return p.mild("it has no argument")
	}
	if l.keyword == unknown {
		p.note("sshd " + p.r.opts.Version.String() + " does not know the keyword " + quoted(l.name))
	}
	if l.badText {
		return p.mild("a quote is not closed")
	}
	if !p.active && (l.alias.global || l.keyword == unknown) {
		if !first {
			return false, nil
		}
		return p.fatal(quoted(l.name) + " is not allowed inside a Match block")
	}
	switch l.keyword {
	case unknown:
		return true, nil
	case include:
		return p.include(l, *m, depth)
	case match:
		return p.match(l, m)
	case deprecated, ignored, unsupported:
		if first {
			p.remark(l)
		}
		return false, nil
	}
	if !p.r.opts.supports(l.alias.option) {
		if first {
			p.remark(l)
		}
		return false, nil
	}
	if first {
		p.directives = append(p.directives, Directive{
			Place: p.at, Keyword: settings()[l.keyword].name, Text: l.rest, Block: p.block,
		})
	}
	a := l.arguments(p.r.opts.Version)
	if why := settings()[l.keyword].read(p, l, a); why != nil {
		if why.mild {
			return p.mild(quoted(l.name) + ": " + why.text)
		}
		return p.fatal(quoted(l.name) + ": " + why.text)
	}
	if a.left() {
		return p.garbage(l)
	}
	return false, nil
}

func (o *Options) supports(part buildOption) bool {
	return part == always || part == withPAM && !o.NoPAM || part == withGSSAPI && !o.NoGSSAPI
}

func (p *pass) remark(l *line) {
	text := "is deprecated"
	switch l.keyword {
	case ignored:
		return
	case deprecated:
	default:
		text = "is not supported by this build"
	}
	p.remarks = append(p.remarks, Problem{p.at, quoted(l.name) + " " + text + ": sshd skips it"})
}

func quoted(word string) string { return `"` + word + `"` }

func (p *pass) note(text string) { p.refused = append(p.refused, Problem{p.at, text}) }

func (p *pass) mild(text string) (bool, error) {
	p.note(text)
	return true, nil
}

func (p *pass) fatal(text string) (bool, error) {
	p.note(text)
	return true, p.refusedError()
}

func (p *pass) garbage(l *line) (bool, error) {
	text := quoted(l.name) + ": there is more on the line than it takes"
	if p.r.opts.Version.AtLeast(V8_7) {
		return p.mild(text)
	}
	return p.fatal(text)
}

func (p *pass) include(l *line, m mode, depth int) (bool, error) {
	a := l.arguments(p.r.opts.Version)
	count := 0
	for {
		arg, ok := a.next()
		if !ok || arg == "" && !a.byWord {
			break
		}
		if arg == "" {
			return p.mild("Include names an empty file")
		}
		count++
		inner := asUsual
		switch {
		case m == blocksOnly:
			inner = blocksOnly
		case !p.active:
			inner = neverMatch
		}
		if err := p.includeAll(pattern(arg), inner, depth); err != nil {
			return false, err
		}
	}
	if count == 0 {
		return p.fatal("Include names no file")
	}
	return false, nil
}

// includeAll reads the files of an Include pattern. sshd keeps the list of them
// only as it reads them through, and takes what it has of it where it meets the
// pattern again: a file that includes its own folder gets no more than those
// before it, until the second pass, in which it gets itself.
func (p *pass) includeAll(pattern string, m mode, depth int) error {
	names, known := p.r.includes[pattern]
	if !known {
		var err error
		if names, err = p.r.glob(pattern, p.at); err != nil {
			return err
		}
		if len(names) == 0 && p.decide == nil {
			p.r.includes[pattern] = nil
		}
	}
	at, active, block := p.at, p.active, p.block
	for _, name := range names {
		if err := p.file(name, at, m, depth+1); err != nil {
			return err
		}
		p.at, p.active, p.block = at, active, block
		if !known && p.decide == nil {
			p.r.includes[pattern] = append(p.r.includes[pattern], name)
		}
	}
	return nil
}

// enter notes that a Match line begins a block, which ends the one before it
// in the same file.
func (p *pass) enter(l *line, terms []Term) *Block {
	key := blockKey{p.base, p.at}
	b, ok := p.blockAt[key]
	if !ok {
		b = &Block{Place: p.at, Text: l.rest, Outer: p.base, terms: terms}
		p.blockAt[key] = b
		p.blocks = append(p.blocks, b)
	}
	p.block = b
	return b
}

func (p *pass) match(l *line, m *mode) (bool, error) {
	if l.match == nil {
		l.match = parseCriteria(l, &p.r.opts)
	}
	c := l.match
	if c.problem != "" {
		return p.fatal(c.problem)
	}
	b := p.enter(l, c.terms)
	hit := false
	switch {
	case *m == neverMatch:
	case p.chosen != nil:
		hit = p.chosen[b]
	case len(c.terms) == 0:
		hit = true
	case p.decide != nil:
		hit = !slices.ContainsFunc(c.terms, func(t Term) bool { return !p.decide(t) })
	default:
		hit = !slices.ContainsFunc(c.terms, func(t Term) bool { return !p.holdsAtStart(t) })
	}
	p.active = hit
	if hit {
		p.satisfied = append(p.satisfied, b)
	}
	if *m == blocksOnly {
		*m = asUsual
	}
	if c.more {
		return p.garbage(l)
	}
	return false, nil
}

// holdsAtStart is what the first pass makes of a criterion: only the release
// is known then.
func (p *pass) holdsAtStart(t Term) bool {
	return t.Attr == "version" && MatchPatterns(p.r.opts.releaseName(), t.Arg)
}

// The ways in which settings are stored. Each does nothing in a block that is
// not satisfied.

// first keeps the value that is set first.
func (p *pass) first(id int, text string) { p.firstAll(id, []string{text}) }

func (p *pass) firstAll(id int, texts []string) {
	if !p.active {
		return
	}
	s := &p.slots[id]
	if s.set() {
		s.shadowed = p.appendTo(s.shadowed, texts)
		return
	}
	s.values = p.appendTo(s.values, texts)
}

// add appends to a list.
func (p *pass) add(id int, texts ...string) {
	if p.active {
		s := &p.slots[id]
		s.values = p.appendTo(s.values, texts)
	}
}

// last keeps the value that is set last.
func (p *pass) last(id int, text string) {
	if p.active {
		s := &p.slots[id]
		s.shadowed = append(s.shadowed, s.values...)
		s.values = p.appendTo(nil, []string{text})
	}
}

func (p *pass) appendTo(list []Value, texts []string) []Value {
	for _, t := range texts {
		list = append(list, Value{Text: t, At: p.at, Block: p.block})
	}
	return list
}
