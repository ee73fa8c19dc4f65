package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Bounds of what is read of a folder that a container mounts.
const (
	maxConfigFile  = 256 << 10 // bytes of one file
	maxConfigFiles = 100       // of one folder
)

// ConfigFile is a text file of a folder that a container mounts. What it holds
// may be secret, and anybody may have written it.
type ConfigFile struct {
	Path string // of the host
	Data []byte
	Err  error // why it could not be read

	Changed time.Time // its content
}

// newConfigFile keeps what was read of a file, or why it could not be.
func newConfigFile(name string, data []byte, info fs.FileInfo, err error) ConfigFile {
	f := ConfigFile{Path: name, Data: data, Err: err}
	if info != nil {
		f.Changed = info.ModTime()
	}
	return f
}

// configFolder is what was read of a folder.
type configFolder struct {
	files []ConfigFile
	err   error
}

// configFolders reads each folder once: the published connectors share theirs.
type configFolders struct {
	h    *Host
	read map[string]configFolder
}

// configTarget is where the images look for their configuration; the PIP's looks
// in /etc.
const configTarget = "/config"

// of returns the files of an application's configuration folder.
func (c *configFolders) of(a ConnectorApp) ([]ConfigFile, error) {
	target := configTarget
	if imageRole(a.Service.Image) == RolePIP {
		target = "/etc"
	}
	var files []ConfigFile
	found := false
	mounts := slices.Clone(a.Mounts)
	if a.Container == "" {
		mounts = slices.Concat(mounts, a.Service.Sources)
	}
	slices.SortFunc(mounts, func(x, y ContainerMount) int { return strings.Compare(x.Destination, y.Destination) }) // the folder before its files
	for _, m := range mounts {
		at := path.Clean(m.Destination)
		if at != target && !strings.HasPrefix(at, target+"/") {
			continue
		}
		if m.Source == "" {
			return nil, fmt.Errorf("cannot see the configuration of %s: where its mount at %s lies cannot be told", a.Name(), at)
		}
		found = true
		var folder configFolder
		switch info, err := c.h.Stat(m.Source); {
		case at == target:
			folder = c.folder(m.Source)
		case err == nil && info.IsDir():
			folder.err = c.h.withoutSettings(m.Source)
		default:
			folder = c.single(m.Source, path.Base(at))
		}
		if folder.err != nil {
			return nil, fmt.Errorf("cannot see the configuration of %s: %w", a.Name(), folder.err)
		}
		for _, f := range folder.files { // a file that is mounted by itself hides the folder's
			files = slices.DeleteFunc(files, func(o ConfigFile) bool { return path.Base(o.Path) == path.Base(f.Path) })
			files = append(files, f)
		}
	}
	if !found {
		return nil, fmt.Errorf("cannot see the configuration of %s: nothing of the host is mounted at %s", a.Name(), target)
	}
	slices.SortFunc(files, func(x, y ConfigFile) int { return strings.Compare(x.Path, y.Path) })
	return files, nil
}

// folder reads the text files directly in a folder.
func (c *configFolders) folder(dir string) configFolder {
	f, before := c.read[dir]
	if !before {
		f.files, f.err = c.h.readTexts(dir)
		c.read[dir] = f
	}
	return f
}

// readTexts reads the files of a folder that may hold settings.
func (h *Host) readTexts(dir string) ([]ConfigFile, error) {
	entries, err := h.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	below := 0
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if below++; below > maxConfigFiles {
			return nil, fmt.Errorf("%s holds more than %d folders", dir, maxConfigFiles)
		}
		if err := h.withoutSettings(path.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.IsDir() || !isConfigName(e.Name()) })
	if len(entries) > maxConfigFiles {
		return nil, fmt.Errorf("%s holds %d configuration files: %d are the most", dir, len(entries), maxConfigFiles)
	}
	var files []ConfigFile
	for _, e := range entries {
		data, info, err := h.ReadUntrusted(dir, e.Name(), maxConfigFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone meanwhile
		}
		files = append(files, newConfigFile(path.Join(dir, e.Name()), data, info, err))
	}
	return files, nil
}

// readAll reads files of at most max bytes that compose files name.
func (h *Host) readAll(dir string, names []string, max int64) []ConfigFile {
	var files []ConfigFile
	for _, name := range names {
		data, err := h.readBelow(dir, name, max)
		files = append(files, newConfigFile(name, data, nil, err))
	}
	return files
}

// withoutSettings is an error when a folder in the configuration folder holds
// settings: Spring reads config/*/, too, and what it says there wins.
func (h *Host) withoutSettings(dir string) error {
	entries, err := h.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "application") && isConfigName(e.Name()) {
			return fmt.Errorf("%s may win over the files beside its folder: this version of hostguard does not follow that", path.Join(dir, e.Name()))
		}
	}
	return nil
}

// single reads a file that is mounted by itself, under its name in the container.
func (c *configFolders) single(name, inside string) configFolder {
	dir, base := path.Split(name)
	if !isConfigName(inside) {
		return configFolder{}
	}
	if base != inside {
		return configFolder{err: fmt.Errorf("%s is mounted under another name, %s, which this version of hostguard does not follow", name, inside)}
	}
	data, info, err := c.h.ReadUntrusted(dir, base, maxConfigFile)
	return configFolder{files: []ConfigFile{newConfigFile(name, data, info, err)}}
}

// isConfigName reports whether a file may hold settings.
func isConfigName(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".properties", ".yml", ".yaml", ".xml", ".json", ".conf", ".cfg", ".ini", ".env", ".txt", ".toml":
		return true
	}
	return false
}

// imageRole is the role of a published image, wherever it was pulled from.
func imageRole(image string) Role {
	name, _, _ := strings.Cut(path.Base(image), ":")
	name, _, _ = strings.Cut(name, "@")
	switch name {
	case "ids_execution_core_container":
		return RoleCore
	case "ids_be_data_app":
		return RoleDataApp
	case "ids_uc_data_app_platoon", "ids_uc_data_app":
		return RoleUsageControl
	case "ids_uc_data_app_platoon_pip":
		return RolePIP
	}
	return RoleOther
}

// roleMarks are settings that the applications of one role have.
var roleMarks = []struct {
	role Role
	text string
}{
	{RoleCore, "application.isEnabledDapsInteraction"},
	{RoleCore, "application.isEnabledUsageControl"},
	{RoleCore, "application.camelReceiverPort"},
	{RoleDataApp, "application.dataLakeDirectory"},
	{RoleDataApp, "application.dataapp.http.config"},
	{RoleUsageControl, "com.tecnalia.datausage"},
	{RoleUsageControl, "/platoontec/"},
	{RolePIP, "pip.role"},
}

// roleOf tells a service's role by its image, else by settings that only one
// role has, else by the name that it has in the published compose file.
func roleOf(s ComposeService, files []ConfigFile) Role {
	if r := imageRole(s.Image); r != RoleOther {
		return r
	}
	for _, mark := range roleMarks {
		for _, f := range files {
			if strings.Contains(string(f.Data), mark.text) {
				return mark.role
			}
		}
	}
	switch strings.TrimSuffix(strings.TrimSuffix(s.Name, "-provider"), "-consumer") {
	case "ecc":
		return RoleCore
	case "be-dataapp":
		return RoleDataApp
	case "uc-dataapp":
		return RoleUsageControl
	case "uc-dataapp-pip":
		return RolePIP
	}
	return RoleOther
}
