package host

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/sshdconf"
	"github.com/hostguard/hostguard/internal/unitfile"
)

type sshdFacts struct {
	sshd     fact[*SSHServers]
	sshdSays fact[map[*SSHD]*SSHDWitness]
}

// SSHServers are the SSH servers of the host.
type SSHServers struct {
	// SSHDs are OpenSSH's: one for every listening daemon, or the one that
	// would be started when none runs. Empty when it is not installed.
	SSHDs []*SSHD
	// Others are SSH servers of other makers, and what else listens on port
	// 22.
	Others []OtherSSHServer
}

// SSHD is one sshd with its configuration.
type SSHD struct {
	Path    string // its program
	Version sshdconf.Version
	Release string // "OpenSSH_9.2p1 Debian-2+deb12u10"; empty when unknown
	Unknown error  // why the release is not known; the newest known one is assumed then

	Args     []string // options in force, the program's name left out
	ArgsFrom string   // "process 812", "/usr/lib/systemd/system/ssh.service:14", "the defaults"
	// Unresolved are parts of the command line that could not be made out.
	Unresolved string

	PID     int    // of the listening daemon; 0 when none runs
	Unit    string // its unit, empty when none is known
	Started time.Time
	// Replaced is set when the program was replaced since the daemon started.
	Replaced bool

	Config *sshdconf.Config // nil with Err
	Err    error            // why it could not be read, or why sshd refuses it

	worlds fact[[]sshdconf.World]
}

// Worlds returns what holds under every set of Match blocks that an account
// of this host can come to satisfy, see [sshdconf.Config.Worlds]; the first
// has the fewest blocks. With other sources of accounts than the host's files
// unknown accounts count too.
func (d *SSHD) Worlds(ctx context.Context, a *Accounts) ([]sshdconf.World, error) {
	return d.worlds.get(ctx, func(context.Context) ([]sshdconf.World, error) {
		if d.Config == nil {
			return nil, d.Err
		}
		all := make([]sshdconf.Account, len(a.Users))
		for i, u := range a.Users {
			all[i] = sshdconf.Account{Name: u.Name, Groups: a.GroupsOf(u.Name)}
		}
		return d.Config.Worlds(all, len(a.Elsewhere) > 0)
	})
}

// OtherSSHServer is an SSH server that is not OpenSSH's, or that may be one.
type OtherSSHServer struct {
	Program string // its path or name
	Place   string // "process 77", "/usr/sbin/dropbear", "tcp 0.0.0.0:22", a unit
	Running bool   // it runs, or is started by a unit
}

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

const (
	sshdProgram  = "/usr/sbin/sshd"
	privsepDir   = "/run/sshd"
	maxProgram   = 64 << 20
	maxWitnesses = 4
	sshPort      = 22
)

// SSHServers finds the SSH servers of the host and reads their configuration.
// Under --root the files say what can be known: no process is looked at.
func (h *Host) SSHServers(ctx context.Context) (*SSHServers, error) {
	return h.sshd.get(ctx, h.findSSH)
}

func (h *Host) findSSH(ctx context.Context) (*SSHServers, error) {
	s := &SSHServers{}
	var processes map[int]Process
	if h.Running() {
		var err error
		if processes, err = h.Processes(ctx); err != nil {
			return nil, fmt.Errorf("cannot tell which SSH servers run: %w", err)
		}
	}
	daemons, theirs, err := h.sshDaemons(ctx, processes)
	if err != nil {
		return nil, err
	}
	others, err := h.otherSSH(ctx, processes, daemons)
	if err != nil {
		return nil, err
	}
	s.Others = append(theirs, others...)
	programs := map[string]*program{}
	for _, d := range daemons {
		p := programs[d.Path]
		if p == nil {
			p = h.sshdRelease(d.Path)
			programs[d.Path] = p
		}
		d.Version, d.Release, d.Unknown = p.version, p.release, p.err
		d.Config, d.Err = h.parseSSHD(d, p)
		s.SSHDs = append(s.SSHDs, d)
	}
	return s, nil
}

