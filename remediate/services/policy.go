package services

import (
	"path"
	"strings"

	"github.com/hostguard/hostguard/internal/unitfile"
)

// family is units that have one thing in common.
type family struct {
	why   string
	units []string // names without suffix, or patterns of them; "x@" covers instances
}

func units(names string) []string { return strings.Fields(names) }

// never are the units that no finding makes a fix stop.
var never = []family{
	{"people get in over it", units("ssh sshd ssh@ sshd@ sshd-* ssh-* dropbear dropbear@ tinysshd tinysshd@ regenerate_ssh_host_keys")},
	{"the connector runs on it", units("docker docker-* containerd containerd-* nvidia-* trueconnector trueconnector-*")},
	{"it is part of the network", units("networking network network-* ifup@ ifupdown-* ifplugd ifenslave* NetworkManager NetworkManager-* nm-* connman* iwd wpa_supplicant wpa_supplicant@ " +
		"dhclient dhclient@ dhcpcd dhcpcd@ wicked* netplan-* resolvconf* openresolv* ethtool teamd@ openvswitch* ovs-* ovsdb-server dnsmasq@ hostapd* " +
		"bird bird6 frr quagga zebra bgpd ospfd keepalived corosync pacemaker* pcsd*")},
	{"it is part of the firewall", units("nftables ufw firewalld iptables ip6tables ipset ferm shorewall shorewall6 shorewall-* netfilter-persistent ebtables arptables fail2ban sshguard crowdsec crowdsec-*")},
	{"audit and logs depend on it", units("auditd audit-* auditd-* augenrules rsyslog syslog syslog-ng syslog-ng@ logrotate")},
	{"it keeps the clock", units("chrony chrony-* chronyd chronyd-* ntp ntpd ntpsec ntpsec-* ntpdate openntpd")},
	{"the system depends on it", units("dbus dbus-* dbus@ polkit polkitd systemd-* udev initrd-* modprobe@ kmod kmod-* emergency rescue")},
	{"logins depend on it", units("getty@ serial-getty@ console-getty container-getty@ getty-static autovt@ user@ user-runtime-dir@ accounts-daemon pam_* sssd sssd-* sssd@ nscd nslcd " +
		"winbind winbindd oddjobd realmd nis ypbind ypserv yppasswdd slapd openldap dirsrv@ dirsrv-* krb5-* krb5kdc kadmin freeradius radiusd tacacs_plus samba-ad-dc")},
	{"disks and file systems depend on it", units("lvm2-* dm-event multipathd multipath-* mdadm mdadm-* mdmon@ mdmonitor mdmonitor-* mdcheck_* cryptdisks cryptdisks-* " +
		"open-iscsi iscsi iscsid iscsi-* zfs-* zpool-* btrfs-* blk-availability ceph-* glusterd glusterfsd")},
	{"scheduled jobs depend on it", units("cron crond cron.* cron-* anacron atd at")},
	{"software updates depend on it", units("apt-* unattended-upgrades packagekit* snapd snapd.* dpkg-* dnf-*")},
	{"it guards the host", units("apparmor apparmor-* selinux-* fapolicyd usbguard clamav-*")},
	{"the hypervisor or cloud reaches the host through it", units("qemu-guest-agent open-vm-tools vmtoolsd vgauth vgauthd run-vmblock-fuse hv-* hypervfcopyd hypervkvpd hypervvssd xe-* xenstored xenstore " +
		"walinuxagent waagent azure-* google-* gce-* ec2-* hibinit-agent amazon-ssm-agent cloud-* ds-identify droplet-agent vboxadd vboxadd-* virtualbox-guest-*")},
	{"it is hostguard's own", units("hostguard hostguard-*")},
}

// byKind says why a whole kind of server is a person's.
var byKind = map[string]string{
	"remote":     "somebody may reach the host through it; log in over SSH, make sure that nobody needs it, then systemctl disable --now it",
	"containers": "what it runs would end or go on unwatched; stop that first, then systemctl disable --now it",
}

// harmless are units of such kinds that run nothing of anybody's.
var harmless = units("podman podman-restart podman-auto-update podman-api io.podman")

// kept says why a unit must not be stopped by itself, going by its name and the
// kind of server it is; empty: it may be.
func kept(name, kind string) string {
	for _, f := range never {
		if covers(f.units, name) {
			return f.why
		}
	}
	if covers(harmless, name) {
		return ""
	}
	return byKind[kind]
}

// covers reports whether a list names a unit, whatever its suffix.
func covers(list []string, name string) bool {
	stem := stemOf(name)
	template := stemOf(unitfile.Template(name))
	for _, pattern := range list {
		if matches(pattern, stem) || template != "" && matches(pattern, template) {
			return true
		}
	}
	return false
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

func stemOf(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }
