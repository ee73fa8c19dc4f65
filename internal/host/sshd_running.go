package host

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

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
	starts, err := h.sshdPerConnection(ctx)
	if err != nil {
		return nil, nil, err
	}
	others, err := h.sshdOfOtherUnits(ctx)
	if err != nil {
		return nil, nil, err
	}
	starts = append(starts, others...)
	if start != nil {
		starts = append([]*SSHD{start}, starts...)
	}
	for _, start := range starts {
		if !slices.ContainsFunc(daemons, func(d *SSHD) bool {
			return d.Path == start.Path && slices.Equal(configArgs(d.Args), configArgs(start.Args))
		}) {
			daemons = append(daemons, start)
		}
	}
	return daemons, theirs, nil
}

// inContainer reports whether a process has another PID namespace than we and
// another root folder, as those of every kind of container have. One that has
// ended meanwhile counts as such.
func inContainer(pid int) (bool, error) {
	theirs, err := readProcLink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	if err != nil {
		if ended(err) {
			return true, nil
		}
		return false, fmt.Errorf("cannot tell whose process %d is: %w", pid, err)
	}
	ours, err := readProcLink("/proc/self/ns/pid")
	if err != nil || theirs == ours {
		return false, err
	}
	var there, here unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/root", pid), &there); ended(err) {
		return true, nil
	} else if err != nil {
		return false, fmt.Errorf("cannot tell whose process %d is: %w", pid, err)
	}
	err = unix.Stat("/", &here)
	return there.Dev != here.Dev || there.Ino != here.Ino, err
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
	return !p.Kernel && p.Container == "" && p.Program() == "sshd"
}

// listener recognises sshd's listening process. It writes over its own
// command line: "sshd: PROGRAM OPTIONS [listener] 0 of 10-100 startups".
func listener(p Process, argv []string, start *SSHD) (*SSHD, bool) {
	exe, replaced := strings.CutSuffix(p.Exe, " (deleted)")
	if !mayListen(p) || len(argv) == 0 {
		return nil, false
	}
	d := &SSHD{Path: exe, PID: p.PID, Unit: p.Unit, Replaced: replaced, ArgsFrom: fmt.Sprintf("process %d", p.PID)}
	title := unvis(strings.TrimRight(strings.Join(argv, " "), " "))
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

// unvis undoes what sshd does to a title: it writes backslashes, controls and
// what is not ASCII as vis(3) does with VIS_CSTYLE and VIS_OCTAL.
func unvis(s string) string {
	const letters, stands = `\nrbavtfs0`, "\\\n\r\b\a\v\t\f \x00"
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i+1 == len(s) {
			return b.String() + s
		}
		b.WriteString(s[:i])
		s = s[i+1:]
		if len(s) >= 3 {
			if n, err := strconv.ParseUint(s[:3], 8, 8); err == nil {
				b.WriteByte(byte(n))
				s = s[3:]
				continue
			}
		}
		at := strings.IndexByte(letters, s[0])
		if at < 0 {
			b.WriteByte('\\')
			continue
		}
		b.WriteByte(stands[at])
		s = s[1:]
	}
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
