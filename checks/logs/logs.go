// Package logs looks at who reads copies of the connector's logs, and at the
// copies.
package logs

import (
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/quantity"
)

// Checks are the mechanisms of this family.
var Checks = []checks.Check{
	{
		Name:    "log-reader",
		Looks:   "Looks up the account that reads copies of the connector's logs in passwd(5), shadow(5) and group(5): it exists and has not expired, is not root, is in the copies' group, in none of the groups that give more, and nobody else who can log in is in the copies' group.",
		Blind:   "Rights that come from elsewhere: sudo (another rule looks at it), capabilities and set-uid programs, polkit, access lists of files.",
		Needs:   host.Root,
		Binding: checks.Params(readerParams{Without: []string{"root", "docker", "sudo", "wheel", "admin", "adm", "systemd-journal", "shadow", "disk", "kmem", "lxd", "incus", "incus-admin", "libvirt", "kvm"}}, reader),
	},
	{
		Name:    "sudo-rights",
		Looks:   "Reads /etc/sudoers, /etc/sudoers-rs and all that they include, and looks for rules that name the account, a group of its, an alias that holds it, or everybody, whatever they let it do.",
		Blind:   "Commands, hosts and target users of the rules: any rule counts. Other ways to become root: polkit, set-uid programs. Rules of a directory, of doas and lines that are not understood make it an error.",
		Needs:   host.Root,
		Binding: checks.Params(sudoParams{}, sudoRights),
	},
	{
		Name:    "log-copies-folder",
		Looks:   "Looks at owner, group, mode and access lists of the folder with the copies, of the folders above it and of the files in it: the reader gets to it and can read every copy, can write none, and nobody but root can.",
		Blind:   "What else the account could do, as which groups a session has that was opened before they changed. At most 100,000 copies are looked at: beyond that the answer is an error.",
		Needs:   host.Root,
		Binding: checks.Params(copiesParams{Dir: defaultDir}, copies),
	},
	{
		Name:    "log-copies-fresh",
		Looks:   "Looks for rotated logs (*yyyy-MM-dd*.gz, of days that are over) in the docker volumes that the connector mounts, and for the copy of each. A log that was rotated longer ago than within must have its copy, with the size and time of the log. A job that is not hostguard's may name copies otherwise: one that holds the day and has the log's size counts.",
		Blind:   "Logs that the connector keeps where no volume is mounted, or does not rotate: the published usage control writes to a path without a volume, and the published audit log is never rotated. Whether the content of a copy is that of the log: its size and time are compared.",
		Needs:   host.Root,
		Binding: checks.Params(freshParams{Dir: defaultDir, Within: quantity.Duration(25 * time.Hour)}, fresh),
	},
}

// defaultDir is where copies are unless the configuration says otherwise.
const defaultDir = "/srv/tc_logs"
