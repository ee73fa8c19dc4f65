package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/loginmatrix"
	"github.com/hostguard/hostguard/internal/sshdconf"
)

// matrixSchema is the version of the JSON form.
const matrixSchema = "1.0"

// In the text form, at most this many names are written out.
const maxShownNames = 6

// shownMatrix is who can log in: the matrices of all sshds that are meant, over
// the same accounts. Its JSON form is written as it is made: it grows with
// accounts times points.
type shownMatrix struct {
	servers   []matrixServer
	all       bool // accounts that cannot log in are shown, too
	notJudged []string
	errs      []error
}

type matrixServer struct {
	*host.SSHD
	*host.Logins
}

// showMatrix is show sshd --matrix.
func showMatrix(ctx context.Context, cmd *cobra.Command, h *host.Host, o *showSSHDOptions) error {
	seen, err := lookAtMatrix(ctx, h, o)
	if err != nil {
		return exitError{exitIncomplete, err}
	}
	if o.format == "json" {
		err = seen.writeJSON(cmd.OutOrStdout())
	} else {
		err = seen.writeText(cmd.OutOrStdout())
	}
	if err != nil {
		return exitError{exitFindings, fmt.Errorf("cannot write: %w", err)}
	}
	if err := seen.unseen(); err != nil {
		return exitError{exitIncomplete, err}
	}
	return nil
}

// lookAtMatrix makes the login matrix of the sshd that is meant, or of all.
func lookAtMatrix(ctx context.Context, h *host.Host, o *showSSHDOptions) (*shownMatrix, error) {
	servers, err := h.SSHServers(ctx)
	if err != nil {
		return nil, err
	}
	m := &shownMatrix{all: o.allAccounts || o.conn.User != ""}
	sshds := servers.SSHDs
	if o.argsFrom != "" || len(sshds) == 0 {
		d, others, err := chooseSSHD(servers, o.argsFrom)
		if err != nil {
			return nil, err
		}
		sshds = []*host.SSHD{d}
		for _, other := range others {
			m.notJudged = append(m.notJudged, "another sshd, with options from "+other.ArgsFrom)
		}
	}
	for _, s := range servers.Others {
		if s.Running {
			m.errs = append(m.errs, fmt.Errorf("cannot show all logins: %s is another SSH server (%s), whose configuration is not understood here", s.Program, s.Place))
		}
	}
	for _, d := range sshds {
		q := host.LoginQuery{}
		if o.conn.User != "" {
			q.Users = []string{o.conn.User}
		}
		if o.conn.Addr != "" || o.conn.Host != "" || o.conn.LocalAddr != "" || o.conn.LocalPort != 0 || o.conn.RDomain != "" {
			q.Point = &sshdconf.Connection{Addr: o.conn.Addr, Host: o.conn.Host, LocalAddr: o.conn.LocalAddr, LocalPort: o.conn.LocalPort, RDomain: o.conn.RDomain}
		}
		if err := m.trust(ctx, h, d); err != nil {
			m.errs = append(m.errs, fmt.Errorf("cannot trust what is shown of sshd (options from %s): %w", d.ArgsFrom, err))
		}
		l, err := h.Logins(ctx, d, q)
		if err != nil {
			m.errs = append(m.errs, fmt.Errorf("cannot show the logins at sshd (options from %s): %w", d.ArgsFrom, err))
			continue
		}
		if o.conn.User != "" && len(l.Accounts) == 0 {
			return nil, fmt.Errorf("cannot use --user %q: there is no such account", o.conn.User)
		}
		m.servers = append(m.servers, matrixServer{d, l})
		m.errs = append(m.errs, l.Failed...)
		for _, text := range l.Unjudged {
			if !slices.Contains(m.notJudged, text) {
				m.notJudged = append(m.notJudged, text)
			}
		}
	}
	return m, nil
}

// trust is an error unless all is known of an sshd, and sshd itself, asked with
// -T, says what we do of that which decides over logins.
func (m *shownMatrix) trust(ctx context.Context, h *host.Host, d *host.SSHD) error {
	switch {
	case d.Config == nil:
		return nil // is said anyway
	case d.Unknown != nil:
		return fmt.Errorf("cannot tell what it does by default: %w", d.Unknown)
	case d.Unresolved != "":
		return fmt.Errorf("cannot tell its options: %s", d.Unresolved)
	case !h.Running():
		return nil
	}
	said, err := h.SSHDSays(ctx)
	if err != nil {
		return err
	}
	w := said[d]
	switch {
	case w == nil:
		return errors.New("it was not asked with -T")
	case w.Err != nil:
		return w.Err
	case w.Refusal != "":
		return fmt.Errorf("it refuses its configuration: %s", w.Refusal)
	}
	for _, dis := range w.Disagree {
		if slices.Contains(loginmatrix.Keywords, dis.Keyword) {
			return fmt.Errorf("sshd -T says of %s %q, and its files as read here %q", dis.Keyword, dis.Theirs, dis.Ours)
		}
	}
	return nil
}