// sshDaemons returns the listening daemons of OpenSSH that root runs, or the
// one that would be started, and beside them those that others run, or pretend
// to run: their programs and files may be anything, and are not looked into.
func (h *Host) sshDaemons(ctx context.Context, processes map[int]Process) (daemons []*SSHD, theirs []OtherSSHServer, err error) {
	start, err := h.sshdAtStart(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, pid := range sortedPIDs(processes) {
		p := processes[pid]
		if !mayListen(p) {
			continue
		}
		argv, err := p.Argv()
		if err != nil {
			return nil, nil, err
		}
		if d, ok := listener(p, argv, start); ok {
			away, err := inContainer(pid)
			if err != nil {
				return nil, nil, err
			}
			if away {
				continue
			}
			if p.UID != 0 {
				theirs = append(theirs, OtherSSHServer{Program: "sshd", Place: fmt.Sprintf("process %d of uid %d (%s)", pid, p.UID, p.Exe), Running: true})
				continue
			}
			if root, err := readProcLink(fmt.Sprintf("/proc/%d/root", pid)); err != nil || root != "/" {
				d.Unresolved = "it runs in a root folder of its own"
			}
			if d.Started, err = p.Started(); err != nil {
				return nil, nil, err
			}
			daemons = append(daemons, d)
		}
	}
	if start != nil && !slices.ContainsFunc(daemons, func(d *SSHD) bool {
		return d.Path == start.Path && slices.Equal(configArgs(d.Args), configArgs(start.Args))
	}) {
		daemons = append(daemons, start)
	}
	return daemons, theirs, nil
}

// inContainer reports whether a process has another PID namespace than we, as
// those of every kind of container do. One that has ended meanwhile counts as
// such.
func inContainer(pid int) (bool, error) {
	theirs, err := readProcLink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	if err != nil {
		if ended(err) {
			return true, nil
		}
		return false, fmt.Errorf("cannot tell whose process %d is: %w", pid, err)
	}
	ours, err := readProcLink("/proc/self/ns/pid")
	return theirs != ours, err
}

func sortedPIDs(processes map[int]Process) []int {
	pids := make([]int, 0, len(processes))
	for pid := range processes {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids
}

// mayListen reports whether a process is an sshd of the host, whatever it does.
func mayListen(p Process) bool {
	return !p.Kernel && p.Container == "" && path.Base(strings.TrimSuffix(p.Exe, " (deleted)")) == "sshd"
}

// listener recognises sshd's listening process. It writes over its own
// command line: "sshd: PROGRAM OPTIONS [listener] 0 of 10-100 startups".
func listener(p Process, argv []string, start *SSHD) (*SSHD, bool) {
	exe, replaced := strings.CutSuffix(p.Exe, " (deleted)")
	if !mayListen(p) || len(argv) == 0 {
		return nil, false
	}
	d := &SSHD{Path: exe, PID: p.PID, Unit: p.Unit, Replaced: replaced, ArgsFrom: fmt.Sprintf("process %d", p.PID)}
	title := strings.TrimRight(strings.Join(argv, " "), " ")
	rest, titled := strings.CutPrefix(title, "sshd: ")
	if !titled {
		if !path.IsAbs(argv[0]) { // the daemon insists on its full path
			return nil, false
		}
		d.Args = argv[1:]
		return d, !slices.ContainsFunc(d.Args, func(a string) bool { return a == "-i" || a == "-R" || a == "-t" || a == "-T" })
	}
	words, _, isListener := strings.Cut(rest, " [listener]")
	if !isListener && len(title) >= longTitle {
		d.Unresolved = "its command line is too long"
		return d, true
	}
	if !isListener {
		return nil, false
	}
	if start != nil && words == strings.Join(append([]string{start.Path}, start.Args...), " ") {
		d.Args = start.Args // the same words, with their borders known
		return d, true
	}
	d.Args, d.Unresolved = splitTitle(words)
	return d, true
}

// longTitle is from where on the end of a title may be missing: sshd cuts it
// at 1023 bytes.
const longTitle = 1000

// splitTitle finds the options in a process title, where the borders between
// arguments are lost: the argument of -o may hold blanks, up to the next
// option.
func splitTitle(text string) (args []string, unresolved string) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil, "the process title is empty"
	}
	for i := 1; i < len(words); i++ {
		w := words[i]
		if w != "-o" {
			if strings.HasPrefix(w, "-o") {
				w += joinUntilOption(words, &i)
			}
			args = append(args, w)
			continue
		}
		i++
		if i == len(words) {
			return args, "an option has no argument"
		}
		option := words[i]
		args = append(args, "-o", option+joinUntilOption(words, &i))
	}
	return args, ""
}

