package host

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"

	"github.com/hostguard/hostguard/internal/composefile"
)

// composeProject is a connector's compose files as they were read.
type composeProject struct {
	project  composefile.Project
	files    []string
	envFiles []string

	environments map[string][]composefile.EnvVar // by service
	variables    composefile.Variables           // of .env
}

// readCompose reads a project's .env and compose files: those that docker's
// labels name, else those that docker compose looks for.
func (h *Host) readCompose(p foundProject) (composeProject, error) {
	var c composeProject
	vars := composefile.Variables{}
	switch data, _, err := h.ReadUntrusted(p.dir, ".env", maxComposeFile); {
	case err == nil:
		c.envFiles = append(c.envFiles, path.Join(p.dir, ".env"))
		if err := composefile.ReadEnvironment(path.Join(p.dir, ".env"), data, vars); err != nil {
			return c, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return c, err
	}
	c.variables = maps.Clone(vars)
	names := p.files
	if len(names) == 0 {
		var err error
		if names, err = h.composeFileNames(p.dir, vars); err != nil {
			return c, err
		}
	}
	if len(names) > maxComposeFiles {
		return c, fmt.Errorf("it has %d compose files: %d are the most", len(names), maxComposeFiles)
	}
	var files []composefile.File
	left := int64(maxComposeFile)
	for _, name := range names {
		data, err := h.readBelow(p.dir, name, left)
		if errors.Is(err, ErrTooLarge) {
			return c, fmt.Errorf("%w: %d bytes are the most that its compose files may hold together", err, maxComposeFile)
		}
		if err != nil {
			return c, err
		}
		left -= int64(len(data))
		c.files = append(c.files, name)
		files = append(files, composefile.File{Name: name, Data: data})
	}
	var err error
	if c.project, err = composefile.Load(p.dir, p.project, files, vars); err != nil {
		return c, err
	}
	for _, f := range c.project.EnvFiles {
		if _, err := h.Lstat(f.Path); err == nil {
			c.envFiles = append(c.envFiles, f.Path)
		} else if !errors.Is(err, fs.ErrNotExist) || !f.Optional {
			return c, fmt.Errorf("cannot find the file that env_file names: %w", err)
		}
	}
	c.environments, err = h.serviceEnvironments(p.dir, c.project)
	return c, err
}

// serviceEnvironments reads what env_file names, each file once.
func (h *Host) serviceEnvironments(dir string, project composefile.Project) (map[string][]composefile.EnvVar, error) {
	type content struct {
		data []byte
		err  error
	}
	contents := map[string]content{}
	left := int64(maxComposeFile)
	read := func(f composefile.EnvFile) ([]byte, error) {
		c, before := contents[f.Path]
		if !before {
			c.data, c.err = h.readBelow(dir, f.Path, left)
			left -= int64(len(c.data))
			contents[f.Path] = c
		}
		if f.Optional && errors.Is(c.err, fs.ErrNotExist) {
			return nil, nil
		}
		return c.data, c.err
	}
	environments := map[string][]composefile.EnvVar{}
	for _, s := range project.Services {
		env, err := project.EnvironmentOf(s, read)
		if err != nil {
			return nil, err
		}
		environments[s.Name] = env
	}
	return environments, nil
}

// readBelow reads a compose file of at most max bytes. One that lies outside of
// the project's folder is read from its own.
func (h *Host) readBelow(dir, name string, max int64) ([]byte, error) {
	rel, inside := strings.CutPrefix(name, strings.TrimSuffix(dir, "/")+"/")
	if !inside {
		dir, rel = path.Split(name)
	}
	data, _, err := h.ReadUntrusted(dir, rel, max)
	return data, err
}

// composeFileNames returns the compose files of a folder in the order in
// which they are merged: those of COMPOSE_FILE, else the first of the usual
// names with the first of the usual overrides.
func (h *Host) composeFileNames(dir string, vars composefile.Variables) ([]string, error) {
	if v, set := vars["COMPOSE_FILE"]; set {
		if !v.Known {
			return nil, errors.New("which compose files are used cannot be told: .env leaves COMPOSE_FILE to the shell")
		}
		separator := ":"
		if s := vars["COMPOSE_PATH_SEPARATOR"]; s.Value != "" {
			separator = s.Value
		}
		var names []string
		for name := range strings.SplitSeq(v.Value, separator) {
			if !path.IsAbs(name) {
				name = path.Join(dir, name)
			}
			names = append(names, path.Clean(name))
		}
		return names, nil
	}
	var names []string
	for _, candidates := range [][]string{composefile.FileNames, composefile.OverrideNames} {
		for _, candidate := range candidates {
			name := path.Join(dir, candidate)
			_, err := h.Lstat(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			names = append(names, name)
			break
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("it has no compose file (%s)", strings.Join(composefile.FileNames, ", "))
		}
	}
	return names, nil
}