// unseen is what keeps the matrix from being whole.
func (m *shownMatrix) unseen() error { return errors.Join(m.errs...) }

// canLogIn puts what all servers say of an account together.
func (m *shownMatrix) canLogIn(account int) (can bool, whyNot []string) {
	for _, s := range m.servers {
		ok, why := s.CanLogIn(account)
		if ok {
			return true, nil
		}
		for _, w := range why {
			if !slices.Contains(whyNot, w) {
				whyNot = append(whyNot, w)
			}
		}
	}
	return false, whyNot
}

type matrixPoint struct {
	loginmatrix.Point
	Server int `json:"server"`
}

type matrixDaemon struct {
	Program  string `json:"program"`
	Release  string `json:"release"`
	ArgsFrom string `json:"args_from"`
}

type matrixAccount struct {
	Name     string   `json:"name"`
	UID      uint32   `json:"uid"`
	Shell    string   `json:"shell"`
	Password string   `json:"password"`
	CanLogIn bool     `json:"can_log_in"`
	WhyNot   []string `json:"why_not"`
}

type matrixCell struct {
	Account       string               `json:"account"`
	Point         int                  `json:"point"`
	Open          bool                 `json:"open"` // the account, as it is, gets a session
	Ways          []loginmatrix.Way    `json:"ways"`
	Keys          *int                 `json:"keys"` // null: not known, see keys_unknown
	KeysUnknown   string               `json:"keys_unknown,omitempty"`
	Refused       string               `json:"refused"`
	AfterAuth     string               `json:"after_auth"`
	AfterPassword string               `json:"after_password"` // where a password was one of the methods
	Because       []loginmatrix.Reason `json:"because"`
}

// accounts are those to be shown, by index.
func (m *shownMatrix) accounts() []int {
	var out []int
	if len(m.servers) == 0 {
		return nil
	}
	for i := range m.servers[0].Accounts {
		if can, _ := m.canLogIn(i); can || m.all {
			out = append(out, i)
		}
	}
	return out
}