func joinUntilOption(words []string, i *int) string {
	var b strings.Builder
	for *i+1 < len(words) && !strings.HasPrefix(words[*i+1], "-") {
		*i++
		b.WriteString(" " + words[*i])
	}
	return b.String()
}

// configArgs leaves out options that say nothing about the configuration.
func configArgs(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "-D" || a == "-e" })
}

// sshdUnits are the units that start sshd, by distribution.
var sshdUnits = []string{"ssh.service", "sshd.service"}

// environmentFiles give the variables that those units use.
var environmentFiles = []string{"/etc/default/ssh", "/etc/sysconfig/sshd"}

// sshdAtStart is the daemon as its unit starts it, nil when sshd is not
// installed.
func (h *Host) sshdAtStart(ctx context.Context) (*SSHD, error) {
	command, from, unit, err := h.sshdCommand(ctx)
	if err != nil {
		return nil, err
	}
	d := &SSHD{Path: sshdProgram, ArgsFrom: "the defaults"}
	if len(command) > 0 {
		d.Path, d.ArgsFrom, d.Unit = command[0], from, unit
		env, err := h.sshdEnvironment()
		if err != nil {
			return nil, err
		}
		for _, w := range command[1:] {
			d.Args = append(d.Args, expandVariable(w, env)...)
		}
	}
	there, err := h.Exists(d.Path)
	if err != nil {
		return nil, fmt.Errorf("cannot tell whether sshd is installed: %w", err)
	}
	if !there {
		return nil, nil
	}
	return d, nil
}

// sshdCommand is the command line of the unit that starts sshd: what the
// service manager has, else what the unit files say.
func (h *Host) sshdCommand(ctx context.Context) (words []string, from, unit string, err error) {
	if h.Running() && h.systemdAnswers(ctx) == nil {
		units, err := h.loadedUnits(ctx, sshdUnits...)
		if err != nil {
			return nil, "", "", err
		}
		for _, name := range sshdUnits {
			u := units[name]
			if u.Service != nil && len(u.Service.ExecStart) > 0 && path.Base(u.Service.ExecStart[0].Path) == "sshd" {
				c := u.Service.ExecStart[0]
				return append([]string{c.Path}, c.Args[min(1, len(c.Args)):]...), u.FragmentPath, u.ID, nil
			}
		}
		return nil, "", "", nil
	}
	for _, name := range sshdUnits {
		file, err := h.unitFile(name)
		if err != nil {
			return nil, "", "", fmt.Errorf("cannot tell how sshd is started: %w", err)
		}
		if file == "" {
			continue
		}
		words, from, err := h.execStart(file, name)
		if err != nil || len(words) > 0 {
			return words, from, name, err
		}
	}
	return nil, "", "", nil
}

// unitFile is the file of a unit that wins, empty when there is none or it is
// masked. (The tree of all unit files is not read for this: an image need not
// boot.)
func (h *Host) unitFile(name string) (string, error) {
	for _, dir := range unitDirs {
		real, err := h.Resolve(dir + "/" + name)
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR):
			continue
		case err != nil:
			return "", err
		case real == "/dev/null":
			return "", nil
		}
		return dir + "/" + name, nil
	}
	return "", nil
}

