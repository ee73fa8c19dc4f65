package host

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hostguard/hostguard/internal/stack"
)

// factTimeout bounds the gathering of one fact, whoever waits for it, unless Patiently does.
const factTimeout = 10 * time.Second

type patience struct{}

// Patiently returns a context in which a fact may take so long to gather, as a
// slow or busy host needs it. Who asks first for a fact decides.
func Patiently(ctx context.Context, within time.Duration) context.Context {
	return context.WithValue(ctx, patience{}, within)
}

// facts is everything that is read once per run, one struct per file that
// gathers it.
type facts struct {
	identityFacts
	unitFacts
	processFacts
	socketFacts
	mountFacts
	accountFacts
	clockFacts
	sshdFacts
	authorizedKeysFacts
	keyLedgerFacts
	auditFacts
	dockerFacts
	connectorFacts
	connectorStoreFacts
	hardwareFacts
	netfilterFacts
	routingFacts
	exposureFacts
	sudoFacts
}

// A fact is gathered by the first caller of get and shared by all. It is
// gathered in a goroutine of its own, so that a caller whose deadline passes
// leaves without spoiling it for the others.
type fact[T any] struct {
	once  sync.Once
	ready chan struct{}
	value T
	err   error
}

// get returns the fact, gathering it when nobody has. A gatherer that panics
// yields an error; one that hangs holds each caller only until its ctx ends.
func (f *fact[T]) get(ctx context.Context, gather func(context.Context) (T, error)) (T, error) {
	f.once.Do(func() {
		f.ready = make(chan struct{})
		within, ok := ctx.Value(patience{}).(time.Duration)
		if !ok {
			within = factTimeout
		}
		gatherCtx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), within, fmt.Errorf("no answer within %v", within))
		go func() {
			stack.Reserve()
			defer close(f.ready)
			defer cancel()
			defer func() {
				if p := recover(); p != nil {
					f.err = fmt.Errorf("the reader panicked: %v\n%s", p, debug.Stack())
				}
			}()
			f.value, f.err = gather(gatherCtx)
		}()
	})
	select {
	case <-f.ready:
		return f.value, f.err
	case <-ctx.Done():
		var zero T
		return zero, context.Cause(ctx)
	}
}
