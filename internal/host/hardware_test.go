package host

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// TestHardware compares with what nproc, lscpu and free say of this machine.
func TestHardware(t *testing.T) {
	hw, err := New(Options{}).Hardware(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).Output()
		if err != nil && os.Getenv(lab.RequireVariable) == "" {
			t.Skipf("%s: %v", name, err)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return string(out)
	}
	if online := strings.TrimSpace(run("getconf", "_NPROCESSORS_ONLN")); strconv.Itoa(hw.Threads) != online {
		t.Errorf("%d threads, getconf says %s", hw.Threads, online)
	}
	cores := map[string]bool{}
	for line := range strings.SplitSeq(strings.TrimSpace(run("lscpu", "-p=CORE,SOCKET")), "\n") {
		if !strings.HasPrefix(line, "#") {
			cores[line] = true
		}
	}
	if hw.Cores != len(cores) {
		t.Errorf("%d cores, lscpu says %d", hw.Cores, len(cores))
	}
	for line := range strings.SplitSeq(run("free", "-b"), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Mem:" && f[1] != strconv.FormatUint(hw.Memory, 10) {
			t.Errorf("%d bytes of memory, free says %s", hw.Memory, f[1])
		}
	}
	t.Setenv("HOST_PROC", t.TempDir())
	t.Setenv("HOST_SYS", t.TempDir())
	if again, err := New(Options{}).Hardware(t.Context()); err != nil || again.Threads != hw.Threads || again.Memory != hw.Memory {
		t.Errorf("the environment changes what is seen: %+v, error %v", again, err)
	}
}

func TestHardwareOfATree(t *testing.T) {
	t.Parallel()
	if _, err := New(Options{Root: t.TempDir()}).Hardware(t.Context()); err != ErrNotRunning {
		t.Errorf("error %v", err)
	}
}

func TestReadLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files        map[string]string
		cpus, memory string
		err          string
	}{
		"none":                 {map[string]string{"sys/fs/cgroup/cgroup.controllers": ""}, "", "", ""},
		"unlimited":            {map[string]string{"sys/fs/cgroup/cgroup.controllers": "", "sys/fs/cgroup/cpu.max": "max 100000\n", "sys/fs/cgroup/memory.max": "max\n"}, "", "", ""},
		"container":            {map[string]string{"sys/fs/cgroup/cgroup.controllers": "", "sys/fs/cgroup/cpu.max": "150000 100000\n", "sys/fs/cgroup/cpuset.cpus.effective": "0-2,5\n", "sys/fs/cgroup/memory.max": "1073741824\n"}, "1.5 4", "1073741824", ""},
		"system.slice":         {map[string]string{"sys/fs/cgroup/cgroup.controllers": "", "sys/fs/cgroup/system.slice/memory.max": "1024\n"}, "", "1024", ""},
		"version 1":            {map[string]string{"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "4096\n", "sys/fs/cgroup/cpuset/cpuset.effective_cpus": "3\n"}, "2 1", "4096", ""},
		"version 1, unlimited": {map[string]string{"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, "", "", ""},
		"malformed":            {map[string]string{"sys/fs/cgroup/cgroup.controllers": "", "sys/fs/cgroup/cpu.max": "x y\n"}, "", "", "no quota"},
		"period of nothing":    {map[string]string{"sys/fs/cgroup/cgroup.controllers": "", "sys/fs/cgroup/cpu.max": "1 0\n"}, "", "", "no quota"},
		"malformed list":       {map[string]string{"sys/fs/cgroup/cgroup.controllers": "", "sys/fs/cgroup/cpuset.cpus.effective": "3-1\n"}, "", "", "no list of CPUs"},
		"malformed memory":     {map[string]string{"sys/fs/cgroup/cgroup.controllers": "", "sys/fs/cgroup/memory.max": "lots\n"}, "", "", "no amount"},
	} {
		var hw Hardware
		err := hostTree(t, c.files, Options{}).readLimits(&hw)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", name, err, c.err)
			}
			continue
		}
		amounts := func(limits []ResourceLimit) string {
			var all []string
			for _, l := range limits {
				all = append(all, strconv.FormatFloat(l.Amount, 'f', -1, 64))
			}
			return strings.Join(all, " ")
		}
		if err != nil || amounts(hw.CPULimit) != c.cpus || amounts(hw.MemoryLimit) != c.memory {
			t.Errorf("%s: cpus %q, memory %q, error %v", name, amounts(hw.CPULimit), amounts(hw.MemoryLimit), err)
		}
	}
}
