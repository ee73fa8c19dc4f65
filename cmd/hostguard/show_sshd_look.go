package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/internal/sshdconf"
)

// sshdSchema is the version of the JSON form; a change that a reader could
// stumble over raises the first number.
const sshdSchema = "1.0"

// In the text form, at most this many of a kind are written out.
const maxShownSSHD = 5

// shownSSHD is one sshd's configuration in effect.
type shownSSHD struct {
	SchemaVersion string           `json:"schema_version"`
	SSHD          shownDaemon      `json:"sshd"`
	Connection    *shownConnection `json:"connection"`  // null: none, as of a bare sshd -T
	Matched       []shownBlock     `json:"matched"`     // the Match blocks that hold
	NotMatched    []shownBlock     `json:"not_matched"` // those that do not, or were left out
	Sockets       []shownSSHSocket `json:"sockets"`     // socket units that listen in its place
	Settings      []shownKeyword   `json:"settings"`    // in the order of sshd -T, one for each of its lines
	Remarks       []shownProblem   `json:"remarks"`     // keywords that sshd skips
	Refused       []shownProblem   `json:"refused"`     // why sshd does not accept its configuration

	effective *sshdconf.Effective // nil when it is refused
	origin    bool                // the text form says where each value comes from
	json      bool                // it is not the text form
	notes     []string
	errs      []error
}

type shownDaemon struct {
	Program  string   `json:"program"`
	Release  string   `json:"release"`
	Args     []string `json:"args"`
	ArgsFrom string   `json:"args_from"`
	PID      int      `json:"pid,omitempty"`
	Unit     string   `json:"unit,omitempty"`
	File     string   `json:"file,omitempty"` // its main file
	Others   []string `json:"others"`         // where the options of the host's other sshds come from
}

type shownConnection struct {
	User        string   `json:"user,omitempty"`
	Groups      []string `json:"groups,omitempty"`
	Account     bool     `json:"account"` // the host's files have such an account
	InvalidUser bool     `json:"invalid_user,omitempty"`
	Addr        string   `json:"addr,omitempty"`
	Host        string   `json:"host,omitempty"`
	LocalAddr   string   `json:"laddr,omitempty"`
	LocalPort   int      `json:"lport,omitempty"`
	RDomain     string   `json:"rdomain,omitempty"`
}

// shownBlock is a Match line.
type shownBlock struct {
	Match string `json:"match"`
	shownPlace
}

func (b *shownBlock) String() string { return fmt.Sprintf("Match %s (%v)", b.Match, &b.shownPlace) }

// shownKeyword is a line of sshd -T.
type shownKeyword struct {
	Keyword  string        `json:"keyword"`
	Value    string        `json:"value"`
	Origin   []shownOrigin `json:"origin"`           // empty: sshd's built-in default
	Shadowed []shownOrigin `json:"shadowed"`         // set too, and without effect
	NotHere  []shownOrigin `json:"in_other_matches"` // set in Match blocks that do not hold
}

// shownOrigin is a line that sets a keyword.
type shownOrigin struct {
	Value       string      `json:"value"`
	Place       *shownPlace `json:"place"`                  // null: the command line or the built-in default
	CommandLine string      `json:"command_line,omitempty"` // where the daemon's options come from
	Match       *shownBlock `json:"match"`                  // null: outside of Match blocks
}

type shownProblem struct {
	Place *shownPlace `json:"place"` // null: no line of a file
	Text  string      `json:"text"`
}

type shownSSHSocket struct {
	Unit      string        `json:"unit"`
	Starts    string        `json:"starts"`
	Active    bool          `json:"active"`
	AtBoot    string        `json:"at_boot,omitempty"` // what starts it at boot
	Generator string        `json:"generator,omitempty"`
	Listen    []shownListen `json:"listen"`
}

type shownListen struct {
	Address string      `json:"address"`
	Place   *shownPlace `json:"place"`
}