// execStart reads ExecStart= of a unit file and its drop-ins.
func (h *Host) execStart(file, unit string) (words []string, from string, err error) {
	files := []string{file}
	dropIns := map[string]string{} // by name: one in a later folder hides the others
	for _, dir := range slices.Backward(unitDirs) {
		more, err := h.Glob(dir + "/" + unit + ".d/*.conf")
		if err != nil {
			return nil, "", fmt.Errorf("cannot tell how sshd is started: %w", err)
		}
		for _, name := range more {
			dropIns[path.Base(name)] = name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(dropIns)) {
		files = append(files, dropIns[name])
	}
	for _, name := range files {
		data, err := h.ReadFile(name)
		if err != nil {
			return nil, "", fmt.Errorf("cannot tell how sshd is started: %w", err)
		}
		for _, e := range unitfile.Parse(data) {
			if e.Section != "Service" || e.Key != "ExecStart" {
				continue
			}
			if words = strings.Fields(strings.TrimLeft(e.Value, "-@:+!")); len(words) > 0 {
				from = fmt.Sprintf("%s:%d", name, e.Line)
			}
		}
	}
	if len(words) > 0 && path.Base(words[0]) != "sshd" {
		return nil, "", nil
	}
	return words, from, nil
}

// sshdEnvironment reads the files of variables, see EnvironmentFile= in
// systemd.exec(5).
func (h *Host) sshdEnvironment() (map[string]string, error) {
	env := map[string]string{}
	for _, name := range environmentFiles {
		data, err := h.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot tell how sshd is started: %w", err)
		}
		for line := range bytes.Lines(data) {
			key, value, ok := strings.Cut(strings.TrimSpace(string(line)), "=")
			if ok && !strings.HasPrefix(key, "#") {
				env[key] = strings.Trim(strings.TrimSpace(value), `"'`)
			}
		}
	}
	return env, nil
}

// expandVariable replaces a word that is a variable: $X by its words, ${X} by
// one word.
func expandVariable(w string, env map[string]string) []string {
	if name, ok := strings.CutPrefix(w, "${"); ok && strings.HasSuffix(name, "}") {
		if v := env[strings.TrimSuffix(name, "}")]; v != "" {
			return []string{v}
		}
		return nil
	}
	if name, ok := strings.CutPrefix(w, "$"); ok {
		return strings.Fields(env[name])
	}
	return []string{w}
}

// program is what an sshd program says about itself.
type program struct {
	version sshdconf.Version
	release string
	noPAM   bool
	noGSS   bool
	err     error
}

// sshdRelease finds the release inside the program: it need not be run, and
// of a file tree it could not be.
func (h *Host) sshdRelease(file string) *program {
	p := &program{}
	texts, err := h.programTexts(file, "OpenSSH_", "libpam.so", "libgssapi")
	if err != nil {
		p.err = fmt.Errorf("cannot tell the release of sshd: %w", err)
		return p
	}
	p.err = fmt.Errorf("cannot tell the release of sshd: %s does not name one", file)
	p.noPAM, p.noGSS = true, true
	for _, text := range texts {
		switch {
		case strings.HasPrefix(text, "libpam.so"):
			p.noPAM = false
		case strings.HasPrefix(text, "libgssapi"):
			p.noGSS = false
		case strings.ContainsAny(text, "*,"): // patterns for clients with faults
		default:
			if v, ok := sshdconf.ParseVersion(text); ok && len(text) > len(p.release) {
				p.version, p.release, p.err = v, text, nil
			}
		}
	}
	// Since 9.8 the part that talks to PAM is a program of its own.
	if split, err := h.Exists("/usr/lib/openssh/sshd-session"); err != nil || split {
		p.noPAM, p.noGSS = false, false
	}
	return p
}

// maxText is how long a text of a program may be to be found.
const maxText = 256

