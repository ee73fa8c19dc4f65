package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/hostguard/hostguard/internal/loginmatrix"
	"github.com/hostguard/hostguard/internal/pamconf"
	"github.com/hostguard/hostguard/internal/sshdconf"
)

// logins knows what the host says about logins besides sshd's configuration.
type logins struct {
	h      *Host
	shells map[string]shellState
	pam    *pamStacks // nil: not read
	// nologin is set when there is a file by which sshd itself, without PAM, ends
	// sessions of others than root.
	nologin bool
	// unjudged is what may decide too and was not looked at.
	unjudged []string
	failed   []error // looks that failed
}

type shellState struct{ missing, ends string }

func (l *logins) unsure(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(l.unjudged, text) {
		l.unjudged = append(l.unjudged, text)
	}
}

// cannot notes a look that failed, without which the answer is not whole.
func (l *logins) cannot(err error) {
	l.failed = append(l.failed, err)
	l.unsure("%v", err)
}

// account turns a user into what decides over his logins.
func (l *logins) account(u *User, groups []string, today Day) loginmatrix.Account {
	a := loginmatrix.Account{Name: u.Name, UID: u.UID, Groups: groups, Shell: u.Shell, Home: u.Home, Password: loginmatrix.Password(u.Password.String())}
	shell := l.shell(u.Shell)
	a.NoShell, a.ShellEnds = shell.missing, shell.ends
	// sshd's own look at shadow(5), which it leaves to PAM when it uses that.
	switch {
	case u.Password == PasswordLocked:
		a.Locked = "its password is locked with !, which without PAM shuts it out"
	case u.InShadow && u.Expires != Never && today > u.Expires:
		a.Locked = fmt.Sprintf("it expired on %v", u.Expires)
	}
	switch {
	case !u.InShadow:
	case u.Changed == 0:
		a.PasswordOld = "its password must be changed first"
	case u.MaxAge != Never && u.Changed != Never && u.Changed+u.MaxAge < today:
		a.PasswordOld = "its password has expired and must be changed first"
	}
	if l.nologin && u.UID != 0 {
		a.NoLogin = nologinFile + " exists"
	}
	if l.pam != nil {
		a.PAM, a.OtherPasswords = l.pam.judge(l, u, today)
	}
	return a
}

// endingShells are programs of the system that let nobody work when they are a
// shell. A program of that name elsewhere may be anything.
var (
	endingShells  = []string{"nologin", "false", "true", "sync", "shutdown", "halt"}
	systemFolders = []string{"/bin", "/sbin", "/usr/bin", "/usr/sbin"}
)

// shell looks at a login shell as sshd does: a regular file that somebody may
// execute. An empty one is /bin/sh.
func (l *logins) shell(name string) shellState {
	if name == "" {
		name = "/bin/sh"
	}
	if s, ok := l.shells[name]; ok {
		return s
	}
	var s shellState
	place := name
	if !path.IsAbs(name) { // sshd looks for it from /, and starts it from the home
		place = "/" + name
		s.ends = "its shell " + name + " is not an absolute path"
	}
	info, err := l.h.Stat(place)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.missing = "its shell " + name + " does not exist"
	case err != nil:
		l.unsure("the shell %s: %v", name, err)
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		s.missing = "its shell " + name + " is not executable"
	}
	if slices.Contains(endingShells, path.Base(name)) && slices.Contains(systemFolders, path.Dir(name)) {
		s.ends = "its shell " + name + " ends every session"
	}
	l.shells[name] = s
	return s
}

// chroot is why sshd ends a session in ChrootDirectory: every folder on the way
// must be root's and nobody else's to write to.
func (l *logins) chroot(dir string, a *loginmatrix.Account, shell bool) string {
	if !path.IsAbs(dir) {
		return fmt.Sprintf("ChrootDirectory %s is not absolute", dir)
	}
	for at := path.Clean(dir); ; at = path.Dir(at) {
		info, err := l.h.Stat(at)
		if err != nil {
			return fmt.Sprintf("ChrootDirectory: %v", err)
		}
		switch uid := info.Sys().(*syscall.Stat_t).Uid; {
		case !info.IsDir():
			return fmt.Sprintf("ChrootDirectory %s is not a folder", at)
		case uid != 0 || info.Mode().Perm()&0o022 != 0:
			return fmt.Sprintf("ChrootDirectory: others than root can write to %s", at)
		}
		if at == "/" {
			break
		}
	}
	if shell {
		name := a.Shell
		if name == "" {
			name = "/bin/sh"
		}
		if there, err := l.h.Exists(path.Join(dir, name)); err == nil && !there {
			return fmt.Sprintf("ChrootDirectory %s holds no %s", dir, name)
		}
	}
	return ""
}

