package host

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/authorizedkeys"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/sshdconf"
)

// Public keys, for nobody.
const (
	keyA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFZGVIFFPqfYkhdKOF8wMgj/uX5wL0sDbmvQLqbbTyVo"
	keyB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC8HmoqiSkivdM+Eo1yEXQXA6UzYzCxHqzPWNMBnV+mW"
)

// keysTree is a tree with an sshd, accounts, and files; "NAME:x:UID:…" lines make up
// passwd. Modes and owners are given after the path: "home/a/.ssh 700 1000:1000".
func keysTree(t *testing.T, config, passwd string, files map[string]string) *Host {
	t.Helper()
	lab.Need(t, lab.Root)
	root := t.TempDir()
	all := map[string]string{
		"etc/ssh/sshd_config": config, "etc/passwd": "root:x:0:0::/root:/bin/sh\n" + passwd,
		"etc/group": "root:x:0:\nusers:x:100:\na:x:1000:\nb:x:1001:\n",
	}
	if files["usr/sbin/sshd"] == "" {
		all["usr/sbin/sshd"] = "OpenSSH_9.2p1 Debian-2\x00libpam.so.0\x00"
	}
	for name, text := range files {
		all[name] = text
	}
	for _, spec := range slices.Sorted(maps.Keys(all)) {
		f := strings.Fields(spec)
		full := filepath.Join(root, f[0])
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		text := all[spec]
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			must(t, os.Symlink(target, full))
			continue
		}
		switch text {
		case "folder":
			must(t, os.MkdirAll(full, 0o755))
		case "fifo":
			must(t, unix.Mkfifo(full, 0o600))
		default:
			must(t, os.WriteFile(full, []byte(text), 0o644))
		}
		var mode os.FileMode
		var uid, gid int
		if len(f) > 1 {
			fmt.Sscanf(f[1], "%o", &mode)
			must(t, os.Chmod(full, mode))
		}
		if len(f) > 2 {
			fmt.Sscanf(f[2], "%d:%d", &uid, &gid)
			must(t, os.Chown(full, uid, gid))
		}
	}
	return New(Options{Root: root})
}

// told says in short what is known of the files of keys.
func told(t *testing.T, h *Host) []string {
	t.Helper()
	all, err := h.AuthorizedKeys(t.Context())
	must(t, err)
	if len(all.Servers) != 1 || all.Servers[0].Err != nil {
		t.Fatalf("%+v", all.Servers)
	}
	var out []string
	for _, a := range all.Servers[0].Accounts {
		for _, f := range a.Files {
			text := fmt.Sprintf("%s %s %d", a.User.Name, f.Path, len(f.Entries))
			if f.Err != nil {
				text += " error"
			}
			if f.Refused != "" {
				text += " refused"
			}
			if f.Unsafe != "" {
				text += " unsafe:" + f.UnsafeAt
			}
			out = append(out, text)
		}
	}
	return out
}

const trixie = "OpenSSH_10.0p1 Debian-7\x00libpam.so.0\x00"

const twoUsers = "a:x:1000:1000::/home/a:/bin/sh\nb:x:1001:1001::/home/b:/bin/sh\n"

