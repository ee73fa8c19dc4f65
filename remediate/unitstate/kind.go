package unitstate

import (
	"context"
	"strings"

	"github.com/hostguard/hostguard/remediate"
)

// Kind is the kind of units that move together. Its target is their names with
// a space between them.
var Kind = remediate.NewKind("unit", remediate.Units, remediate.Mover[State]{
	Observe: func(ctx context.Context, t remediate.Thing) (State, error) { return New(t.Root).Observe(ctx, t.Target) },
	Equal:   State.Equal,
	Preflight: func(ctx context.Context, t remediate.Thing, from, to State) error {
		return New(t.Root).Preflight(ctx, from, to)
	},
	Move: func(ctx context.Context, t remediate.Thing, from, to State) error {
		return New(t.Root).Move(ctx, t.Target, from, to)
	},
	Back: func(ctx context.Context, t remediate.Thing, from, to State) error {
		return New(t.Root).Back(ctx, t.Target, from, to)
	},
	Show: func(_ string, from, to State) string {
		if lines := Describe(from, to); len(lines) > 0 {
			return strings.Join(lines, "\n") + "\n"
		}
		return ""
	},
})

// Activators are the actions that make what has been written count. But for
// daemon-reload they touch only a unit that runs: what is down reads its files
// when it is started. In a draft they follow the steps, so one that a unit's
// own start makes needless is not to be asked for.
var Activators = []remediate.Activator{
	{Action: "daemon-reload", Do: func(ctx context.Context, _ string) error { return New("/").reload(ctx) }},
	{Action: "reload", Do: activate("ReloadUnit")},
	{Action: "restart", Do: activate("RestartUnit")},
	{Action: "reload-or-restart", Do: activate("ReloadOrRestartUnit")},
}

// activate makes an action of a method that is called for a running unit.
func activate(method string) func(context.Context, string) error {
	return func(ctx context.Context, name string) error { return New("/").activate(ctx, method, name) }
}
