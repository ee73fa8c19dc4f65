package sshdconf_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/sshdconf"
	"github.com/hostguard/hostguard/internal/sshdconf/sshdtest"
)

// The real sshd is the oracle: for random configurations and connections its
// answer to -T -C must be ours in every keyword, and where it refuses, it must
// name the same lines in the same order.
//
// HOSTGUARD_SSHD_CASES sets the number of cases, HOSTGUARD_SEED the seed of the
// first (see lab.Seed), HOSTGUARD_SSHD the program (default /usr/sbin/sshd), and
// HOSTGUARD_SSHD_ROOT a tree to run it in.

const defaultCases = 1800

func TestAgreesWithSSHD(t *testing.T) {
	o := newOracle(t)
	cases := envInt(t, "HOSTGUARD_SSHD_CASES", defaultCases)
	seed := lab.Seed(t)
	t.Logf("sshd %v, %d cases", o.version, cases)

	var mu sync.Mutex
	var accepted, refused, failed int
	classes := map[string]int{}
	next := make(chan uint64)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) + 1 {
		wg.Go(func() {
			for s := range next {
				ok, in, diff := o.try(t, s)
				mu.Lock()
				for _, c := range in {
					classes[c]++
				}
				if ok {
					accepted++
				} else {
					refused++
				}
				if diff != "" {
					failed++
					if failed <= 10 {
						t.Errorf("HOSTGUARD_SEED=%d HOSTGUARD_SSHD_CASES=1\n%s", s, diff)
					}
				}
				mu.Unlock()
			}
		})
	}
	for i := range cases {
		next <- seed + uint64(i)
	}
	close(next)
	wg.Wait()
	t.Logf("%d accepted, %d refused, %d differ", accepted, refused, failed)
	for _, c := range slices.Sorted(maps.Keys(classes)) {
		t.Logf("%6d with %s", classes[c], c)
	}
	if failed > 0 {
		t.Fail()
	}
	if cases >= defaultCases && (accepted < cases/5 || refused < cases/20) {
		t.Errorf("%d accepted and %d refused: the generator is lopsided", accepted, refused)
	}
}

func envInt(t *testing.T, name string, preset int) int {
	text := os.Getenv(name)
	if text == "" {
		return preset
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

const nobody = 65534

type oracle struct {
	path, root string
	version    sshdconf.Version
	release    string
	dir        string // as the program sees it
	hostKey    string
}

func newOracle(t *testing.T) *oracle {
	lab.Need(t, lab.SSHD, lab.Root)
	o := &oracle{path: cmpOr(os.Getenv("HOSTGUARD_SSHD"), "/usr/sbin/sshd"), root: os.Getenv("HOSTGUARD_SSHD_ROOT")}
	o.dir = t.TempDir()
	if o.root != "" {
		inside, err := os.MkdirTemp(filepath.Join(o.root, "tmp"), "sshdconf")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(inside) })
		o.dir = strings.TrimPrefix(inside, o.root)
	}
	o.hostKey = filepath.Join(o.dir, "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", o.real(o.hostKey)).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	// Everything on the way must be open to the user that sshd runs as here.
	for dir := o.real(o.dir); dir != "/" && dir != o.root; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && strings.HasPrefix(dir, os.TempDir()) && info.Mode().Perm()&0o5 == 0 {
			os.Chmod(dir, info.Mode().Perm()|0o5)
		}
	}
	// An unknown option makes every release print its version.
	_, banner, _ := o.run("-?")
	var ok bool
	if o.version, ok = sshdconf.ParseVersion(banner[max(0, strings.Index(banner, "OpenSSH_")):]); !ok {
		t.Fatalf("no version in %q", banner)
	}
	if m := regexp.MustCompile(`OpenSSH_[^,\n]*`).FindString(banner); m != "" {
		o.release = m
	}
	return o
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (o *oracle) real(name string) string { return filepath.Join(cmpOr(o.root, "/"), name) }

// run runs sshd without privileges but the one to read files: it then needs
// no /run/sshd.
func (o *oracle) run(args ...string) (stdout, stderr string, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, o.path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot:      o.root,
		Credential:  &syscall.Credential{Uid: nobody, Gid: nobody},
		AmbientCaps: []uintptr{unix.CAP_DAC_READ_SEARCH},
	}
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = "/"
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return out.String(), errs.String(), err == nil
}

