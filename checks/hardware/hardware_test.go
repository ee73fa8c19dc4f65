package hardware

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// Services of a connector with the shipped limits; %s is provider or consumer.
const (
	shippedCore    = "  ecc-%s: {image: 'rdlabengpa/ids_execution_core_container:v1', mem_limit: 1024M}\n"
	shippedOthers  = "  be-dataapp-%[1]s: {image: x, mem_limit: 512M}\n  uc-dataapp-%[1]s: {image: y, mem_limit: 256M}\n  uc-dataapp-pip-%[1]s: {mem_limit: 256M}\n"
	shipped        = shippedCore + shippedOthers
	renamedByImage = "  kern: {image: 'registry.example:5000/x/ids_execution_core_container@sha256:00', mem_limit: 4g}\n"
	renamed        = "  kern: {image: 'registry.example/kern:1', volumes: ['./kern:/config'], mem_limit: 1g}\n  daten: {image: 'registry.example/daten:1', mem_limit: 512M}\n"
)

// TestNeeded: what connectors need by their compose files and settings, in folders
// as they would be deployed.
func TestNeeded(t *testing.T) {
	t.Parallel()
	of := func(services, name string) string {
		return strings.ReplaceAll(strings.ReplaceAll(services, "%[1]s", name), "%s", name)
	}
	provider, consumer := of(shipped, "provider"), of(shipped, "consumer")
	set := defaults
	set.Instances = 3
	for name, c := range map[string]struct {
		composes []string // services of each connector
		params   memoryParams
		want     string // GiB, and whether it is for certain
	}{
		"provider and consumer":        {[]string{provider + consumer}, defaults, "5 true"},
		"provider alone":               {[]string{provider}, defaults, "3 true"},
		"consumer alone":               {[]string{consumer}, defaults, "3 true"},
		"two connectors":               {[]string{provider, provider + consumer}, defaults, "7 true"},
		"three connectors":             {[]string{provider, consumer, renamed}, defaults, "7 true"},
		"a core alone":                 {[]string{of(shippedCore, "provider")}, defaults, "3 true"},
		"limits above the document":    {[]string{renamedByImage}, defaults, "5 true"},
		"limits of all services count": {[]string{provider + "  db: {image: postgres, mem_limit: 3g}\n"}, defaults, "6 true"},
		"limits under deploy":          {[]string{"  ecc-provider: {image: z, deploy: {replicas: 2, resources: {limits: {memory: 3g}}}}\n"}, defaults, "7 true"},
		"renamed, known by settings":   {[]string{renamed}, defaults, "3 true"},
		"renamed, twice":               {[]string{renamed + "  kern2: {image: 'registry.example/kern:1', volumes: ['./kern:/config']}\n"}, defaults, "5 true"},
		"a name alone makes no core":   {[]string{renamed + "  ecc-proxy: {image: nginx}\n"}, defaults, "3 true"},
		"replicas":                     {[]string{"  ecc-provider: {scale: 3, mem_limit: 1g}\n"}, defaults, "7 true"},
		"of a profile":                 {[]string{provider + consumer + "  x: {mem_limit: 64g, profiles: [p]}\n"}, defaults, "5 true"},
		"no core":                      {[]string{"  x: {image: y}\n"}, defaults, "3 false"},
		"no core in one of two":        {[]string{provider, "  x: {image: y}\n"}, defaults, "3 false"},
		"replicas of the shell":        {[]string{"  ecc-provider: {scale: '${N}'}\n"}, defaults, "3 false"},
		"a limit of the shell":         {[]string{provider + "  x: {mem_limit: '${M}'}\n"}, defaults, "3 false"},
		"compose not understood":       {[]string{"  a: {extends: {file: x.yml, service: y}}\n"}, defaults, "3 false"},
		"number is given":              {[]string{"  x: {image: y}\n"}, set, "7 true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			var dirs []string
			for i, services := range c.composes {
				dir := fmt.Sprintf("/opt/c%d", i)
				dirs = append(dirs, dir)
				for file, text := range map[string]string{"compose.yaml": "services:\n" + services, "kern/application.properties": "application.isEnabledDapsInteraction=true\n"} {
					at := filepath.Join(root, dir, file)
					if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o600)); err != nil {
						t.Fatal(err)
					}
				}
			}
			connectors, err := host.New(host.Options{Root: root, ConnectorDirs: dirs}).ConnectorApps(t.Context())
			n, err := needed(connectors, err, c.params)
			if got := fmt.Sprintf("%d %v", n.bytes/gib, err == nil); got != c.want {
				t.Errorf("%s (%s, error %v), want %s", got, n.reason, err, c.want)
			}
		})
	}
	if n, err := needed(nil, host.ErrNoConnector, set); n.bytes != 7*gib || err != nil {
		t.Errorf("no folder, and a number: %v, %v", n, err)
	}
	if _, err := needed(nil, host.ErrNoConnector, defaults); err == nil {
		t.Error("no folder: the need is known")
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
