package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/iptables"
	"github.com/hostguard/hostguard/internal/nftables"
)

type netfilterFacts struct {
	packetFilter fact[*nftables.Ruleset]
}

// PacketFilter returns the rules of the kernel's packet filter in the network
// namespace of hostguard: nftables' (iptables-nft's are among them), and those
// of legacy iptables. It needs root.
func (h *Host) PacketFilter(ctx context.Context) (*nftables.Ruleset, error) {
	if !h.Running() {
		return nil, ErrNotRunning
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("cannot see the packet filter's rules: %w", ErrNotRoot)
	}
	return h.packetFilter.get(ctx, readPacketFilter)
}

func readPacketFilter(ctx context.Context) (*nftables.Ruleset, error) {
	messages, err := nftablesMessages(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list the rules of nftables: %w", err)
	}
	rules, err := nftables.Decode(messages)
	if err != nil {
		return nil, fmt.Errorf("cannot read the rules of nftables: %w", err)
	}
	for _, of := range []struct {
		list string
		v6   bool
	}{{"/proc/thread-self/net/ip_tables_names", false}, {"/proc/thread-self/net/ip6_tables_names", true}} {
		names, err := os.ReadFile(of.list)
		if errors.Is(err, fs.ErrNotExist) { // its module is not there
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot tell whether legacy iptables has rules: %w", err)
		}
		for _, table := range strings.Fields(string(names)) {
			chains, err := legacyTable(table, of.v6)
			if err != nil {
				return nil, fmt.Errorf("cannot read the table %s of legacy iptables (%s): %w", table, of.list, err)
			}
			for _, c := range chains {
				rules.Add(c)
			}
		}
	}
	return rules, nil
}

// netfilterSubsystem is NFNL_SUBSYS_NFTABLES, in the upper byte of messages.
const netfilterSubsystem = 10 << 8

// maxRuleBytes bounds what the kernel lists: 10,000 rules are some megabytes.
const maxRuleBytes = 64 << 20

var errRulesChange = errors.New("they change while they are read")

// nftablesMessages lists everything as of one moment: the kernel counts the
// generations of its ruleset.
func nftablesMessages(ctx context.Context) ([]nftables.Message, error) {
	n, err := dialNetlink(unix.NETLINK_NETFILTER, maxRuleBytes)
	if err != nil {
		return nil, err
	}
	defer n.close()
	for range 5 {
		messages, err := n.rules(ctx)
		if !errors.Is(err, errRulesChange) && !errors.Is(err, unix.EINTR) {
			return messages, err
		}
	}
	return nil, errRulesChange
}

func (n *netlinkSocket) rules(ctx context.Context) ([]nftables.Message, error) {
	n.left = maxRuleBytes
	generation, err := n.generation()
	if err != nil {
		return nil, err
	}
	var all []nftables.Message
	ask := func(kind uint16, body []byte) error {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		return n.dump(netfilterSubsystem|kind, body, func(kind uint16, body []byte) {
			all = append(all, nftables.Message{Type: kind &^ 0xff00, Body: body})
		})
	}
	for _, kind := range []uint16{nftables.MsgGetTable, nftables.MsgGetChain, nftables.MsgGetSet, nftables.MsgGetRule} {
		if err := ask(kind, []byte{unix.AF_UNSPEC, 0, 0, 0}); err != nil {
			return nil, err
		}
	}
	sets, err := nftables.Sets(all)
	if err != nil {
		return nil, err
	}
	for _, s := range sets {
		err := ask(nftables.MsgGetSetElem, nftables.GetSetElem(s))
		if errors.Is(err, unix.ENOENT) {
			return nil, errRulesChange
		}
		if err != nil {
			return nil, err
		}
	}
	if now, err := n.generation(); err != nil || now != generation {
		return nil, errors.Join(err, errRulesChange)
	}
	return all, nil
}

func (n *netlinkSocket) generation() (string, error) {
	var id string
	err := n.ask(netfilterSubsystem|nftables.MsgGetGen, []byte{unix.AF_UNSPEC, 0, 0, 0}, func(_ uint16, body []byte) { id = string(body) })
	return id, err
}

// legacyTable reads one table of legacy iptables.
func legacyTable(table string, v6 bool) ([]*nftables.Chain, error) {
	const getInfo, getEntries = 64, 65 // IPT_BASE_CTL and the next, the same for both families
	if len(table) >= iptables.NameSize {
		return nil, errors.New("its name is too long")
	}
	family, level := unix.AF_INET, unix.IPPROTO_IP
	if v6 {
		family, level = unix.AF_INET6, unix.IPPROTO_IPV6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for range 5 { // it may grow meanwhile
		buf := make([]byte, iptables.InfoSize)
		copy(buf, table)
		if err := getsockopt(fd, level, getInfo, buf); err != nil {
			return nil, err
		}
		info, err := iptables.ParseInfo(buf)
		if err != nil {
			return nil, err
		}
		if info.Size > maxRuleBytes {
			return nil, fmt.Errorf("%w: it has %d bytes", ErrTooLarge, info.Size)
		}
		buf = make([]byte, iptables.EntriesHeader+int(info.Size))
		copy(buf, table)
		*(*uint32)(unsafe.Pointer(&buf[iptables.NameSize])) = info.Size
		err = getsockopt(fd, level, getEntries, buf)
		if errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return iptables.Decode(table, v6, info, buf[iptables.EntriesHeader:])
	}
	return nil, errRulesChange
}

// getsockopt asks for a structure whose beginning says what is asked for.
func getsockopt(fd, level, option int, buf []byte) error {
	size := uint32(len(buf))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&size)), 0)
	runtime.KeepAlive(buf)
	if errno != 0 {
		return errno
	}
	return nil
}