// programTexts returns the texts in a program that start with one of the
// words and end with a NUL byte. The program is read piece by piece.
func (h *Host) programTexts(file string, words ...string) ([]string, error) {
	f, err := h.open(file, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, pathError("read", file, cmp.Or(err, ErrNotRegular))
	}
	var texts []string
	buf := make([]byte, 0, 64<<10)
	for total := 0; total <= maxProgram; {
		n, err := io.ReadFull(f, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		total += n
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return nil, pathError("read", file, err)
		}
		for _, w := range words {
			rest := buf
			for {
				i := bytes.Index(rest, []byte(w))
				if i < 0 {
					break
				}
				rest = rest[i:]
				if end := bytes.IndexByte(rest, 0); end > 0 && end < maxText {
					texts = append(texts, string(rest[:end]))
				}
				rest = rest[len(w):]
			}
		}
		if last {
			return texts, nil
		}
		buf = append(buf[:0], buf[len(buf)-maxText:]...) // a text may be cut
	}
	return nil, pathError("read", file, ErrTooLarge)
}

func (h *Host) parseSSHD(d *SSHD, p *program) (*sshdconf.Config, error) {
	services := sync.OnceValues(func() ([]byte, error) { return h.ReadFile("/etc/services") })
	return sshdconf.Parse(sshdFS{h}, sshdconf.Options{
		Version: p.version, Release: p.release, Arguments: d.Args, NoPAM: p.noPAM, NoGSSAPI: p.noGSS,
		Home: func(user string) (string, bool) {
			if user == "" {
				user = "root"
			}
			a, err := h.Accounts(context.Background())
			if err != nil || a.User(user) == nil {
				return "", false
			}
			return a.User(user).Home, true
		},
		Service: func(name string) (int, bool) {
			data, err := services()
			if err != nil {
				return 0, false
			}
			return servicePort(data, name)
		},
	})
}

// servicePort finds a TCP service in services(5).
func servicePort(data []byte, name string) (int, bool) {
	for line := range bytes.Lines(data) {
		text, _, _ := strings.Cut(string(line), "#")
		f := strings.Fields(text)
		if len(f) < 2 || f[0] != name && !slices.Contains(f[2:], name) {
			continue
		}
		number, proto, _ := strings.Cut(f[1], "/")
		if n, err := strconv.Atoi(number); err == nil && proto == "tcp" {
			return n, true
		}
	}
	return 0, false
}

// sshdFS gives sshd's reader the host's files. A folder is an empty file to
// sshd; a negated set of glob(3) is written with a caret here.
type sshdFS struct{ h *Host }

func (f sshdFS) ReadFile(name string) ([]byte, error) {
	data, err := f.h.ReadFile(name)
	if errors.Is(err, ErrNotRegular) {
		if info, statErr := f.h.Stat(name); statErr == nil && info.IsDir() {
			return nil, nil
		}
	}
	return data, err
}

func (f sshdFS) Glob(pattern string) ([]string, error) {
	return f.h.Glob(strings.ReplaceAll(pattern, "[!", "[^"))
}

// otherServers are the programs of other SSH servers.
var otherServers = []string{"dropbear", "dropbearmulti", "tinysshd", "tinysshd-makekey", "lshd", "wolfsshd", "bitvise", "esshd"}

var otherServerDirs = []string{"/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin", "/bin"}

// otherServerUnits start them.
var otherServerUnits = []string{"dropbear.service", "dropbear.socket", "tinysshd.socket", "tinysshd.service", "lsh-server.service", "lshd.service"}

