package ssh

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/sshdconf"
)

type optionParams struct {
	Keyword string   `yaml:"keyword" doc:"The keyword of sshd_config(5)."`
	Accept  []string `yaml:"accept" doc:"Values of which it must have one, everywhere."`
	Refuse  []string `yaml:"refuse" doc:"Values that it must have nowhere."`
}

// Validate refuses a keyword that no sshd knows.
func (p optionParams) Validate() error {
	if _, ok := sshdconf.Canonical(p.Keyword, sshdconf.Newest); !ok {
		return fmt.Errorf("keyword: %q is not a keyword of sshd_config(5)", p.Keyword)
	}
	if len(p.Accept)+len(p.Refuse) == 0 {
		return fmt.Errorf("accept or refuse: at least one value is needed")
	}
	return nil
}

func option(ctx context.Context, h *host.Host, p optionParams) (checks.Verdict, error) {
	newest, _ := sshdconf.Canonical(p.Keyword, sshdconf.Newest)
	return judgeAll(ctx, h, []string{newest, strings.ToLower(p.Keyword)}, func(t target) (checks.Verdict, error) {
		return judgeOption(t, p), nil
	})
}

// judgeOption wants an accepted value in every world.
func judgeOption(t target, p optionParams) checks.Verdict {
	keyword, known := sshdconf.Canonical(p.Keyword, t.version)
	if !known {
		return checks.Inapplicable(fmt.Sprintf("sshd %v does not know %s.", t.version, p.Keyword))
	}
	want := wantText(p)
	var bad, good []checks.Evidence
	for _, w := range t.worlds {
		if w.Effective == nil {
			continue // sshd drops such connections
		}
		s := w.Effective.Get(keyword)
		wrong := s
		wrong.Values = slices.DeleteFunc(slices.Clone(s.Values), func(v sshdconf.Value) bool { return p.accepts(v.Text) })
		switch {
		case len(s.Values) == 0 && len(p.Accept) > 0:
			bad = append(bad, evidence(s, want)...)
		case len(wrong.Values) > 0:
			bad = append(bad, evidence(wrong, want)...)
		default:
			good = append(good, evidence(s, "")...)
		}
	}
	if bad = unique(bad); len(bad) > 0 {
		return checks.Failed(optionReason(keyword, bad, len(good) > 0), bad...)
	}
	return checks.Passed(unique(good)...)
}

func (p optionParams) accepts(text string) bool {
	in := func(list []string) bool {
		return slices.ContainsFunc(list, func(v string) bool { return sameValue(v, text) })
	}
	return (len(p.Accept) == 0 || in(p.Accept)) && !in(p.Refuse)
}

// sameValue compares a value as people write it with one as sshd prints it.
func sameValue(written, printed string) bool {
	if strings.EqualFold(written, "prohibit-password") {
		written = "without-password"
	}
	return strings.EqualFold(written, printed)
}

func wantText(p optionParams) string {
	if len(p.Accept) > 0 {
		return strings.Join(p.Accept, " or ")
	}
	return "not " + strings.Join(p.Refuse, ", not ")
}

func optionReason(keyword string, bad []checks.Evidence, elsewhere bool) string {
	where := "in force"
	if elsewhere {
		where = "in force for some connections"
	}
	value := bad[0].Got
	if end := strings.IndexAny(value, " ;"); end >= 0 { // what else is said of it
		value = value[:end]
	}
	if bad[0].Got == "" || strings.HasPrefix(bad[0].Got, "not set") {
		return fmt.Sprintf("%s is not set.", keyword)
	}
	return fmt.Sprintf("%s %s is %s.", keyword, value, where)
}
