// Package clock looks at how the host keeps its time: which daemon, which
// servers, what the kernel says and what the servers say.
package clock

import (
	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

// Checks are the mechanisms of this family.
var Checks = []checks.Check{
	{
		Name:    "clock-daemon",
		Looks:   "Asks the service manager which of chrony, systemd-timesyncd, NTPsec, ntpd and OpenNTPD is installed, started at boot and running, and lists processes for time daemons outside their units. Of a file tree, reads unit files.",
		Blind:   "A program that sets the clock under another name, and a hypervisor that does. In a file tree: whether the daemon runs.",
		Needs:   host.Root,
		Binding: checks.Params(daemonParams{Accept: []string{host.Chrony, host.Timesyncd, host.NTPsec, host.NTPd, host.OpenNTPD}}, daemon),
	},
	{
		Name:    "clock-servers",
		Looks:   "Reads the configuration of the time daemon with everything that it includes: chrony.conf with confdir, sourcedir and include, timesyncd.conf with drop-ins, ntp.conf with includefile, OpenNTPD's ntpd.conf. The running daemon's command line says which file; a running systemd-timesyncd is asked for its servers.",
		Blind:   "Sources added to a running chronyd or ntpd by command, and files edited since it started. In a file tree: options on the daemon's command line.",
		Needs:   host.Root,
		Binding: checks.Params(serversParams{MinSources: 1}, servers),
	},
	{
		Name:    "clock-sync",
		Looks:   "Asks the kernel by adjtimex(2) whether its clock is disciplined, and how large its error may have become since the last update. In a container this is the clock of the machine.",
		Blind:   "Whether what disciplines the clock is right: clock-offset asks. A chronyd without rtcsync never tells the kernel.",
		Needs:   host.Running,
		Binding: checks.Params(syncParams{MaxError: defaultMaxError}, sync),
	},
	{
		Name:    "clock-offset",
		Looks:   "Asks the time servers by NTP, all at the same time, and compares the clock with the median of the servers that answer and agree.",
		Blind:   "Servers that lie in agreement: plain NTP is not authenticated.",
		Needs:   host.Running | host.Root,
		Binding: checks.Params(offsetDefaults, offset),
	},
}