// lookAtSSHD finds the sshd that is meant and asks for its configuration.
func lookAtSSHD(ctx context.Context, h *host.Host, o *showSSHDOptions) (*shownSSHD, error) {
	servers, err := h.SSHServers(ctx)
	if err != nil {
		return nil, err
	}
	d, others, err := chooseSSHD(servers, o.argsFrom)
	if err != nil {
		return nil, err
	}
	s := newShownSSHD(d, others, o)
	for _, other := range servers.Others {
		if other.Running {
			s.note("%s is another SSH server (%s), of which this says nothing", other.Program, other.Place)
		}
	}
	s.lookAtSockets(ctx, h)
	if d.Unknown != nil {
		s.errs = append(s.errs, fmt.Errorf("shown as sshd %v would have it: %w", d.Version, d.Unknown))
	}
	if d.Unresolved != "" {
		s.errs = append(s.errs, fmt.Errorf("cannot tell the options of sshd (%s): %s", d.ArgsFrom, d.Unresolved))
	}
	if d.Err != nil {
		return s, s.refusedBy(d.Err)
	}
	s.SSHD.File = printable.String(d.Config.File)
	for i, r := range d.Config.Remarks {
		s.Remarks = append(s.Remarks, s.problem(r))
		if i < maxShownSSHD {
			s.note("%v", r)
		}
	}
	conn, err := s.connect(ctx, h, d, o)
	if err != nil {
		return nil, err
	}
	if s.effective, err = d.Config.For(conn); err != nil {
		return s, s.refusedBy(err)
	}
	s.fill(d.Config)
	if h.Running() {
		s.compare(ctx, h, d, conn)
	}
	return s, nil
}

func newShownSSHD(d *host.SSHD, others []*host.SSHD, o *showSSHDOptions) *shownSSHD {
	s := &shownSSHD{
		SchemaVersion: sshdSchema,
		SSHD: shownDaemon{
			Program: printable.String(d.Path), Release: oneLine(d.Release), Args: printableAll(d.Args), ArgsFrom: oneLine(d.ArgsFrom),
			PID: d.PID, Unit: printable.String(d.Unit), Others: []string{},
		},
		Matched: []shownBlock{}, NotMatched: []shownBlock{}, Sockets: []shownSSHSocket{}, Settings: []shownKeyword{},
		Remarks: []shownProblem{}, Refused: []shownProblem{}, origin: o.origin, json: o.format == "json",
	}
	for _, other := range others {
		s.SSHD.Others = append(s.SSHD.Others, oneLine(other.ArgsFrom))
	}
	if len(others) > 0 {
		s.note("the host has %d sshds, this is the one with the options of %s; of the others, --args-from %q", len(others)+1, d.ArgsFrom, others[0].ArgsFrom)
	}
	return s
}

func (s *shownSSHD) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

func (s *shownSSHD) unseen() error { return errors.Join(s.errs...) }

// lookAtSockets notes what listens in sshd's place.
func (s *shownSSHD) lookAtSockets(ctx context.Context, h *host.Host) {
	sockets, err := h.SSHListens(ctx)
	switch {
	case err == nil:
	case s.origin || s.json: // there it is part of what is shown
		s.errs = append(s.errs, err)
	default:
		s.note("%v", err)
	}
	for _, u := range sockets {
		one := shownSSHSocket{
			Unit: printable.String(u.Unit), Starts: printable.String(u.Starts), Active: u.Active, AtBoot: printable.String(u.Boot),
			Generator: printable.String(u.Generator), Listen: []shownListen{},
		}
		for _, l := range u.Listen {
			one.Listen = append(one.Listen, shownListen{printable.String(l.Address), filePlace(l.File, l.Line)})
		}
		s.Sockets = append(s.Sockets, one)
		s.note("%s", one.String())
	}
}

// String says where the socket listens, and when.
func (u shownSSHSocket) String() string {
	when := "listens in sshd's place"
	if !u.Active {
		when = "listens in sshd's place after the next boot (" + u.AtBoot + ")"
	}
	var at []string
	for _, l := range u.Listen {
		text := l.Address
		if l.Place != nil {
			text += " (" + l.Place.String() + ")"
		}
		at = append(at, text)
	}
	if u.Generator != "" {
		at = append(at, "made anew of Port and ListenAddress at every boot by "+u.Generator)
	}
	return fmt.Sprintf("%s %s: %s", u.Unit, when, strings.Join(at, ", "))
}