// pamStacks are the modules that decide for a service.
type pamStacks struct {
	account, auth pamconf.Stack
	judged        map[string]pamVerdict
	shells        []string // of shells(5)
	nologin       map[string]bool
	session       bool // one can come about
}

type pamVerdict struct {
	refused string
	other   bool
}

// readPAM reads the stacks of sshd's service and notes the modules of which
// nothing is known.
func (l *logins) readPAM(service string) error {
	p := &pamStacks{judged: map[string]pamVerdict{}, nologin: map[string]bool{}}
	var err error
	if p.account, err = pamconf.Read(l.h.ReadFile, service, pamconf.Account); err != nil {
		return err
	}
	if p.auth, err = pamconf.Read(l.h.ReadFile, service, pamconf.Auth); err != nil {
		return err
	}
	session, err := pamconf.Read(l.h.ReadFile, service, pamconf.Session)
	if err != nil {
		return err
	}
	for _, e := range p.account {
		if e.Module != "" && e.Control != "substack" && !slices.Contains(judgedModules, e.Module) {
			l.unsure("%s in %s:%d may refuse further", e.Module, e.File, e.Line)
		}
		if e.Module == "pam_shells" && p.shells == nil {
			p.shells = []string{}
			data, err := l.h.ReadFile("/etc/shells")
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			for line := range strings.Lines(string(data)) {
				p.shells = append(p.shells, strings.TrimRight(line, "\n"))
			}
		}
		if e.Module == "pam_nologin" {
			for _, file := range nologinFiles(e) {
				if p.nologin[file], err = l.h.Exists(file); err != nil {
					return err
				}
			}
		}
	}
	for _, e := range p.auth {
		if e.Module != "" && e.Control != "substack" && !slices.Contains(plainAuthModules, e.Module) {
			l.unsure("%s in %s:%d may accept or refuse passwords by rules of its own", e.Module, e.File, e.Line)
		}
	}
	for _, e := range session {
		mayEnd := !slices.Contains([]string{"optional", "sufficient", "substack"}, e.Control)
		if mayEnd && e.Module != "" && e.Module != "pam_deny" && !slices.Contains(plainSessionModules, e.Module) {
			l.unsure("%s in %s:%d may end sessions", e.Module, e.File, e.Line)
		}
	}
	p.session = slices.Contains(session.Ends(func(e pamconf.Entry) []string {
		switch {
		case e.Module == "pam_deny":
			return []string{pamconf.Denied}
		case slices.Contains(plainSessionModules, e.Module):
			return []string{pamconf.Success}
		}
		return pamconf.Anything
	}), pamconf.Success)
	l.pam = p
	return nil
}

var (
	judgedModules    = []string{"pam_unix", "pam_nologin", "pam_permit", "pam_deny", "pam_shells", "pam_localuser", "pam_rootok", "pam_warn", "pam_echo", "pam_faillock"}
	plainAuthModules = []string{"pam_unix", "pam_deny", "pam_permit", "pam_nologin", "pam_env", "pam_faildelay", "pam_faillock", "pam_cap", "pam_group", "pam_warn", "pam_echo", "pam_shells", "pam_localuser"}
	// plainSessionModules end no session on a host as it is installed.
	plainSessionModules = []string{"pam_unix", "pam_permit", "pam_selinux", "pam_loginuid", "pam_keyinit", "pam_motd", "pam_mail", "pam_limits",
		"pam_env", "pam_systemd", "pam_umask", "pam_mkhomedir", "pam_lastlog", "pam_namespace", "pam_cgfs", "pam_warn", "pam_echo", "pam_sepermit"}
)

const nologinFile = "/etc/nologin"

// nologinFiles are those of which the first that is there counts, see
// pam_nologin(8).
func nologinFiles(e pamconf.Entry) []string {
	for _, arg := range e.Args {
		if file, ok := strings.CutPrefix(arg, "file="); ok {
			return []string{file}
		}
	}
	return []string{"/var/run/nologin", nologinFile}
}

// judge says why PAM keeps a user out who has shown who he is, and whether it
// may let him in by something else than his password. Users for whom all
// modules return the same are judged once.
func (p *pamStacks) judge(l *logins, u *User, today Day) (refused string, other bool) {
	returns := make([][]string, len(p.account))
	why := ""
	var key strings.Builder
	for i, e := range p.account {
		var because string
		returns[i], because = p.returns(l, e, u, today)
		if why == "" {
			why = because
		}
		fmt.Fprint(&key, returns[i])
	}
	key.WriteString(why)
	v, ok := p.judged[key.String()]
	if !ok {
		v = p.follow(returns, why)
		p.judged[key.String()] = v
	}
	return v.refused, v.other
}

