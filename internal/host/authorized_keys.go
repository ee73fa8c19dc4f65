package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
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
	all := &AuthorizedKeys{}
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
	seen := map[string]bool{}
	for _, w := range worlds {
		if w.Effective == nil {
			continue
		}
		for _, keyword := range keySettings {
			s := w.Effective.Get(keyword)
			if id := fmt.Sprint(keyword, s.Values); !isNone(s) && !seen[id] {
				seen[id] = true
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

// expandKeyPath is what sshd makes of a pattern of AuthorizedKeysFile; ok is
// false when there is a token in it that sshd does not know.
func expandKeyPath(pattern string, u *User) (file string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' {
			b.WriteByte(pattern[i])
			continue
		}
		i++
		switch {
		case i < len(pattern) && pattern[i] == '%':
			b.WriteByte('%')
		case i < len(pattern) && pattern[i] == 'h':
			b.WriteString(u.Home)
		case i < len(pattern) && pattern[i] == 'u':
			b.WriteString(u.Name)
		case i < len(pattern) && pattern[i] == 'U':
			b.WriteString(strconv.FormatUint(uint64(u.UID), 10))
		default:
			return pattern, false
		}
	}
	file = b.String()
	if !strings.HasPrefix(file, "/") {
		file = u.Home + "/" + file
	}
	if !strings.HasPrefix(file, "/") { // a home that is no absolute path is below sshd's working folder
		file = "/" + file
	}
	return file, true
}

// globbed reports whether sshd takes a path for a pattern of glob(3): since 10.0.
func (r *keyReader) globbed(name string) bool {
	return r.as.Version.AtLeast(sshdconf.V10_0) && strings.ContainsAny(name, `*?[\`)
}

// maxMatches is how many files of one pattern are read for an account.
const maxMatches = 256

// matches are the files that a path stands for. Those of a pattern are looked
// for with the user's rights, as sshd does.
func (r *keyReader) matches(name string, u *User) (found []string, err error) {
	if !r.globbed(name) {
		return []string{name}, nil
	}
	look := func() { found, err = sshdFS{r.h}.Glob(name) }
	if !r.h.Running() {
		look()
	} else if failed := asUser(u.UID, u.GID, r.groups(u), look); failed != nil {
		err = failed
	}
	if err == nil && len(found) > maxMatches {
		err = fmt.Errorf("%w: more than %d files match", ErrTooLarge, maxMatches)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot expand the pattern: %w", err)
	}
	return found, nil
}

// groups are the numbers of a user's groups.
func (r *keyReader) groups(u *User) (gids []uint32) {
	for _, name := range r.accounts.GroupsOf(u.Name) {
		gids = append(gids, r.accounts.Group(name).GID)
	}
	return gids
}

// read reads a file of keys as sshd would, which takes the user's rights to do
// it. It returns false when there is no such file.
func (r *keyReader) read(f *KeyFile, u *User) (exists bool) {
	if r.absent[f.Path] {
		return false
	}
	if r.h.Running() {
		// What a link on the way leads to may be another file for sshd, as below
		// /proc/self/cwd, or for the user: such a file is not missing yet.
		fd, err := unix.Openat2(unix.AT_FDCWD, f.Path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
		switch err {
		case nil:
			unix.Close(fd)
		case unix.ENOENT, unix.ENOTDIR:
			r.noteAbsent(f.Path)
			return false // of most accounts
		}
	}
	var err error
	look := func() { err = r.readAs(f, u) }
	if !r.h.Running() {
		look()
	} else if failed := asUser(u.UID, u.GID, r.groups(u), look); failed != nil {
		err = failed
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		if !r.h.Running() { // else it is what this account saw
			r.noteAbsent(f.Path)
		}
		return false
	case errors.Is(err, errDenied), errors.Is(err, unix.EACCES) && r.h.Running() && unix.Geteuid() == 0 && u.UID != 0 && len(r.accounts.Elsewhere) == 0:
		f.Refused = fmt.Sprintf("%s may not read it, and sshd reads it with that account's rights", u.Name)
	case errors.Is(err, unix.ELOOP):
		f.Refused = "it leads through too many symbolic links"
	case errors.Is(err, ErrNotRegular):
		f.Refused = "it is no regular file"
	default:
		f.Err = err
	}
	return true
}

// noteAbsent keeps a few paths: those that accounts share come early.
func (r *keyReader) noteAbsent(name string) {
	const most = 64
	if len(r.absent) < most {
		r.absent[name] = true
	}
}

// readAs runs with the rights of the user.
func (r *keyReader) readAs(f *KeyFile, u *User) error {
	t, err := r.h.follow(f.Path, r.h.Running() && (u.UID == 0 || unix.Geteuid() != 0))
	if err != nil {
		return err
	}
	defer t.file.Close()
	f.Real = t.path()
	last := t.steps[len(t.steps)-1]
	f.Modified = time.Unix(last.st.Mtim.Unix())
	home := ""
	if t, err := r.h.follow(u.Home, false); err == nil && u.Home != "" {
		home = t.path()
		t.file.Close()
	}
	f.UnsafeAt, f.Unsafe = r.unsafe(t.steps, home, u)
	if !r.h.Running() && r.denied(t.steps, u) {
		return pathError("read", f.Path, errDenied)
	}
	if last.st.Mode&unix.S_IFMT == unix.S_IFREG && u.UID == 0 && last.st.Nlink > 1 && f.Unsafe != "" {
		return pathError("read", f.Path, errors.New("has more than one name (hard link), and others than root may have made one"))
	}
	if kept := r.shared[f.Path]; kept != nil && kept.dev == last.st.Dev && kept.ino == last.st.Ino && kept.ctim == last.st.Ctim {
		if err := mayRead(t); err != nil {
			return err
		}
		f.Entries, f.Problems = kept.entries, kept.problems
		return nil
	}
	file, _, err := reopenRegular(t.file)
	if err != nil {
		return pathError("read", f.Path, err)
	}
	defer file.Close()
	data, _, err := readRegular(file, maxKeyFile)
	if err != nil {
		return pathError("read", f.Path, err)
	}
	if r.left -= int64(len(data)); r.left < 0 {
		return pathError("read", f.Path, fmt.Errorf("%w: all files of keys hold more than %d bytes", ErrTooLarge, maxAllKeyFiles))
	}
	f.Entries, f.Problems = r.as.Parse(f.Path, data)
	if !strings.HasPrefix(f.Path, u.Home) || u.Home == "" || u.Home == "/" {
		r.shared[f.Path] = &parsedKeys{last.st.Dev, last.st.Ino, last.st.Ctim, f.Entries, f.Problems}
	}
	return nil
}

// errDenied marks a file that an account has no right to read by its modes.
var errDenied = errors.New("its modes do not let the account read it")

// denied reports whether modes, and no access control list could say otherwise,
// keep a user from reading a file of a tree.
func (r *keyReader) denied(steps []step, u *User) bool {
	if u.UID == 0 {
		return false
	}
	groups := r.accounts.GroupsOf(u.Name)
	for i, s := range steps {
		want := uint32(1) // to go through a folder
		if i == len(steps)-1 {
			want = 4
		}
		mode := s.st.Mode
		inGroup := slices.ContainsFunc(groups, func(g string) bool { return r.accounts.Group(g).GID == s.st.Gid })
		switch {
		case s.st.Uid == u.UID:
			mode >>= 6
		case inGroup:
			mode >>= 3
		default:
			mode |= mode >> 3 // the group's bits are the mask of a list
		}
		if mode&want == 0 {
			return true
		}
	}
	return false
}

// mayRead is nil when the file can be opened for reading with the present rights.
func mayRead(t *trail) error {
	f, _, err := reopenRegular(t.file)
	if err != nil {
		return pathError("read", t.path(), err)
	}
	return f.Close()
}

// unsafe judges the file and the folders above it, up to the user's home or the
// root, as StrictModes does: root or the user owns them, and no one else may
// write.
func (r *keyReader) unsafe(steps []step, home string, u *User) (at, why string) {
	for i := len(steps) - 1; i >= 0; i-- {
		s := steps[i]
		if why := r.insecure(s, u); why != "" {
			return s.path, why
		}
		if i < len(steps)-1 && s.path == home {
			break
		}
	}
	return "", ""
}

// insecure says what is wrong with one of them. Debian's sshd lets a group
// write that has no member but the owner; what it is built as elsewhere is
// judged the same way.
func (r *keyReader) insecure(s step, u *User) string {
	switch {
	case s.st.Uid != 0 && s.st.Uid != u.UID:
		return fmt.Sprintf("neither root nor %s owns it (%s)", u.Name, s.owner())
	case s.st.Mode&0o002 != 0:
		return fmt.Sprintf("everybody may write to it (%s)", s.owner())
	case s.st.Mode&0o020 != 0 && !r.ownGroup(s.st.Gid, s.st.Uid, u):
		return fmt.Sprintf("a group with others in it than %s may write to it (%s)", u.Name, s.owner())
	}
	return ""
}

// ownGroup reports whether a group has exactly one member, by its line or as
// their primary group, who is both the user and the file's owner.
func (r *keyReader) ownGroup(gid, owner uint32, u *User) bool {
	i := slices.IndexFunc(r.accounts.Groups, func(g Group) bool { return g.GID == gid })
	if i < 0 || len(r.accounts.Elsewhere) > 0 {
		return false
	}
	members := 0
	for _, other := range r.accounts.Users {
		if other.GID != gid {
			continue
		}
		if members++; other.UID != u.UID {
			return false
		}
	}
	o := slices.IndexFunc(r.accounts.Users, func(u User) bool { return u.UID == owner })
	if o < 0 {
		return false
	}
	if listed := r.accounts.Groups[i].Listed; len(listed) > 0 {
		members++
		if len(listed) > 1 || listed[0] != r.accounts.Users[o].Name {
			return false
		}
	}
	return members > 0
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

// KeyUse is what becomes of one key.
type KeyUse struct {
	File  *KeyFile
	Entry *authorizedkeys.Entry
	Why   string // why sshd does not take it; empty when it does
}

// Judge says what becomes of each key of an account's files under one effective
// configuration, for a connection. A line with cert-authority is judged by
// whether its certificates are taken. What could not be seen is in unknown:
// there may be more keys, or fewer that work.
func (k *ServerKeys) Judge(user string, e *sshdconf.Effective, c authorizedkeys.Conn) (uses []KeyUse, unknown []error) {
	files := e.Get("authorizedkeysfile").Values
	strict := e.Get("strictmodes").Text() == "yes"
	algorithms := e.Get("pubkeyacceptedalgorithms").Text()
	if algorithms == "" {
		algorithms = e.Get("pubkeyacceptedkeytypes").Text()
	}
	minRSA, _ := strconv.Atoi(e.Get("requiredrsasize").Text())
	revoked, refusesAll, err := k.revocations(e)
	if err != nil {
		unknown = append(unknown, err)
	}
	i, ok := k.byName[user]
	if !ok {
		return nil, unknown
	}
	for _, f := range k.Accounts[i].Files {
		named := slices.ContainsFunc(files, func(v sshdconf.Value) bool {
			p, _ := expandKeyPath(v.Text, k.Accounts[i].User)
			return !strings.EqualFold(v.Text, "none") && p == f.named
		})
		if !named {
			continue
		}
		why := f.Refused
		switch {
		case f.Err != nil:
			unknown = append(unknown, fmt.Errorf("cannot tell the keys of %s in %s: %w", user, f.Path, withoutPath(f.Err)))
			continue
		case why == "" && strict && f.Unsafe != "":
			why = fmt.Sprintf("StrictModes refuses the file: %s: %s", f.UnsafeAt, f.Unsafe)
		case why == "":
			why = refusesAll
		}
		for j := range f.Entries {
			entry := &f.Entries[j]
			use := KeyUse{f, entry, why}
			if use.Why == "" {
				_, use.Why = entry.Usable(c)
			}
			if use.Why == "" {
				use.Why = refusedKey(entry, algorithms, minRSA, revoked)
			}
			uses = append(uses, use)
		}
	}
	return uses, unknown
}

// refusedKey says why sshd's configuration refuses a key.
func refusedKey(e *authorizedkeys.Entry, algorithms string, minRSA int, revoked *sshkeys.Revoked) string {
	if revoked != nil {
		if _, is := revoked.Contains(&e.Key); is {
			return "it is revoked"
		}
	}
	if e.Options.CertAuthority {
		return "" // which keys it signs is not known
	}
	if e.Kind == sshkeys.RSA && e.Bits < minRSA {
		return fmt.Sprintf("RequiredRSASize is %d", minRSA)
	}
	if !slices.ContainsFunc(e.Algorithms(false), func(name string) bool { return sshdconf.MatchPatterns(name, algorithms) }) {
		return "PubkeyAcceptedAlgorithms has none for it"
	}
	return ""
}

func (k *ServerKeys) revocations(e *sshdconf.Effective) (revoked *sshkeys.Revoked, refusesAll string, err error) {
	s := e.Get("revokedkeys")
	if isNone(s) {
		return nil, "", nil
	}
	for _, l := range k.Revocations {
		if l.Path != s.Values[0].Text {
			continue
		}
		switch {
		case l.Err != nil:
			return nil, "", fmt.Errorf("cannot tell which keys are revoked: %w", l.Err)
		case l.RefusesAll != "":
			return l.Revoked, fmt.Sprintf("sshd refuses every key, since it cannot read %s (RevokedKeys): %s", l.Path, l.RefusesAll), nil
		}
		return l.Revoked, "", nil
	}
	return nil, "", errors.New("cannot tell which keys are revoked")
}
