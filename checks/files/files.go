// Package files looks at who may do what with files: their owners, groups,
// modes and access lists, and who is in the groups.
package files

import (
	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

const (
	looksAtModes  = "Each must belong to a wanted owner and group, allow no more than the wanted mode, and its access list (acl(5)), with the mask taken off, must name nobody else. A link of root's that is named is followed; links below folders are not. At most 100,000 files are looked at: beyond that the answer is an error."
	blindToModes  = "Access lists that are not POSIX ones (NFSv4, CIFS), capabilities of programs that read everything, and who reads the disk itself. Whether the folders above let anybody in plays no part."
	maxFiles      = 100_000
	maxEvidence   = 50
	maxFaultyList = 100
)

// Checks are the mechanisms of this family.
var Checks = []checks.Check{
	{
		Name:    "file-mode",
		Looks:   "Looks at files and folders by their paths, or patterns for them, and with recursive at all below. " + looksAtModes,
		Blind:   blindToModes,
		Needs:   host.Root,
		Binding: checks.Params(modeParams{}, modes),
	},
	{
		Name:    "audit-log-mode",
		Looks:   "Looks at auditd's log, the rotated ones and their folder, where auditd.conf says that they are; the group of log_group counts as wanted unless it is the primary group of an account other than root. " + looksAtModes,
		Blind:   blindToModes + " What audispd's plug-ins write elsewhere.",
		Needs:   host.Root,
		Binding: checks.Params(auditLogParams{Group: []string{"root", "adm"}, Mode: 0o640, DirMode: 0o750}, auditLog),
	},
	{
		Name:    "connector-secret-modes",
		Looks:   "Looks at .env, the files of env_file, compose's configs and secrets, and at the configuration files and key stores in the folders that the connector's services mount: one that holds a secret must allow no more than mode, any other no more than other. Access lists must name nobody else, and a link is a fault.",
		Blind:   "Files in named volumes. Who is in the groups, and who reads the disk itself. Whether the folders above let anybody in plays no part.",
		Needs:   host.Root,
		Binding: checks.Params(connectorParams{Owner: []string{"root", "65534"}, Mode: 0o640, Other: 0o755}, connectorModes),
	},
	{
		Name:    "group-members",
		Looks:   "Lists the members of groups, by primary group too, that are not root and have a login shell and an account that has not expired.",
		Blind:   "Members that a directory service adds: with one in nsswitch.conf the answer is an error. Rights that sudo or a capability gives without the group.",
		Needs:   host.Root,
		Binding: checks.Params(membersParams{}, members),
	},
	{
		Name:    "certificate",
		Looks:   "Opens files of certificates by their paths, or patterns for them: PEM, JKS, PKCS#12 and single certificates, told by their content. Validity is judged by the time of the time servers where the clock could be compared with them, else by the host's clock.",
		Blind:   "JCEKS and BKS stores, which are errors, and more than 1,000 entries in one. Whether a certificate was revoked, whether those who connect trust its root, and whether the service that uses it has read it since it was written.",
		Needs:   host.Root,
		Binding: checks.Params(certificateParams{}, certificates),
	},
}
