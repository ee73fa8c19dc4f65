#!/bin/sh
# Installs the packages that tests need on this machine: those marked "machine"
# in packages.txt that are missing. Asks the package lists to be fetched only
# when a package is unknown. Starts no service of what it installs.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
missing=
for package in $(sed -n 's/^machine[[:space:]]\{1,\}//p' "$here/packages.txt"); do
	dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
		missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "cannot install$missing: not root; tests that need them are skipped" >&2
	exit 0
fi

for package in $missing; do
	if ! apt-cache show --no-all-versions "$package" >/dev/null 2>&1; then
		apt-get update -q
		break
	fi
done

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	trap 'exit 1' HUP INT TERM
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing </dev/null
