package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/authorizedkeys"
	"github.com/hostguard/hostguard/internal/sshdconf"
	"github.com/hostguard/hostguard/internal/sshkeys"
)

type authorizedKeysFacts struct {
	authorizedKeys fact[*AuthorizedKeys]
}

// AuthorizedKeys are the keys by which accounts get in, for each sshd.
type AuthorizedKeys struct {
	Servers []*ServerKeys // in the order of SSHServers.SSHDs
	// Elsewhere are the sources of accounts whose keys are not here, see Accounts.
	Elsewhere []string
}

// ServerKeys are the keys that one sshd looks at.
type ServerKeys struct {
	SSHD *SSHD
	// Err is why nothing is known: the configuration cannot be read.
	Err error
	// Accounts are those for whom a file of keys exists or may exist, in the order of
	// passwd.
	Accounts []AccountKeys
	// Others are the settings by which keys come from elsewhere, or by which keys
	// are revoked, in force for some connection; each only once.
	Others []sshdconf.Setting
	// Authorities are the files that TrustedUserCAKeys names.
	Authorities []*KeyList
	// Revocations are the files that RevokedKeys names.
	Revocations []*Revocations

	byName map[string]int
}

// AccountKeys are the files of keys of one account.
type AccountKeys struct {
	User  *User
	Files []*KeyFile
}

// KeyFile is a file that AuthorizedKeysFile names for an account, under some
// connection.
type KeyFile struct {
	Path     string         // as sshd opens it
	Real     string         // links resolved; empty with Err
	Pattern  sshdconf.Value // the setting that names it
	Modified time.Time
	Entries  []authorizedkeys.Entry
	Problems []authorizedkeys.Problem
	// Unsafe says what StrictModes finds wrong with the file or a folder above;
	// with StrictModes sshd does not look into the file then.
	Unsafe   string
	UnsafeAt string // the file or folder
	// Refused says why sshd does not read the file, whatever StrictModes says.
	Refused string
	// Err is why its content is not known.
	Err error

	named string // the path that the pattern is for this account; Path may be one of several that match it
}

// KeyList is a list of keys that sshd's configuration names.
type KeyList struct {
	Path  string
	Value sshdconf.Value
	Keys  []sshkeys.ListedKey
	// Problem is what keeps sshd from reading the rest of it; Missing that there is no
	// such file.
	Problem string
	Missing bool
	Err     error // why it is not known
}

// Revocations are a file that RevokedKeys names.
type Revocations struct {
	Path  string
	Value sshdconf.Value
	// Revoked is what is known of it.
	Revoked *sshkeys.Revoked
	// RefusesAll says why sshd refuses every key because of the file.
	RefusesAll string
	Err        error // why it is not known
}

// Bounds of what is read of users. A file beyond its bound is not known, whatever
// sshd, which has none, makes of it.
const (
	maxKeyFile     = 1 << 20
	maxAllKeyFiles = 32 << 20
)

// AuthorizedKeys reads the files of keys of every account, as each sshd would:
// of all that AuthorizedKeysFile can name for it, outside and inside Match
// blocks. What an account's files hold is read with the account's own rights.
func (h *Host) AuthorizedKeys(ctx context.Context) (*AuthorizedKeys, error) {
	return h.authorizedKeys.get(ctx, h.readAuthorizedKeys)
}

