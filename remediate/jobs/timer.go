package jobs

import (
	"fmt"
	"strings"

	"github.com/hostguard/hostguard/internal/schedule"
)

const unitFolder = "/etc/systemd/system/"

func (n Name) timer() string   { return "hostguard-" + string(n) + ".timer" }
func (n Name) service() string { return "hostguard-" + string(n) + ".service" }

// timerFile is the timer's unit file. It runs soon after a boot as well, so
// that nobody waits a day for a daily job whose time has just passed.
func (j Job) timerFile() (string, error) {
	s, err := schedule.Cron(strings.Fields(j.Times))
	if err != nil {
		return "", err
	}
	if !s.Fires() {
		return "", fmt.Errorf("%q never comes", j.Times)
	}
	calendar, err := s.Calendar()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`# Kept by "hostguard fix"; the times are those of schedule in hostguard.yaml.
[Unit]
Description=Times of hostguard's %s

[Timer]
OnCalendar=%s
Persistent=true
AccuracySec=30s

[Install]
WantedBy=timers.target
`, definitions[j.Name].about, calendar), nil
}

// serviceFile is the unit file of what the timer starts. The whole tree can be
// read, since that is what is looked at, and only what jobs keep be written.
// RestrictSUIDSGID is left out: it takes openat2(2) away, by which hostguard
// reads what users of the host can write.
func (j Job) serviceFile(program string) (string, error) {
	if err := checkPlain(program, j.Config); err != nil {
		return "", err
	}
	writes := "/var/lib/hostguard"
	if j.Name == LogCopy {
		writes = "" // where to is the operator's to say
	}
	protect := "ProtectSystem=strict\nReadWritePaths=-" + writes
	if writes == "" {
		protect = "ProtectSystem=full"
	}
	return fmt.Sprintf(`# Kept by "hostguard fix".
[Unit]
Description=hostguard's %s
After=network-online.target

[Service]
Type=oneshot
ExecStart=%s
SuccessExitStatus=75
TimeoutStartSec=10min
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictRealtime=yes
SystemCallArchitectures=native
%s
`, definitions[j.Name].about, strings.Join(j.command(program), " "), protect), nil
}