// writeJSON writes the whole matrix, cell by cell.
func (m *shownMatrix) writeJSON(out io.Writer) error {
	w := &listWriter{out: bufio.NewWriter(out)}
	w.text("{\n  \"schema_version\": \"" + matrixSchema + "\"")
	w.list("servers")
	for _, s := range m.servers {
		w.item(matrixDaemon{s.Path, s.Release, s.ArgsFrom})
	}
	w.list("points")
	for i, s := range m.servers {
		for _, p := range s.Points {
			w.item(matrixPoint{p, i})
		}
	}
	shown := m.accounts()
	w.list("accounts")
	for _, i := range shown {
		a := &m.servers[0].Accounts[i]
		can, why := m.canLogIn(i)
		w.item(matrixAccount{a.Name, a.UID, a.Shell, string(a.Password), can, notNil(why)})
	}
	w.list("cells")
	for _, i := range shown {
		point := 0
		for _, s := range m.servers {
			for _, c := range s.Row(i) {
				cell := matrixCell{
					Account: s.Accounts[i].Name, Point: point, Open: c.Open(&s.Accounts[i]), Ways: notNil(c.Ways), Keys: &c.Keys, KeysUnknown: c.KeysUnseen,
					Refused: c.Refused, AfterAuth: c.AfterAuth, AfterPassword: c.AfterPassword, Because: notNil(c.Because),
				}
				if c.Keys == loginmatrix.KeysUnknown {
					cell.Keys = nil
				}
				w.item(cell)
				point++
			}
		}
	}
	w.list("not_judged")
	for _, text := range m.notJudged {
		w.item(text)
	}
	w.text("\n  ]\n}\n")
	return errors.Join(w.err, w.out.Flush())
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// listWriter writes lists of one JSON object, an item a line.
type listWriter struct {
	out   *bufio.Writer
	open  bool // a list
	items int  // in it
	err   error
}

func (w *listWriter) text(s string) { w.out.WriteString(s) } // Flush tells of errors

func (w *listWriter) list(name string) {
	if w.open {
		w.text("\n  ]")
	}
	w.text(",\n  \"" + name + "\": [")
	w.open, w.items = true, 0
}

func (w *listWriter) item(v any) {
	if w.items++; w.items > 1 {
		w.text(",")
	}
	w.text("\n    ")
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil && w.err == nil {
		w.err = err
	}
	w.out.Write(bytes.TrimSuffix(buf.Bytes(), []byte("\n")))
}

// writeText groups accounts to whom the same happens, and points on which the
// same happens.
func (m *shownMatrix) writeText(out io.Writer) error {
	w := bufio.NewWriter(out)
	for i, s := range m.servers {
		if i > 0 {
			fmt.Fprintln(w)
		}
		release := s.Release
		if release == "" {
			release = "OpenSSH " + s.Version.String()
		}
		fmt.Fprintf(w, "%s (%s, options from %s)\n", oneLine(s.Path), oneLine(release), oneLine(s.ArgsFrom))
		m.writeServer(w, s)
	}
	if len(m.servers) > 0 {
		if hidden := len(m.servers[0].Accounts) - len(m.accounts()); hidden > 0 {
			fmt.Fprintf(w, "\nNot shown: %d accounts that cannot log in (--all-accounts shows why)\n", hidden)
		}
	}
	for i, text := range m.notJudged {
		if i == 0 {
			fmt.Fprintln(w, "\nNot judged:")
		}
		fmt.Fprintf(w, "  %s\n", oneLine(text))
	}
	return w.Flush()
}

func (m *shownMatrix) writeServer(w io.Writer, s matrixServer) {
	type group struct {
		names []string
		first int
	}
	groups := map[string]*group{}
	var order []*group
	for _, i := range m.accounts() {
		a := &s.Accounts[i]
		can, why := s.CanLogIn(i)
		key := fmt.Sprintf("%p %v %q %q %v", &s.Row(i)[0], can, why, a.Password, a.UID == 0)
		g := groups[key]
		if g == nil {
			g = &group{first: i}
			groups[key] = g
			order = append(order, g)
		}
		g.names = append(g.names, oneLine(a.Name))
	}
	if len(order) == 0 {
		fmt.Fprintln(w, "\n  No account can log in.")
	}
	for _, g := range order {
		a := &s.Accounts[g.first]
		fmt.Fprintf(w, "\n%s  (%s)\n", shortList(g.names), describeAccount(a, len(g.names)))
		if can, why := s.CanLogIn(g.first); !can {
			fmt.Fprintf(w, "  cannot log in: %s\n", oneLine(strings.Join(why, "; ")))
		}
		row := s.Row(g.first)
		var cells []*loginmatrix.Cell
		at := map[string][]string{} // the points, by what is said of them
		said := func(c *loginmatrix.Cell) string { return describeCell(c) + fmt.Sprint(c.Because) }
		for j, c := range row {
			if at[said(c)] == nil {
				cells = append(cells, c)
			}
			at[said(c)] = append(at[said(c)], oneLine(s.Points[j].Name))
		}
		for _, c := range cells {
			where := "everywhere"
			if len(cells) > 1 || len(row) == 1 {
				where = shortList(at[said(c)])
			}
			fmt.Fprintf(w, "  %s: %s\n", where, oneLine(describeCell(c)))
			for _, r := range c.Because {
				place := r.Source
				if r.Line > 0 {
					place = fmt.Sprintf("%s:%d", r.Source, r.Line)
				}
				fmt.Fprintf(w, "      %s %s  %s\n", r.Key, oneLine(r.Got), oneLine(place))
			}
		}
	}
}

func shortList(names []string) string {
	if len(names) > maxShownNames {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxShownNames], ", "), len(names)-maxShownNames)
	}
	return strings.Join(names, ", ")
}

func describeAccount(a *loginmatrix.Account, many int) string {
	text := "password " + string(a.Password)
	switch a.Password {
	case loginmatrix.PasswordNone:
		text = "no password"
	case loginmatrix.PasswordEmpty:
		text = "empty password"
	case loginmatrix.PasswordUnknown:
		text = "password not known"
	}
	if many == 1 {
		text = fmt.Sprintf("uid %d, %s, %s", a.UID, oneLine(a.Shell), text)
	}
	return text
}

// describeCell says in words how one gets in.
func describeCell(c *loginmatrix.Cell) string {
	if c.Refused != "" {
		return "refused: " + c.Refused
	}
	var ways []string
	needsKey := false
	for _, way := range c.Ways {
		ways = append(ways, strings.Join(way, " and "))
		needsKey = needsKey || way.NeedsKey()
	}
	text := strings.Join(ways, ", or ")
	if needsKey {
		switch {
		case c.Keys == loginmatrix.KeysUnknown:
			text += fmt.Sprintf(" (number of keys not known: %s)", c.KeysUnseen)
		case c.Keys == 1:
			text += " (1 key)"
		case c.Keys == 0:
			text += " (no usable key)"
		default:
			text += fmt.Sprintf(" (%d keys)", c.Keys)
		}
	}
	if c.AfterAuth != "" {
		return text + " accepted, then refused: " + c.AfterAuth
	}
	if c.AfterPassword != "" && slices.ContainsFunc(c.Ways, loginmatrix.Way.ByPassword) {
		text += "; by password: " + c.AfterPassword
	}
	return text
}
