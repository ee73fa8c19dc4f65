package unitfile

import (
	"path"
	"strings"
)

// sysvScript is an init script for which there is no unit file: at boot
// systemd-sysv-generator(8) makes a service of it.
type sysvScript struct {
	path string
	link string // /etc/rc2.d/S01x, when some runlevel 2 to 5 starts it
}

func (s sysvScript) state() string {
	if s.link != "" {
		return "enabled"
	}
	return "disabled"
}

// readSysV finds the init scripts that a boot makes services of, as
// systemd-sysv-generator does: executable files of /etc/init.d without a unit
// file, started by S links of runlevels 2 to 5.
func (t *Tree) readSysV() (map[string]sysvScript, error) {
	scripts := make(map[string]sysvScript)
	entries, err := t.fs.ReadDir("/etc/init.d")
	if absent(err) {
		return scripts, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".sh") + ".service"
		if f, _, _ := t.first(name); f != nil || !ValidName(name) || e.IsDir() {
			continue
		}
		script := path.Join("/etc/init.d", e.Name())
		if info, err := t.fs.Stat(script); err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue
		}
		scripts[name] = sysvScript{path: script}
	}
	if len(scripts) == 0 {
		return scripts, nil
	}
	for _, level := range []string{"2", "3", "4", "5"} {
		dir := "/etc/rc" + level + ".d"
		links, err := t.fs.ReadDir(dir)
		if absent(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, l := range links {
			if len(l.Name()) < 4 || l.Name()[0] != 'S' {
				continue
			}
			name := strings.TrimSuffix(l.Name()[3:], ".sh") + ".service"
			if s, known := scripts[name]; known && s.link == "" {
				s.link = path.Join(dir, l.Name())
				scripts[name] = s
			}
		}
	}
	return scripts, nil
}