func (p *pamStacks) follow(returns [][]string, why string) pamVerdict {
	var v pamVerdict
	at := map[string]int{}
	for i, e := range p.account {
		at[place(e)] = i
	}
	ends := p.account.Ends(func(e pamconf.Entry) []string { return returns[at[place(e)]] })
	switch {
	case slices.Contains(ends, pamconf.Success) && !p.session:
		v.refused = "PAM opens no session for anybody"
	case slices.Contains(ends, pamconf.Success):
	case slices.Contains(ends, pamconf.NewPassword):
		v.refused = "PAM wants a new password first"
		if why != "" {
			v.refused += ": " + why
		}
	default:
		v.refused = "PAM refuses it"
		if why != "" {
			v.refused += ": " + why
		} else if n := len(p.account); n > 0 {
			v.refused += fmt.Sprintf(" (account modules of %s)", p.account[0].File)
		}
	}
	// Suppose that the user does not know the password.
	v.other = slices.Contains(p.auth.Ends(func(e pamconf.Entry) []string {
		switch e.Module {
		case "pam_unix", "pam_deny", "pam_localuser", "pam_shells":
			return []string{pamconf.AuthError}
		case "pam_permit", "pam_env", "pam_cap", "pam_group", "pam_nologin", "pam_faildelay", "pam_warn", "pam_echo":
			return []string{pamconf.Success, pamconf.Ignore}
		case "pam_faillock":
			return []string{pamconf.AuthError, pamconf.Ignore}
		}
		return pamconf.Anything
	}), pamconf.Success)
	return v
}

func place(e pamconf.Entry) string { return fmt.Sprintf("%s:%d", e.File, e.Line) }

// returns is what an account module returns for a user, and why when that is a
// refusal.
func (p *pamStacks) returns(l *logins, e pamconf.Entry, u *User, today Day) ([]string, string) {
	switch e.Module {
	case "pam_unix":
		if u.Line == 0 {
			return pamconf.Anything, ""
		}
		got, why := unixAccount(u, today)
		return []string{got}, why
	case "pam_permit", "pam_rootok":
		return []string{pamconf.Success}, ""
	case "pam_deny":
		return []string{pamconf.Denied}, ""
	case "pam_warn", "pam_echo":
		return []string{pamconf.Ignore}, ""
	case "pam_faillock":
		return []string{pamconf.Success, pamconf.Ignore}, ""
	case "pam_localuser":
		if u.Line > 0 {
			return []string{pamconf.Success}, ""
		}
		return []string{pamconf.Denied}, "it is not in " + passwdFile
	case "pam_shells":
		shell := u.Shell
		if shell == "" {
			shell = "/bin/sh"
		}
		if slices.Contains(p.shells, shell) {
			return []string{pamconf.Success}, ""
		}
		return []string{pamconf.AuthError}, "its shell " + shell + " is not in /etc/shells"
	case "pam_nologin":
		for _, file := range nologinFiles(e) {
			if p.nologin[file] && u.UID != 0 {
				return []string{pamconf.AuthError}, file + " exists"
			}
		}
		if slices.Contains(e.Args, "successok") {
			return []string{pamconf.Success}, ""
		}
		return []string{pamconf.Ignore}, ""
	}
	return pamconf.Anything, ""
}

// unixAccount is what pam_unix(8) makes of the age of an account and its
// password, see shadow(5).
func unixAccount(u *User, today Day) (got, why string) {
	switch {
	case !u.Shadowed:
		return pamconf.Success, ""
	case u.Password == PasswordUnknown:
		return pamconf.Success, ""
	case !u.InShadow:
		return pamconf.NoInfo, shadowFile + " has no line of it"
	case u.Expires != Never && today >= u.Expires:
		return pamconf.AccountExpired, fmt.Sprintf("it expired on %v", u.Expires)
	case u.Changed == 0:
		return pamconf.NewPassword, "its first one was set to be changed"
	case u.Changed == Never || today < u.Changed || u.MaxAge == Never:
		return pamconf.Success, ""
	}
	age := int64(today) - int64(u.Changed)
	switch {
	case u.Inactive != Never && age > int64(u.MaxAge)+int64(u.Inactive) && age > int64(u.Inactive):
		return pamconf.TokenExpired, fmt.Sprintf("its password expired on %v and was not changed in time", u.Changed+u.MaxAge)
	case age > int64(u.MaxAge):
		return pamconf.NewPassword, fmt.Sprintf("its password expired on %v", u.Changed+u.MaxAge)
	}
	return pamconf.Success, ""
}

// LoginQuery says which matrix is wanted.
type LoginQuery struct {
	Users []string // only these; empty: all accounts
	// Point is the only connection to look at, nil: those of interest. What it
	// leaves out is as of a client whom nothing names.
	Point *sshdconf.Connection
}

// Logins is the login matrix of one sshd.
type Logins struct {
	*loginmatrix.Matrix
	// Unjudged is what may decide too and was not judged.
	Unjudged []string
	// Failed is why some of it could not be seen.
	Failed []error
}

