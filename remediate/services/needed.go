package services

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/host"
)

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// resolvers are servers that may answer the host's own questions for names.
var resolvers = units("bind9 named named-* unbound dnsmasq pdns-recursor knot-resolver kresd@ coredns pdns nsd llmnrd dnscrypt-proxy* stubby")

// networkFiles are servers that the host's own mounts of network file systems need.
var networkFiles = units("rpcbind portmap rpc-statd rpc-* nfs-* smbd nmbd")

// needed says for what the host itself needs a unit of a kind of server; empty:
// nothing that can be seen.
func needed(ctx context.Context, h *host.Host, kind, name string) (string, error) {
	switch {
	case kind == "desktop":
		return needsDesktop(ctx, h)
	case covers(resolvers, name):
		return resolvesHere(h)
	case covers(networkFiles, name):
		return mountsNetworkFiles(ctx, h)
	}
	return "", nil
}

// needsDesktop: without SSH a desktop may be the only way in.
func needsDesktop(ctx context.Context, h *host.Host) (string, error) {
	live, err := h.Units(ctx, "ssh.service", "ssh.socket", "sshd.service")
	if err != nil {
		return "", err
	}
	for _, u := range live {
		if u.Active() {
			return "", nil
		}
	}
	return "SSH does not run, so it may be the only way in", nil
}

// resolvesHere: /etc/resolv.conf, see resolv.conf(5), may name this host itself.
func resolvesHere(h *host.Host) (string, error) {
	data, err := h.ReadFile("/etc/resolv.conf")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("cannot tell who resolves names for the host: %w", err)
	}
	servers := 0
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		servers++
		addr, err := netip.ParseAddr(words[1])
		if err == nil && addr.IsLoopback() && addr != netip.MustParseAddr("127.0.0.53") && addr != netip.MustParseAddr("127.0.0.54") {
			return "the host resolves names through " + words[1] + " (/etc/resolv.conf): name another server there first", nil
		}
	}
	if servers == 0 { // resolv.conf(5): the name server on the local machine
		return "/etc/resolv.conf names no server, so the host resolves names through itself: name one there first", nil
	}
	return "", nil
}

func mountsNetworkFiles(ctx context.Context, h *host.Host) (string, error) {
	mounts, err := h.Mounts(ctx)
	if err != nil {
		return "", err
	}
	for _, m := range mounts {
		if slices.Contains([]string{"nfs", "nfs4", "cifs", "smb3"}, m.Type) {
			return fmt.Sprintf("%s is mounted from the network (%s)", m.Point, m.Type), nil
		}
	}
	return "", nil
}
