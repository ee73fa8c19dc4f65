package timeconf

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// systemdDirs are where systemd looks for configuration, highest priority first.
var systemdDirs = []string{"/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd", "/lib/systemd"}

// TimesyncdConfig is what timesyncd.conf and its drop-ins say.
type TimesyncdConfig struct {
	Files       []string // all that were read, in order
	NTP         []Source // asked in turn until one answers
	Fallback    []Source // asked when no other server is known, from whatever side
	FallbackSet bool     // FallbackNTP= stands in a file; else a list compiled into timesyncd is used
}

// Timesyncd reads timesyncd.conf and its drop-ins in the order of systemd:
// the main file first, then the drop-ins of all folders sorted by base name,
// of equal base names only that in the highest folder. Lists accumulate and
// an empty assignment resets them, see timesyncd.conf(5). Files that are
// absent are no error.
func Timesyncd(files Files) (*TimesyncdConfig, error) {
	names, err := systemdConfFiles(files, "timesyncd.conf")
	if err != nil {
		return nil, err
	}
	var all Config
	c := &TimesyncdConfig{}
	for _, name := range names {
		data, err := all.read(files, name)
		if err != nil {
			return nil, err
		}
		c.parse(name, data)
	}
	c.Files = all.Files
	return c, nil
}

// systemdConfFiles returns the main file, if there is one, and its drop-ins
// in the order in which they apply. Masked ones (links to /dev/null) are left out.
func systemdConfFiles(files Files, base string) ([]string, error) {
	var names []string
	for _, dir := range systemdDirs {
		found, err := files.Glob(path.Join(dir, base))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			continue
		}
		if target, err := files.Readlink(found[0]); err != nil || target != "/dev/null" {
			names = append(names, found[0])
		}
		break
	}
	byBase := map[string]string{}
	for _, dir := range systemdDirs {
		dropins := path.Join(dir, base+".d")
		entries, err := files.ReadDir(dropins)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			name := e.Name()
			if _, taken := byBase[name]; !taken && strings.HasSuffix(name, ".conf") && !strings.HasPrefix(name, ".") {
				byBase[name] = path.Join(dropins, name)
			}
		}
	}
	var bases []string
	for name, full := range byBase {
		if target, err := files.Readlink(full); err == nil && target == "/dev/null" {
			continue
		}
		bases = append(bases, name)
	}
	slices.Sort(bases)
	for _, name := range bases {
		names = append(names, byBase[name])
	}
	return names, nil
}

// parse applies one file, see systemd.syntax(7).
func (c *TimesyncdConfig) parse(file string, data []byte) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	section := ""
	number, start := 0, 0
	var logical strings.Builder
	for raw := range bytes.Lines(data) {
		number++
		line := strings.TrimRight(string(raw), "\r\n")
		if trimmed := strings.TrimLeft(line, " \t"); strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, ";") {
			continue // comments may stand between continued lines
		}
		if logical.Len() == 0 {
			start = number
		}
		if backslashes := len(line) - len(strings.TrimRight(line, `\`)); backslashes%2 == 1 {
			logical.WriteString(line[:len(line)-1] + " ")
			continue
		}
		logical.WriteString(line)
		section = c.assign(file, start, section, strings.TrimSpace(logical.String()))
		logical.Reset()
	}
	c.assign(file, start, section, strings.TrimSpace(logical.String()))
}

// assign applies one logical line and returns the section after it.
func (c *TimesyncdConfig) assign(file string, number int, section, line string) string {
	if inner, found := strings.CutPrefix(line, "["); found {
		if name, closed := strings.CutSuffix(inner, "]"); closed {
			return name
		}
		return section
	}
	key, value, found := strings.Cut(line, "=")
	if !found || section != "Time" {
		return section
	}
	var list *[]Source
	switch strings.TrimSpace(key) {
	case "NTP":
		list = &c.NTP
	case "FallbackNTP":
		list, c.FallbackSet = &c.Fallback, true
	default:
		return section
	}
	if value = strings.TrimSpace(value); value == "" {
		*list = nil
		return section
	}
	for name := range strings.FieldsSeq(value) {
		if len(*list) >= maxSources {
			break
		}
		known := slices.ContainsFunc(*list, func(s Source) bool { return s.Name == name })
		if !known {
			*list = append(*list, Source{Kind: Server, Name: name, File: file, Line: number})
		}
	}
	return section
}
