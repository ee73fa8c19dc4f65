package values

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/secret"
	"github.com/hostguard/hostguard/internal/valuefile"
)

type secretParams struct {
	Paths     []string `yaml:"paths" doc:"Files, or patterns for them, that hold the secret at key."`
	Format    string   `yaml:"format" doc:"How they are written: properties, keyvalue, ini, json or yaml."`
	Unit      string   `yaml:"unit" doc:"A unit whose service gets the secret as the variable key, instead of files."`
	Container string   `yaml:"container" doc:"A docker container that gets the secret as the variable key, instead of files."`
	Key       string   `yaml:"key" doc:"The key, or the variable's name."`
	MinLength int      `yaml:"min_length" doc:"How many characters it must have."`
	MinBits   int      `yaml:"min_bits" doc:"How hard it must be to guess, in bits."`
	Known     []string `yaml:"known" doc:"Values that it must not have, whatever their strength."`
	Readable  bool     `yaml:"readable" doc:"Whether others may read the file."`
}

// Validate wants a key and exactly one place.
func (p secretParams) Validate() error {
	places := 0
	for _, given := range []bool{len(p.Paths) > 0, p.Unit != "", p.Container != ""} {
		if given {
			places++
		}
	}
	switch {
	case places != 1:
		return errors.New("exactly one of paths, unit and container is wanted")
	case p.Key == "":
		return errors.New("key is empty")
	case p.MinLength < 0 || p.MinBits < 0:
		return errors.New("min_length and min_bits must not be negative")
	}
	return validPaths(p.Paths, p.Format)
}

// found is a secret where it was found.
type found struct {
	source string
	line   int
	file   string // that holds it, empty: none
	public bool   // everybody can ask for it
	value  secret.Text
}

func secretStrength(ctx context.Context, h *host.Host, p secretParams) (checks.Verdict, error) {
	var list []found
	var missing []string
	switch {
	case p.Unit != "":
		set, err := h.UnitVariables(p.Unit, p.Key)
		if err != nil {
			return checks.Verdict{}, err
		}
		for _, v := range set {
			list = append(list, found{v.Place.Source, v.Place.Line, v.File, v.Public, v.Value})
		}
		if len(list) == 0 {
			missing = append(missing, p.Unit)
		}
	case p.Container != "":
		if !h.Running() {
			return checks.Inapplicable(host.ErrNotRunning.Error()), nil
		}
		details, err := h.ContainerDetails(ctx)
		if err != nil {
			return checks.Verdict{}, err
		}
		for _, d := range details {
			if d.Name != p.Container {
				continue
			}
			i := slices.IndexFunc(d.Env, func(v host.EnvVariable) bool { return v.Name == p.Key })
			if i < 0 {
				missing = append(missing, "container "+d.Name)
				continue
			}
			list = append(list, found{source: "container " + d.Name, value: d.Env[i].Value})
		}
		if len(list)+len(missing) == 0 {
			return checks.Verdict{}, fmt.Errorf("cannot look at container %.64q: docker has none of this name", p.Container)
		}
	default:
		files, err := readFiles(h, p.Paths, p.Format)
		if err != nil {
			return checks.Verdict{}, err
		}
		for _, f := range files {
			if v, set := valuefile.Last(f.values, p.Key); set {
				list = append(list, found{f.file, v.Line, f.file, false, secret.New(v.Text)})
			} else {
				missing = append(missing, f.file)
			}
		}
		if len(files) == 0 {
			return checks.Inapplicable("None of these files is there: " + strings.Join(p.Paths, ", ") + "."), nil
		}
	}
	return judgeSecrets(list, missing, p, h.TargetMode)
}

// judgeSecrets wants each secret strong, and its file closed; mode looks at files.
func judgeSecrets(list []found, missing []string, p secretParams, mode func(string) (host.FileMode, error)) (checks.Verdict, error) {
	var bad, seen []checks.Evidence
	for _, source := range missing {
		bad = append(bad, checks.Evidence{Source: source, Key: p.Key, Want: "a strong secret", Got: "not set"})
	}
	for _, f := range list {
		e := checks.Evidence{Source: f.source, Line: f.line, Key: p.Key, Want: fmt.Sprintf("%d characters or more, hard to guess", p.MinLength)}
		switch {
		case slices.Contains(p.Known, f.value.Reveal()):
			e.Want, e.Got = "a secret of your own", "a known one"
		case f.value.Length() < p.MinLength:
			e.Got = fmt.Sprintf("%d characters", f.value.Length())
		case f.value.Bits() < float64(p.MinBits):
			e.Got = fmt.Sprintf("%d characters that are easy to guess", f.value.Length())
		default:
			e.Want, e.Got = "", fmt.Sprintf("%d characters, hard to guess", f.value.Length())
			seen = append(seen, e)
		}
		if e.Want != "" {
			bad = append(bad, e)
		}
		if f.public && !p.Readable {
			bad = append(bad, checks.Evidence{Source: f.source, Line: f.line, Key: p.Key, Want: "EnvironmentFile= with a file that only root reads", Got: "Environment=, which systemd tells every user"})
		}
		if f.file == "" || f.public || p.Readable {
			continue
		}
		m, err := mode(f.file)
		if err != nil && len(bad) == 0 {
			return checks.Verdict{Evidence: seen}, fmt.Errorf("cannot tell who reads the secret: %w", err)
		}
		if err == nil && m.Perm&0o007 != 0 {
			bad = append(bad, checks.Evidence{Source: f.file, Key: "mode", Want: "nothing for others", Got: fmt.Sprintf("%04o", m.Perm)})
		}
	}
	if len(bad) > 0 {
		return checks.Failed(fmt.Sprintf("The secret %s is missing, weak, or can be read by others.", p.Key), bad...), nil
	}
	return checks.Passed(seen...), nil
}
