package loginmatrix

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/sshdconf"
)

// Password is what an account's password is like.
type Password string

// See shadow(5).
const (
	PasswordSet     Password = "set"
	PasswordEmpty   Password = "empty"
	PasswordLocked  Password = "locked"
	PasswordNone    Password = "none"
	PasswordUnknown Password = "unknown"
)

// Account is what decides over an account's logins. What is empty does not
// stand in the way.
type Account struct {
	Name     string
	UID      uint32
	Groups   []string
	Shell    string
	Home     string
	Password Password

	// NoShell is why sshd refuses the account for its shell: it is missing, or
	// not executable.
	NoShell string
	// ShellEnds is why the shell ends each session at once.
	ShellEnds string
	// Locked is why sshd refuses the account where it does not use PAM.
	Locked string
	// PasswordOld is why, without PAM, a session that a password opened must
	// begin with a new password.
	PasswordOld string
	// NoLogin is why sessions of the account end where sshd does not use PAM.
	NoLogin string
	// PAM is why PAM refuses the account, or its session, after it has shown who
	// it is.
	PAM string
	// OtherPasswords is set when PAM may let the account in by something else
	// than the password that Password is about.
	OtherPasswords bool
}

// Keys says how many of an account's keys are good on a connection, and why
// that cannot be known (unknown). Forced counts only keys with a command of
// their own, as PermitRootLogin forced-commands-only wants.
type Keys func(a *Account, conn sshdconf.Connection, e *sshdconf.Effective, forced bool) (count int, unknown string)

// Input is what a matrix is made of.
type Input struct {
	Config   *sshdconf.Config
	Accounts []Account
	Points   []Point
	Keys     Keys
	// SFTPByKey reports whether one of the account's usable keys has the command
	// internal-sftp. It may be nil.
	SFTPByKey func(a *Account, conn sshdconf.Connection, e *sshdconf.Effective) bool
	// Chroot is why sshd ends a session in ChrootDirectory, whose tokens are
	// replaced; with shell set the account's shell must be there.
	Chroot func(dir string, a *Account, shell bool) string
}

// Reason is a line that decides.
type Reason struct {
	Source string `json:"source"` // a file, or "sshd's built-in default"
	Line   int    `json:"line"`
	Key    string `json:"key"`
	Got    string `json:"got"`
}

// Cell is what becomes of an account on a connection. Cells are shared: equal
// ones are the same.
type Cell struct {
	Ways []Way
	Keys int // the account's usable keys; KeysUnknown
	// KeysUnseen is why Keys is not known.
	KeysUnseen string
	// Refused is why nobody gets in, whatever the methods.
	Refused string
	// AfterAuth is why the session is refused when all methods have succeeded;
	// AfterPassword where one of them was a password.
	AfterAuth, AfterPassword string
	Because                  []Reason

	pam, emptyPasswords bool
}

// KeysUnknown stands for a number of keys that is not known.
const KeysUnknown = -1

// Matrix is who can log in, how and from where.
type Matrix struct {
	Accounts []Account
	Points   []Point
	rows     [][]*Cell
}

// Row returns an account's cells, one for each point.
func (m *Matrix) Row(account int) []*Cell { return m.rows[account] }

// Build answers for each account on each point. Time and memory are linear in
// accounts times points; equal cells and rows are kept once.
func Build(in Input) (*Matrix, error) {
	b := builder{in: in, worlds: map[string]*world{}, cells: map[cellKey]*Cell{}}
	b.terms()
	m := &Matrix{Accounts: in.Accounts, Points: in.Points, rows: make([][]*Cell, len(in.Accounts))}
	rows := map[string][]*Cell{}
	row := make([]*Cell, len(in.Points))
	var key []byte
	for i := range in.Accounts {
		a := &in.Accounts[i]
		who := b.whoBits(a)
		key = key[:0]
		for j := range in.Points {
			cell, err := b.cell(a, who, j)
			if err != nil {
				return nil, err
			}
			row[j] = cell
			key = fmt.Appendf(key, "%p", cell)
		}
		kept, ok := rows[string(key)]
		if !ok {
			kept = slices.Clone(row)
			rows[string(key)] = kept
		}
		m.rows[i] = kept
	}
	return m, nil
}