func TestAuthorizedKeysFiles(t *testing.T) {
	t.Parallel()
	const ssh = "home/a/.ssh/authorized_keys 600 1000:1000"
	for name, c := range map[string]struct {
		config, passwd string
		files          map[string]string
		want           []string
	}{
		"none":                          {"", twoUsers, nil, nil},
		"the default":                   {"", twoUsers, map[string]string{ssh: keyA + "\n", "home/a/.ssh/authorized_keys2": keyB}, []string{"a /home/a/.ssh/authorized_keys 1", "a /home/a/.ssh/authorized_keys2 1"}},
		"37: several patterns":          {"AuthorizedKeysFile /etc/ssh/keys/%u .ssh/authorized_keys /etc/ssh/all/%U%%\n", twoUsers, map[string]string{ssh: keyA, "etc/ssh/keys/b": keyB, "etc/ssh/all/1000%": keyA}, []string{"a /home/a/.ssh/authorized_keys 1", "a /etc/ssh/all/1000% 1", "b /etc/ssh/keys/b 1"}},
		"37: none":                      {"AuthorizedKeysFile none\n", twoUsers, map[string]string{ssh: keyA}, nil},
		"37: %h":                        {"AuthorizedKeysFile %h/k\n", twoUsers, map[string]string{"home/b/k": keyA}, []string{"b /home/b/k 1"}},
		"37: an unknown token":          {"AuthorizedKeysFile %x\n", twoUsers, nil, []string{"root %x 0 refused", "a %x 0 refused", "b %x 0 refused"}},
		"10.0: a pattern of glob(3)":    {"AuthorizedKeysFile /etc/ssh/keys/%u-*.pub .ssh/k[!2]\n", twoUsers, map[string]string{"usr/sbin/sshd": trixie, "etc/ssh/keys/a-1.pub": keyA, "etc/ssh/keys/a-2.pub": keyB, "etc/ssh/keys/b.pub": keyB, "home/b/.ssh/k1": keyA, "home/b/.ssh/k2": keyA}, []string{"a /etc/ssh/keys/a-1.pub 1", "a /etc/ssh/keys/a-2.pub 1", "b /home/b/.ssh/k1 1"}},
		"9.2: a name with a star":       {"AuthorizedKeysFile /etc/ssh/keys/%u*\n", twoUsers, map[string]string{"etc/ssh/keys/a1": keyA, "etc/ssh/keys/a*": keyB}, []string{"a /etc/ssh/keys/a* 1"}},
		"10.0: a home of brackets":      {"", "a:x:1000:1000::/home/[b]:/bin/sh\n", map[string]string{"usr/sbin/sshd": trixie, "home/[b]/.ssh/authorized_keys": keyB, "home/b/.ssh/authorized_keys": keyA}, []string{"a /home/b/.ssh/authorized_keys 1"}},
		"in a Match block":              {"Match User b\nAuthorizedKeysFile /etc/ssh/b\n", twoUsers, map[string]string{ssh: keyA, "etc/ssh/b": keyB, "home/b/.ssh/authorized_keys": keyB}, []string{"a /home/a/.ssh/authorized_keys 1", "b /etc/ssh/b 1"}},
		"in one of addresses":           {"Match Address 10.0.0.0/8\nAuthorizedKeysFile /etc/ssh/k/%u\n", twoUsers, map[string]string{ssh: keyA, "etc/ssh/k/a": keyB}, []string{"a /home/a/.ssh/authorized_keys 1", "a /etc/ssh/k/a 1"}},
		"one file for all":              {"AuthorizedKeysFile /etc/ssh/all\n", twoUsers, map[string]string{"etc/ssh/all": keyA + "\n" + keyB}, []string{"root /etc/ssh/all 2", "a /etc/ssh/all 2", "b /etc/ssh/all 2"}},
		"a home that is /":              {"", "a:x:1000:1000::/:/bin/sh\n", map[string]string{".ssh/authorized_keys": keyA}, []string{"a //.ssh/authorized_keys 1"}},
		"a home that is empty":          {"", "a:x:1000:1000:::/bin/sh\n", map[string]string{".ssh/authorized_keys": keyA}, []string{"a /.ssh/authorized_keys 1"}},
		"a FIFO":                        {"", twoUsers, map[string]string{ssh: "fifo"}, []string{"a /home/a/.ssh/authorized_keys 0 refused"}},
		"a folder":                      {"", twoUsers, map[string]string{"home/a/.ssh/authorized_keys/x": ""}, []string{"a /home/a/.ssh/authorized_keys 0 refused"}},
		"a link to an own file":         {"", twoUsers, map[string]string{"home/a/.ssh/authorized_keys": "-> ../dot/keys", "home/a/dot/keys 600 1000:1000": keyA}, []string{"a /home/a/.ssh/authorized_keys 1"}},
		"an absolute link":              {"", twoUsers, map[string]string{"home/a/.ssh": "-> /srv/a", "srv/a/authorized_keys 600 1000:1000": keyA}, []string{"a /home/a/.ssh/authorized_keys 1"}},
		"a link out of the tree":        {"", twoUsers, map[string]string{"home/a/.ssh": "-> ../../../../../../../../../srv/a", "srv/a/authorized_keys": keyA}, []string{"a /home/a/.ssh/authorized_keys 1"}},
		"a link to nothing":             {"", twoUsers, map[string]string{"home/a/.ssh/authorized_keys": "-> x"}, nil},
		"links in a loop":               {"", twoUsers, map[string]string{"home/a/.ssh/authorized_keys": "-> authorized_keys"}, []string{"a /home/a/.ssh/authorized_keys 0 refused"}},
		"a link to root's file":         {"", twoUsers, map[string]string{"home/a/.ssh/authorized_keys": "-> /root/keys", "root 700": "folder", "root/keys 600": keyA}, []string{"a /home/a/.ssh/authorized_keys 0 refused"}},
		"a link to the other's":         {"", twoUsers, map[string]string{"home/a/.ssh/authorized_keys": "-> /home/b/k", "home/b/k 644 1001:1001": keyA}, []string{"a /home/a/.ssh/authorized_keys 1 unsafe:/home/b/k"}},
		"a link into /proc":             {"", twoUsers, map[string]string{"home/a/.ssh/authorized_keys": "-> /proc/self/fd/3"}, []string{"a /home/a/.ssh/authorized_keys 0 error"}},
		"the other's file":              {"", twoUsers, map[string]string{"home/a/.ssh/authorized_keys 644 1001:1001": keyA}, []string{"a /home/a/.ssh/authorized_keys 1 unsafe:/home/a/.ssh/authorized_keys"}},
		"everybody writes":              {"", twoUsers, map[string]string{"home/a/.ssh/authorized_keys 646 1000:1000": keyA}, []string{"a /home/a/.ssh/authorized_keys 1 unsafe:/home/a/.ssh/authorized_keys"}},
		"everybody writes to .ssh":      {"", twoUsers, map[string]string{"home/a/.ssh 777 1000:1000": "folder", ssh: keyA}, []string{"a /home/a/.ssh/authorized_keys 1 unsafe:/home/a/.ssh"}},
		"the home is the other's":       {"", twoUsers, map[string]string{"home/a 755 1001:1001": "folder", ssh: keyA}, []string{"a /home/a/.ssh/authorized_keys 1 unsafe:/home/a"}},
		"above the home all may":        {"", twoUsers, map[string]string{"home 777": "folder", ssh: keyA}, []string{"a /home/a/.ssh/authorized_keys 1"}},
		"not below the home":            {"AuthorizedKeysFile /srv/k/%u\n", twoUsers, map[string]string{"srv 777": "folder", "srv/k/a": keyA}, []string{"a /srv/k/a 1 unsafe:/srv"}},
		"a group of one writes":         {"", twoUsers, map[string]string{"home/a/.ssh/authorized_keys 660 1000:1000": keyA}, []string{"a /home/a/.ssh/authorized_keys 1"}},
		"a group of others writes":      {"", twoUsers + "c:x:1002:1000::/home/c:/bin/sh\n", map[string]string{"home/a/.ssh/authorized_keys 660 1000:1000": keyA}, []string{"a /home/a/.ssh/authorized_keys 1 unsafe:/home/a/.ssh/authorized_keys"}},
		"a group of nobody writes":      {"", twoUsers, map[string]string{"home/a/.ssh/authorized_keys 660 1000:100": keyA}, []string{"a /home/a/.ssh/authorized_keys 1 unsafe:/home/a/.ssh/authorized_keys"}},
		"too large":                     {"", twoUsers, map[string]string{ssh: strings.Repeat(keyA+"\n", 10<<20/(len(keyA)+1))}, []string{"a /home/a/.ssh/authorized_keys 0 error"}},
		"two accounts with one home":    {"", "a:x:1000:1000::/home/a:/bin/sh\nb:x:1000:1000::/home/a:/bin/sh\n", map[string]string{ssh: keyA}, []string{"a /home/a/.ssh/authorized_keys 1", "b /home/a/.ssh/authorized_keys 1"}},
		"control characters in names":   {"AuthorizedKeysFile /etc/ssh/%u\n", "a\x1b[2J:x:1000:1000::/home/a:/bin/sh\n", map[string]string{"etc/ssh/a\x1b[2J": keyA}, []string{"a\x1b[2J /etc/ssh/a\x1b[2J 1"}},
		"only the account may read, ok": {"", twoUsers, map[string]string{"home/a 700 1000:1000": "folder", "home/a/.ssh 700 1000:1000": "folder", ssh: keyA}, []string{"a /home/a/.ssh/authorized_keys 1"}},
		"root's mode 600 in a's home":   {"", twoUsers, map[string]string{"home/a/.ssh/authorized_keys 600 0:0": keyA}, []string{"a /home/a/.ssh/authorized_keys 0 refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := told(t, keysTree(t, c.config, c.passwd, c.files)); !slices.Equal(got, c.want) {
				t.Errorf("\n got %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestJudgeKeys(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config, keys string
		conn         authorizedkeys.Conn
		files        map[string]string
		want         []string // why, one for each key
	}{
		"works":                    {"", keyA, authorizedkeys.Conn{}, nil, []string{""}},
		"from elsewhere":           {"", `from="10.0.0.0/8" ` + keyA, authorizedkeys.Conn{Addr: "192.0.2.1"}, nil, []string{"does not admit"}},
		"from there":               {"", `from="10.0.0.0/8" ` + keyA, authorizedkeys.Conn{Addr: "10.1.2.3"}, nil, []string{""}},
		"by its name":              {"", `from="*.example.org" ` + keyA, authorizedkeys.Conn{Addr: "10.1.2.3", Host: "a.EXAMPLE.org"}, nil, []string{""}},
		"expired":                  {"", `expiry-time="20200101" ` + keyA, authorizedkeys.Conn{Time: time.Now()}, nil, []string{"expired"}},
		"no algorithm for it":      {"PubkeyAcceptedAlgorithms rsa-sha2-512\n", keyA, authorizedkeys.Conn{}, nil, []string{"PubkeyAcceptedAlgorithms"}},
		"revoked in a list":        {"RevokedKeys /etc/ssh/revoked\n", keyA + "\n" + keyB, authorizedkeys.Conn{}, map[string]string{"etc/ssh/revoked": keyA}, []string{"it is revoked", ""}},
		"the list is missing":      {"RevokedKeys /etc/ssh/revoked\n", keyA, authorizedkeys.Conn{}, nil, []string{"refuses every key"}},
		"the list is malformed":    {"RevokedKeys /etc/ssh/revoked\n", keyA, authorizedkeys.Conn{}, map[string]string{"etc/ssh/revoked": "x y\n"}, []string{"refuses every key"}},
		"StrictModes":              {"", keyA, authorizedkeys.Conn{}, map[string]string{"home/a 777 1000:1000": "folder"}, []string{"StrictModes"}},
		"no StrictModes":           {"StrictModes no\n", keyA, authorizedkeys.Conn{}, map[string]string{"home/a 777 1000:1000": "folder"}, []string{""}},
		"not named in this config": {"AuthorizedKeysFile none\nMatch LocalPort 22\nAuthorizedKeysFile .ssh/authorized_keys\n", keyA, authorizedkeys.Conn{}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{"home/a/.ssh/authorized_keys 600 1000:1000": c.keys}
			for name, text := range c.files {
				files[name] = text
			}
			h := keysTree(t, c.config, twoUsers, files)
			all, err := h.AuthorizedKeys(t.Context())
			must(t, err)
			k := all.Servers[0]
			e, err := k.SSHD.Config.For(sshdconf.Connection{})
			must(t, err)
			uses, unknown := k.Judge("a", e, c.conn)
			if len(unknown) > 0 || len(uses) != len(c.want) {
				t.Fatalf("%+v %v", uses, unknown)
			}
			for i, u := range uses {
				if c.want[i] == "" && u.Why != "" || !strings.Contains(u.Why, c.want[i]) {
					t.Errorf("key %d: %q, want %q", i, u.Why, c.want[i])
				}
			}
		})
	}
}

// liveUser is a user of this machine without a name, with a home.
func liveUser(t *testing.T) (*keyReader, *User) {
	t.Helper()
	lab.Need(t, lab.Root)
	dir := t.TempDir()
	for up := dir; strings.HasPrefix(up, os.TempDir()) && up != os.TempDir(); up = filepath.Dir(up) {
		must(t, os.Chmod(up, 0o755))
	}
	u := User{Name: "u", UID: 23456, GID: 23456, Home: filepath.Join(dir, "home")}
	must(t, os.MkdirAll(u.Home, 0o755))
	must(t, os.Chown(u.Home, int(u.UID), int(u.GID)))
	r := &keyReader{h: New(Options{}), accounts: &Accounts{Users: []User{u}}, left: 1 << 30, shared: map[string]*parsedKeys{}, folders: map[string]*os.File{}, absent: map[string]bool{}}
	t.Cleanup(r.close)
	return r, &u
}

// What is read is read with the user's rights on files, whatever the links.
func TestAuthorizedKeysRights(t *testing.T) {
	t.Parallel()
	r, u := liveUser(t)
	secret := filepath.Join(filepath.Dir(u.Home), "secret")
	must(t, os.WriteFile(secret, []byte(keyB), 0o600))
	for name, c := range map[string]struct {
		make func(file string)
		want string
	}{
		"own":             {func(f string) { own(t, f, keyA, u) }, "1"},
		"link to secret":  {func(f string) { must(t, os.Symlink(secret, f)) }, "refused"},
		"hard link to it": {func(f string) { must(t, os.Link(secret, f)) }, "refused"},
		"link to shadow":  {func(f string) { must(t, os.Symlink("/etc/shadow", f)) }, "refused"},
		"link to own":     {func(f string) { own(t, f+".real", keyA, u); must(t, os.Symlink(f+".real", f)) }, "1"},
		"FIFO":            {func(f string) { must(t, unix.Mkfifo(f, 0o666)) }, "refused"},
		"link to a tty":   {func(f string) { must(t, os.Symlink("/dev/tty", f)) }, "refused"},
		"link into proc":  {func(f string) { must(t, os.Symlink("/proc/self/environ", f)) }, "error"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &KeyFile{Path: filepath.Join(u.Home, strings.ReplaceAll(name, " ", "_"))}
			c.make(f.Path)
			got := "absent"
			if r.read(f, u) {
				switch {
				case f.Err != nil:
					got = "error"
				case f.Refused != "":
					got = "refused"
				default:
					got = fmt.Sprint(len(f.Entries))
				}
			}
			if got != c.want {
				t.Errorf("%s (%v %q), want %s", got, f.Err, f.Refused, c.want)
			}
		})
	}
	if uid := setFSUID(^uint32(0)); uid != 0 {
		t.Errorf("the thread keeps the user's rights: fsuid %d", uid)
	}
}

// sshd's working folder is not ours: what is missing for us is a key for it.
func TestAuthorizedKeysBelowAnotherWorkingFolder(t *testing.T) {
	t.Parallel()
	r, u := liveUser(t)
	r.as.Version = sshdconf.V10_0 // which expands patterns
	hidden := filepath.Join(u.Home, "hidden")
	must(t, os.Mkdir(hidden, 0o755))
	own(t, filepath.Join(hidden, "authorized_keys"), keyA, u)
	for name, link := range map[string]string{"cwd": "/proc/self/cwd" + hidden, "fd": "/dev/fd/999" + hidden, "thread": "/proc/thread-self/cwd" + hidden} {
		dir := filepath.Join(u.Home, name)
		must(t, os.Symlink(link, dir))
		f := &KeyFile{Path: filepath.Join(dir, "authorized_keys")}
		if exists := r.read(f, u); !exists || f.Err == nil {
			t.Errorf("%s: there %v, %v; want an error", link, exists, f.Err)
		}
		for _, pattern := range []string{dir + "/auth*", filepath.Join(u.Home, name[:1]+"*", "authorized_keys")} {
			if got, err := r.matches(pattern, u); err == nil {
				t.Errorf("%s by %s: %q; want an error", link, pattern, got)
			}
		}
	}
}

// Keys of accounts that are in no file of the host are not seen, which is said;
// those of the others are.
func TestKeysInFilesOfAccountsElsewhere(t *testing.T) {
	t.Parallel()
	h := keysTree(t, "", twoUsers, map[string]string{"etc/nsswitch.conf": "passwd: files sss\n", "home/a/.ssh/authorized_keys": keyA})
	all, err := h.AuthorizedKeys(t.Context())
	must(t, err)
	keys, unseen := all.InFiles()
	if len(keys) != 1 || len(unseen) != 1 || unseen[0].Account == "" || unseen[0].Account == "a" || !strings.Contains(unseen[0].Err.Error(), "sss") {
		t.Errorf("%v, %v", keys, unseen)
	}
}

func own(t *testing.T, file, text string, u *User) {
	t.Helper()
	must(t, os.WriteFile(file, []byte(text+"\n"), 0o600))
	must(t, os.Chown(file, int(u.UID), int(u.GID)))
}

// TestAuthorizedKeysRace swaps a user's file with links to a file of root's and
// with folders while it is read: the other's key never appears.
func TestAuthorizedKeysRace(t *testing.T) {
	t.Parallel()
	r, u := liveUser(t)
	secret := filepath.Join(filepath.Dir(u.Home), "secret")
	must(t, os.Mkdir(secret, 0o700))
	must(t, os.WriteFile(filepath.Join(secret, "authorized_keys"), []byte(keyB+"\n"), 0o600))
	dir := filepath.Join(u.Home, ".ssh")
	must(t, os.Mkdir(dir, 0o755))
	own(t, filepath.Join(dir, "authorized_keys"), keyA, u)
	aside := filepath.Join(u.Home, "link")
	must(t, os.Symlink(secret, aside))
	must(t, os.Symlink(filepath.Join(secret, "authorized_keys"), filepath.Join(u.Home, "file")))

	stop := make(chan bool)
	var wg sync.WaitGroup
	for _, pair := range [][2]string{{dir, aside}, {filepath.Join(dir, "authorized_keys"), filepath.Join(u.Home, "file")}} {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					unix.Renameat2(unix.AT_FDCWD, pair[0], unix.AT_FDCWD, pair[1], unix.RENAME_EXCHANGE)
				}
			}
		})
	}
	seen := map[string]int{}
	for range 5000 {
		f := &KeyFile{Path: filepath.Join(dir, "authorized_keys")}
		exists := r.read(f, u)
		switch {
		case !exists:
			seen["absent"]++
		case f.Err != nil:
			seen["error"]++
			if !errors.Is(f.Err, unix.EACCES) {
				seen[f.Err.Error()]++
			}
		case f.Refused != "":
			seen["refused"]++
		}
		for _, e := range f.Entries {
			if !strings.HasPrefix(keyA, e.Type) || !strings.Contains(keyA, base64.StdEncoding.EncodeToString(e.Blob)) {
				t.Fatalf("a key of root's was read: %s", e.Key.String())
			}
			seen["own"]++
		}
	}
	close(stop)
	wg.Wait()
	if seen["own"] == 0 || seen["refused"] == 0 {
		t.Errorf("the race showed nothing: %v", seen)
	}
	t.Log(seen)
}

