package lab

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// goodFiles are the files of a good host, laid over the base tree.
//
//go:embed all:good
var goodFiles embed.FS

// goodScript finishes a good host's tree.
//
//go:embed good.sh
var goodScript string

// Operator is the user of a good host who may log in by key.
const Operator = "operator"

// Good makes a host on which every requirement holds, as far as a container
// can: key-only sshd for one group with one member, docker with compose, one
// time daemon with a server that answers, auditd with rules on disk, a storage
// watch, no stray service, and a configuration that says so.
//
// Three things are beyond a container. The kernel's audit refuses to answer:
// auditd runs, without the kernel's events. The clock is the machine's: chronyd
// measures it but may not set it; SynchronisedClock sets the flag that it would
// set. The processors are the machine's: the configuration asks for one.
func Good(h *Host) {
	h.t.Helper()
	SynchronisedClock(h.t)
	if err := makeGood(h.root); err != nil {
		h.t.Fatal(err)
	}
	for path, content := range containerFiles {
		h.WriteFile(path, content)
	}
	h.WriteFile("/etc/hostguard/hostguard.yaml", h.ReadFile("/etc/hostguard/hostguard.yaml")+containerConfiguration)
	h.settled = append(h.settled, timeIsMeasured, watchHasRun)
}

// containerFiles make the daemons run that a container refuses.
var containerFiles = map[string]string{
	"/etc/default/chrony":                           "DAEMON_OPTS=\"-F 1 -x\"\n",
	"/etc/systemd/system/chrony.service.d/lab.conf": "[Unit]\nConditionCapability=\n",
	"/etc/audit-lab/auditd.conf":                    "local_events = no\nlog_file = /var/log/audit/audit.log\nspace_left = 75\nadmin_space_left = 50\n",
	"/etc/systemd/system/auditd.service.d/lab.conf": "[Service]\nBindReadOnlyPaths=/etc/audit-lab/auditd.conf:/etc/audit/auditd.conf\n",
}

const containerConfiguration = `services: {allow: [df-watch.timer]}
parameters: {HW-001: {cores: 1, threads: 1}}
`

// makeGood turns a tree that is a copy of the base tree into a good host's.
func makeGood(root string) error {
	key, err := operatorKey()
	if err != nil {
		return err
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		return fmt.Errorf("cannot make a good host: %w", err)
	}
	if err := copyFiles(goodFiles, "good", root); err != nil {
		return fmt.Errorf("cannot make a good host: %w", err)
	}
	_, err = Command{Args: []string{"chroot", root, "/bin/sh", "-eu", "-c", goodScript, "sh",
		strings.TrimSpace(string(public))}}.must()
	return err
}

// timeIsMeasured says whether the time daemon has chosen its server.
func timeIsMeasured(h *Host) bool {
	result, err := h.command("chronyc", "-c", "tracking").Run()
	return err == nil && strings.HasPrefix(result.Stdout, "C0000201,") // 192.0.2.1
}

// watchHasRun says whether the storage watch has run to its end once.
func watchHasRun(h *Host) bool {
	result, err := h.command("systemctl", "show", "--property=ExecMainExitTimestampMonotonic,Result", "df-watch.service").Run()
	return err == nil && strings.Contains(result.Stdout, "Result=success") &&
		!strings.Contains(result.Stdout, "ExecMainExitTimestampMonotonic=0\n")
}

// operatorKey returns the path of the operator's private key, made once and
// cached: disks of virtual machines hold the public one, which lies beside it.
func operatorKey() (string, error) {
	dir, err := product{kind: "key", recipe: []string{"ed25519"}, produce: func(dir string) error {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		_, err := Command{Args: []string{"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator@lab",
			"-f", filepath.Join(dir, "id_ed25519")}}.must()
		return err
	}}.get()
	return filepath.Join(dir, "id_ed25519"), err
}
