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

// What schedule names is scheduled, runs, and goes when it is named no more.
func TestFixSchedulesWhatTheConfigurationNames(t *testing.T) {
	t.Parallel()
	h := bootGood(t)
	const config, table = "/etc/hostguard/hostguard.yaml", "/etc/cron.d/hostguard"
	before, empty := h.ReadFile(config), h.ReadFile(table)
	h.WriteFile(config, before+"schedule: {check: \"40 5 * * *\", key_reminder: \"20 7 * * 1\", log_copy: \"30 2 * * *\"}\n")
	if r, code := fixed(t, h, "--skip", "audit"); r.Outcome != applied || code != exitOK {
		t.Fatalf("%s, exit code %d: %s %+v", r.Outcome, code, r.Error, r.Person)
	}
	scheduled := h.ReadFile(table)
	for _, entry := range []string{
		"40 5 * * * root /usr/local/bin/hostguard watch audit --quiet\n",
		"20 7 * * 1 root /usr/local/bin/hostguard keys remind --quiet\n",
		"30 2 * * * root /usr/local/bin/hostguard logs copy\n",
	} {
		if !strings.Contains(scheduled, entry) {
			t.Errorf("%q is not in\n%s", entry, scheduled)
		}
	}
	if r, _ := fixed(t, h, "--skip", "audit"); r.Outcome != nothingToDo {
		t.Errorf("a second fix: %s %+v", r.Outcome, r.Steps)
	}

	h.Must("hostguard", "keys", "remind", "--within", "89d") // each key has been enrolled just now
	h.Must("hostguard", "watch", "audit", "--quiet")
	h.Must("sh", "-c", "cd /var/lib/hostguard/reports && for i in $(seq -w 40); do cp -n $(ls | tail -1) 2024-01-01T0000${i}Z.json; done; touch note .hostguard-x.tmp")
	h.Must("hostguard", "watch", "audit", "--quiet")
	kept := strings.Fields(h.Must("ls", "-A", "/var/lib/hostguard/reports"))
	if n := len(kept); n != keptReports+1 || kept[n-1] != "note" || kept[0] == "2024-01-01T000001Z.json" {
		t.Errorf("%d files are kept: %q", n, kept)
	}
	log := h.Must("journalctl", "--no-pager", "--output=cat", "--identifier=hostguard")
	if n := strings.Count(log, "AUD-002 cannot be determined"); n != 1 {
		t.Errorf("an audit rule, which cannot be seen in a container, is told of %d times:\n%s", n, log)
	}

	h.WriteFile(config, before)
	if r, code := fixed(t, h, "--skip", "audit"); r.Outcome != applied || code != exitOK {
		t.Fatalf("%s, exit code %d: %s", r.Outcome, code, r.Error)
	}
	if got := h.ReadFile(table); strings.Contains(got, "watch audit") || strings.Contains(got, "keys remind") || !strings.Contains(got, "logs copy") {
		t.Errorf("left: %s\nit was\n%s", got, empty)
	}
}