type builder struct {
	in        Input
	who       []sshdconf.Term // criteria about accounts
	where     []sshdconf.Term // and about connections
	pointBits []string        // which of where hold, by point
	worlds    map[string]*world
	cells     map[cellKey]*Cell
}

// world is what holds where the same criteria do.
type world struct {
	id        int
	effective *sshdconf.Effective
	dropped   string // why sshd ends such connections
	lists     Lists
	pam       bool
	empty     bool // empty passwords are passwords
	chroot    string
	shellFree bool // an SFTP session runs within sshd, without the shell
	keySFTP   bool // so does one by a key whose command is internal-sftp
	forwards  bool
	sessions  bool
	sides     [2]side // for others, and for root
}

type side struct {
	ways    []Way
	because []Reason
	forced  bool
}

type cellKey struct {
	world, root                        int
	keys                               int
	refused, unseen, after, afterWords string
	denial                             string
}

// terms are the criteria in force: those of accounts and those of connections.
func (b *builder) terms() {
	for _, block := range b.in.Config.Blocks {
		for _, t := range block.Terms() {
			list := &b.where
			if t.Attr == "user" || t.Attr == "group" || t.Attr == "invalid-user" {
				list = &b.who
			}
			if !slices.Contains(*list, t) {
				*list = append(*list, t)
			}
		}
	}
	for _, p := range b.in.Points {
		b.pointBits = append(b.pointBits, b.bits(b.where, p.Connection("", nil)))
	}
}

func (b *builder) whoBits(a *Account) string {
	return b.bits(b.who, sshdconf.Connection{User: a.Name, Groups: a.Groups})
}

func (b *builder) bits(terms []sshdconf.Term, conn sshdconf.Connection) string {
	if len(terms) == 0 {
		return ""
	}
	out := make([]byte, len(terms))
	for i, t := range terms {
		if out[i] = '0'; b.in.Config.Holds(conn, t) {
			out[i] = '1'
		}
	}
	return string(out)
}

func (b *builder) world(who string, point int) (*world, error) {
	key := who + "/" + b.pointBits[point]
	if w := b.worlds[key]; w != nil {
		return w, nil
	}
	e, err := b.in.Config.When(func(t sshdconf.Term) bool {
		if i := slices.Index(b.who, t); i >= 0 {
			return who[i] == '1'
		}
		i := slices.Index(b.where, t)
		return i >= 0 && b.pointBits[point][i] == '1'
	})
	w := &world{id: len(b.worlds), effective: e}
	b.worlds[key] = w
	var refused *sshdconf.RefusedError
	switch {
	case errors.As(err, &refused):
		w.dropped = "sshd ends the connection: " + err.Error()
		return w, nil
	case err != nil:
		return nil, err
	}
	w.lists = ListsOf(b.in.Config, e)
	w.pam, w.empty = isOn(e, "usepam"), isOn(e, "permitemptypasswords")
	if w.chroot = e.Get("chrootdirectory").Text(); strings.EqualFold(w.chroot, "none") {
		w.chroot = ""
	}
	w.shellFree, w.keySFTP = sftpWithoutShell(e)
	w.forwards = !isOn(e, "disableforwarding") && e.Get("allowtcpforwarding").Text() != "no"
	w.sessions = e.Get("maxsessions").Text() != "0"
	for i, root := range []bool{false, true} {
		ways := Ways(e, root)
		w.sides[i] = side{ways, because(e, ways, root), root && e.Get("permitrootlogin").Text() == "forced-commands-only"}
	}
	return w, nil
}

