package composefile

import (
	"path"
	"strings"

	"gopkg.in/yaml.v3"
)

func (l *loader) addVolumes(n *yaml.Node) error {
	pairs, err := l.entries(n)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		v := l.volumes[p.key]
		v.Key = p.key
		settings, err := l.entries(p.node)
		if err != nil {
			return err
		}
		for _, s := range settings {
			switch s.key {
			case "name":
				v.Name, err = l.known(s.node)
			case "external":
				v.External = s.node.Value == "true"
				if s.node.Kind == yaml.MappingNode { // the older form
					v.External = true
					var m map[string]string
					m, err = l.mapping(s.node)
					v.Name = m["name"]
				}
			case "driver_opts":
				var o map[string]string
				if o, err = l.mapping(s.node); err == nil {
					v.Device, err = boundDevice(s.node, o)
				}
			}
			if err != nil {
				return err
			}
		}
		l.volumes[p.key] = v
	}
	return nil
}

// boundDevice returns the folder that docker's local driver binds.
func boundDevice(n *yaml.Node, options map[string]string) (string, error) {
	for o := range strings.SplitSeq(options["o"], ",") {
		if o != "bind" && o != "rbind" {
			continue
		}
		if device := options["device"]; path.IsAbs(device) {
			return path.Clean(device), nil
		}
		return "", wrong(n, "the folder that the volume binds is not an absolute path that the files tell")
	}
	return "", nil
}
