package connector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

type propertiesParams struct {
	Roles   []string          `yaml:"roles" doc:"The services looked at: execution core, data app, usage control, PIP."`
	Files   []string          `yaml:"files" doc:"Base names of files besides application.properties in which the application looks, such as firewall.properties."`
	Equal   map[string]string `yaml:"equal" doc:"Property: the values it may have, separated by |; an empty one among them allows none."`
	Subset  map[string]string `yaml:"subset" doc:"Property: the values, separated by commas, of which its list may hold some and must hold one."`
	Prefix  map[string]string `yaml:"prefix" doc:"Property: what its value must begin with."`
	Changed map[string]string `yaml:"changed" doc:"Property: values, separated by |, that it must not have any more; nor may it be empty. A * at the end of one stands for anything."`
	Unset   string            `yaml:"unset" doc:"What a property that is set in no file means: unknown (an error), fail or pass."`
	Only    bool              `yaml:"only" doc:"Whether each of the files must be there."`
	Reason  string            `yaml:"reason" doc:"What it means that a property is not as wanted, in one sentence."`
}

// What a property that is set nowhere means.
const (
	unsetUnknown = "unknown"
	unsetFail    = "fail"
	unsetPass    = "pass"
)

// Validate wants known roles, something to look at, and a reason.
func (p propertiesParams) Validate() error {
	for _, role := range p.Roles {
		if !slices.Contains([]host.Role{host.RoleCore, host.RoleDataApp, host.RoleUsageControl, host.RolePIP}, host.Role(role)) {
			return fmt.Errorf("roles: %q is none of execution core, data app, usage control, PIP", role)
		}
	}
	switch {
	case len(p.Roles) == 0:
		return errors.New("roles is empty")
	case len(p.Equal)+len(p.Subset)+len(p.Prefix)+len(p.Changed) == 0:
		return errors.New("equal, subset, prefix and changed are all empty")
	case !slices.Contains([]string{unsetUnknown, unsetFail, unsetPass}, p.Unset):
		return fmt.Errorf("unset: %q is none of unknown, fail, pass", p.Unset)
	case p.Reason == "":
		return errors.New("reason is empty")
	}
	return nil
}

func properties(ctx context.Context, h *host.Host, p propertiesParams) (checks.Verdict, error) {
	all, err := appsOf(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeProperties(all, p)
}

// demand is what one property must be.
type demand struct {
	key, want string
	holds     func(value string) bool
}

func (p propertiesParams) demands() []demand {
	var list []demand
	for key, values := range p.Equal {
		allowed := strings.Split(values, "|")
		list = append(list, demand{key, either(allowed), func(v string) bool {
			return slices.Contains(allowed, v) || slices.Contains(allowed, strings.ToLower(v)) || // Spring reads TRUE as true
				slices.Contains(allowed, "false") && strings.EqualFold(strings.TrimSpace(v), "false")
		}})
	}
	for key, values := range p.Subset {
		allowed := strings.Split(values, ",")
		list = append(list, demand{key, "none but " + strings.Join(allowed, ", "), func(v string) bool {
			for item := range strings.SplitSeq(v, ",") {
				if !slices.Contains(allowed, strings.TrimSpace(item)) {
					return false
				}
			}
			return true
		}})
	}
	for key, prefix := range p.Prefix {
		list = append(list, demand{key, prefix + "…", func(v string) bool { return strings.HasPrefix(v, prefix) }})
	}
	for key, values := range p.Changed {
		published := strings.Split(values, "|")
		list = append(list, demand{key, "another than the published one", func(v string) bool {
			return strings.TrimSpace(v) != "" && !slices.ContainsFunc(published, func(p string) bool {
				if start, any := strings.CutSuffix(p, "*"); any {
					return strings.HasPrefix(strings.ToLower(v), strings.ToLower(start)) // a URI's host has no case
				}
				return strings.EqualFold(strings.TrimSpace(v), p)
			})
		}})
	}
	slices.SortFunc(list, func(a, b demand) int { return strings.Compare(a.key, b.key) })
	return list
}

func either(values []string) string {
	named := slices.Clone(values)
	for i, v := range named {
		if v == "" {
			named[i] = "nothing"
		}
	}
	return strings.Join(named, " or ")
}

func judgeProperties(all []host.ConnectorApps, p propertiesParams) (checks.Verdict, error) {
	var o outcome
	demands := p.demands()
	for _, c := range all {
		if c.Err != nil {
			o.unknown = append(o.unknown, c.Err)
			continue
		}
		apps := c.Of(roles(p.Roles)...)
		if len(apps) == 0 && slices.Contains(p.Roles, string(host.RoleCore)) {
			o.unknownf("cannot tell which service of the connector in %s is its execution core: none has its image or its settings", c.Connector.Dir)
		}
		for _, app := range apps {
			if p.Only && app.ConfigErr == nil {
				for _, name := range p.Files {
					if _, there := app.File(name); !there {
						o.unknownf("cannot tell the settings of %s: it mounts no %s", app.Name(), name)
					}
				}
			}
			for _, d := range demands {
				o.demand(app, d, p)
			}
		}
	}
	return o.verdict(p.Reason, "No service of the connector is of this kind: "+strings.Join(p.Roles, ", ")+".")
}

// demand judges one property of one application.
func (o *outcome) demand(app host.ConnectorApp, d demand, p propertiesParams) {
	v, err := app.Property(d.key, p.Files...)
	switch {
	case err != nil:
		o.unknown = append(o.unknown, err)
	case !v.Set && p.Unset == unsetPass:
		o.good = append(o.good, checks.Evidence{Source: place(app), Key: subject(app) + ": " + d.key, Got: "not set"})
	case !v.Set && p.Unset == unsetFail:
		o.bad = append(o.bad, checks.Evidence{Source: place(app), Key: subject(app) + ": " + d.key, Want: d.want, Got: "not set"})
	case !v.Set:
		o.unknownf("cannot tell %s of %s: no file sets it, and what its image brings is not seen", d.key, app.Name())
	case d.holds(v.Text.Reveal()):
		o.good = append(o.good, at(app, d.key, v, "", shown(d.key, v.Text.Reveal())))
	default:
		o.bad = append(o.bad, at(app, d.key, v, d.want, shown(d.key, v.Text.Reveal())))
	}
}

// place is where a setting that is missing would be.
func place(app host.ConnectorApp) string {
	if files := app.Files(); len(files) > 0 {
		return files[0]
	}
	return app.Service.File
}

func roles(names []string) []host.Role {
	var list []host.Role
	for _, n := range names {
		list = append(list, host.Role(n))
	}
	return list
}

// sorted are the keys of a map in their order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