// Logins works out who can log in at an sshd, how and from where.
func (h *Host) Logins(ctx context.Context, d *SSHD, q LoginQuery) (*Logins, error) {
	if d.Config == nil {
		return nil, d.Err
	}
	accounts, err := h.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	l := &logins{h: h, shells: map[string]shellState{}}
	if l.nologin, err = h.Exists(nologinFile); err != nil {
		l.cannot(fmt.Errorf("cannot tell whether sshd ends sessions: %w", err))
	}
	if accounts.ShadowErr != nil {
		l.cannot(fmt.Errorf("cannot tell the state of passwords: %w", accounts.ShadowErr))
	}
	plain, err := d.Config.For(loginmatrix.Point{}.Connection("", nil))
	if err != nil {
		return nil, err
	}
	if plain.Get("usepam").Text() == "yes" {
		service := plain.Get("pamservicename").Text()
		if service == "" {
			service = "sshd"
		}
		if err := l.readPAM(service); err != nil {
			l.cannot(err)
		}
		if slices.ContainsFunc(d.Config.Directives, func(d sshdconf.Directive) bool { return d.Keyword == "pamservicename" && d.Block != nil }) {
			l.unsure("what PAM decides where a Match block sets PAMServiceName: the service %s is judged", service)
		}
	}
	in := loginmatrix.Input{Config: d.Config, Chroot: l.chroot}
	if in.Keys, in.SFTPByKey, err = h.keysOf(ctx, d); err != nil {
		why := err.Error()
		in.Keys = func(*loginmatrix.Account, sshdconf.Connection, *sshdconf.Effective, bool) (int, string) {
			return loginmatrix.KeysUnknown, why
		}
	}
	in.Accounts = l.accounts(accounts, h.AccountsElsewhere(ctx, accounts, namesOf(d.Config, accounts, q.Users)), q.Users)
	listen, err := h.socketAddresses(ctx, d)
	if err != nil {
		l.cannot(err)
	}
	if q.Point != nil {
		in.Points = []loginmatrix.Point{loginmatrix.PointOf(d.Config, listen, *q.Point)}
	} else {
		left := 0
		if in.Points, left = loginmatrix.Points(d.Config, listen, h.fromLists(ctx, d)); left > 0 {
			l.unsure("more than %d connections: %d or more others that may turn out differently", loginmatrix.MaxPoints, left)
		}
	}
	m, err := loginmatrix.Build(in)
	if err != nil {
		return nil, err
	}
	return &Logins{m, l.unjudged, l.failed}, nil
}

// socketAddresses are where socket units listen in an sshd's place; none where
// it listens itself.
func (h *Host) socketAddresses(ctx context.Context, d *SSHD) ([]string, error) {
	sockets, err := h.SSHListens(ctx)
	var addresses []string
	for _, s := range sockets {
		if !s.starts(d) {
			continue
		}
		for _, l := range s.Listen {
			addresses = append(addresses, l.Address)
		}
	}
	return addresses, err
}

// accounts are those of the files and those from elsewhere.
func (l *logins) accounts(a *Accounts, e *Elsewhere, only []string) []loginmatrix.Account {
	var out []loginmatrix.Account
	today := Today()
	add := func(u *User) {
		if len(only) > 0 && !slices.Contains(only, u.Name) {
			return
		}
		groups, known := e.Groups[u.Name]
		if !known {
			groups = a.GroupsOf(u.Name)
		}
		out = append(out, l.account(u, groups, today))
	}
	for i := range a.Users {
		add(&a.Users[i])
	}
	for i := range e.Users {
		add(&e.Users[i])
	}
	for _, text := range e.Unknown {
		l.cannot(errors.New("cannot show " + text))
	}
	if len(e.Users) > 0 {
		l.unsure("the keys, passwords and expiry of accounts from %s, who come from the system's resolver", strings.Join(a.Elsewhere, ", "))
	}
	return out
}

// namesOf are the accounts that are named somewhere: those asked for, those of
// AllowUsers, and members of groups.
func namesOf(c *sshdconf.Config, a *Accounts, asked []string) []string {
	if len(a.Elsewhere) == 0 {
		return nil
	}
	names := slices.Clone(asked)
	for _, d := range c.Directives {
		if d.Keyword != "allowusers" {
			continue
		}
		for word := range strings.FieldsSeq(d.Text) {
			if name, _, _ := c.SplitUser(strings.Trim(word, `"`)); !strings.ContainsAny(name, "*?") {
				names = append(names, name)
			}
		}
	}
	for i := range a.Groups {
		for _, name := range a.Groups[i].Listed {
			if len(names) < maxAsked && a.User(name) == nil {
				names = append(names, name)
			}
		}
	}
	return names
}