// otherSSH finds SSH servers that are not the daemons.
func (h *Host) otherSSH(ctx context.Context, processes map[int]Process, daemons []*SSHD) ([]OtherSSHServer, error) {
	var out []OtherSSHServer
	runs := map[int]bool{}
	for _, pid := range sortedPIDs(processes) {
		p := processes[pid]
		name := path.Base(strings.TrimSuffix(p.Exe, " (deleted)"))
		if p.Exe == "" {
			name = p.Comm
		}
		if p.Kernel || p.Container != "" || !slices.Contains(otherServers, name) {
			continue
		}
		if away, err := inContainer(pid); err != nil {
			return nil, err
		} else if away {
			continue
		}
		runs[pid] = true
		out = append(out, OtherSSHServer{Program: name, Place: fmt.Sprintf("process %d (%s)", pid, p.Exe), Running: true})
	}
	if h.Running() {
		more, err := h.strangersOnSSHPort(ctx, processes, daemons, runs)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	seen := map[string]bool{}
	for _, name := range otherServers {
		for _, dir := range otherServerDirs {
			real, err := h.Resolve(dir + "/" + name)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("cannot tell which SSH servers are installed: %w", err)
			}
			if !seen[real] {
				seen[real] = true
				out = append(out, OtherSSHServer{Program: name, Place: real})
			}
		}
	}
	if len(seen) == 0 {
		return out, nil
	}
	tree, err := h.UnitFiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot tell which SSH servers are started at boot: %w", err)
	}
	atBoot := tree.AtBoot()
	for _, unit := range otherServerUnits {
		if by, ok := atBoot[unit]; ok {
			out = append(out, OtherSSHServer{Program: unit, Place: unit + " (" + by + ")", Running: true})
		}
	}
	return out, nil
}

// strangersOnSSHPort are listeners on port 22 that are not a known daemon's.
func (h *Host) strangersOnSSHPort(ctx context.Context, processes map[int]Process, daemons []*SSHD, known map[int]bool) ([]OtherSSHServer, error) {
	sockets, err := h.Sockets(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot tell what listens on port 22: %w", err)
	}
	var out []OtherSSHServer
	for _, s := range sockets {
		if s.Proto != "tcp" || s.Local.Port() != sshPort || known[s.PID] || s.Container != "" {
			continue
		}
		isSSHD := slices.ContainsFunc(daemons, func(d *SSHD) bool { return d.PID != 0 && slices.Contains(s.PIDs, d.PID) }) ||
			slices.Contains([]string{"ssh.socket", "sshd.socket"}, s.Unit)
		if !isSSHD {
			out = append(out, OtherSSHServer{Program: s.Exe, Place: s.String(), Running: true})
		}
	}
	return out, nil
}

// StaleSince returns when sshd's configuration last changed and by which file
// or folder, and when the daemon last read it. It returns zero times for a
// daemon that does not run.
func (h *Host) StaleSince(d *SSHD) (changed, read time.Time, by string, err error) {
	if d.PID == 0 || d.Config == nil {
		return time.Time{}, time.Time{}, "", nil
	}
	read = d.Started
	// A reload starts the program anew in the same process: only its pid file
	// is younger then.
	if e, err := d.Config.For(sshdconf.Connection{}); err == nil {
		name := e.Get("pidfile").Text()
		if data, err := h.ReadFile(name); err == nil && strings.TrimSpace(string(data)) == strconv.Itoa(d.PID) {
			if info, err := h.Stat(name); err == nil && info.ModTime().After(read) {
				read = info.ModTime()
			}
		}
	}
	for _, name := range slices.Concat(d.Config.Files, d.Config.Folders) {
		info, err := h.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return changed, read, by, fmt.Errorf("cannot tell when sshd's configuration changed: %w", err)
		}
		st := info.Sys().(*syscall.Stat_t)
		at := time.Unix(st.Ctim.Unix())
		if at.After(changed) {
			changed, by = at, name
		}
	}
	return changed, read, by, nil
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
	var ours *sshdconf.Effective
	if d.Config != nil {
		var err error
		if ours, err = d.Config.For(conn); err != nil {
			return nil, "", fmt.Errorf("cannot compare with sshd: %w", err)
		}
	}
	out, err := h.runSSHD(ctx, d, append([]string{"-T"}, append(slices.Clone(d.Args), "-C", testSpec(conn))...))
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
