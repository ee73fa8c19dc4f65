package remediate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// PlanFormat is the version of a plan's JSON.
const PlanFormat = 1

// Plan is what fix would do: steps, in order, and what belongs to them.
type Plan struct {
	Format      int          `json:"format"`
	Host        HostID       `json:"host"`
	Root        string       `json:"root"`
	Steps       []Step       `json:"steps"`
	Activations []Activation `json:"activations"`
	Pending     []Pending    `json:"pending"`
	Person      []Task       `json:"person"`

	Validations []Validation `json:"-"` // made anew whenever the plan is
}

// HostID tells one host from another.
type HostID struct {
	Machine  string `json:"machine"` // see host.Identity; empty in an image that has none yet
	Hostname string `json:"hostname"`
}

// Step moves one thing from one state to another.
type Step struct {
	Kind   string   `json:"kind"`
	Target string   `json:"target"`
	Before State    `json:"before"`
	After  State    `json:"after"`
	Rules  []string `json:"rules"` // for whose sake; sorted
	Risk   Risk     `json:"risk"`
}

// Activation makes what runs take up what moved: "reload" "chrony.service".
type Activation struct {
	Action string `json:"action"`
	Unit   string `json:"unit,omitempty"`
}

// String is the action as a person says it: "reload chrony.service".
func (a Activation) String() string { return strings.TrimSpace(a.Action + " " + a.Unit) }

// Need is what a plan cannot do by itself.
type Need string

const (
	Reboot  Need = "reboot"
	Restart Need = "restart" // of something that fix does not restart
)

// Pending is what must happen before rules pass.
type Pending struct {
	Rules []string `json:"rules"`
	Needs Need     `json:"needs"`
	Why   string   `json:"why"`
}

// Task is what a person must do.
type Task struct {
	Rules []string `json:"rules"`
	Does  string   `json:"does"`
}

// Validation looks at what is planned before it is live.
type Validation struct {
	Name  string
	Look  func(context.Context) error
	Rules []string // for whose sake
}

// Activator does the activations of one name.
type Activator struct {
	Action string
	Do     func(ctx context.Context, unit string) error
}

// Empty reports whether the plan changes nothing.
func (p *Plan) Empty() bool { return len(p.Steps) == 0 }

// Serves lists the rules for whose sake something is changed, sorted.
func (p *Plan) Serves() []string {
	var ids []string
	for _, s := range p.Steps {
		ids = union(ids, s.Rules)
	}
	return ids
}

// Excused reports whether a rule may fail after the plan: because something is
// pending, or left to a person.
func (p *Plan) Excused(rule string) bool {
	return slices.ContainsFunc(p.Pending, func(x Pending) bool { return slices.Contains(x.Rules, rule) }) ||
		slices.ContainsFunc(p.Person, func(x Task) bool { return slices.Contains(x.Rules, rule) })
}

// Risk is the most that any step disturbs; empty: there is none.
func (p *Plan) Risk() Risk {
	var most Risk
	for _, s := range p.Steps {
		if most == "" || grows[s.Risk] > grows[most] {
			most = s.Risk
		}
	}
	return most
}

// Digest is the SHA-256, in hex, of what the plan does to which host.
func (p *Plan) Digest() string {
	data, err := json.Marshal(struct {
		Host        string
		Root        string
		Steps       []Step
		Activations []Activation
	}{p.Host.Machine, p.Root, p.Steps, p.Activations})
	if err != nil {
		panic(err) // states are JSON already
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// MaxPlan bounds the JSON of a plan in bytes.
const MaxPlan = 64 << 20

// Write writes the plan as JSON, indented.
func (p *Plan) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(p)
}

// ReadPlan reads what Write wrote. States are made canonical again.
func ReadPlan(r io.Reader) (*Plan, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxPlan+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxPlan {
		return nil, fmt.Errorf("it is larger than %d MiB", MaxPlan>>20)
	}
	var format struct{ Format int }
	if err := json.Unmarshal(data, &format); err != nil {
		return nil, fmt.Errorf("it is not a plan: %w", err)
	}
	if format.Format != PlanFormat {
		return nil, fmt.Errorf("its format is %d, and this hostguard knows %d: make the plan anew", format.Format, PlanFormat)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	p := &Plan{}
	if err := d.Decode(p); err != nil {
		return nil, fmt.Errorf("it is not a plan: %w", err)
	}
	for i := range p.Steps {
		for _, state := range []*State{&p.Steps[i].Before, &p.Steps[i].After} {
			var compact bytes.Buffer
			if err := json.Compact(&compact, *state); err != nil {
				return nil, fmt.Errorf("it is not a plan: step %d: %w", i+1, err)
			}
			*state = compact.Bytes()
		}
	}
	return p, nil
}

// Differs says how this plan, made just now, differs in what it does from one
// that was saved; empty: it does not.
func (p *Plan) Differs(saved *Plan) string {
	if saved.Host.Machine != p.Host.Machine || saved.Root != p.Root {
		return fmt.Sprintf("it was made for %s of the host %s", saved.Root, saved.Host.Hostname)
	}
	for i, s := range saved.Steps {
		j := slices.IndexFunc(p.Steps, func(x Step) bool { return x.Kind == s.Kind && x.Target == s.Target })
		switch {
		case j < 0:
			return fmt.Sprintf("step %d is no longer to be done: %s %s", i+1, s.Kind, s.Target)
		case !bytes.Equal(p.Steps[j].Before, s.Before):
			return fmt.Sprintf("the %s %s is not as it was", s.Kind, s.Target)
		case !bytes.Equal(p.Steps[j].After, s.After):
			return fmt.Sprintf("the %s %s would become something else now", s.Kind, s.Target)
		}
	}
	for _, s := range p.Steps {
		if !slices.ContainsFunc(saved.Steps, func(x Step) bool { return x.Kind == s.Kind && x.Target == s.Target }) {
			return fmt.Sprintf("there is one more thing to do now: %s %s", s.Kind, s.Target)
		}
	}
	if p.Digest() != saved.Digest() {
		return "its steps or what follows them are in another order, or serve other rules"
	}
	return ""
}
