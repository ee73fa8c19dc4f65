package host

import "context"

// A Derived fact is one that a family of checks makes of other facts: like
// those, it is gathered once in a run, by whoever asks first, and shared.
type Derived[T any] struct {
	gather func(context.Context, *Host) (T, error)
}

// Derive returns the fact that gather makes.
func Derive[T any](gather func(context.Context, *Host) (T, error)) *Derived[T] {
	return &Derived[T]{gather}
}

// Of returns the fact of a host.
func (d *Derived[T]) Of(ctx context.Context, h *Host) (T, error) {
	f, _ := h.derived.LoadOrStore(d, new(fact[T]))
	return f.(*fact[T]).get(ctx, func(ctx context.Context) (T, error) { return d.gather(ctx, h) })
}
