package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/secret"
	"github.com/hostguard/hostguard/internal/springconf"
	"github.com/hostguard/hostguard/internal/unitfile"
)

// LaunchVariable is a variable of the host's environment, which whoever starts
// compose from there passes on.
type LaunchVariable struct {
	springconf.Variable
	File   string // that holds the value
	Public bool   // whatever the file's mode, everybody can ask for it: systemd tells what stands in Environment=
}

// LaunchVariables returns where a variable is set for whoever starts compose: in
// /etc/environment, and by the units in /etc/systemd/system that call compose.
// See pam_env(8), systemd.exec(5). What the shell of a user sets is not seen.
func (h *Host) LaunchVariables(_ context.Context, name string) ([]LaunchVariable, error) {
	found, err := h.environmentFile("/etc/environment", name, nil)
	if err != nil {
		return nil, err
	}
	units, err := h.Glob("/etc/systemd/system/*.service")
	if err != nil {
		return nil, err
	}
	for _, unit := range units {
		more, err := h.unitVariables(path.Base(unit), name, true)
		if err != nil {
			return nil, fmt.Errorf("cannot tell what %s passes on: %w", unit, err)
		}
		found = append(found, more...)
	}
	return found, nil
}

// UnitVariables returns where a unit sets a variable of its service, as its files
// say: Environment=, and over it EnvironmentFile=.
func (h *Host) UnitVariables(unit, name string) ([]LaunchVariable, error) {
	return h.unitVariables(unit, name, false)
}

// unitVariables are those of a unit; with onlyCompose of one that calls compose.
func (h *Host) unitVariables(unit, name string, onlyCompose bool) ([]LaunchVariable, error) {
	file, err := h.unitFile(unit)
	if err != nil || file == "" {
		return nil, err
	}
	var found []LaunchVariable
	var files []string
	compose := false
	err = h.eachEntry(file, unit, func(e unitfile.Entry, from string) {
		switch {
		case e.Section != "Service":
		case strings.HasPrefix(e.Key, "Exec"):
			compose = compose || strings.Contains(e.Value, "compose")
		case e.Key == "Environment":
			env := map[string]string{}
			unitfile.Assignments(e.Value, env)
			if value, set := env[name]; set {
				at := springconf.Place{Source: from, Line: e.Line, Key: name}
				found = append(found, LaunchVariable{springconf.Variable{Name: name, Value: secret.New(value), Place: at, Origin: at}, from, true})
			}
		case e.Key == "EnvironmentFile":
			files = append(files, strings.TrimPrefix(e.Value, "-"))
		}
	})
	if err != nil || onlyCompose && !compose {
		return nil, err
	}
	for _, pattern := range slices.DeleteFunc(files, func(f string) bool { return !path.IsAbs(f) }) {
		names, err := h.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, file := range names {
			more, err := h.environmentFile(file, name, unitfile.EnvironmentFile)
			if err != nil {
				return nil, err
			}
			found = append(found, more...)
		}
	}
	return found, nil
}

// environmentFile looks for a variable in a file of assignments. parse reads the
// file's own syntax; nil is that of pam_env(8): the last line counts, and one
// pair of quotes goes.
func (h *Host) environmentFile(file, name string, parse func([]byte, map[string]string)) ([]LaunchVariable, error) {
	data, err := h.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []LaunchVariable
	line := 0
	for text := range strings.Lines(string(data)) {
		line++
		key, value, set := strings.Cut(strings.TrimSpace(text), "=")
		if !set || strings.TrimSpace(strings.TrimPrefix(key, "export ")) != name {
			continue
		}
		if value = strings.TrimSpace(value); len(value) > 1 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		at := springconf.Place{Source: file, Line: line, Key: name}
		found = []LaunchVariable{{Variable: springconf.Variable{Name: name, Value: secret.New(value), Place: at, Origin: at}, File: file}}
	}
	if parse != nil {
		env := map[string]string{}
		parse(data, env)
		value, set := env[name]
		if !set {
			return nil, nil
		}
		if len(found) == 0 {
			at := springconf.Place{Source: file, Key: name}
			found = []LaunchVariable{{Variable: springconf.Variable{Name: name, Place: at, Origin: at}, File: file}}
		}
		found[0].Value = secret.New(value)
	}
	return found, nil
}
