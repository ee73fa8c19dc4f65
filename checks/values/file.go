package values

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/valuefile"
)

type valueParams struct {
	Paths  []string          `yaml:"paths" doc:"Files, or patterns for them; each must hold. None at all does not apply."`
	Format string            `yaml:"format" doc:"How they are written: properties, keyvalue, ini, json or yaml."`
	Equal  map[string]string `yaml:"equal" doc:"Key: the values it may have, separated by |."`
	Not    map[string]string `yaml:"not" doc:"Key: the values it must not have, separated by |."`
	Unset  string            `yaml:"unset" doc:"What a key that is not set means: fail or pass."`
	Hidden bool              `yaml:"hidden" doc:"Whether the values are left out of reports."`
}

// What a key that is not set means.
const (
	unsetFail = "fail"
	unsetPass = "pass"
)

// Validate wants absolute paths, a known format and something to compare.
func (p valueParams) Validate() error {
	if err := validPaths(p.Paths, p.Format); err != nil {
		return err
	}
	switch {
	case len(p.Paths) == 0:
		return errors.New("paths is empty")
	case len(p.Equal)+len(p.Not) == 0:
		return errors.New("equal and not are both empty")
	case p.Unset != unsetFail && p.Unset != unsetPass:
		return fmt.Errorf("unset: %q is neither fail nor pass", p.Unset)
	}
	return nil
}

func validPaths(paths []string, format string) error {
	for _, pattern := range paths {
		if _, err := path.Match(pattern, ""); err != nil || !path.IsAbs(pattern) {
			return fmt.Errorf("paths: %q is no absolute path or pattern", pattern)
		}
	}
	if len(paths) > 0 && !slices.Contains(valuefile.Formats, format) {
		return fmt.Errorf("format: %q is none of %s", format, strings.Join(valuefile.Formats, ", "))
	}
	return nil
}

// settings are those of one file.
type settings struct {
	file   string
	values []valuefile.Value
}

// readFiles reads what patterns name. Links are not followed below the last
// folder, since the files may be anybody's.
func readFiles(h *host.Host, patterns []string, format string) ([]settings, error) {
	var all []settings
	for _, pattern := range patterns {
		names, err := h.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			data, _, err := h.ReadUntrusted(path.Dir(name), path.Base(name), host.MaxFile)
			if err != nil {
				return nil, err
			}
			values, err := valuefile.Read(format, name, data)
			if err != nil {
				return nil, err
			}
			all = append(all, settings{name, values})
		}
	}
	return all, nil
}

func fileValues(_ context.Context, h *host.Host, p valueParams) (checks.Verdict, error) {
	files, err := readFiles(h, p.Paths, p.Format)
	if err != nil {
		return checks.Verdict{}, err
	}
	if len(files) == 0 {
		return checks.Inapplicable("None of these files is there: " + strings.Join(p.Paths, ", ") + "."), nil
	}
	return judgeValues(files, p), nil
}

func judgeValues(files []settings, p valueParams) checks.Verdict {
	var bad, seen []checks.Evidence
	for _, f := range files {
		for _, want := range []struct {
			keys map[string]string
			not  bool
		}{{p.Equal, false}, {p.Not, true}} {
			for _, key := range slices.Sorted(maps.Keys(want.keys)) {
				v, set := valuefile.Last(f.values, key)
				values := strings.Split(want.keys[key], "|")
				e := checks.Evidence{Source: f.file, Line: v.Line, Key: key, Got: v.Text}
				switch {
				case !set:
					e.Got = "not set"
				case p.Hidden:
					e.Got = "a value"
				}
				if set && slices.Contains(values, v.Text) != want.not || !set && p.Unset == unsetPass {
					seen = append(seen, e)
					continue
				}
				e.Want = strings.Join(values, " or ")
				if want.not {
					e.Want = "other than " + e.Want
				}
				if p.Hidden {
					e.Want = "another value"
				}
				bad = append(bad, e)
			}
		}
	}
	if len(bad) > 0 {
		return checks.Failed(fmt.Sprintf("%s in %s is not as wanted.", bad[0].Key, bad[0].Source), bad...)
	}
	return checks.Passed(seen...)
}
