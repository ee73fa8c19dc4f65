# Makes the Debian tree that test hosts are copies of.
# Arguments: the folder to make; the packages to install in it; those to take
# from the next release of Debian. Mirror and proxy are those of this machine's apt.

tree=$1
packages=$2
packages_of_next=$3
release=bookworm
next=trixie

sources=$(apt-get indextargets --format 'deb $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' 'Component: main' 2>/dev/null |
	grep -E "^deb http[^ ]*/debian[^ ]* $release(-updates|-security)? main\$" | sort -u || true)
if ! echo "$sources" | grep -q " $release main"; then
	sources="deb http://deb.debian.org/debian $release main
deb http://deb.debian.org/debian-security $release-security main"
fi
mirror=$(echo "$sources" | awk -v release="$release" '$3 == release { print $2; exit }')

proxy=$(apt-config shell proxy Acquire::http::Proxy)
eval "$proxy"
if [ -n "${proxy:-}" ]; then export http_proxy="$proxy"; fi

debootstrap --variant=minbase "$release" "$tree" "$mirror"

echo "$sources" >"$tree/etc/apt/sources.list"
apt-config dump | grep -E '^Acquire::(http|https|ftp|Check|Retries)' >"$tree/etc/apt/apt.conf.d/99machine" || true
cp /etc/resolv.conf "$tree/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
chmod 755 "$tree/usr/sbin/policy-rc.d"
echo lab >"$tree/etc/hostname"
printf '127.0.0.1 localhost lab\n::1 localhost\n' >"$tree/etc/hosts"

# In its own process and mount namespaces: /proc goes with them, and so does
# whatever a package's script may start.
echo "deb $mirror $next main" >"$tree/etc/apt/sources.list.d/next.list"
echo "APT::Default-Release \"$release\";" >"$tree/etc/apt/apt.conf.d/99release"
unshare --mount --pid --fork --kill-child sh -eu -s -- "$tree" "$packages" "$packages_of_next" "$next" <<'INSIDE'
tree=$1 packages=$2 packages_of_next=$3 next=$4
mount -t proc proc "$tree/proc"
export DEBIAN_FRONTEND=noninteractive
chroot "$tree" apt-get -q update
install() { chroot "$tree" apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io install "$@" </dev/null; }
# shellcheck disable=SC2086 # lists of words
install $packages
for package in $packages_of_next; do install "$package/$next"; done
chroot "$tree" apt-get clean
INSIDE

rm -rf "$tree"/var/lib/apt/lists/* "$tree"/usr/share/doc/* "$tree"/usr/share/man/* "$tree"/usr/share/locale/*
rm -f "$tree/usr/sbin/policy-rc.d" "$tree/etc/apt/apt.conf.d/99machine" "$tree/etc/resolv.conf" \
	"$tree/etc/apt/sources.list.d/next.list" "$tree/etc/apt/apt.conf.d/99release"
# Written at each host's first boot. Missing would mean "first boot" to systemd.
: >"$tree/etc/machine-id"
