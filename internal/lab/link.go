package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The addresses of a test host and of the network outside it, from a range kept
// for documentation: nothing of it leaves the two namespaces.
const (
	hostAddress    = "192.0.2.2"
	outsideAddress = "192.0.2.1"
	prefixLength   = "/24"
)

// link is a cable between two network namespaces of its own: the test host's
// and the outside's. Only this process holds them, so they end with it.
type link struct {
	host, outside *os.File
}

// newLink makes both namespaces, the cable and its two addresses.
func newLink() (*link, error) {
	host, err := newNetworkNamespace()
	if err != nil {
		return nil, err
	}
	outside, err := newNetworkNamespace()
	if err != nil {
		host.Close()
		return nil, err
	}
	l := &link{host: host, outside: outside}
	if err := l.connect(); err != nil {
		l.close()
		return nil, fmt.Errorf("cannot connect a test host: %w", err)
	}
	return l, nil
}

func (l *link) close() {
	l.host.Close()
	l.outside.Close()
}

func (l *link) connect() error {
	inHost, err := netlink.NewHandleAt(netns.NsHandle(l.host.Fd()))
	if err != nil {
		return err
	}
	defer inHost.Close()
	inOutside, err := netlink.NewHandleAt(netns.NsHandle(l.outside.Fd()))
	if err != nil {
		return err
	}
	defer inOutside.Close()

	attributes := netlink.NewLinkAttrs()
	attributes.Name = "eth0"
	err = inHost.LinkAdd(&netlink.Veth{
		LinkAttrs:     attributes,
		PeerName:      "eth0",
		PeerNamespace: netlink.NsFd(l.outside.Fd()),
	})
	if err != nil {
		return err
	}
	return errors.Join(
		bringUp(inHost, "lo", ""),
		bringUp(inHost, "eth0", hostAddress+prefixLength),
		bringUp(inOutside, "lo", ""),
		bringUp(inOutside, "eth0", outsideAddress+prefixLength))
}

// bringUp gives an interface its address, if any, and turns it on.
func bringUp(handle *netlink.Handle, name, address string) error {
	device, err := handle.LinkByName(name)
	if err != nil {
		return err
	}
	if address != "" {
		parsed, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		if err := handle.AddrAdd(device, parsed); err != nil {
			return err
		}
	}
	return handle.LinkSetUp(device)
}

// newNetworkNamespace makes a network namespace without changing this
// process's: a thread enters it and dies, the returned file keeps it.
func newNetworkNamespace() (*os.File, error) {
	type made struct {
		file *os.File
		err  error
	}
	done := make(chan made)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- made{err: fmt.Errorf("cannot make a network namespace: %w", err)}
			return
		}
		file, err := os.Open("/proc/thread-self/ns/net")
		done <- made{file: file, err: err}
	}()
	result := <-done
	return result.file, result.err
}
