package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v3/common"
	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/mem"
	"golang.org/x/sys/unix"
)

// Hardware is what the machine has, and what control groups leave of it.
type Hardware struct {
	Cores       int             // physical cores that are online; in a virtual machine, as it is shown them
	Threads     int             // logical CPUs that are online
	Memory      uint64          // bytes, without what the kernel and firmware keep for themselves
	CPULimit    []ResourceLimit // in CPUs
	MemoryLimit []ResourceLimit // in bytes
}

// ResourceLimit is a limit of a control group over docker's containers.
type ResourceLimit struct {
	Amount float64
	Source string // the file of the control group
}

type hardwareFacts struct {
	hardware fact[Hardware]
}

// Hardware returns the running host's processors and memory.
func (h *Host) Hardware(ctx context.Context) (Hardware, error) {
	return h.hardware.get(ctx, h.readHardware)
}

func (h *Host) readHardware(ctx context.Context) (Hardware, error) {
	if !h.Running() {
		return Hardware{}, ErrNotRunning
	}
	// gopsutil would follow HOST_PROC and HOST_SYS of the environment.
	ctx = context.WithValue(ctx, common.EnvKey, common.EnvMap{common.HostProcEnvKey: "/proc", common.HostSysEnvKey: "/sys"})
	var hw Hardware
	var err error
	if hw.Threads, err = cpu.CountsWithContext(ctx, true); err != nil {
		return hw, fmt.Errorf("cannot count processors: %w", err)
	}
	if hw.Cores, err = cpu.CountsWithContext(ctx, false); err != nil {
		return hw, fmt.Errorf("cannot count processor cores: %w", err)
	}
	memory, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return hw, fmt.Errorf("cannot tell how much memory there is: %w", err)
	}
	hw.Memory = memory.Total
	if hw.Threads == 0 || hw.Cores == 0 || hw.Memory == 0 {
		return hw, errors.New("cannot tell what the hardware is: the kernel shows no processor or no memory")
	}
	return hw, h.readLimits(&hw)
}

const cgroupRoot = "/sys/fs/cgroup"

// readLimits reads the limits of the groups above docker's containers: the
// outermost group that can be seen, which has limits in a container only, and
// system.slice. See cgroups(7) and the kernel's cgroup-v2 document.
func (h *Host) readLimits(hw *Hardware) error {
	unified, err := h.Exists(path.Join(cgroupRoot, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, group := range []string{"", "system.slice"} {
		cpuDir, memoryDir, cpusetDir := path.Join(cgroupRoot, group), path.Join(cgroupRoot, group), path.Join(cgroupRoot, group)
		memoryFile, cpusetFile := "memory.max", "cpuset.cpus.effective"
		if !unified {
			cpuDir, memoryDir, cpusetDir = path.Join(cgroupRoot, "cpu", group), path.Join(cgroupRoot, "memory", group), path.Join(cgroupRoot, "cpuset", group)
			memoryFile, cpusetFile = "memory.limit_in_bytes", "cpuset.effective_cpus"
		}
		var quota string
		if unified {
			quota, err = h.cgroupValue(path.Join(cpuDir, "cpu.max"))
		} else {
			quota, err = h.quotaV1(cpuDir)
		}
		if err != nil {
			return err
		}
		memory, err := h.cgroupValue(path.Join(memoryDir, memoryFile))
		if err != nil {
			return err
		}
		cpus, err := h.cgroupValue(path.Join(cpusetDir, cpusetFile))
		if err != nil {
			return err
		}
		for _, l := range []struct {
			file, text string
			parse      func(string) (float64, error)
			limits     *[]ResourceLimit
		}{
			{path.Join(cpuDir, "cpu.max"), quota, parseQuota, &hw.CPULimit},
			{path.Join(cpusetDir, cpusetFile), cpus, countCPUs, &hw.CPULimit},
			{path.Join(memoryDir, memoryFile), memory, parseMemoryLimit, &hw.MemoryLimit},
		} {
			amount, err := l.parse(l.text)
			if err != nil {
				return fmt.Errorf("cannot read %s: %w", l.file, err)
			}
			if amount > 0 {
				*l.limits = append(*l.limits, ResourceLimit{amount, l.file})
			}
		}
	}
	return nil
}

// cgroupValue reads a control group's file; an absent one, or an absent
// group, sets no limit.
func (h *Host) cgroupValue(name string) (string, error) {
	data, err := h.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return "", nil
	}
	return strings.TrimSpace(string(data)), err
}

// quotaV1 puts the two files of a version 1 group into the form of cpu.max.
func (h *Host) quotaV1(dir string) (string, error) {
	quota, err := h.cgroupValue(path.Join(dir, "cpu.cfs_quota_us"))
	if err != nil || quota == "" || strings.HasPrefix(quota, "-") {
		return "", err
	}
	period, err := h.cgroupValue(path.Join(dir, "cpu.cfs_period_us"))
	return quota + " " + period, err
}

// parseQuota reads cpu.max, "QUOTA PERIOD" in microseconds or "max PERIOD",
// as a number of CPUs; 0 is no limit.
func parseQuota(text string) (float64, error) {
	quota, period, _ := strings.Cut(text, " ")
	if text == "" || quota == "max" {
		return 0, nil
	}
	q, err := strconv.ParseUint(quota, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%.40q is no quota", text)
	}
	p, err := strconv.ParseUint(period, 10, 63)
	if err != nil || p == 0 {
		return 0, fmt.Errorf("%.40q is no quota", text)
	}
	return float64(q) / float64(p), nil
}

// countCPUs counts the CPUs of a list such as "0-3,8"; an empty one is no
// limit.
func countCPUs(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	count := 0
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseUint(first, 10, 16)
		b := a
		if err == nil && isRange {
			b, err = strconv.ParseUint(last, 10, 16)
		}
		if err != nil || b < a {
			return 0, fmt.Errorf("%.40q is no list of CPUs", text)
		}
		count += int(b-a) + 1
	}
	return float64(count), nil
}

// parseMemoryLimit reads memory.max; 0 is no limit. Version 1 writes a number
// near the largest there is for none.
func parseMemoryLimit(text string) (float64, error) {
	if text == "" || text == "max" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%.40q is no amount of memory", text)
	}
	if n > 1<<62 {
		return 0, nil
	}
	return float64(n), nil
}