func (h *Host) readAuthorizedKeys(ctx context.Context) (*AuthorizedKeys, error) {
	s, err := h.SSHServers(ctx)
	if err != nil {
		return nil, err
	}
	a, err := h.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	all := &AuthorizedKeys{Elsewhere: a.Elsewhere}
	r := &keyReader{h: h, accounts: a, left: maxAllKeyFiles, shared: map[string]*parsedKeys{}, folders: map[string]*os.File{}, absent: map[string]bool{}}
	defer r.close()
	for _, d := range s.SSHDs {
		k := &ServerKeys{SSHD: d, byName: map[string]int{}}
		all.Servers = append(all.Servers, k)
		worlds, err := d.Worlds(ctx, a)
		if err != nil {
			k.Err = fmt.Errorf("cannot tell which files of keys sshd reads: %w", err)
			continue
		}
		if r.as, err = h.keySyntax(d); err != nil {
			return nil, err
		}
		if err := r.readServer(ctx, k, worlds); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// keySyntax says how an sshd of this host reads lines of keys.
func (h *Host) keySyntax(d *SSHD) (authorizedkeys.Reader, error) {
	as := authorizedkeys.Reader{Version: d.Version, Zone: time.UTC}
	data, err := h.ReadFile("/etc/localtime")
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return as, fmt.Errorf("cannot tell the host's time zone: %w", err)
	default:
		if zone, err := time.LoadLocationFromTZData("local", data); err == nil { // else the C library takes UTC, too
			as.Zone = zone
		}
	}
	as.Service = func(name string) bool {
		data, err := h.ReadFile("/etc/services")
		if err != nil {
			return !errors.Is(err, fs.ErrNotExist) // unknown: then sshd may take it
		}
		_, ok := servicePort(data, name)
		return ok
	}
	return as, nil
}

// Of returns the files of keys of an account; none when it has none.
func (k *ServerKeys) Of(user string) []*KeyFile {
	if i, ok := k.byName[user]; ok {
		return k.Accounts[i].Files
	}
	return nil
}

// keySettings are where keys come from beside files of users, and what takes
// them away.
var keySettings = []string{"authorizedkeyscommand", "trustedusercakeys", "authorizedprincipalsfile", "authorizedprincipalscommand", "revokedkeys"}

// isNone is how sshd's settings say that there is nothing.
func isNone(s sshdconf.Setting) bool {
	return len(s.Values) == 0 || len(s.Values) == 1 && strings.EqualFold(s.Values[0].Text, "none")
}

type keyReader struct {
	h        *Host
	accounts *Accounts
	as       authorizedkeys.Reader
	left     int64
	shared   map[string]*parsedKeys // of files that several accounts share
	folders  map[string]*os.File    // those that homes are in; nil: not to be had
	absent   map[string]bool        // paths where nothing is, whoever looks: accounts share homes
}

func (r *keyReader) close() {
	for _, f := range r.folders {
		if f != nil {
			f.Close()
		}
	}
}

// maxFolders is how many folders with homes are held open.
const maxFolders = 32

// homeMissing reports whether there is surely nothing in the place of a user's
// home, at the cost of one look.
func (r *keyReader) homeMissing(u *User) bool {
	dir, name := path.Split(u.Home)
	if !strings.HasPrefix(u.Home, "/") || name == "" || name == "." || name == ".." {
		return false
	}
	folder, ok := r.folders[dir]
	if !ok {
		if len(r.folders) >= maxFolders {
			return false
		}
		if t, err := r.h.follow(dir, false); err == nil {
			folder = t.file
		}
		r.folders[dir] = folder
	}
	var st unix.Stat_t
	return folder != nil && unix.Fstatat(int(folder.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == unix.ENOENT
}

type parsedKeys struct {
	dev, ino uint64
	ctim     unix.Timespec
	entries  []authorizedkeys.Entry
	problems []authorizedkeys.Problem
}

func (r *keyReader) readServer(ctx context.Context, k *ServerKeys, worlds []sshdconf.World) error {
	// The settings are the same in most worlds.
	type patterns struct {
		values []sshdconf.Value
		all    bool            // for every account
		users  map[string]bool // else for these
	}
	named := map[string]*patterns{}
	var order []string
	for _, w := range worlds {
		if w.Effective == nil {
			continue
		}
		for _, keyword := range keySettings {
			s := w.Effective.Get(keyword)
			same := func(o sshdconf.Setting) bool { return o.Keyword == s.Keyword && slices.Equal(o.Values, s.Values) }
			if !isNone(s) && !slices.ContainsFunc(k.Others, same) {
				k.Others = append(k.Others, s)
				r.readLists(k, s)
			}
		}
		s := w.Effective.Get("authorizedkeysfile")
		id := s.Text()
		p := named[id]
		if p == nil {
			p = &patterns{values: s.Values, users: map[string]bool{}}
			named[id] = p
			order = append(order, id)
		}
		if p.all = p.all || len(w.Accounts) >= len(r.accounts.Users); p.all {
			continue
		}
		for _, a := range w.Accounts {
			p.users[a.Name] = true
		}
	}
	for i := range r.accounts.Users {
		u := &r.accounts.Users[i]
		var files []*KeyFile
		missing := r.homeMissing(u) // as is that of most accounts
		for _, id := range order {
			if !named[id].all && !named[id].users[u.Name] {
				continue
			}
			for _, v := range named[id].values {
				if strings.EqualFold(v.Text, "none") {
					continue
				}
				if err := ctx.Err(); err != nil {
					return fmt.Errorf("cannot read the keys of all accounts: %w", context.Cause(ctx))
				}
				if missing && !r.globbed(u.Home) && (v.Text[0] != '/' && v.Text[0] != '%' || strings.HasPrefix(v.Text, "%h/")) {
					continue // without working out the path
				}
				name, known := expandKeyPath(v.Text, u)
				if missing && !r.globbed(u.Home) && strings.HasPrefix(name, u.Home+"/") {
					continue
				}
				if known && r.absent[name] { // as for all who share a home
					continue
				}
				var matches []string
				var globErr error
				if known {
					matches, globErr = r.matches(name, u)
				}
				for _, path := range matches {
					f := &KeyFile{Pattern: v, Path: path, named: name}
					if !slices.ContainsFunc(files, func(have *KeyFile) bool { return have.Path == path && have.named == name }) && r.read(f, u) {
						files = append(files, f)
					}
				}
				if !known {
					files = append(files, &KeyFile{Pattern: v, Path: name, named: name,
						Refused: "sshd ends every connection on a token of AuthorizedKeysFile that it does not know"})
				}
				if globErr != nil {
					files = append(files, &KeyFile{Pattern: v, Path: name, named: name, Err: globErr})
				}
			}
		}
		if files != nil {
			k.byName[u.Name] = len(k.Accounts)
			k.Accounts = append(k.Accounts, AccountKeys{u, files})
		}
	}
	return nil
}

// readLists reads the files that TrustedUserCAKeys and RevokedKeys name; sshd
// reads them as root.
func (r *keyReader) readLists(k *ServerKeys, s sshdconf.Setting) {
	switch s.Keyword {
	case "trustedusercakeys":
		l := &KeyList{Path: s.Values[0].Text, Value: s.Values[0]}
		k.Authorities = append(k.Authorities, l)
		data, err := r.h.ReadFile(l.Path)
		if errors.Is(err, fs.ErrNotExist) {
			l.Missing = true
			return
		}
		if l.Err = err; err != nil {
			return
		}
		if l.Keys, err = sshkeys.ParseList(data); err != nil {
			l.Problem = err.Error()
		}
	case "revokedkeys":
		l := &Revocations{Path: s.Values[0].Text, Value: s.Values[0]}
		k.Revocations = append(k.Revocations, l)
		data, err := r.h.ReadFile(l.Path)
		if errors.Is(err, fs.ErrNotExist) {
			l.RefusesAll = "there is no such file"
			return
		}
		if l.Err = err; err != nil {
			return
		}
		if l.Revoked, err = sshkeys.ParseRevoked(data); err != nil {
			l.RefusesAll = err.Error()
		}
	}
}
