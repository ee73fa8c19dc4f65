package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

type modeParams struct {
	Paths     []string `yaml:"paths" doc:"Absolute paths, or patterns for them (glob(7)). What does not exist is not at fault."`
	Except    []string `yaml:"except" doc:"Patterns for whole paths that are left out, with all below them."`
	Recursive bool     `yaml:"recursive" doc:"Look at everything below folders, too."`
	access    `yaml:",inline"`
}

// access is what may be so of files.
type access struct {
	Owner         []string `yaml:"owner" doc:"Accounts, by name or number: one of them must own the file. Empty: anybody may."`
	Group         []string `yaml:"group" doc:"Groups, by name or number: the file must have one of them. Empty: any."`
	Mode          Octal    `yaml:"mode" doc:"The most that a file's mode may allow, in octal such as \"0640\"."`
	DirMode       Octal    `yaml:"dir_mode" doc:"The same for folders; setgid and the sticky bit are always allowed there."`
	GroupWriters  []string `yaml:"group_writers" doc:"Groups that may write, whatever the modes above say of groups."`
	ACLUsers      []string `yaml:"acl_users" doc:"Accounts that an access list may name, * for any."`
	ACLGroups     []string `yaml:"acl_groups" doc:"Groups that an access list may name, * for any."`
	ACLUserInName bool     `yaml:"acl_user_in_name" doc:"An access list may name the user whose number stands in the file's name, as journald's in user-1000.journal."`
}

// Octal is a file's mode.
type Octal uint32

// UnmarshalText reads three or four octal digits.
func (o *Octal) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 12)
	if err != nil || len(text) < 3 || len(text) > 4 {
		return fmt.Errorf("cannot read %q as a mode: want octal digits, such as \"0640\"", text)
	}
	*o = Octal(n)
	return nil
}

// MarshalText writes four octal digits.
func (o Octal) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

func (o Octal) String() string { return fmt.Sprintf("%04o", uint32(o)) }

// Validate wants absolute patterns.
func (p modeParams) Validate() error {
	if len(p.Paths) == 0 {
		return errors.New("paths is empty")
	}
	for name, patterns := range map[string][]string{"paths": p.Paths, "except": p.Except} {
		for _, pattern := range patterns {
			if !path.IsAbs(pattern) {
				return fmt.Errorf("%s: %q is not absolute", name, pattern)
			}
			if _, err := path.Match(pattern, ""); err != nil {
				return fmt.Errorf("%s: %q is not a pattern: %w", name, pattern, err)
			}
		}
	}
	return nil
}

func modes(ctx context.Context, h *host.Host, p modeParams) (checks.Verdict, error) {
	accounts, err := h.Accounts(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	found, err := look(ctx, h, p)
	if err == nil && len(found) == 0 {
		return checks.Inapplicable(fmt.Sprintf("None of these files is there: %s.", firstOf(p.Paths, 4))), nil
	}
	return judge(found, accounts, p.access, err)
}

// firstOf lists the first words of a long list.
func firstOf(list []string, most int) string {
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

// thing is a file that was named, or one below it.
type thing struct {
	host.FileMode
	named bool   // by a pattern; else it lies below what was
	link  bool   // the name is a link
	owner uint32 // of the link
	gone  bool   // a link that leads nowhere, or is not root's and was not followed
}

// look finds what the patterns mean. With an error comes what was seen before.
func look(ctx context.Context, h *host.Host, p modeParams) ([]thing, error) {
	var found []thing
	seen := map[string]bool{}
	excepted := func(name string) bool {
		for _, pattern := range p.Except {
			for at := name; at != "/" && at != "."; at = path.Dir(at) {
				if match, _ := path.Match(pattern, at); match {
					return true
				}
			}
		}
		return false
	}
	for _, pattern := range p.Paths {
		names, err := h.Glob(pattern)
		if err != nil {
			return found, err
		}
		for _, name := range names {
			if seen[name] || excepted(name) {
				continue
			}
			seen[name] = true
			t, err := named(h, name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // rotated away
			}
			if err != nil {
				return found, err
			}
			found = append(found, t)
			if !p.Recursive || !t.IsDir() || t.gone {
				continue
			}
			below, err := h.FilesBelow(ctx, name, maxFiles-min(len(found), maxFiles))
			for _, m := range below {
				if !m.IsLink() && !seen[m.Path] && !excepted(m.Path) {
					found = append(found, thing{FileMode: m})
				}
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return found, err
			}
		}
	}
	return found, nil
}

// named looks at a file that a pattern names. A link is followed when it is
// root's: nobody else has put it there.
func named(h *host.Host, name string) (thing, error) {
	m, err := h.FileMode(name)
	if err != nil || !m.IsLink() {
		return thing{FileMode: m, named: true}, err
	}
	t := thing{FileMode: m, named: true, link: true, owner: m.UID}
	if m.UID != 0 {
		t.gone = true
		return t, nil
	}
	target, err := h.TargetMode(name)
	if err == nil {
		t.FileMode = target
	}
	return t, err
}

// judge finds what is not as it may be. A look that failed is an error, unless
// what was seen fails already.
func judge(found []thing, accounts *host.Accounts, want access, unseen error) (checks.Verdict, error) {
	n := newNames(accounts)
	var bad, seen []checks.Evidence
	var repair Repair
	faulty := 0
	kinds := map[string]int{} // of what lies below what is named
	var order []string
	for _, t := range found {
		problems := t.problems(want, n)
		if len(problems) > 0 {
			faulty++
			if faulty <= maxFaultyList {
				bad = append(bad, problems...)
			}
			repair.add(t, want, n)
			continue
		}
		switch as := t.describe(n); {
		case t.named && len(seen) < maxEvidence:
			seen = append(seen, checks.Evidence{Source: t.Path, Key: "mode", Got: as})
		default:
			if kinds[as] == 0 {
				order = append(order, as)
			}
			kinds[as]++
		}
	}
	slices.Sort(order)
	for i, as := range order {
		if i == maxEvidence {
			seen = append(seen, checks.Evidence{Source: "files below", Key: "more", Got: fmt.Sprintf("%d more kinds", len(order)-i)})
			break
		}
		seen = append(seen, checks.Evidence{Source: "files below", Key: as, Got: strconv.Itoa(kinds[as])})
	}
	if faulty > maxFaultyList {
		bad = append(bad, checks.Evidence{Source: "files", Key: "more", Want: "none", Got: fmt.Sprintf("%d more files at fault", faulty-maxFaultyList)})
	}
	switch {
	case faulty > 0:
		v := checks.Failed(reason(faulty, bad[0]), bad...)
		v.Repair = repair
		return v, nil
	case unseen != nil:
		return checks.Verdict{Evidence: seen}, fmt.Errorf("cannot look at all files: %w", unseen)
	}
	return checks.Passed(seen...), nil
}

func reason(faulty int, first checks.Evidence) string {
	text := fmt.Sprintf("%s has the %s %s.", first.Source, first.Key, first.Got)
	if first.Key == keyLink {
		text = fmt.Sprintf("%s is a link that %s.", first.Source, first.Got)
	}
	if faulty > 1 {
		text = fmt.Sprintf("%d files or folders let in whom they should not: %s", faulty, text)
	}
	return text
}
