package services

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/unitfile"
)

// early are units before which the host is still being set up.
var early = []string{
	"network-pre.target", "network.target", "network-online.target", "sysinit.target", "basic.target", "local-fs.target", "local-fs-pre.target",
	"remote-fs.target", "remote-fs-pre.target", "cryptsetup.target", "nss-lookup.target", "nss-user-lookup.target",
	"ssh.service", "sshd.service", "ssh.socket", "docker.service", "docker.socket", "containerd.service",
}

// setters are programs that change the host's network, firewall or mounts, or
// that carry others' connections, logins or containers, under whatever unit.
var setters = strings.Fields("ip tc ifup ifconfig route wg wg-quick nft iptables ip6tables iptables-restore ip6tables-restore iptables-nft iptables-legacy ebtables arptables ipset sysctl " +
	"ethtool brctl bridge nmcli mount umount modprobe cryptsetup swapon zpool vgchange " +
	"ssh autossh sshuttle chisel docker docker-compose dockerd podman " +
	"sshd dropbear tinysshd")

// setsUp says why stopping a unit could take from the host what it was set up
// with, going by its file; empty: there is no sign of that. Of a unit that is
// known to be a server only what it starts is looked at.
func setsUp(files *unitfile.Tree, name string, known bool) (string, error) {
	file, entries, err := read(files, name)
	if err != nil {
		return "", err
	}
	for _, activated := range activates(name, entries) {
		other, started, err := read(files, activated)
		if err != nil {
			return "", err
		}
		if why := runs(other, started); why != "" {
			return why, nil
		}
	}
	if why := runs(file, entries); why != "" {
		return why, nil
	}
	for _, e := range entries {
		switch {
		case known:
		case e.Section == "Unit" && e.Key == "DefaultDependencies" && isNo(e.Value) && !strings.HasSuffix(name, ".timer"):
			return fmt.Sprintf("it belongs to the early boot (DefaultDependencies=no in %s)", file.Path), nil
		case e.Section == "Unit" && e.Key == "Before":
			for _, other := range strings.Fields(e.Value) {
				if slices.Contains(early, other) {
					return fmt.Sprintf("it comes before %s (%s), and may set up the host", other, file.Path), nil
				}
			}
		case e.Section == "Service" && e.Key == "Type" && e.Value == "oneshot" && !file.Shipped():
			return fmt.Sprintf("it is no server but sets something up (Type=oneshot in %s)", file.Path), nil
		}
	}
	return "", nil
}

func read(files *unitfile.Tree, name string) (unitfile.Unit, []unitfile.Entry, error) {
	file, err := files.Locate(name)
	if err != nil {
		return file, nil, err
	}
	entries, err := files.Entries(name)
	if err != nil {
		err = fmt.Errorf("cannot read the unit file of %s: %w", name, err)
	}
	return file, entries, err
}

// runs says which of the setters a service runs; empty: none.
func runs(file unitfile.Unit, entries []unitfile.Entry) string {
	for _, e := range entries {
		if e.Section != "Service" || !strings.HasPrefix(e.Key, "Exec") {
			continue
		}
		if p := starts(e.Value); p != "" {
			return fmt.Sprintf("%s runs %s (%s), and may set up the host, carry connections or let people in", file.Name, p, file.Path)
		}
	}
	return ""
}

// activates are the services that a socket, timer or path unit starts: named in
// its file, or of its own name, see systemd.socket(5).
func activates(name string, entries []unitfile.Entry) []string {
	if path.Ext(name) == ".service" {
		return nil
	}
	names := []string{stemOf(name) + ".service", stemOf(name) + "@.service"}
	for _, e := range entries {
		if e.Section == "Socket" && e.Key == "Service" || (e.Section == "Timer" || e.Section == "Path") && e.Key == "Unit" {
			names = append(names, e.Value)
		}
	}
	return slices.DeleteFunc(names, func(n string) bool { return !unitfile.ValidName(n) || path.Ext(n) != ".service" })
}

// starts returns the program of a command line that is one of the setters: the
// command itself, or a word of what a shell is given.
func starts(command string) string {
	words := strings.FieldsFunc(command, func(r rune) bool { return strings.ContainsRune(" \t;|&()'\"`", r) })
	for i, word := range words {
		if i == 0 {
			word = strings.TrimLeft(word, "-@:+!")
		}
		if base := path.Base(word); slices.Contains(setters, base) && (i == 0 || path.IsAbs(word) || isShell(words[0])) {
			return base
		}
	}
	return ""
}

func isShell(word string) bool {
	return slices.Contains([]string{"sh", "bash", "dash", "env", "nohup", "exec"}, path.Base(strings.TrimLeft(word, "-@:+!")))
}

// isNo is systemd's reading of a boolean.
func isNo(value string) bool {
	return slices.Contains([]string{"no", "n", "false", "f", "off", "0"}, strings.ToLower(value))
}
