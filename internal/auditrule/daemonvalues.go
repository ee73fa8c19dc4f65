package auditrule

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// daemonValue says why auditd refuses a value, "" when it takes it; what it
// asks of the host beyond, such as that a program exists, is not looked at.
type daemonValue func(s DaemonSetting) string

// daemonValues are the settings of which auditd does not take every value.
var daemonValues = map[string]daemonValue{
	"local_events": yesNo, "write_logs": yesNo, "verify_email": yesNo, "use_libwrap": yesNo, "distribute_network": yesNo, "enable_krb5": yesNo,

	"num_logs": number(0, 999), "q_depth": number(0, 99999), "max_log_file": number(0, math.MaxUint64), "end_of_event_timeout": number(0, math.MaxUint64),
	"freq": number(0, math.MaxInt32), "priority_boost": number(0, math.MaxInt32), "max_restarts": number(0, math.MaxInt32),
	"tcp_client_max_idle": number(0, math.MaxInt32), "tcp_listen_port": number(1, 65535), "tcp_listen_queue": number(1, 65535),
	"tcp_max_per_addr": number(1, 1024), "tcp_client_ports": ports, "space_left": space, "admin_space_left": space,

	"log_format":          words("raw", "nolog", "enriched"),
	"flush":               words("none", "incremental", "incremental_async", "data", "sync"),
	"name_format":         words("none", "hostname", "fqd", "numeric", "user"),
	"overflow_action":     words("ignore", "syslog", "suspend", "single", "halt"),
	"transport":           words("tcp", "krb5"),
	"max_log_file_action": action("ignore", "syslog", "suspend", "rotate", "keep_logs", "exec"), // exec: since 4.0

	"space_left_action":       action("ignore", "syslog", "rotate", "email", "exec", "suspend", "single", "halt"),
	"admin_space_left_action": action("ignore", "syslog", "rotate", "email", "exec", "suspend", "single", "halt"),
	"disk_full_action":        action("ignore", "syslog", "rotate", "exec", "suspend", "single", "halt"),
	"disk_error_action":       action("ignore", "syslog", "exec", "suspend", "single", "halt"),

	"log_file": func(s DaemonSetting) string {
		if dir := path.Dir(s.Value); len(dir) < 4 {
			return fmt.Sprintf("the name of the folder %q is too short", dir)
		}
		return ""
	},
}

func yesNo(s DaemonSetting) string { return words("yes", "no")(s) }

func words(known ...string) daemonValue {
	return func(s DaemonSetting) string {
		if slices.Contains(known, lower(s.Value)) {
			return ""
		}
		return fmt.Sprintf("%q is none of %s", s.Value, strings.Join(known, ", "))
	}
}

// action is a word, after "exec" an absolute path.
func action(known ...string) daemonValue {
	return func(s DaemonSetting) string {
		if lower(s.Value) == "exec" && !path.IsAbs(s.Option) {
			return "exec wants the absolute path of a program"
		}
		return words(known...)(s)
	}
}

func number(low, high uint64) daemonValue {
	return func(s DaemonSetting) string {
		n, err := strconv.ParseUint(s.Value, 10, 64)
		if err != nil || s.Value[0] == '+' || n < low || n > high {
			return fmt.Sprintf("%q is no number from %d to %d", s.Value, low, high)
		}
		return ""
	}
}

// ports is one port or, with a dash, a range.
func ports(s DaemonSetting) string {
	low, high, isRange := strings.Cut(s.Value, "-")
	if !isRange {
		high = low
	}
	port := number(0, 65535)
	for _, end := range []string{low, high} {
		if end == "" || port(DaemonSetting{Value: end}) != "" {
			return fmt.Sprintf("%q is no port or range of ports", s.Value)
		}
	}
	from, _ := strconv.Atoi(low)
	if to, _ := strconv.Atoi(high); from > to {
		return fmt.Sprintf("the range %s is reversed", s.Value)
	}
	return ""
}

// space is a number of MiB or a percentage below 100.
func space(s DaemonSetting) string {
	n, percent, ok := spaceLeft(s.Value)
	if !ok || percent && n > 99 {
		return fmt.Sprintf("%q is neither a number of MiB nor a percentage below 100", s.Value)
	}
	return ""
}

// spaceLeft reads a number of MiB or a percentage as auditd does: only digits
// and % may be there, and the first % ends the number.
func spaceLeft(value string) (n uint64, percent, ok bool) {
	if strings.Trim(value, "0123456789%") != "" {
		return 0, false, false
	}
	value = strings.TrimPrefix(value, "%")
	digits, _, cut := strings.Cut(value, "%")
	percent = cut || len(value) == 0
	if digits == "" {
		return 0, percent, true
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, percent, err == nil
}

// mailProblem says why auditd refuses an account for mail; whether its domain
// exists does not count.
func mailProblem(account string) string {
	if len(account) < 2 {
		return "the account for mail has less than 2 characters"
	}
	for _, c := range []byte(account) {
		if c != '@' && c != '.' && c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return fmt.Sprintf("the account for mail holds %q", c)
		}
	}
	if at := strings.IndexByte(account, '@'); at >= 0 && strings.LastIndexByte(account, '.') < at {
		return "the account for mail has no dot after the @"
	}
	return ""
}

// together says which setting auditd refuses for what others are.
func (c DaemonConf) together() *LineError {
	refuse := func(s DaemonSetting, format string, args ...any) *LineError {
		return &LineError{Pos: s.Pos, Reason: fmt.Sprintf(format, args...)}
	}
	space, admin := c.Get("space_left"), c.Get("admin_space_left")
	n, percent, _ := spaceLeft(space.Value)
	m, adminPercent, _ := spaceLeft(admin.Value)
	inMiB := (!percent || n == 0) && (!adminPercent || m == 0)
	if inMiB && n <= m {
		at := space
		if admin.Pos.Line > space.Pos.Line {
			at = admin
		}
		return refuse(at, "space_left (%s) is not larger than admin_space_left (%s)", space.Value, admin.Value)
	}
	flush := c.Get("flush")
	if freq, err := strconv.ParseUint(c.Get("freq").Value, 10, 64); err == nil && freq == 0 && strings.HasPrefix(lower(flush.Value), "incremental") {
		return refuse(flush, "flush is %s and freq is 0", flush.Value)
	}
	if format := c.Get("name_format"); lower(format.Value) == "user" && c.Get("name").Pos.Line == 0 {
		return refuse(format, "name_format is user and name is not set")
	}
	return nil
}
