package auditrule

import (
	"bytes"
	"fmt"
	"strings"
)

// DaemonConf is auditd.conf(5) as auditd 3.0.9 reads it.
type DaemonConf struct {
	settings map[string]DaemonSetting
}

// DaemonSetting is one value and where it stands.
type DaemonSetting struct {
	Value  string
	Option string // of the actions: the program of exec, the folder to keep free …
	Pos    Pos    // Line is 0 for a default
}

// daemonDefaults are auditd's own, where nothing is written (clear_config).
var daemonDefaults = map[string]string{
	"local_events": "yes", "write_logs": "yes", "log_file": "/var/log/audit/audit.log", "log_format": "enriched",
	"flush": "none", "freq": "0", "num_logs": "0", "max_log_file": "0", "max_log_file_action": "ignore",
	"space_left": "0", "space_left_action": "ignore", "admin_space_left": "0", "admin_space_left_action": "ignore",
	"disk_full_action": "ignore", "disk_error_action": "syslog", "action_mail_acct": "root", "overflow_action": "syslog",
	"q_depth": "2000", "max_restarts": "10", "priority_boost": "4", "verify_email": "yes", "name_format": "none",
}

// daemonKeywords are all that auditd knows, with whether they take an option.
var daemonKeywords = map[string]bool{
	"local_events": false, "write_logs": false, "log_file": false, "log_format": false, "log_group": false,
	"flush": false, "freq": false, "num_logs": false, "dispatcher": false, "name_format": false, "name": false,
	"disp_qos": false, "max_log_file": false, "max_log_file_action": false, "space_left": false,
	"space_left_action": true, "action_mail_acct": false, "verify_email": false, "admin_space_left": false,
	"admin_space_left_action": true, "disk_full_action": true, "disk_error_action": true, "priority_boost": false,
	"tcp_listen_port": false, "tcp_listen_queue": false, "tcp_max_per_addr": false, "use_libwrap": false,
	"tcp_client_ports": false, "tcp_client_max_idle": false, "transport": false, "enable_krb5": false,
	"krb5_principal": false, "krb5_key_file": false, "distribute_network": false, "q_depth": false,
	"overflow_action": false, "max_restarts": false, "plugin_dir": false, "end_of_event_timeout": false,
	"report_interval": false, // since 3.1
}

// maxDaemonLine is the longest line that auditd reads; it skips longer ones.
const maxDaemonLine = 158

// ParseDaemonConf reads auditd.conf. Where a setting is repeated, the last
// wins. The error is a *LineError where auditd would not start; its line is 0
// when nothing that is written is at fault, but what is not. Like auditd it
// leaves out a last line that does not end.
func ParseDaemonConf(file string, data []byte) (DaemonConf, error) {
	conf := DaemonConf{settings: map[string]DaemonSetting{}}
	number := 0
	for chunk := range bytes.Lines(data) {
		text, ended := strings.CutSuffix(string(chunk), "\n")
		if !ended {
			break
		}
		number++
		pos := Pos{file, number}
		words := splitSpaces(text)
		if len(chunk) > maxDaemonLine+1 || len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		refuse := func(format string, args ...any) (DaemonConf, error) {
			return DaemonConf{}, &LineError{Pos: pos, Text: text, Reason: fmt.Sprintf(format, args...)}
		}
		name := lower(words[0])
		takesOption, known := daemonKeywords[name]
		switch {
		case len(words) < 3 || words[1] != "=":
			return refuse("it is not of the form NAME = VALUE")
		case !known:
			return refuse("auditd knows no %q", words[0])
		case len(words) > 3 && !takesOption:
			return refuse("%s takes one value", name)
		}
		setting := DaemonSetting{Value: words[2], Pos: pos}
		if len(words) > 3 {
			setting.Option = words[3]
		}
		if refuses := daemonValues[name]; refuses != nil {
			if why := refuses(setting); why != "" {
				return refuse("%s: %s", name, why)
			}
		}
		if name == "action_mail_acct" && lower(conf.Get("verify_email").Value) == "yes" { // as set so far
			if why := mailProblem(setting.Value); why != "" {
				return refuse("%s: %s", name, why)
			}
		}
		conf.settings[name] = setting
	}
	if number > 0 {
		if refused := conf.together(); refused != nil {
			refused.Pos.File = file
			return DaemonConf{}, refused
		}
	}
	return conf, nil
}

// splitSpaces splits at spaces only, as auditd does.
func splitSpaces(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' })
}

// Get returns a setting, auditd's default when nothing is written.
func (c DaemonConf) Get(name string) DaemonSetting {
	if s, ok := c.settings[name]; ok {
		return s
	}
	return DaemonSetting{Value: daemonDefaults[name]}
}