// try runs one case. It returns whether sshd accepts it, what it holds, and how
// the answers differ.
func (o *oracle) try(t *testing.T, seed uint64) (accepted bool, classes []string, diff string) {
	g := sshdtest.New(seed, o.version)
	dir := filepath.Join(o.dir, strconv.FormatUint(seed, 10))
	if err := os.MkdirAll(o.real(dir), 0o755); err != nil {
		t.Error(err)
		return false, nil, ""
	}
	files := g.Files(dir, "d")
	for name, text := range files {
		os.MkdirAll(filepath.Dir(o.real(name)), 0o755)
		if err := os.WriteFile(o.real(name), []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
	defer os.RemoveAll(o.real(dir))
	main := filepath.Join(dir, "sshd_config")
	args := append([]string{"-f", main}, g.Arguments()...)
	args = append(args, "-h", o.hostKey)
	conn := g.Connection(strings.Join(slices.Collect(maps.Values(files)), "\n"))
	conn.Groups = groupsOf(conn.User)
	stdout, stderr, ok := o.run(append(append([]string{"-T"}, args...), sshdtest.ConnectionArgs(conn)...)...)

	got, problems, remarks := o.ours(args, conn)
	classes = sshdtest.Classes(files, args[2:len(args)-2])
	describe := func(what string) string {
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(files)) {
			fmt.Fprintf(&b, "--- %s\n%s\n", name, sshdtest.Numbered(files[name]))
		}
		fmt.Fprintf(&b, "--- arguments %q connection %+v\n%s\n--- sshd says\n%s", args, conn, what, stderr)
		return b.String()
	}
	if !ok && stderr == "" {
		return true, classes, "" // it crashed: 10.0 does when a subsystem stands in a Match block alone
	}
	if !ok {
		want := sshdtest.Places(stderr, main, false)
		if problems == nil {
			return false, classes, describe("sshd refuses, we accept")
		}
		if !sshdtest.SamePlaces(want, problems, stderr) {
			return false, classes, describe(fmt.Sprintf("problems: sshd %q, ours %q", want, problems))
		}
		return false, classes, ""
	}
	if problems != nil {
		return true, classes, describe(fmt.Sprintf("sshd accepts, we refuse: %q", problems))
	}
	if want := sshdtest.Places(stderr, main, true); !slices.Equal(want, remarks) {
		return true, classes, describe(fmt.Sprintf("remarks: sshd %q, ours %q", want, remarks))
	}
	if got != stdout {
		return true, classes, describe(sshdtest.LineDiff(stdout, got))
	}
	return true, classes, ""
}

func (o *oracle) ours(args []string, conn sshdconf.Connection) (text string, problems, remarks []string) {
	c, err := sshdconf.Parse(osFS{o}, sshdconf.Options{
		Version: o.version, Release: o.release, Arguments: args,
		Home:    func(name string) (string, bool) { return o.home(name) },
		Resolve: func(string) ([]netip.Addr, bool) { return nil, true }, // no name here has an address
		Service: o.service,
	})
	var e *sshdconf.Effective
	if err == nil {
		for _, r := range c.Remarks {
			remarks = append(remarks, sshdtest.Place(r.Place))
		}
		slices.Sort(remarks)
		e, err = c.For(conn)
	}
	var refusal *sshdconf.RefusedError
	switch {
	case errors.As(err, &refusal):
		problems = []string{}
		for _, p := range refusal.Problems {
			if p.File != "" {
				problems = append(problems, sshdtest.Place(p.Place))
			}
		}
		return "", slices.Compact(problems), nil
	case err != nil:
		return "", []string{}, nil
	}
	var b strings.Builder
	e.WriteTo(&b)
	return b.String(), nil, slices.Compact(remarks)
}

func (o *oracle) service(name string) (int, bool) {
	text, _ := os.ReadFile(o.real("/etc/services"))
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `\s+(\d+)/tcp`).FindSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(string(m[1]))
	return n, err == nil
}

func (o *oracle) home(name string) (string, bool) {
	u, err := user.Lookup(name)
	if name == "" {
		u, err = user.LookupId("65534")
	}
	if err != nil {
		return "", false
	}
	return u.HomeDir, true
}

type osFS struct{ o *oracle }

func (f osFS) ReadFile(name string) ([]byte, error) {
	data, err := os.ReadFile(f.o.real(name))
	if errors.Is(err, syscall.EISDIR) {
		return nil, nil
	}
	return data, err
}

func (f osFS) Glob(pattern string) ([]string, error) {
	found, err := filepath.Glob(f.o.real(pattern))
	if errors.Is(err, filepath.ErrBadPattern) {
		return nil, nil
	}
	var out []string
	for _, name := range found {
		if base := filepath.Base(name); strings.HasPrefix(base, ".") && !strings.HasPrefix(filepath.Base(pattern), ".") {
			continue
		}
		out = append(out, "/"+strings.TrimPrefix(strings.TrimPrefix(name, f.o.root), "/"))
	}
	slices.Sort(out)
	return out, err
}

func groupsOf(name string) []string {
	u, err := user.Lookup(name)
	if err != nil {
		return nil
	}
	ids, _ := u.GroupIds()
	var out []string
	for _, id := range ids {
		if g, err := user.LookupGroupId(id); err == nil {
			out = append(out, g.Name)
		}
	}
	return out
}
