package host

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAFactIsGatheredOnceForAll(t *testing.T) {
	t.Parallel()
	var f fact[int]
	var gathered atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			v, err := f.get(t.Context(), func(context.Context) (int, error) {
				gathered.Add(1)
				return 42, nil
			})
			if v != 42 || err != nil {
				t.Errorf("got %d, %v", v, err)
			}
		})
	}
	wg.Wait()
	if n := gathered.Load(); n != 1 {
		t.Errorf("gathered %d times", n)
	}
}

func TestAnImpatientCallerDoesNotSpoilTheFact(t *testing.T) {
	t.Parallel()
	var f fact[string]
	release := make(chan struct{})
	gather := func(ctx context.Context) (string, error) {
		<-release
		return "value", ctx.Err()
	}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("had to leave"))
	if _, err := f.get(gone, gather); err == nil || err.Error() != "had to leave" {
		t.Errorf("the impatient caller got %v", err)
	}
	close(release)
	if v, err := f.get(t.Context(), gather); v != "value" || err != nil {
		t.Errorf("the patient caller got %q, %v", v, err)
	}
}

func TestWhoAsksSaysHowLongAFactMayTake(t *testing.T) {
	t.Parallel()
	var f fact[int]
	_, err := f.get(Patiently(t.Context(), time.Millisecond), func(ctx context.Context) (int, error) {
		<-ctx.Done()
		return 0, context.Cause(ctx)
	})
	if err == nil || err.Error() != "no answer within 1ms" {
		t.Errorf("got %v", err)
	}
}

func TestAPanicIsTheFactsError(t *testing.T) {
	t.Parallel()
	var f fact[int]
	for range 2 {
		_, err := f.get(t.Context(), func(context.Context) (int, error) { panic("bad reader") })
		if err == nil || !strings.Contains(err.Error(), "bad reader") {
			t.Errorf("got %v", err)
		}
	}
}

func TestADerivedFactIsGatheredOncePerHost(t *testing.T) {
	t.Parallel()
	var gathered atomic.Int32
	root := Derive(func(_ context.Context, h *Host) (string, error) {
		gathered.Add(1)
		return h.Root(), nil
	})
	one, other := New(Options{Root: "/one"}), New(Options{Root: "/other"})
	var wg sync.WaitGroup
	for _, h := range []*Host{one, other, one, other} {
		wg.Go(func() {
			if got, err := root.Of(t.Context(), h); got != h.Root() || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	wg.Wait()
	if n := gathered.Load(); n != 2 {
		t.Errorf("gathered %d times for two hosts", n)
	}
}
