package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

type processFacts struct {
	processes fact[map[int]Process]
}

// Process is one process of the running host, kernel threads included.
// Name, program and arguments are the process's own word: they can be anything.
type Process struct {
	PID, PPID int
	UID       uint32        // effective
	Comm      string        // at most 15 bytes, chosen by the process
	Exe       string        // the running program's path, in its own root when it runs in a container; " (deleted)" at the end when it is gone; empty for kernel threads, zombies and when Hidden
	Start     time.Duration // since boot by CLOCK_BOOTTIME, to 10 ms
	Unit      string        // systemd's unit by cgroup: "ssh.service", "session-3.scope"; empty when there is none
	Container string        // id of the container by cgroup, 64 hex digits; empty on the host itself
	Kernel    bool          // a kernel thread
	Own       bool          // hostguard itself
	Hidden    bool          // its program cannot be seen: not by others than root, sometimes not by root, and not where its path is longer than the kernel tells
}

// Program is the file name of the running program, also when that was replaced
// on disk since it started; of a process whose program cannot be seen it is the
// name that the process goes by.
func (p Process) Program() string {
	if p.Exe == "" {
		return p.Comm
	}
	return path.Base(strings.TrimSuffix(p.Exe, " (deleted)"))
}

// Processes returns all processes by pid, read from /proc (proc(5)): 20 to
// 60 µs each. One that ends meanwhile is left out.
func (h *Host) Processes(ctx context.Context) (map[int]Process, error) {
	if !h.Running() {
		return nil, ErrNotRunning
	}
	return h.processes.get(ctx, readProcesses)
}

// sinceBoot is the wall clock's time of a moment given as time since boot.
func sinceBoot(start time.Duration) (time.Time, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return time.Time{}, fmt.Errorf("cannot read the boot clock: %w", err)
	}
	return time.Now().Add(start - time.Duration(now.Nano())), nil
}

// Started is when the process started, by today's wall clock: systemd's
// ActiveEnter is comparable unless the clock was set in between.
func (p Process) Started() (time.Time, error) { return sinceBoot(p.Start) }

func readProcesses(ctx context.Context) (map[int]Process, error) {
	pids, err := listPIDs()
	if err != nil {
		return nil, err
	}
	all := make(map[int]Process, len(pids))
	var mu sync.Mutex
	err = eachPID(ctx, pids, func(pid int) error {
		p, err := readProcess(pid)
		if err != nil {
			return err
		}
		mu.Lock()
		all[pid] = p
		mu.Unlock()
		return nil
	})
	return all, err
}

func listPIDs() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	if len(pids) == 0 {
		return nil, errors.New("cannot list processes: /proc has none; is it mounted?")
	}
	return pids, nil
}

// eachPID calls look for each process, on all CPUs. A process that has ended
// is no error.
func eachPID(ctx context.Context, pids []int, look func(pid int) error) error {
	workers := min(runtime.GOMAXPROCS(0), 1+len(pids)/16)
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(pids); i += workers {
				if ctx.Err() != nil {
					errs[w] = context.Cause(ctx)
					return
				}
				if err := look(pids[i]); err != nil && !ended(err) {
					errs[w] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func ended(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) }

const (
	clockTick     = 10 * time.Millisecond // USER_HZ is 100 on all architectures Go knows
	kernelThread  = 0x00200000            // PF_KTHREAD
	maxArgv       = 64 << 10
	maxCgroupFile = 16 << 10
)

func readProcess(pid int) (Process, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := readProc(dir+"/stat", 4<<10)
	if err != nil {
		return Process{}, err
	}
	p, err := parseStat(stat)
	if err != nil {
		return Process{}, fmt.Errorf("cannot read %s/stat: %w", dir, err)
	}
	p.Own = pid == os.Getpid()
	if p.Kernel {
		return p, nil
	}
	if p.UID, err = effectiveUID(dir); err != nil {
		return Process{}, err
	}
	p.Exe, err = readProcLink(dir + "/exe")
	p.Hidden = denied(err) || errors.Is(err, unix.ENAMETOOLONG)
	if err != nil && !ended(err) && !p.Hidden {
		return Process{}, err
	}
	cgroups, err := readProc(dir+"/cgroup", maxCgroupFile)
	if err != nil && !denied(err) {
		return Process{}, err
	}
	p.Unit, p.Container = ownerByCgroup(string(cgroups))
	return p, nil
}

func denied(err error) bool { return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) }

// readProc reads at most limit bytes of a file of /proc. It is os.ReadFile
// without what that does for files that can block.
func readProc(name string, limit int) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	defer unix.Close(fd)
	data := make([]byte, 0, min(limit, 512))
	for len(data) < limit {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		n, err := unix.Read(fd, data[len(data):min(cap(data), limit)])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, pathError("read", name, err)
		}
		if n == 0 {
			break
		}
		data = data[:len(data)+n]
	}
	return data, nil
}

