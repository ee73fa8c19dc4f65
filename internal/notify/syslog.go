package notify

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"
)

// SyslogSocket is where the local syslog daemon, or systemd's journal, listens.
const SyslogSocket = "/dev/log"

// maxSyslog is the length of a line that every syslog daemon takes, see
// RFC 5424, 6.1.
const maxSyslog = 2000

// Syslog writes to the local syslog socket, a datagram for each item: the form
// of syslog(3), without a host's name. The severity is the item's.
func Syslog(socket string) Channel {
	return Channel{"syslog", func(ctx context.Context, m Message) error {
		conn, err := dialSyslog(ctx, socket)
		if err != nil {
			return err
		}
		defer conn.Close()
		if deadline, ok := ctx.Deadline(); ok {
			conn.SetWriteDeadline(deadline) // a datagram waits when the daemon does not read
		}
		for i, line := range m.lines() {
			level := m.Level()
			if i < len(m.Items) && i < maxLines {
				level = m.Items[i].Level
			}
			text := fmt.Sprintf("<%d>%s hostguard[%d]: %s: %s", daemonFacility|severity(level), m.Time.Local().Format(time.Stamp), os.Getpid(), m.Topic, line)
			if _, err := conn.Write([]byte(text[:min(len(text), maxSyslog)])); err != nil {
				return err
			}
		}
		return nil
	}}
}

// dialSyslog tries datagrams first, as every daemon of today takes them.
func dialSyslog(ctx context.Context, socket string) (net.Conn, error) {
	var errs []error
	for _, network := range []string{"unixgram", "unix"} {
		conn, err := new(net.Dialer).DialContext(ctx, network, socket)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errs[0]
}

const daemonFacility = 3 << 3

// severity is that of syslog(3).
func severity(l Level) int {
	switch l {
	case Critical:
		return 2
	case Unknown:
		return 3
	case Warning:
		return 4
	}
	return 5 // notice
}
