// Package hardware looks at what the machine has: processors and memory.
package hardware

import (
	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/quantity"
)

// Checks are the mechanisms of this family.
var Checks = []checks.Check{
	{
		Name:    "cpu-count",
		Looks:   "Counts the physical cores and the logical processors that are online, from /sys/devices/system/cpu and /proc/cpuinfo, and reads the limits of the control groups that docker's containers are in.",
		Blind:   "Whether a virtual machine's processors are the machine's own, and how many others share them.",
		Needs:   host.Running,
		Binding: checks.Params(cpuParams{Cores: 4, Threads: 8}, cpus),
	},
	{
		Name:    "memory-size",
		Looks:   "Reads the memory from /proc/meminfo and the limits of control groups, and compares them with what the connector's instances need: so much for each, or the sum of the memory limits in its compose files when that is more, and a reserve for the system.",
		Blind:   "Memory that other programs of the host use, and memory that the hypervisor takes back.",
		Needs:   host.Running | host.Root,
		Binding: checks.Params(memoryParams{ECC: 1024 << 20, DataApp: 512 << 20, UsageControl: 256 << 20, PIP: 256 << 20, Reserve: 1 << 30}, memory),
	},
}

type cpuParams struct {
	Cores   int `yaml:"cores" doc:"Physical cores that the host must have."`
	Threads int `yaml:"threads" doc:"Logical processors that the host must have."`
}

type memoryParams struct {
	ECC          quantity.Bytes `yaml:"ecc" doc:"Memory of the execution core container of one instance."`
	DataApp      quantity.Bytes `yaml:"data_app" doc:"Memory of the data app of one instance."`
	UsageControl quantity.Bytes `yaml:"usage_control" doc:"Memory of the usage control app of one instance."`
	PIP          quantity.Bytes `yaml:"pip" doc:"Memory of the usage control's information point of one instance."`
	Reserve      quantity.Bytes `yaml:"reserve" doc:"Memory that is left to the system and docker itself."`
	Instances    int            `yaml:"instances" doc:"Instances (a provider and a consumer are two); 0 counts the execution cores in the compose files, which are known by image, settings or name."`
}
