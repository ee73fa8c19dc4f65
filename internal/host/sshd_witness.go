package host

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hostguard/hostguard/internal/sshdconf"
)

// SSHDWitness is what sshd itself says about its configuration.
type SSHDWitness struct {
	Err      error // why it could not be asked
	Refusal  string
	Points   int
	Disagree []Disagreement
}

// Disagreement is a line on which sshd and this program differ.
type Disagreement struct {
	Connection sshdconf.Connection
	Keyword    string
	Ours       string
	Theirs     string
}

// setpriv runs sshd as nobody with no privilege but that of reading files.
// sshd asks for /run/sshd as root only; nothing has to be made for it.
const setpriv = "/usr/bin/setpriv"

// SSHDSays asks every sshd program itself, with -T, about connections that
// bring as many Match blocks into play as a few can, and compares its answers
// with ours. sshd is run at most four times in all, at the same time.
func (h *Host) SSHDSays(ctx context.Context) (map[*SSHD]*SSHDWitness, error) {
	return h.sshdSays.get(ctx, h.askSSHD)
}

func (h *Host) askSSHD(ctx context.Context) (map[*SSHD]*SSHDWitness, error) {
	servers, err := h.SSHServers(ctx)
	if err != nil {
		return nil, err
	}
	accounts, err := h.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	said := map[*SSHD]*SSHDWitness{}
	each := max(1, maxWitnesses/max(1, len(servers.SSHDs)))
	for i, d := range servers.SSHDs {
		w := &SSHDWitness{}
		said[d] = w
		if i >= maxWitnesses {
			w.Err = fmt.Errorf("cannot ask sshd: there are more than %d of them", maxWitnesses)
			continue
		}
		for _, conn := range witnessPoints(ctx, d, accounts, each) {
			w.Points++
			wg.Go(func() {
				disagree, refusal, err := h.compareSSHD(ctx, d, conn)
				mu.Lock()
				defer mu.Unlock()
				if err != nil && w.Err == nil {
					w.Err = err
				}
				if refusal != "" {
					w.Refusal = refusal
				}
				w.Disagree = append(w.Disagree, disagree...)
			})
		}
	}
	wg.Wait()
	return said, nil
}

// AskSSHD asks one sshd itself about one connection, nil being none, and
// compares its answer with ours.
func (h *Host) AskSSHD(ctx context.Context, d *SSHD, conn *sshdconf.Connection) *SSHDWitness {
	var point sshdconf.Connection
	var spec []string
	if conn != nil {
		point = *conn
		spec = []string{"-C", testSpec(point)}
	}
	w := &SSHDWitness{Points: 1}
	w.Disagree, w.Refusal, w.Err = h.compareWith(ctx, d, point, spec)
	return w
}

// witnessPoints chooses connections that together satisfy as many Match
// blocks as possible, the first being one that satisfies the fewest.
func witnessPoints(ctx context.Context, d *SSHD, a *Accounts, most int) []sshdconf.Connection {
	plain := sshdconf.Connection{User: "root", Groups: a.GroupsOf("root"), Addr: "192.0.2.1", Host: "192.0.2.1", LocalAddr: "127.0.0.1", LocalPort: sshPort}
	if d.Config == nil {
		return []sshdconf.Connection{plain}
	}
	worlds, err := d.Worlds(ctx, a)
	if err != nil {
		return []sshdconf.Connection{plain}
	}
	var points []sshdconf.Connection
	covered := map[*sshdconf.Block]bool{}
	for len(points) < most {
		best, gain := -1, 0
		for i, w := range worlds {
			if !w.Exact {
				continue
			}
			n := 0
			for _, b := range w.Effective.Blocks {
				if !covered[b] {
					n++
				}
			}
			if len(points) == 0 {
				best = i
				break
			}
			if n > gain {
				best, gain = i, n
			}
		}
		if best < 0 {
			break
		}
		points = append(points, worlds[best].Example)
		for _, b := range worlds[best].Effective.Blocks {
			covered[b] = true
		}
	}
	if len(points) == 0 {
		points = append(points, plain)
	}
	return points
}

