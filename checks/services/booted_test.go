package services

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/rules"
)

// inside makes this test program, copied into a test host, judge that host.
var inside = flag.Bool("inside", false, "print the findings of the host this runs on")

// TestPrintFindings is the part of TestBootedHost that runs inside the host.
func TestPrintFindings(t *testing.T) {
	if !*inside {
		t.Skip("runs inside a test host only")
	}
	var tasks []checks.Task
	for _, rule := range rules.Embedded().Rules {
		for _, c := range Checks {
			if c.Name != rule.Check {
				continue
			}
			probe, err := c.Bind(func(into any) error { return rule.Params.Decode(into) })
			if err != nil {
				t.Fatal(err)
			}
			tasks = append(tasks, checks.Task{Rule: rule.ID, Needs: c.Needs, Probe: probe})
		}
	}
	for _, f := range checks.Run(context.Background(), host.New(host.Options{}), tasks, 10*time.Second) {
		fmt.Printf("FINDING %s %s %q %v\n", f.Rule, f.Status, f.Reason, f.Err)
	}
}

// TestBootedHost breaks a host in one way after the other: exactly the rules
// about that must fail, and name it.
func TestBootedHost(t *testing.T) {
	lab.Need(t, lab.Booted)
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := lab.Boot(t, lab.Before(func(h *lab.Host) {
		h.Install(self, "/root/services.test")
		h.Run("systemctl", "disable", "nginx.service", "exim4.service")
	}))
	for _, step := range []struct {
		name    string
		breaks  []string            // a command
		mends   []string            // its opposite
		failing map[string][]string // rule: what its reason must name
		by      []string            // what runs the look
	}{
		{name: "all is well"},
		{
			"a web server runs", []string{"systemctl", "start", "nginx.service"}, []string{"systemctl", "stop", "nginx.service"},
			map[string][]string{"SVC-001": {"nginx.service"}, "SVC-011": {"tcp 0.0.0.0:80", "tcp [::]:80"}}, nil,
		},
		{
			"a web server starts at boot", []string{"systemctl", "enable", "nginx.service"}, []string{"systemctl", "disable", "nginx.service"},
			map[string][]string{"SVC-001": {"nginx.service"}}, nil,
		},
		{
			"a job that listens", []string{"systemd-run", "--unit=job", "python3", "-m", "http.server", "8000"}, []string{"systemctl", "stop", "job.service"},
			map[string][]string{"SVC-010": {"job.service"}, "SVC-011": {"tcp 0.0.0.0:8000"}}, nil,
		},
		{
			"a socket unit for another server", []string{"sh", "-c", "printf '[Socket]\\nListenStream=631\\n' >/etc/systemd/system/cups.socket && printf '[Service]\\nExecStart=/bin/true\\n' >/etc/systemd/system/cups.service && systemctl daemon-reload && systemctl start cups.socket"},
			[]string{"systemctl", "stop", "cups.socket"},
			map[string][]string{"SVC-002": {"cups.socket"}, "SVC-011": {"tcp [::]:631"}}, nil,
		},
		{
			"a unit that poses as systemd's", []string{"sh", "-c", "printf '[Service]\\nExecStart=/bin/sleep 1d\\n' >/etc/systemd/system/systemd-helper.service && systemctl daemon-reload && systemctl start systemd-helper"},
			[]string{"systemctl", "stop", "systemd-helper.service"},
			map[string][]string{"SVC-010": {"systemd-helper.service"}}, nil,
		},
		{name: "all is well again"},
		{name: "in a transient unit of its own", by: []string{"systemd-run", "--wait", "--pipe", "--quiet"}},
	} {
		t.Run(step.name, func(t *testing.T) {
			h := h.For(t)
			if step.breaks != nil {
				h.Must(step.breaks...)
				defer h.Must(step.mends...)
			}
			if slices.Contains(step.breaks, "http.server") {
				h.Must("sh", "-c", "until ss -Hltn | grep -q :8000; do sleep 0.05; done")
			}
			out := h.Must(append(step.by, "/root/services.test", "-test.run=^TestPrintFindings$", "-test.v", "-inside")...)
			count := 0
			for line := range strings.Lines(out) {
				fields := strings.SplitN(strings.TrimSpace(line), " ", 4)
				if fields[0] != "FINDING" {
					continue
				}
				count++
				names, fails := step.failing[fields[1]]
				if fails != (fields[2] == "fail") || !fails && fields[2] != "pass" {
					t.Errorf("%s, want it to fail: %v", line, fails)
				}
				for _, name := range names {
					if !strings.Contains(fields[3], name) {
						t.Errorf("%s does not name %s", line, name)
					}
				}
			}
			if count != 11 {
				t.Errorf("%d findings, want 11", count)
			}
		})
	}
}
