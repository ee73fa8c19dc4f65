package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	libaudit "github.com/elastic/go-libaudit/v2"
	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/auditrule"
)

type auditFacts struct {
	auditStatus fact[AuditStatus]
	auditLoaded fact[[]auditrule.Rule]
	auditFiles  fact[AuditFiles]
	auditPaths  fact[*auditPaths]
	auditViews  fact[AuditViews]
	auditConf   fact[AuditdConf]
}

// AuditStatus is the kernel's audit status, see auditctl(8) -s.
type AuditStatus struct {
	Enabled         uint32 // 0 off, 1 on, 2 on and locked until the next boot
	Failure         uint32 // on failure: 0 nothing, 1 a kernel message, 2 panic
	PID             uint32 // of the program that takes the records, 0: none
	RateLimit       uint32 // records per second, 0: no limit
	BacklogLimit    uint32 // records that may wait
	Lost            uint32 // records lost since boot
	Backlog         uint32 // records that wait now
	BacklogWaitTime uint32 // how long a process waits when the backlog is full, in ticks
}

// AuditStatus asks the kernel. The error says when this is a container, when a
// capability lacks, when auditing is off for this boot and when the kernel has
// none.
func (h *Host) AuditStatus(ctx context.Context) (AuditStatus, error) {
	return h.auditStatus.get(ctx, func(ctx context.Context) (AuditStatus, error) {
		link, err := h.auditLink(ctx)
		if err != nil {
			return AuditStatus{}, err
		}
		defer link.Close()
		s, err := (&libaudit.AuditClient{Netlink: link}).GetStatus()
		if err != nil {
			return AuditStatus{}, h.auditRefusal(err)
		}
		return AuditStatus{
			Enabled: s.Enabled, Failure: s.Failure, PID: s.PID, RateLimit: s.RateLimit, BacklogLimit: s.BacklogLimit,
			Lost: s.Lost, Backlog: s.Backlog, BacklogWaitTime: s.BacklogWaitTime,
		}, nil
	})
}

// AuditLoaded returns the rules that the kernel holds, in its order.
func (h *Host) AuditLoaded(ctx context.Context) ([]auditrule.Rule, error) {
	return h.auditLoaded.get(ctx, func(ctx context.Context) ([]auditrule.Rule, error) {
		link, err := h.auditLink(ctx)
		if err != nil {
			return nil, err
		}
		defer link.Close()
		var rules auditrule.Listing
		if err := link.listRules(rules.Add); err != nil {
			return nil, h.auditRefusal(err)
		}
		return rules.Rules(), nil
	})
}

// auditAnswers is nil when the kernel's audit interface can be asked.
func (h *Host) auditAnswers(ctx context.Context) error {
	_, err := h.AuditStatus(ctx)
	return err
}

// auditLink opens the audit interface for asking.
func (h *Host) auditLink(ctx context.Context) (*auditLink, error) {
	if !h.Running() {
		return nil, ErrNotRunning
	}
	link, err := openAuditLink(ctx)
	if err != nil {
		return nil, h.auditRefusal(err)
	}
	return link, nil
}

// capAuditControl is CAP_AUDIT_CONTROL of capabilities(7).
const capAuditControl = 30

// auditRefusal names why the kernel does not answer (kernel/audit.c,
// audit_netlink_ok): outside the first user namespace it refuses connections,
// outside the first pid namespace and without CAP_AUDIT_CONTROL it answers
// EPERM. With audit=0 it has no such sockets, as one without auditing has none.
func (h *Host) auditRefusal(err error) error {
	say := func(why string) error { return fmt.Errorf("%s: %w", why, err) }
	value, _ := h.kernelOption("audit")
	off := value == "0" || value == "off"
	absent := errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT)
	switch {
	case off && (absent || errors.Is(err, unix.ECONNREFUSED)):
		return say("auditing is off for this boot: audit=" + value + " is on the kernel's command line")
	case absent:
		return say("this kernel has no auditing (CONFIG_AUDIT)")
	case errors.Is(err, unix.ECONNREFUSED):
		return say("the kernel refuses: this is a container or another user namespace")
	case errors.Is(err, unix.EPERM):
		if !hasCapability(capAuditControl) {
			return say("the capability CAP_AUDIT_CONTROL lacks")
		}
		return say("the kernel refuses: this is a container or another pid namespace")
	}
	return err
}

// kernelOption returns the last value of an option of the kernel's command
// line.
func (h *Host) kernelOption(name string) (value string, set bool) {
	data, err := h.ReadFile("/proc/cmdline")
	if err != nil {
		return "", false
	}
	for word := range strings.FieldsSeq(string(data)) {
		if v, ok := strings.CutPrefix(word, name+"="); ok {
			value, set = v, true
		}
	}
	return value, set
}

// AuditedFromBoot reports whether the kernel was told to audit from its start
// (audit=1): then there is no process that it cannot record.
func (h *Host) AuditedFromBoot() bool {
	value, _ := h.kernelOption("audit")
	return value == "1" || value == "on"
}

// hasCapability reports whether this process has a capability in effect.
func hasCapability(n uint) bool {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && set&(1<<n) != 0
		}
	}
	return false
}
