package hardware

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

func TestJudgeCPUs(t *testing.T) {
	t.Parallel()
	limit := func(n float64) []host.ResourceLimit {
		return []host.ResourceLimit{{Amount: n, Source: "/sys/fs/cgroup/cpu.max"}}
	}
	for name, c := range map[string]struct {
		hw   host.Hardware
		want string // status and the places at fault
	}{
		"as wanted":                         {host.Hardware{Cores: 4, Threads: 8}, "pass"},
		"virtual machine of single threads": {host.Hardware{Cores: 8, Threads: 8}, "pass"},
		"threads are missing":               {host.Hardware{Cores: 4, Threads: 4}, "fail /proc/cpuinfo"},
		"two threads on each of two cores":  {host.Hardware{Cores: 2, Threads: 8}, "fail /sys/devices/system/cpu"},
		"small":                             {host.Hardware{Cores: 2, Threads: 2}, "fail /sys/devices/system/cpu /proc/cpuinfo"},
		"limited":                           {host.Hardware{Cores: 8, Threads: 16, CPULimit: limit(7.5)}, "fail /sys/fs/cgroup/cpu.max"},
		"limited to enough":                 {host.Hardware{Cores: 8, Threads: 16, CPULimit: limit(8)}, "pass"},
	} {
		v := judgeCPUs(c.hw, cpuParams{Cores: 4, Threads: 8})
		if got := faults(v); got != c.want || (v.Reason == "") != (v.Status == checks.Pass) || len(v.Evidence) < 2 {
			t.Errorf("%s: %s (%+v), want %s", name, got, v, c.want)
		}
	}
	if (cpuParams{Cores: 0, Threads: 1}).Validate() == nil || (cpuParams{Cores: 1, Threads: 1}).Validate() != nil {
		t.Error("numbers of processors are not validated")
	}
}

// faults is a verdict's status and the places where something was wanted.
func faults(v checks.Verdict) string {
	words := []string{v.Status.String()}
	for _, e := range v.Evidence {
		if e.Want != "" {
			words = append(words, e.Source)
		}
	}
	return strings.Join(words, " ")
}

const gib = 1 << 30

var defaults = memoryParams{ECC: 1024 << 20, DataApp: 512 << 20, UsageControl: 256 << 20, PIP: 256 << 20, Reserve: gib}

// instance is the services of one instance with the shipped limits.
func instance(name string) []host.ComposeService {
	return []host.ComposeService{
		{Name: "ecc-" + name, Image: "rdlabengpa/ids_execution_core_container:v1", Memory: "1024M"},
		{Name: "be-dataapp-" + name, Memory: "512M"}, {Name: "uc-dataapp-" + name, Memory: "256M"}, {Name: "uc-dataapp-pip-" + name, Memory: "256M"},
	}
}

func TestNeeded(t *testing.T) {
	t.Parallel()
	both := append(instance("provider"), instance("consumer")...)
	renamed := []host.ComposeService{{Name: "core", Image: "registry:5000/mirror/ids_execution_core_container@sha256:00", Memory: "4g"}}
	connector := func(s ...host.ComposeService) []host.Connector { return []host.Connector{{Dir: "/c", Services: s}} }
	set := defaults
	set.Instances = 3
	for name, c := range map[string]struct {
		connectors []host.Connector
		err        error
		params     memoryParams
		want       string // GiB, and whether it is for certain
	}{
		"provider and consumer":     {connector(both...), nil, defaults, "5 true"},
		"provider alone":            {connector(instance("provider")...), nil, defaults, "3 true"},
		"two folders":               {append(connector(instance("provider")...), connector(both...)...), nil, defaults, "7 true"},
		"limits above the document": {connector(renamed...), nil, defaults, "5 true"},
		"replicas":                  {connector(host.ComposeService{Name: "ecc-x", Replicas: "3", Memory: "1g"}), nil, defaults, "7 true"},
		"of a profile":              {connector(append(both, host.ComposeService{Name: "x", Memory: "64g", Profiles: []string{"p"}})...), nil, defaults, "5 true"},
		"no core container":         {connector(host.ComposeService{Name: "x", Image: "y"}), nil, defaults, "3 false"},
		"replicas of the shell":     {connector(host.ComposeService{Name: "ecc-x", Replicas: "${N}"}), nil, defaults, "3 false"},
		"compose not understood":    {[]host.Connector{{Dir: "/c", ComposeErr: errors.New("include")}}, nil, defaults, "3 false"},
		"no folder":                 {nil, host.ErrNoConnector, defaults, "3 false"},
		"number is given":           {nil, host.ErrNoConnector, set, "7 true"},
	} {
		n, err := needed(c.connectors, c.err, c.params)
		if got := fmt.Sprintf("%d %v", n.bytes/gib, err == nil); got != c.want {
			t.Errorf("%s: %s (%s, error %v), want %s", name, got, n.reason, err, c.want)
		}
	}
	for n, valid := range map[int]bool{-1: false, 0: true, 1000: true, 1001: false} {
		if err := (memoryParams{Instances: n}).Validate(); (err == nil) != valid {
			t.Errorf("instances %d: %v", n, err)
		}
	}
}

func TestJudgeMemory(t *testing.T) {
	t.Parallel()
	limit := []host.ResourceLimit{{Amount: 4 * gib, Source: "/sys/fs/cgroup/memory.max"}}
	for name, c := range map[string]struct {
		hw   host.Hardware
		err  error
		want string
	}{
		"enough":                       {host.Hardware{Memory: 5 * gib}, nil, "pass"},
		"a byte less":                  {host.Hardware{Memory: 5*gib - 1}, nil, "fail /proc/meminfo"},
		"limited":                      {host.Hardware{Memory: 64 * gib, MemoryLimit: limit}, nil, "fail /sys/fs/cgroup/memory.max"},
		"enough for what is known":     {host.Hardware{Memory: 64 * gib}, host.ErrNoConnector, "error"},
		"too little for what is known": {host.Hardware{Memory: gib}, host.ErrNoConnector, "fail /proc/meminfo"},
	} {
		v, err := judgeMemory(c.hw, need{5 * gib, "2 x 2 GiB and 1 GiB for the system"}, c.err)
		got := faults(v)
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