// Threads that took a user's rights give them back.
func TestAsUserOnOneThread(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			uid := uint32(30000 + i)
			err := asUser(uid, uid, []uint32{uid + 1}, func() {
				groups, _ := unix.Getgroups()
				if setFSUID(^uint32(0)) != uid || setFSGID(^uint32(0)) != uid || len(groups) != 1 || groups[0] != int(uid+1) {
					t.Errorf("the rights of %d are not taken: %v", uid, groups)
				}
			})
			if err != nil {
				t.Error(err)
			}
			if got := setFSUID(^uint32(0)); got != 0 {
				t.Errorf("rights of %d are left", got)
			}
		})
	}
	wg.Wait()
}

// TestRevokedFile: the list that sshd's own ssh-keygen makes.
func TestRevokedFile(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.SSHD)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "k.pub"), []byte(keyA), 0o600))
	if out, err := exec.Command("ssh-keygen", "-q", "-k", "-f", filepath.Join(dir, "krl"), filepath.Join(dir, "k.pub")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	krl, err := os.ReadFile(filepath.Join(dir, "krl"))
	must(t, err)
	h := keysTree(t, "RevokedKeys /etc/ssh/krl\n", twoUsers, map[string]string{"etc/ssh/krl": string(krl), "home/a/.ssh/authorized_keys 600 1000:1000": keyA + "\n" + keyB})
	all, err := h.AuthorizedKeys(t.Context())
	must(t, err)
	e, err := all.Servers[0].SSHD.Config.For(sshdconf.Connection{})
	must(t, err)
	uses, unknown := all.Servers[0].Judge("a", e, authorizedkeys.Conn{})
	if len(unknown) > 0 || len(uses) != 2 || uses[0].Why != "it is revoked" || uses[1].Why != "" {
		t.Errorf("%+v %v", uses, unknown)
	}
}