// compareSSHD runs sshd -T for one connection and compares.
func (h *Host) compareSSHD(ctx context.Context, d *SSHD, conn sshdconf.Connection) ([]Disagreement, string, error) {
	return h.compareWith(ctx, d, conn, []string{"-C", testSpec(conn)})
}

// compareWith is compareSSHD with the words that tell sshd of the connection.
func (h *Host) compareWith(ctx context.Context, d *SSHD, conn sshdconf.Connection, spec []string) ([]Disagreement, string, error) {
	var ours *sshdconf.Effective
	if d.Config != nil {
		var err error
		if ours, err = d.Config.For(conn); err != nil {
			return nil, "", fmt.Errorf("cannot compare with sshd: %w", err)
		}
	}
	out, err := h.runSSHD(ctx, d, slices.Concat([]string{"-T"}, sshdconf.WithoutLog(d.Args), spec))
	if err != nil {
		return nil, "", fmt.Errorf("cannot ask sshd: %w", err)
	}
	if out.ExitCode != 0 {
		said := strings.TrimSpace(string(out.Stderr))
		if missingHostKeys(said) || strings.Contains(said, privsepDir) {
			return nil, "", fmt.Errorf("cannot ask sshd: it says %q", lastLine(said))
		}
		return nil, lastLine(said), nil
	}
	if ours == nil {
		return nil, "", nil // it accepts what we could not read: the caller has d.Err
	}
	return differences(conn, ours, string(out.Stdout)), "", nil
}

// runSSHD runs sshd where its folder is there, and else as nobody.
func (h *Host) runSSHD(ctx context.Context, d *SSHD, args []string) (Output, error) {
	there, err := h.Exists(privsepDir)
	if err != nil {
		return Output{}, err
	}
	if there {
		return h.Exec(ctx, d.Path, args...)
	}
	lower := []string{"--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
		"--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", "--bounding-set=-all,+dac_read_search", d.Path}
	out, err := h.Exec(ctx, setpriv, append(lower, args...)...)
	switch {
	case err != nil:
		return out, fmt.Errorf("%s is missing, which sshd needs, and without it: %w", privsepDir, err)
	case out.ExitCode != 0 && bytes.HasPrefix(out.Stderr, []byte("setpriv:")):
		return out, fmt.Errorf("%s is missing, which sshd needs (start ssh.service once, or mkdir -m 755 %s), and %s", privsepDir, privsepDir, lastLine(string(out.Stderr)))
	}
	return out, nil
}

func missingHostKeys(said string) bool { return strings.Contains(said, "no hostkeys available") }

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// testSpec writes a connection for sshd -C. A comma ends a value there, so
// one that holds a comma is left out.
func testSpec(c sshdconf.Connection) string {
	var parts []string
	for _, p := range [][2]string{
		{"user", c.User}, {"host", c.Host}, {"addr", c.Addr}, {"laddr", c.LocalAddr}, {"rdomain", c.RDomain},
	} {
		if p[1] != "" && !strings.Contains(p[1], ",") {
			parts = append(parts, p[0]+"="+p[1])
		}
	}
	return strings.Join(append(parts, fmt.Sprintf("lport=%d", c.LocalPort)), ",")
}

// differences compares line by line, whatever the order: keywords that only
// the other release prints are differences too.
func differences(conn sshdconf.Connection, ours *sshdconf.Effective, said string) []Disagreement {
	collect := map[string][2][]string{}
	add := func(side int, keyword, text string) {
		c := collect[keyword]
		c[side] = append(c[side], text)
		collect[keyword] = c
	}
	for _, l := range ours.Lines() {
		add(0, l.Keyword, l.Text)
	}
	for line := range strings.Lines(said) {
		keyword, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		add(1, keyword, text)
	}
	var out []Disagreement
	for keyword, texts := range collect {
		if !slices.Equal(texts[0], texts[1]) {
			out = append(out, Disagreement{conn, keyword, strings.Join(texts[0], " "), strings.Join(texts[1], " ")})
		}
	}
	slices.SortFunc(out, func(a, b Disagreement) int { return strings.Compare(a.Keyword, b.Keyword) })
	return out
}