// because are the lines that open the ways, or leave none.
func because(e *sshdconf.Effective, ways []Way, root bool) []Reason {
	var out []Reason
	show := func(keyword string) {
		for _, r := range reasons(keyword, e.Get(keyword).Values) {
			if !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	}
	if s := e.Get("authenticationmethods"); !s.Default() {
		show("authenticationmethods")
	}
	methods := allMethods
	if len(ways) > 0 {
		methods = slices.Concat(ways...)
	}
	for _, m := range methods {
		for _, keyword := range Deciding(m) {
			if len(ways) > 0 || len(out) < maxReasons {
				show(keyword)
			}
		}
	}
	if slices.Contains(methods, "keyboard-interactive") {
		show("usepam")
	}
	if root {
		show("permitrootlogin")
	}
	return out
}

// maxReasons bounds the lines shown where no way is open.
const maxReasons = 12

func reasons(keyword string, values []sshdconf.Value) []Reason {
	if len(values) == 0 {
		return nil
	}
	var out []Reason
	for _, v := range values {
		r := Reason{Source: "sshd's built-in default", Key: keyword, Got: v.Text}
		if v.At != (sshdconf.Place{}) {
			r.Source, r.Line = v.At.File, v.At.Line
		}
		if v.Block != nil {
			r.Got += fmt.Sprintf(" in Match %s (%v)", v.Block.Text, v.Block.Place)
		}
		out = append(out, r)
	}
	return out
}

// denials are what the lists' keywords mean when they keep somebody out.
var denials = map[string]string{
	"denyusers":   "DenyUsers names it",
	"allowusers":  "AllowUsers does not name it",
	"denygroups":  "DenyGroups names a group of it",
	"allowgroups": "AllowGroups names no group of it",
}

func (b *builder) cell(a *Account, who string, point int) (*Cell, error) {
	w, err := b.world(who, point)
	if err != nil {
		return nil, err
	}
	if w.effective == nil {
		return b.share(cellKey{world: w.id, refused: w.dropped}, w, nil, nil), nil
	}
	root := 0
	if a.UID == 0 {
		root = 1
	}
	s := &w.sides[root]
	conn := b.in.Points[point].Connection(a.Name, a.Groups)
	key := cellKey{world: w.id, root: root}
	why := s.because

	// In sshd's order: lock and expiry, shell, lists, then methods.
	switch {
	case !w.pam && a.Locked != "":
		key.refused, key.denial = a.Locked, "usepam"
		why = reasons("usepam", w.effective.Get("usepam").Values)
	case w.chroot == "" && a.NoShell != "":
		key.refused, key.denial = a.NoShell, "shell"
		why = nil
	default:
		if d := w.lists.Denied(a.Name, a.Groups, &conn, false); d != nil {
			key.refused = denials[d.Keyword]
			key.denial = d.Keyword
			if len(d.By) == 1 {
				key.denial += fmt.Sprint(d.By[0])
			}
			why = reasons(d.Keyword, d.By)
		} else if len(s.ways) == 0 {
			key.refused = "no method is open"
			if root == 1 && w.effective.Get("permitrootlogin").Text() == "no" {
				key.refused = "PermitRootLogin is no"
			}
		}
	}
	if b.in.Keys != nil {
		key.keys, key.unseen = b.in.Keys(a, conn, w.effective, s.forced)
	}
	shellFree := w.shellFree
	if w.keySFTP && key.keys != 0 && (a.ShellEnds != "" || w.chroot != "") && b.in.SFTPByKey != nil {
		shellFree = shellFree || b.in.SFTPByKey(a, conn, w.effective)
	}
	key.after = b.afterAuth(a, w, shellFree)
	if !w.pam {
		key.afterWords = a.PasswordOld
	}
	return b.share(key, w, s.ways, why), nil
}

// share returns the one cell of a kind.
func (b *builder) share(key cellKey, w *world, ways []Way, why []Reason) *Cell {
	c := b.cells[key]
	if c == nil {
		c = &Cell{Ways: ways, Keys: key.keys, KeysUnseen: key.unseen, Refused: key.refused, AfterAuth: key.after, AfterPassword: key.afterWords, Because: why,
			pam: w.pam, emptyPasswords: w.empty}
		b.cells[key] = c
	}
	return c
}

// afterAuth is why there is no session when all methods have succeeded.
// With shellFree set it may run within sshd.
func (b *builder) afterAuth(a *Account, w *world, shellFree bool) string {
	switch {
	case w.pam && a.PAM != "":
		return a.PAM
	case !w.sessions:
		return "MaxSessions is 0" + w.stillForwards()
	case !w.pam && a.NoLogin != "":
		return a.NoLogin + w.stillForwards()
	case w.chroot != "" && b.in.Chroot != nil:
		if why := b.in.Chroot(expand(w.chroot, a), a, !shellFree); why != "" {
			return why + w.stillForwards()
		}
	}
	if a.ShellEnds != "" && !shellFree {
		return a.ShellEnds + w.stillForwards()
	}
	return ""
}

// sftpWithoutShell reports whether a session for SFTP runs within sshd, so that
// a shell that ends every session ends none, and whether one by a key with that
// command does, see ForceCommand and Subsystem in sshd_config(5).
func sftpWithoutShell(e *sshdconf.Effective) (always, byKey bool) {
	force, subsystems := e.Get("forcecommand").Text(), e.Get("subsystem").Values
	if force != "" && !strings.EqualFold(force, "none") {
		return len(subsystems) > 0 && InternalSFTP(force), false
	}
	within := slices.ContainsFunc(subsystems, func(v sshdconf.Value) bool {
		_, command, _ := strings.Cut(v.Text, " ")
		return InternalSFTP(command)
	})
	return within, len(subsystems) > 0
}

// InternalSFTP reports whether a command is sshd's own SFTP server.
func InternalSFTP(command string) bool {
	rest, ok := strings.CutPrefix(command, "internal-sftp")
	return ok && (rest == "" || rest[0] == ' ' || rest[0] == '\t')
}

// stillForwards: who is let in without a session can forward connections.
func (w *world) stillForwards() string {
	if w.forwards {
		return "; forwarding connections needs no session"
	}
	return ""
}

// expand replaces the tokens of ChrootDirectory, see TOKENS in sshd_config(5).
func expand(text string, a *Account) string {
	return strings.NewReplacer("%%", "%", "%h", a.Home, "%u", a.Name, "%U", fmt.Sprint(a.UID)).Replace(text)
}

// Open reports whether the account, as it is, gets a session by one of the
// ways: with a key or password that is there, or might be.
func (c *Cell) Open(a *Account) bool {
	return c.Refused == "" && c.AfterAuth == "" && slices.ContainsFunc(c.Ways, func(w Way) bool { return c.opens(a, w) })
}

func (c *Cell) opens(a *Account, w Way) bool {
	keys := 0
	for _, m := range w {
		switch m {
		case "publickey":
			keys++
		case "password", "keyboard-interactive":
			if !c.hasPassword(a) || c.AfterPassword != "" {
				return false
			}
		case "none":
			if a.Password != PasswordEmpty && a.Password != PasswordUnknown {
				return false
			}
		}
	}
	return c.Keys == KeysUnknown || c.Keys >= keys
}

// hasPassword reports whether some word lets the account in where passwords
// are asked for.
func (c *Cell) hasPassword(a *Account) bool {
	return a.Password == PasswordSet || a.Password == PasswordUnknown || a.Password == PasswordEmpty && c.emptyPasswords || c.pam && a.OtherPasswords
}

// CanLogIn reports whether an account gets a session on any point, and why it
// does not: at most a few reasons.
func (m *Matrix) CanLogIn(account int) (can bool, whyNot []string) {
	const most = 4
	a := &m.Accounts[account]
	add := func(why string) {
		if why != "" && !slices.Contains(whyNot, why) && len(whyNot) < most {
			whyNot = append(whyNot, why)
		}
	}
	for _, c := range m.rows[account] {
		switch {
		case c.Open(a):
			return true, nil
		case c.Refused != "":
			add(c.Refused)
		default:
			add(c.lacks(a))
			add(c.AfterAuth)
		}
	}
	return false, whyNot
}

// lacks says what an account would need for the ways that are open; nothing
// when one of them opens.
func (c *Cell) lacks(a *Account) string {
	if slices.ContainsFunc(c.Ways, func(w Way) bool { return c.opens(a, w) }) {
		return ""
	}
	needsKey := slices.ContainsFunc(c.Ways, Way.NeedsKey)
	switch {
	case needsKey && c.Keys == 0 && !c.hasPassword(a):
		return "it has neither a usable key nor a password"
	case needsKey && c.Keys == 0:
		return "it has no usable key"
	case c.AfterPassword != "":
		return c.AfterPassword
	}
	return "it has no password"
}