func readProcLink(name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlink(name, buf)
	if err != nil {
		return "", pathError("readlink", name, err)
	}
	return string(buf[:n]), nil
}

// parseStat reads what proc_pid_stat(5) describes. The name stands in
// parentheses and may itself hold any.
func parseStat(stat []byte) (Process, error) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return Process{}, errors.New("it has no program name")
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(stat[:open])))
	if err != nil {
		return Process{}, err
	}
	fields := strings.Fields(string(stat[end+1:])) // from field 3, the state, on
	if len(fields) < 20 {
		return Process{}, errors.New("it is too short")
	}
	ppid, err1 := strconv.Atoi(fields[1])
	flags, err2 := strconv.ParseUint(fields[6], 10, 64)
	ticks, err3 := strconv.ParseInt(fields[19], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return Process{}, err
	}
	return Process{
		PID: pid, PPID: ppid, Comm: string(stat[open+1 : end]),
		Start: time.Duration(ticks) * clockTick, Kernel: flags&kernelThread != 0,
	}, nil
}

// effectiveUID is the owner of the process's folder in /proc, dumpable or not
// (fs/proc/base.c, task_dump_owner). To read it from its status takes ten times
// as long.
func effectiveUID(dir string) (uint32, error) {
	var stat unix.Stat_t
	err := unix.Stat(dir, &stat)
	return stat.Uid, pathError("stat", dir, err)
}

// Argv reads the command line of a process, at most 64 KiB of it; it is empty
// for kernel threads, zombies and what has ended. It is read when it is asked
// for: those of all processes could be many megabytes, at their users' will.
func (p Process) Argv() ([]string, error) {
	argv, err := readProc("/proc/"+strconv.Itoa(p.PID)+"/cmdline", maxArgv)
	if err != nil && !ended(err) {
		return nil, fmt.Errorf("cannot read the command line of process %d: %w", p.PID, err)
	}
	return splitArgv(argv), nil
}

func splitArgv(data []byte) []string {
	data = bytes.TrimRight(data, "\x00")
	if len(data) == 0 {
		return nil
	}
	return strings.Split(string(data), "\x00")
}

// ownerByCgroup reads /proc/PID/cgroup (cgroups(7)): the unit is the first
// component that is one and no slice, so that what a user makes below a
// delegated unit does not count.
func ownerByCgroup(cgroups string) (unit, container string) {
	var group string
	for line := range strings.Lines(cgroups) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, name, _ := strings.Cut(rest, ":")
		if controllers == "name=systemd" && name != "/" {
			group = name // versions 1 and 2 side by side: systemd works in this one
			break
		}
		if controllers == "" {
			group = name
		}
	}
	for part := range strings.SplitSeq(strings.Trim(group, "/"), "/") {
		part = strings.TrimPrefix(part, "_") // systemd's escape for names that collide with cgroup files
		switch path.Ext(part) {
		case ".slice":
			continue
		case ".service", ".scope", ".socket", ".mount", ".swap":
			return part, containerID(part)
		}
		break
	}
	parts := strings.Split(strings.Trim(group, "/"), "/")
	if len(parts) >= 2 && parts[0] == "docker" { // dockerd with cgroupdriver=cgroupfs
		return "", containerID(parts[1])
	}
	return "", ""
}

// containerID finds the id in "docker-<id>.scope", "cri-containerd-<id>.scope",
// "libpod-<id>.scope" and "<id>".
func containerID(name string) string {
	name, isScope := strings.CutSuffix(name, ".scope")
	if isScope {
		name = name[strings.LastIndexByte(name, '-')+1:]
	}
	if len(name) != 64 || strings.Trim(name, "0123456789abcdef") != "" {
		return ""
	}
	return name
}
