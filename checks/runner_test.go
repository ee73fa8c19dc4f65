package checks_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

func passing(context.Context, *host.Host) (checks.Verdict, error) {
	return checks.Passed(), nil
}

func TestOneBadProbeLeavesTheOthersStanding(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	tasks := []checks.Task{
		{Rule: "good", Long: true, Probe: passing},
		{Rule: "panics", Probe: func(context.Context, *host.Host) (checks.Verdict, error) { panic("boom") }},
		{Rule: "hangs", Probe: func(context.Context, *host.Host) (checks.Verdict, error) {
			<-hang // deaf to its context, as a blocking system call is
			return checks.Passed(), nil
		}},
		{Rule: "fails to look", Probe: func(context.Context, *host.Host) (checks.Verdict, error) {
			return checks.Passed(checks.Evidence{Source: "/seen"}), errors.New("cannot read the rest")
		}},
		{Rule: "forgets its status", Probe: func(context.Context, *host.Host) (checks.Verdict, error) { return checks.Verdict{}, nil }},
		{Rule: "good too", Probe: passing},
	}
	findings := checks.Run(t.Context(), host.New(host.Options{}), tasks, 50*time.Millisecond)
	wants := []struct {
		status checks.Status
		err    string
	}{
		{checks.Pass, ""},
		{checks.Error, "boom"},
		{checks.Error, "no answer within 50ms"},
		{checks.Error, "cannot read the rest"},
		{checks.Error, "no verdict"},
		{checks.Pass, ""},
	}
	for i, want := range wants {
		got := findings[i]
		if got.Rule != tasks[i].Rule || got.Status != want.status {
			t.Errorf("%s: got %s %v, want %v", tasks[i].Rule, got.Rule, got.Status, want.status)
		}
		if (got.Err != nil) != (got.Status == checks.Error) {
			t.Errorf("%s: status %v with error %v", got.Rule, got.Status, got.Err)
		}
		if want.err != "" && (got.Err == nil || !strings.Contains(got.Err.Error(), want.err)) {
			t.Errorf("%s: error %v, want one that says %q", got.Rule, got.Err, want.err)
		}
	}
	if len(findings[3].Evidence) != 1 {
		t.Error("what was seen before the look failed is lost")
	}
}

func TestCancellationEndsEveryProbe(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupted"))
	waits := func(ctx context.Context, _ *host.Host) (checks.Verdict, error) {
		<-ctx.Done()
		return checks.Verdict{}, context.Cause(ctx)
	}
	for _, f := range checks.Run(ctx, host.New(host.Options{}), []checks.Task{{Rule: "a", Probe: waits}, {Rule: "b", Probe: waits}}, time.Minute) {
		if f.Status != checks.Error || !strings.Contains(f.Err.Error(), "interrupted") {
			t.Errorf("%s: %v %v, want an error that says interrupted", f.Rule, f.Status, f.Err)
		}
	}
}

func TestAMountedTreeIsNeverAskedForARunningSystem(t *testing.T) {
	t.Parallel()
	h := host.New(host.Options{Root: t.TempDir()})
	for _, needs := range []host.Caps{host.Running, host.Systemd, host.AuditNetlink, host.Docker, host.Root | host.Running} {
		f := checks.Run(t.Context(), h, []checks.Task{{Rule: "live", Needs: needs, Probe: passing}}, time.Minute)[0]
		if f.Status != checks.NotApplicable || f.Reason == "" {
			t.Errorf("needs %v: %v %q, want not-applicable with a reason", needs, f.Status, f.Reason)
		}
	}
	if f := checks.Run(t.Context(), h, []checks.Task{{Rule: "files", Needs: host.Root, Probe: passing}}, time.Minute)[0]; f.Status != checks.Pass {
		t.Errorf("a probe of files: %v, want pass", f.Status)
	}
}

func TestStatusText(t *testing.T) {
	t.Parallel()
	for s := checks.Pass; s <= checks.Error; s++ {
		text, err := s.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back checks.Status
		if err := back.UnmarshalText(text); err != nil || back != s {
			t.Errorf("%v came back as %v, %v", s, back, err)
		}
	}
	if _, err := checks.Status(0).MarshalText(); err == nil {
		t.Error("the zero status was written")
	}
	var s checks.Status
	for _, bad := range []string{"", "PASS", "passed", "Status(0)"} {
		if err := s.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was read as %v", bad, s)
		}
	}
}