// refusedBy returns err, having noted the lines at fault where sshd refuses.
func (s *shownSSHD) refusedBy(err error) error {
	var refused *sshdconf.RefusedError
	if !errors.As(err, &refused) {
		return err
	}
	for _, p := range refused.Problems {
		s.Refused = append(s.Refused, s.problem(p))
	}
	s.errs = append(s.errs, err)
	return nil
}

func (s *shownSSHD) problem(p sshdconf.Problem) shownProblem {
	text := oneLine(p.Text)
	if p.File == sshdconf.CommandLine {
		text = "command line (" + s.SSHD.ArgsFrom + "): " + text
	}
	return shownProblem{confPlace(p.Place), text}
}

// connect fills in what the host knows of the connection, and notes which
// criteria it says nothing about.
func (s *shownSSHD) connect(ctx context.Context, h *host.Host, d *host.SSHD, o *showSSHDOptions) (sshdconf.Connection, error) {
	conn := o.conn
	about := criteria(d.Config)
	if !o.asked {
		if n := slices.IndexFunc(d.Config.Blocks, func(b *sshdconf.Block) bool { return !b.Always() }); n >= 0 {
			s.note("without a connection (--user, --addr …) Match blocks other than \"Match all\" are left out, as sshd -T does; the first is %v", d.Config.Blocks[n].Place)
		}
		return conn, nil
	}
	s.Connection = &shownConnection{
		User: oneLine(conn.User), InvalidUser: conn.InvalidUser, Addr: oneLine(conn.Addr), Host: oneLine(conn.Host),
		LocalAddr: oneLine(conn.LocalAddr), LocalPort: conn.LocalPort, RDomain: oneLine(conn.RDomain),
	}
	for _, missing := range []struct {
		criteria []string
		flag     string
		known    bool
	}{
		{[]string{"user", "group"}, "--user", conn.User != ""}, {[]string{"host"}, "--host", conn.Host != ""},
		{[]string{"address"}, "--addr", conn.Addr != ""}, {[]string{"localaddress"}, "--laddr", conn.LocalAddr != ""},
		{[]string{"localport"}, "--lport", conn.LocalPort != 0}, {[]string{"rdomain"}, "--rdomain", conn.RDomain != ""},
	} {
		for _, c := range missing.criteria {
			if about[c] != nil && !missing.known {
				s.note("%s is not given: Match %s does not hold then (%v)", missing.flag, c, about[c].Place)
			}
		}
	}
	if conn.User == "" {
		return conn, nil
	}
	accounts, err := h.Accounts(ctx)
	if err != nil {
		return conn, err
	}
	conn.Groups = accounts.GroupsOf(conn.User)
	s.Connection.Account = accounts.User(conn.User) != nil
	s.Connection.Groups = printableAll(conn.Groups)
	switch group := about["group"]; {
	case len(accounts.Elsewhere) > 0 && group != nil:
		s.errs = append(s.errs, fmt.Errorf("cannot tell all groups of %s, which Match group asks for (%v): there are others than the host's files have: %s",
			conn.User, group.Place, strings.Join(accounts.Elsewhere, ", ")))
	case len(accounts.Elsewhere) == 0 && accounts.User(conn.User) == nil:
		s.note("%s has no account here and is in no group", conn.User)
	}
	if invalid := about["invalid-user"]; invalid != nil && !conn.InvalidUser && !s.Connection.Account {
		s.note("a login without an account satisfies Match invalid-user (%v): see --invalid-user", invalid.Place)
	}
	return conn, nil
}

// criteria are the kinds of criteria that Match lines use, each with the first
// line that does.
func criteria(c *sshdconf.Config) map[string]*sshdconf.Block {
	about := map[string]*sshdconf.Block{}
	for _, b := range c.Blocks {
		for _, t := range b.Terms() {
			if about[t.Attr] == nil {
				about[t.Attr] = b
			}
		}
	}
	return about
}

