package main

import (
	"strings"
	"testing"
)

// ownWatch takes somebody else's storage watch out of the configuration.
func ownWatch(h testHost) {
	h.Must("sed", "-i", "/^storage:/d", "/etc/hostguard/hostguard.yaml")
}

// The storage watch is scheduled however the host can start it, works, and goes
// again without a trace.
func TestFixSchedulesTheStorageWatch(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before func(testHost)
		want   string // what starts it
	}{
		"with cron disabled, and entries of somebody's in the table": {func(h testHost) {
			h.Must("systemctl", "disable", "--now", "cron.service")
			h.WriteFile("/etc/cron.d/hostguard", "MAILTO=ops\n7 * * * * root /usr/bin/true")
		}, "/etc/cron.d/hostguard"},
		"without cron": {func(h testHost) {
			h.Must("systemctl", "disable", "--now", "cron.service")
			h.Must("rm", "/lib/systemd/system/cron.service", "/etc/init.d/cron")
			h.Must("systemctl", "daemon-reload")
		}, "hostguard-storage.timer"},
		"with cron masked, at times of its own": {func(h testHost) {
			h.Must("systemctl", "mask", "--now", "cron.service")
			h.Must("sh", "-c", "echo 'schedule: {storage_watch: \"*/5 * * * *\"}' >>/etc/hostguard/hostguard.yaml")
		}, "hostguard-storage.timer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := bootGood(t)
			ownWatch(h)
			tt.before(h)
			if !fixAndUndo(t, h, "STO-003") {
				t.Fatal("it was not mended")
			}
			// And once more, to look at what it is that runs.
			if r, code := fixed(t, h, "--only", "STO-003"); r.Outcome != applied || code != exitOK {
				t.Fatalf("%s, exit code %d: %s", r.Outcome, code, r.Error)
			}
			if strings.HasSuffix(tt.want, ".timer") {
				h.Must("systemctl", "is-active", tt.want)
				h.Must("systemctl", "is-enabled", tt.want)
				h.Must("systemd-analyze", "verify", "/etc/systemd/system/hostguard-storage.service", "/etc/systemd/system/"+tt.want)
				h.Must("rm", "/var/lib/hostguard/watch-storage/succeeded")
				if h.Run("systemctl", "start", "hostguard-storage.service").Code != 0 {
					t.Fatal(h.Run("journalctl", "--no-pager", "-u", "hostguard-storage.service").Stdout)
				}
				h.Must("test", "-e", "/var/lib/hostguard/watch-storage/succeeded")
			} else if table := h.ReadFile(tt.want); !strings.Contains(table, "*/10 * * * * root /usr/local/bin/hostguard watch storage --quiet\n") {
				t.Errorf("%s:\n%s", tt.want, table)
			}
		})
	}
}
