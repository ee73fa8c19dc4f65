package audit

import (
	"context"
	"path"
	"strings"

	"github.com/hostguard/hostguard/internal/host"
)

// sshConfiguration are the files that sshd reads, and the folders whose content
// decides which.
func sshConfiguration(ctx context.Context, h *host.Host) ([]place, string, error) {
	servers, err := h.SSHServers(ctx)
	if err != nil {
		return nil, "", err
	}
	if len(servers.SSHDs) == 0 {
		return nil, "No OpenSSH server is installed.", nil
	}
	found := []place{{what: "sshd's folder", path: "/etc/ssh"}}
	for _, d := range servers.SSHDs {
		if d.Err != nil {
			return nil, "", d.Err
		}
		for _, f := range d.Config.Files {
			found = append(found, place{what: "sshd's configuration", path: f})
		}
		for _, f := range d.Config.Folders {
			found = append(found, place{what: "sshd's drop-ins", path: f})
		}
	}
	return found, "", nil
}

// timePaths are configuration whatever the daemon; those that exist count.
var timePaths = []string{
	"/etc/chrony", "/etc/chrony.conf", "/etc/systemd/timesyncd.conf", "/etc/systemd/timesyncd.conf.d",
	"/etc/ntpsec", "/etc/ntp.conf", "/etc/ntpd.conf", "/etc/localtime",
}

// timeConfiguration are the files of the time daemon and of the time zone. What
// lies below /run comes from the network's own configuration and changes with
// it.
func timeConfiguration(ctx context.Context, h *host.Host) ([]place, string, error) {
	daemons, err := h.TimeSources(ctx)
	if err != nil {
		return nil, "", err
	}
	var found []place
	for _, name := range timePaths {
		found = append(found, place{what: "time configuration", path: name})
	}
	add := func(name string) {
		if path.IsAbs(name) && !strings.HasPrefix(name, "/run/") {
			found = append(found, place{what: "time configuration", path: name})
		}
	}
	for _, d := range daemons {
		add(d.Config)
		for _, s := range d.Sources {
			add(s.File)
		}
	}
	return found, "", nil
}
