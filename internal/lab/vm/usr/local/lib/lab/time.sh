# An NTP server at 192.0.2.1 that serves this host's own time.
set -eu
ip netns del time 2>/dev/null || true
ip netns add time
ip link add time0 type veth peer name eth0 netns time
ip addr add 192.0.2.2/24 dev time0
ip link set time0 up
ip -n time addr add 192.0.2.1/24 dev eth0
ip -n time link set lo up
ip -n time link set eth0 up
install -d -m 750 -o _chrony -g _chrony /run/chrony
exec ip netns exec time chronyd -x -d 'local stratum 2' 'allow all' 'cmdport 0' 'bindcmdaddress /' \
	'user root' 'pidfile /run/chrony/time.pid'
