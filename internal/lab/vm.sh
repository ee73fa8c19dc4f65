# Turns the tree of a good host into that of a virtual machine.
# Arguments: the tree, then the packages to install in it.

tree=$1
shift

cp /etc/resolv.conf "$tree/etc/resolv.conf"
apt-config dump | grep -E '^Acquire::(http|https|ftp|Check|Retries)' >"$tree/etc/apt/apt.conf.d/99machine" || true
printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
chmod 755 "$tree/usr/sbin/policy-rc.d"

unshare --mount --pid --fork --kill-child sh -eu -s -- "$tree" "$@" <<'INSIDE'
tree=$1
shift
mount -t proc proc "$tree/proc"
export DEBIAN_FRONTEND=noninteractive
chroot "$tree" apt-get -q update
chroot "$tree" apt-get -q -y --no-install-recommends \
	-o Dpkg::Options::=--force-unsafe-io -o Dpkg::Options::=--force-confold install "$@" </dev/null
chroot "$tree" apt-get clean
chroot "$tree" systemctl --quiet enable systemd-networkd.service lab-time.service
INSIDE

rm -rf "$tree"/var/lib/apt/lists/* "$tree"/usr/share/doc/* "$tree"/usr/share/man/*
rm -f "$tree/usr/sbin/policy-rc.d" "$tree/etc/apt/apt.conf.d/99machine" "$tree/etc/resolv.conf"
printf 'services: {allow: [df-watch.timer, lab-time.service, qemu-guest-agent.service]}\n' >>"$tree/etc/hostguard/hostguard.yaml"
