package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks"
)

// On a host with docker: what a container left in its volume is copied for the
// reader, what it planted there is not.
func TestLogsCopyBooted(t *testing.T) {
	h := bootGood(t)
	h.Must("docker", "volume", "create", "trueconnector_connector_log")
	h.Must("sh", "-ec", `cd `+logVolume+`
mkdir -p log/ecc
for n in 1 2 3; do day=$(date -d "$n days ago" +%F); echo "$day" >log/ecc/ecc-$day.0.gz; done
echo now >log/ecc/ecc-$(date +%F).0.gz
touch -d '1 hour ago' log/ecc/*
ln -s /etc/shadow log/ecc/evil-$day.gz
ln log/ecc/ecc-$day.0.gz log/ecc/twice-$day.0.gz
mkfifo log/ecc/fifo-$day.gz
truncate -s 100G log/ecc/large-$day.gz
ln -s /var/log log/elsewhere
`)
	day := strings.TrimSpace(h.Must("date", "-d", "3 days ago", "+%F"))
	copied := "/srv/tc_logs/ecc-lab+log+ecc+ecc-"

	dry := h.Run("hostguard", "logs", "copy", "--dry-run")
	if dry.Code != exitFindings || h.Must("ls", "-A", "/srv/tc_logs") != "" {
		t.Errorf("a dry run: exit code %d, wrote %s", dry.Code, h.Must("ls", "-A", "/srv/tc_logs"))
	}
	r := h.Run("hostguard", "logs", "copy")
	if r.Code != exitFindings {
		t.Errorf("exit code %d, want %d for what is refused", r.Code, exitFindings)
	}
	for _, words := range []string{"evil-" + day + ".gz of ecc-lab: it is a symbolic link", "fifo-", "107374182400 bytes", "twice-"} {
		if !strings.Contains(r.Stderr, words) {
			t.Errorf("it does not say %q:\n%s", words, r.Stderr)
		}
	}
	if log := h.Must("journalctl", "--no-pager", "-t", "hostguard"); !strings.Contains(log, "log copy: 5 not copied") {
		t.Errorf("syslog was told:\n%s", log)
	}
	names := strings.Fields(h.Must("ls", "-A", "/srv/tc_logs"))
	if len(names) != 2 { // that of three days ago has two names
		t.Errorf("copied: %q", names)
	}

	h.Must("sh", "-ec", "cd "+logVolume+"/log/ecc; rm evil-* twice-* fifo-* large-*")
	if r := h.Run("hostguard", "logs", "copy"); r.Code != exitOK || !strings.Contains(r.Stdout, "copied: ecc-lab+log+ecc+ecc-"+day+".0.gz") {
		t.Errorf("a day that was missed: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	before := h.Must("sh", "-c", "stat -c '%n %i %y %z' /srv/tc_logs /srv/tc_logs/*")
	var told struct {
		Present int
		Copied  []any
	}
	if err := json.Unmarshal([]byte(h.Must("hostguard", "logs", "copy", "--format", "json")), &told); err != nil || told.Present != 3 || len(told.Copied) != 0 {
		t.Errorf("the next run: %+v, %v", told, err)
	}
	if after := h.Must("sh", "-c", "stat -c '%n %i %y %z' /srv/tc_logs /srv/tc_logs/*"); after != before {
		t.Errorf("the next run changed something:\n%s\n%s", before, after)
	}

	as := func(user, group, script string) int {
		return h.Run("setpriv", "--reuid="+user, "--regid="+group, "--clear-groups", "sh", "-c", script).Code
	}
	if got := h.Must("setpriv", "--reuid=tclogs", "--regid=tclogs", "--clear-groups", "cat", copied+day+".0.gz"); got != day+"\n" {
		t.Errorf("the reader reads %q", got)
	}
	for _, script := range []string{"echo x >>" + copied + day + ".0.gz", "rm -f " + copied + day + ".0.gz", "touch /srv/tc_logs/x", "chmod 777 /srv/tc_logs", "cat " + logVolume + "/log/ecc/ecc-" + day + ".0.gz"} {
		if as("tclogs", "tclogs", script) == 0 {
			t.Errorf("the reader can: %s", script)
		}
	}
	if as("operator", "users", "cat "+copied+day+".0.gz") == 0 {
		t.Error("others can read copies")
	}
	report, _ := audited(t, h)
	for _, rule := range []string{"LRD-001", "LRD-002", "LRD-003", "LRD-004", "LRD-005"} {
		if got := statuses(report)[rule]; got != checks.Pass {
			t.Errorf("%s is %v: %s", rule, got, findingText(report, rule))
		}
	}
	// Old ones go when the configuration says so, and are not copied again.
	h.WriteFile("/etc/hostguard/hostguard.yaml", strings.Replace(h.ReadFile("/etc/hostguard/hostguard.yaml"), "reader: tclogs", "reader: tclogs, keep: 2d", 1))
	for range 2 {
		h.Must("hostguard", "logs", "copy")
		if names := strings.Fields(h.Must("ls", "-A", "/srv/tc_logs")); len(names) != 2 {
			t.Errorf("kept: %q", names)
		}
	}
}
