package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/host"
)

// reread is the action that has auditd read its configuration again, see
// auditd(8). Debian's unit has no reload, and a restart would lose records.
const reread = "auditd-reread"

// rereadPatience is how long auditd may take to say that it read it.
const rereadPatience = 10 * time.Second

// mostOfLog bounds how much is read of what auditd writes meanwhile, in bytes.
const mostOfLog = 8 << 20

// rereadConfig signals auditd, and waits until it writes that the configuration
// was taken. Where none runs there is nothing to do.
func rereadConfig(ctx context.Context, _ string) error {
	h := host.New(host.Options{})
	s, err := h.AuditStatus(ctx)
	if err != nil {
		return err
	}
	if s.PID == 0 {
		return nil
	}
	conf, err := h.AuditdConf(ctx)
	if err != nil {
		return err
	}
	file := conf.Get("log_file").Value
	log, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot read what auditd writes: %w", err)
	}
	defer log.Close()
	if _, err := log.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	if err := hangUp(int(s.PID)); err != nil {
		return fmt.Errorf("cannot have auditd read its configuration: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, rereadPatience)
	defer cancel()
	return waitForReread(ctx, log)
}

// hangUp sends SIGHUP to auditd, and to no other process that has its number.
func hangUp(pid int) error {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(process)
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return err
	}
	if path.Base(exe) != "auditd" {
		return fmt.Errorf("the program that takes the audit records is %s", exe)
	}
	return unix.PidfdSendSignal(process, unix.SIGHUP, nil, 0)
}

// waitForReread reads auditd's own record of the reconfiguration.
func waitForReread(ctx context.Context, log io.Reader) error {
	var seen []byte
	for {
		more, err := io.ReadAll(io.LimitReader(log, mostOfLog))
		if err != nil {
			return fmt.Errorf("cannot read what auditd writes: %w", err)
		}
		seen = append(seen, more...)
		end := bytes.LastIndexByte(seen, '\n') + 1
		for line := range bytes.Lines(seen[:end]) {
			if !bytes.HasPrefix(line, []byte("type=DAEMON_CONFIG ")) || !bytes.Contains(line, []byte("op=reconfigure")) {
				continue
			}
			if bytes.Contains(line, []byte("res=success")) {
				return nil
			}
			return errors.New("auditd says that it did not take its configuration: " + string(bytes.TrimSpace(line)))
		}
		seen = seen[end:]
		select {
		case <-ctx.Done():
			return errors.New("auditd did not say that it read its configuration")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