// compare asks sshd itself. That it cannot be asked is no fault of what is
// shown; that it says otherwise is.
func (s *shownSSHD) compare(ctx context.Context, h *host.Host, d *host.SSHD, conn sshdconf.Connection) {
	about := criteria(d.Config)
	if about["localport"] != nil && conn.LocalPort == 0 {
		s.note("not compared with sshd itself, which does not answer without --lport while there is a Match LocalPort (%v)", about["localport"].Place)
		return
	}
	if strings.Contains(conn.User+conn.Host+conn.RDomain, ",") || conn.InvalidUser {
		s.note("not compared with sshd itself, which cannot be asked about this connection")
		return
	}
	point := &conn
	if s.Connection == nil {
		point = nil
	}
	switch w := h.AskSSHD(ctx, d, point); {
	case w.Err != nil:
		s.note("not compared with sshd itself: %v", w.Err)
	case w.Refusal != "":
		s.errs = append(s.errs, fmt.Errorf("cannot trust what is shown: sshd itself refuses its configuration: %s", w.Refusal))
	case len(w.Disagree) > 0:
		x := w.Disagree[0]
		s.errs = append(s.errs, fmt.Errorf("cannot trust what is shown: sshd itself says %q of %s, and not %q", x.Theirs, x.Keyword, x.Ours))
	}
}

// fill shows every line with its origin.
func (s *shownSSHD) fill(c *sshdconf.Config) {
	holds := map[*sshdconf.Block]bool{}
	for _, b := range s.effective.Blocks {
		holds[b] = true
	}
	for _, b := range c.Blocks {
		if holds[b] {
			s.Matched = append(s.Matched, *showBlock(b))
		} else {
			s.NotMatched = append(s.NotMatched, *showBlock(b))
		}
	}
	elsewhere := map[string][]shownOrigin{}
	for _, d := range c.Directives {
		if d.Block != nil && !holds[d.Block] {
			name, _ := sshdconf.Canonical(d.Keyword, c.Version())
			elsewhere[name] = append(elsewhere[name], shownOrigin{oneLine(d.Text), confPlace(d.Place), "", showBlock(d.Block)})
		}
	}
	last := ""
	for _, l := range s.effective.Lines() {
		k := shownKeyword{Keyword: l.Keyword, Value: oneLine(l.Text), Origin: []shownOrigin{}, Shadowed: []shownOrigin{}, NotHere: []shownOrigin{}}
		for _, v := range l.Setting.Values {
			if v.At != (sshdconf.Place{}) {
				k.Origin = append(k.Origin, s.showValue(v))
			}
		}
		if l.Keyword != last { // of a list the first line says what is shadowed
			for _, v := range l.Setting.Shadowed {
				if v.At != (sshdconf.Place{}) {
					k.Shadowed = append(k.Shadowed, s.showValue(v))
				}
			}
			k.NotHere = append(k.NotHere, elsewhere[l.Keyword]...)
		}
		last = l.Keyword
		s.Settings = append(s.Settings, k)
	}
}

func (s *shownSSHD) showValue(v sshdconf.Value) shownOrigin {
	o := shownOrigin{Value: oneLine(v.Text), Place: confPlace(v.At), Match: showBlock(v.Block)}
	if v.At.File == sshdconf.CommandLine {
		o.CommandLine = s.SSHD.ArgsFrom
	}
	return o
}

func showBlock(b *sshdconf.Block) *shownBlock {
	if b == nil {
		return nil
	}
	return &shownBlock{oneLine(b.Text), *confPlace(b.Place)}
}

// confPlace is nil for what is no line of a file.
func confPlace(p sshdconf.Place) *shownPlace {
	if p.File == sshdconf.CommandLine {
		return nil
	}
	return filePlace(p.File, p.Line)
}

func filePlace(file string, line int) *shownPlace {
	if file == "" {
		return nil
	}
	return &shownPlace{printable.String(file), line}
}
