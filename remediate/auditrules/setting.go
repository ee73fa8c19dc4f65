package auditrules

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/remediate"
)

// SettingState is the value of one switch of the kernel's audit.
type SettingState struct {
	Value uint32 `json:"value"`
}

// Setting is the kind of one switch of the kernel's audit, see auditctl(8). Its
// target is the switch's name, as auditctl -s prints it.
var Setting = ofThisHost(remediate.NewKind("audit-setting", remediate.Kernel, remediate.Mover[SettingState]{
	Observe:   observeSetting,
	Preflight: preflightSetting,
	Move:      moveSetting,
	Back: func(ctx context.Context, t remediate.Thing, from, to SettingState) error {
		return back(t, moveSetting(ctx, t, to, from))
	},
	Show: func(target string, from, to SettingState) string {
		return fmt.Sprintf("set the kernel's audit setting %s from %d to %d\n", target, from.Value, to.Value)
	},
}))

// switches are the settings that are changed: where each stands in struct
// audit_status of linux/audit.h, counted in words, and its bit in the mask.
var switches = map[string]struct {
	word int
	mask uint32
	now  func(host.AuditStatus) uint32
}{
	"enabled":       {1, 0x01, func(s host.AuditStatus) uint32 { return s.Enabled }},
	"failure":       {2, 0x02, func(s host.AuditStatus) uint32 { return s.Failure }},
	"rate_limit":    {4, 0x08, func(s host.AuditStatus) uint32 { return s.RateLimit }},
	"backlog_limit": {5, 0x10, func(s host.AuditStatus) uint32 { return s.BacklogLimit }},

	"backlog_wait_time": {9, 0x20, func(s host.AuditStatus) uint32 { return s.BacklogWaitTime }},
}

// statusWords is the length of struct audit_status up to the time to wait.
const statusWords = 10

func observeSetting(ctx context.Context, t remediate.Thing) (SettingState, error) {
	one, known := switches[t.Target]
	if !known {
		return SettingState{}, fmt.Errorf("there is no audit setting %q", t.Target)
	}
	s, err := status(ctx)
	return SettingState{one.now(s)}, err
}

// preflightSetting refuses what would lock the configuration or let the kernel
// panic: neither can be taken back.
func preflightSetting(ctx context.Context, t remediate.Thing, _, to SettingState) error {
	switch {
	case t.Target == "enabled" && to.Value > 1:
		return errors.New("the audit configuration is never locked by a fix: only a reboot would open it")
	case t.Target == "failure" && to.Value > 1:
		return errors.New("a fix never lets the kernel panic")
	}
	return preflight(ctx, t, false) // none is planned for a locked kernel
}

func moveSetting(ctx context.Context, t remediate.Thing, from, to SettingState) error {
	one, known := switches[t.Target]
	if !known {
		return fmt.Errorf("there is no audit setting %q", t.Target)
	}
	s, err := status(ctx)
	if err != nil {
		return err
	}
	now := one.now(s)
	switch {
	case now == to.Value:
		return nil
	case s.Enabled == 2:
		return &remediate.ConflictError{Target: t.Target, Why: (&LockedError{}).Error()}
	case now != from.Value:
		return &remediate.ConflictError{Target: t.Target, Why: fmt.Sprintf("it is %d, neither %d nor %d", now, from.Value, to.Value)}
	}
	payload := make([]byte, statusWords*4)
	binary.NativeEndian.PutUint32(payload, one.mask)
	binary.NativeEndian.PutUint32(payload[one.word*4:], to.Value)
	if err := request(setStatus, payload); err != nil {
		if errors.Is(err, unix.EPERM) {
			err = fmt.Errorf("this process may not: %w", err)
		}
		return &kernelError{fmt.Errorf("the kernel refuses %s %d: %w", t.Target, to.Value, err)}
	}
	if s, err = status(ctx); err != nil {
		return err
	}
	if now := one.now(s); now != to.Value {
		return fmt.Errorf("the kernel took %s %d, and says it is %d", t.Target, to.Value, now)
	}
	return nil
}
