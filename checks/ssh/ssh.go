// Package ssh looks at who can log in over SSH, and how. Everything is judged
// by what sshd does with its configuration: for every account, under every
// combination of Match blocks that can come about, not by what a line says.
package ssh

import (
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/keyledger"
	"github.com/hostguard/hostguard/internal/quantity"
)

const (
	looksAtConfig = "Reads sshd's configuration as sshd does: everything it includes, the first value that wins, lists that accumulate, every combination of Match blocks that can come about, and the options of the running daemon's command line. On a running host sshd itself is asked with -T, at most four times in all; where it says something else the answer is an error that shows both."
	blindToConfig = "In a file tree: how a daemon is really started. Accounts of LDAP and other services are assumed to match any pattern."
)

// Checks are the mechanisms of this family.
var Checks = []checks.Check{
	{
		Name:    "sshd-option",
		Looks:   looksAtConfig + " The keyword's value must be a wanted one everywhere.",
		Blind:   blindToConfig,
		Needs:   host.Root,
		Long:    true,
		Binding: checks.Params(optionParams{}, option),
	},
	{
		Name:    "sshd-login-methods",
		Looks:   looksAtConfig + " Works out which methods, alone or together, let each account in: AuthenticationMethods, password, keyboard-interactive with PAM, public key, host-based, GSSAPI, PermitRootLogin and the lists of allowed and denied users and groups.",
		Blind:   blindToConfig + " Whether an account's password is set or locked plays no part: it can be set tomorrow.",
		Needs:   host.Root,
		Binding: checks.Params(methodsParams{Accounts: everyone, Root: byKey}, methods),
	},
	{
		Name:    "sshd-allow-groups",
		Looks:   looksAtConfig + " Then compares AllowGroups with the groups of the host and their members, by primary group too.",
		Blind:   "Members that a directory service adds: with one in nsswitch.conf the answer is an error.",
		Needs:   host.Root,
		Binding: checks.Params(allowGroupsParams{}, allowGroups),
	},
	{
		Name:    "sshd-allow-users",
		Looks:   looksAtConfig + " Then compares AllowUsers with the accounts of the host and with AllowGroups: an account must be in both.",
		Blind:   "Groups that a directory service adds: with one in nsswitch.conf the answer is an error.",
		Needs:   host.Root,
		Binding: checks.Params(allowUsersParams{}, allowUsers),
	},
	{
		Name:    "sshd-use-pam",
		Looks:   looksAtConfig + " Compares UsePAM with what is wanted of it.",
		Blind:   blindToConfig,
		Needs:   host.Root,
		Binding: checks.Params(usePAMParams{Want: "no", Decided: "any"}, usePAM),
	},
	{
		Name:    "sshd-current",
		Looks:   "Compares when the listening sshd last read its configuration (its start, or its pid file's time after a reload) with the last change of every file it reads and every folder it includes from; and whether its program was replaced since.",
		Blind:   "A file that an Include names without a wildcard and that is gone. A change of clock between the two.",
		Needs:   host.Root | host.Running,
		Binding: checks.NoParams(current),
	},
	{
		Name:    "ssh-servers",
		Looks:   "Lists processes, programs and units of SSH servers other than OpenSSH's, a second sshd with options of its own, an sshd that another user than root runs, and what else listens on port 22.",
		Blind:   "An SSH server under another name on another port, and in a container. In a file tree: what runs.",
		Needs:   host.Root,
		Binding: checks.NoParams(servers),
	},
	{
		Name:    "ssh-key-strength",
		Looks:   looksAtKeys + " Every key, those of certificate authorities too, must be of a wanted kind and length.",
		Blind:   blindToKeys + " Whether a private key has a passphrase, and how it was made.",
		Needs:   host.Root,
		Binding: checks.Params(keyStrengthParams{Kinds: strongKinds, MinRSA: 4096}, keyProbe(judgeStrength)),
	},
	{
		Name:    "ssh-keys-format",
		Looks:   looksAtKeys + " There must be no line that sshd ignores or understands otherwise than it looks, and no file that it cannot read; likewise in the file of TrustedUserCAKeys.",
		Blind:   blindToKeys,
		Needs:   host.Root,
		Binding: checks.Params(struct{}{}, keyProbe(judgeFormat)),
	},
	{
		Name:    "ssh-keys-modes",
		Looks:   looksAtKeys + " The file and each folder above it, up to the account's home, must belong to root or the account, and nobody else may write there; a group may that has no other member.",
		Blind:   blindToKeys,
		Needs:   host.Root,
		Binding: checks.Params(struct{}{}, keyProbe(judgeModes)),
	},
	{
		Name:    "ssh-keys-repeated",
		Looks:   looksAtKeys + " Compares the keys, whatever their options, comments and certificates.",
		Blind:   blindToKeys,
		Needs:   host.Root,
		Binding: checks.Params(keyRepeatedParams{Within: inAccounts}, keyProbe(judgeRepeated)),
	},
	{
		Name:    "ssh-keys-revoked",
		Looks:   looksAtKeys + " Compares the keys with the file that RevokedKeys names, a list of keys or a key revocation list, which sshd must be able to read.",
		Blind:   blindToKeys + " Certificates that are revoked, and the signature of a key revocation list.",
		Needs:   host.Root,
		Binding: checks.Params(struct{}{}, keyProbe(judgeRevoked)),
	},
	{
		Name:    "ssh-key-sources",
		Looks:   looksAtKeys + " Lists from where keys come besides: AuthorizedKeysCommand, TrustedUserCAKeys, and lines with cert-authority.",
		Blind:   blindToKeys + " The keys that come from there.",
		Needs:   host.Root,
		Binding: checks.Params(keySourcesParams{}, keyProbe(judgeSources)),
	},
	{
		Name:    "ssh-keys-recorded",
		Looks:   looksAtLedger + " Each must have an entry there that does not say it is gone.",
		Blind:   blindToLedger,
		Needs:   host.Root,
		Binding: checks.NoParams(aboutKeys(judgeRecorded)),
	},
	{
		Name:    "ssh-keys-assigned",
		Looks:   looksAtLedger + " Each that the ledger knows must have a person there.",
		Blind:   blindToLedger + " Whether the person is the one who has the private key.",
		Needs:   host.Root,
		Binding: checks.NoParams(aboutKeys(judgeAssigned)),
	},
	{
		Name:    "ssh-keys-age",
		Looks:   looksAtLedger + " A key's age counts from its first event there, on whatever account: one that is taken out and put back does not become younger.",
		Blind:   blindToLedger + " How old a key was when it was first enrolled.",
		Needs:   host.Root,
		Binding: checks.Params(KeyAgeParams{MaxAge: quantity.Duration(90 * 24 * time.Hour)}, keyAge),
	},
	{
		Name:    "ssh-keys-noted",
		Looks:   looksAtLedger + " Of each key on an account that had another key before, the ledger must say that its person was informed and that a login with it was tested.",
		Blind:   blindToLedger,
		Needs:   host.Root,
		Binding: checks.NoParams(aboutKeys(judgeNoted)),
	},
	{
		Name:    "ssh-key-ledger",
		Looks:   "Reads hostguard's key ledger in " + keyledger.Dir + ": each line holds the hash of the line before, each append has a signature over the last hash. Everything must be as it was written, the files root's alone, the signing key private, and an expected head on one of the lines.",
		Blind:   "A ledger that root wrote anew and signed, and an older copy of ledger and signatures: both are whole. Only a head that was noted elsewhere (reports, syslog) tells, with --expect-head.",
		Needs:   host.Root,
		Binding: checks.Params(ledgerParams{}, ledgerIntact),
	},
}
