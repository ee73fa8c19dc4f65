package host

import (
	"errors"
	"io/fs"
	"path"
	"slices"
)

var programDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// findPrograms looks programs up in the folders of the usual PATH. Folders
// that are links to one another count once.
func (h *Host) findPrograms(names []string) ([]Place, error) {
	var dirs []string
	for _, dir := range programDirs {
		real, err := h.Resolve(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !slices.Contains(dirs, real) {
			dirs = append(dirs, real)
		}
	}
	var found []Place
	for _, name := range names {
		for _, dir := range dirs {
			real, err := h.Resolve(path.Join(dir, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(found, func(p Place) bool { return p.Path == real }) {
				found = append(found, Place{Name: name, Path: real, Exists: true, Source: "found"})
			}
		}
	}
	return found, nil
}
