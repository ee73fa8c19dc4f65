// Package storage looks at the room on the file systems that a connector
// writes to, at who watches it, and at the job that copies logs away.
package storage

import (
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/quantity"
)

// Checks are the mechanisms of this family.
var Checks = []checks.Check{
	{
		Name:  "disk-free",
		Looks: "Asks each file system that carries one of the paths how many bytes and inodes ordinary users and containers may still use (statfs). A path that does not exist yet is judged by the folder in which it would be made.",
		Blind: "Quotas, thin volumes and images that are larger than what lies below them; on btrfs and zfs free space is the file system's own estimate.",
		Needs: host.Running | host.Root,
		Binding: checks.Params(FreeParams{
			MinFree: 10, MinFreeBytes: quantity.Bytes(1 << 30), MinFreeInodes: 10,
			Timeout: defaultStatTimeout,
		}, free),
	},
	{
		Name:    "storage-watch",
		Looks:   "Asks the service manager, or cron's tables and daemon, or the process list about the job that watches the file systems: hostguard's own, or the one named in the configuration. It must be started at boot, be in force now, and its last success must be no older than its last two times.",
		Blind:   "What the job does and whom it notifies: naming it vouches for that. A cron job leaves no trace of success but the file that it is told to write.",
		Needs:   host.Running | host.Root,
		Binding: checks.Params(watchParams{MaxAge: quantity.Duration(time.Hour)}, watch),
	},
	{
		Name:    "log-copy-job",
		Looks:   "Asks the service manager, or cron's tables and daemon, about the job that copies the connector's logs: the entry of hostguard's cron table or its timer, or the job named in the configuration. It must be due once a day, be in force now and be started at boot; a timer's last run must have succeeded.",
		Blind:   "What a job that is not hostguard's own does: naming it vouches for that. Whether a cron job succeeds: the copies show it, which another rule looks at.",
		Needs:   host.Running | host.Root,
		Binding: checks.Params(copyJobParams{}, copyJob),
	},
}
