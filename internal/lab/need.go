package lab

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Part is something of the test machine that a test cannot do without. Missing
// says why the part cannot be used here; nil when it can.
type Part struct {
	name    string
	tier    int // 2: real parts, 3: a booted host, 4: a virtual machine
	missing func() error
}

// The parts. Each implies root: the lab mounts, makes namespaces and asks the kernel.
var (
	Root    = Part{"root", 2, programs()}
	SSHD    = Part{"sshd", 2, programs("sshd", "ssh-keygen")}
	Audit   = Part{"the kernel's audit", 2, auditAnswers}
	Docker  = Part{"dockerd", 2, programs("dockerd", "containerd", "runc", "iptables", "busybox")}
	Chrony  = Part{"chronyd", 2, programs("chronyd")}
	DBus    = Part{"dbus-daemon", 2, programs("dbus-daemon")}
	Systemd = Part{"systemd's programs", 2, programs("systemctl", "systemd-analyze")} // needs no booted one
	Java    = Part{"a JDK", 2, programs("java", "javac", "keytool")}
	OpenSSL = Part{"openssl", 2, programs("openssl")}
	ACL     = Part{"setfacl and getfacl", 2, programs("setfacl", "getfacl")}
	Strace  = Part{"strace", 2, programs("strace")}
	NFT     = Part{"nft", 2, programs("nft", "ip", "nsenter")}
	Sudo    = Part{"sudo's programs", 2, programs("cvtsudoers")}
	PAM     = Part{"libpam to ask", 2, programs("pamtester", "unshare")}
	Booted  = Part{"a booted host", 3, programs("debootstrap", "systemd-nspawn", "nsenter", "chronyd", "ssh-keygen")}
	Virtual = Part{"a virtual machine", 4, programs("debootstrap", "qemu-system-x86_64", "qemu-img", "mke2fs", "ssh", "ssh-keygen")}
)

// RequireVariable names the environment variable that turns a missing part from
// a reason to skip into a failure: "real" for tiers 2 and 3, "vm" for tier 4 too.
const RequireVariable = "HOSTGUARD_REQUIRE"

// Need ends the test unless every part is there: by failing where
// HOSTGUARD_REQUIRE promises the part, else by skipping. Virtual machines are
// slow and are never tried unless HOSTGUARD_REQUIRE=vm.
func Need(t testing.TB, parts ...Part) {
	t.Helper()
	require := os.Getenv(RequireVariable)
	for _, part := range parts {
		if part.tier == 4 && require != "vm" {
			t.Skipf("%s: only with %s=vm", part.name, RequireVariable)
		}
		err := part.check()
		if err == nil {
			continue
		}
		if promised(require, part.tier) {
			t.Fatalf("%s is required by %s=%s: %v", part.name, RequireVariable, require, err)
		}
		t.Skipf("needs %s: %v", part.name, err)
	}
}

// promised says whether the environment promises parts of that tier.
func promised(require string, tier int) bool {
	switch require {
	case "vm":
		return true
	case "real":
		return tier < 4
	}
	return false
}

func (p Part) check() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("not root")
	}
	return p.missing()
}

// programs is a check for programs in the system's folders.
func programs(names ...string) func() error {
	return func() error {
		for _, name := range names {
			if _, err := program(name); err != nil {
				return err
			}
		}
		return nil
	}
}

// searchPath is where programs are looked for, here and inside test hosts.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// program returns the absolute path of a program. The test's own PATH may lack
// the sbin folders, so it is not used.
func program(name string) (string, error) {
	for _, dir := range strings.Split(searchPath, ":") {
		if path, err := exec.LookPath(dir + "/" + name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed (internal/lab/install.sh installs it)", name)
}

// auditAnswers asks the kernel for its audit status. In a container auditctl
// prints nothing and still exits with 0.
func auditAnswers() error {
	if err := programs("auditctl", "auditd")(); err != nil {
		return err
	}
	result, err := Command{Args: []string{"auditctl", "-s"}}.Run()
	if err != nil {
		return err
	}
	if !strings.Contains(result.Stdout, "enabled") {
		return fmt.Errorf("the kernel does not answer here: auditctl -s said %q", result.Stdout+result.Stderr)
	}
	return nil
}
