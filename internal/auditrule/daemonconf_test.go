package auditrule

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/lab"
)

// space is what auditd needs to start at all.
const daemonSpace = "space_left = 75\nadmin_space_left = 50\n"

func TestDaemonConf(t *testing.T) {
	t.Parallel()
	conf, err := ParseDaemonConf("f", []byte(daemonSpace+"# c\nspace_left_action = EXEC /bin/x\nnum_logs = 5\n num_logs = 6\ndisk_full_action = suspend"))
	if err != nil || conf.Get("num_logs").Value != "6" || conf.Get("num_logs").Pos.Line != 6 || conf.Get("space_left_action").Option != "/bin/x" ||
		conf.Get("disk_full_action").Value != "ignore" || conf.Get("disk_full_action").Pos.Line != 0 {
		t.Errorf("%v %v", conf, err)
	}
	for text, line := range map[string]int{
		daemonSpace + "nosuch = 5\n":             3,
		"admin_space_left = 75\nspace_left = 75": 1, // the second line does not end: space_left is 0
		"space_left = 5\nadmin_space_left = 5\n": 2,
		"# nothing is set\n":                     0,
	} {
		var refused *LineError
		if _, err := ParseDaemonConf("f", []byte(text)); !errors.As(err, &refused) || refused.Pos != (Pos{"f", line}) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// daemonConfCases are what auditd is asked about.
func daemonConfCases() []string {
	cases := []string{"#\n", "space_left = 5%\nadmin_space_left = 10%\n", "space_left = 5%\nadmin_space_left = 10\n", "space_left = 0%\nadmin_space_left = 0%\n",
		"space_left = 10\nadmin_space_left = 10\n", "bogus = 1"}
	for _, line := range []string{
		"", "bogus = 1", "bogus", "num_logs=5", "num_logs =", "num_logs = 5 6", "num_logs = 5\t", "num_logs = 5\r", "num_logs = 999", "num_logs = 1000", "num_logs = +5", "num_logs = -5",
		"max_log_file = 99999999999999999999", "freq = 2147483648", "freq = 2147483647", "flush = incremental", "flush = INCREMENTAL_async\nfreq = 1", "flush = sync", "flush = often",
		"space_left = %", "space_left = 5%5%", "space_left = 100%", "space_left = 99%", "space_left = 5M", "space_left = 50", "admin_space_left = 75", "admin_space_left = 74",
		"space_left_action = email", "space_left_action = exec", "space_left_action = exec true", "space_left_action = exec /bin/true", "space_left_action = mail", "space_left_action = syslog a b c",
		"admin_space_left_action = halt", "disk_full_action = email", "disk_full_action = rotate", "disk_error_action = rotate", "disk_error_action = email", "disk_error_action = Single",
		"max_log_file_action = keep_logs", "max_log_file_action = email", "log_format = nolog", "log_format = plain", "local_events = maybe", "write_logs = 1",
		"action_mail_acct = x", "action_mail_acct = a b", "action_mail_acct = a!b", "action_mail_acct = a@b", "action_mail_acct = a.b@c", "action_mail_acct = x\nverify_email = no", "verify_email = no\naction_mail_acct = x",
		"name_format = user", "name_format = user\nname = x", "name_format = fqdn", "overflow_action = exec", "overflow_action = suspend", "q_depth = 99999", "q_depth = 100000", "max_restarts = x",
		"tcp_listen_queue = 0", "tcp_max_per_addr = 1025", "tcp_client_ports = 5-1", "tcp_client_ports = 1-5", "tcp_client_ports = 7", "tcp_client_ports = 7-", "tcp_client_ports = 70000", "tcp_client_max_idle = x",
		"use_libwrap = x", "transport = udp", "transport = krb5", "enable_krb5 = x", "distribute_network = x", "end_of_event_timeout = -1", "priority_boost = 99999999999",
		"disp_qos = zzz", "dispatcher = zzz", "log_file = audit.log", "log_file = /audit.log",
	} {
		cases = append(cases, daemonSpace+line+"\n")
	}
	return cases
}

// auditd is asked about each configuration; it takes no events and writes no logs.
func TestDaemonConfAsAuditd(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Audit)
	for _, text := range daemonConfCases() {
		text = "local_events = no\nwrite_logs = no\n" + text
		_, err := ParseDaemonConf("auditd.conf", []byte(text))
		if taken := auditdTakes(t, text); taken != (err == nil) {
			t.Errorf("%q: auditd takes it: %v; we say %v", text, taken, err)
		}
	}
}

// auditdTakes reports whether auditd starts with a configuration.
func auditdTakes(t *testing.T, text string) bool {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "auditd.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/sbin/auditd", "-f", "-s", "nochange", "-c", dir)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	limit := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	started := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "Init complete") {
			started = true
			_ = cmd.Process.Kill() // what it would do to end orderly does not matter
		}
	}
	_ = cmd.Wait()
	return started
}
