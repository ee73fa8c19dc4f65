package composefile

import (
	"cmp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Rights are what a service may do on its host besides its mounts and ports,
// and whether docker starts it again. Texts are as the files say, empty: nothing.
type Rights struct {
	Privileged  string // a YAML boolean: "true"
	CapAdd      []string
	SecurityOpt []string
	Devices     []string // "HOST:CONTAINER:RIGHTS"
	DeviceRules []string // device_cgroup_rules: "c 1:3 mr"
	Network     string   // network_mode: "host", "service:x" …
	PID         string
	IPC         string
	UTS         string
	UserNS      string // userns_mode
	Cgroup      string // "host", "private"
	User        string
	Restart     string // "no", "always", "unless-stopped", "on-failure:3"

	RestartCondition string // deploy.restart_policy.condition, which wins over Restart: "any", "none", "on-failure"
}

// RestartPolicy is docker's name for when it starts the service again.
func (r Rights) RestartPolicy() string {
	if docker := map[string]string{"any": "always", "none": "no"}[r.RestartCondition]; docker != "" {
		return docker
	}
	policy, _, _ := strings.Cut(cmp.Or(r.RestartCondition, r.Restart, "no"), ":")
	return policy
}

// texts of Rights by their keys in the files.
func (r *Rights) text(key string) *string {
	return map[string]*string{
		"privileged": &r.Privileged, "network_mode": &r.Network, "pid": &r.PID, "ipc": &r.IPC, "uts": &r.UTS,
		"userns_mode": &r.UserNS, "cgroup": &r.Cgroup, "user": &r.User, "restart": &r.Restart,
		"condition": &r.RestartCondition,
	}[key]
}

// readRights reads one key of a service; those of other things it passes over.
func (l *loader) readRights(r *Rights, key string, n *yaml.Node) (err error) {
	if field := r.text(key); field != nil {
		*field, err = l.text(n)
		return err
	}
	switch key {
	case "cap_add":
		r.CapAdd, err = l.texts(n)
	case "security_opt":
		r.SecurityOpt, err = l.texts(n)
	case "devices":
		r.Devices, err = l.devices(n)
	case "device_cgroup_rules":
		r.DeviceRules, err = l.texts(n)
	case "deploy":
		var deploy []pair
		if deploy, err = l.entries(n); err != nil {
			return err
		}
		for _, d := range deploy {
			if d.key == "restart_policy" {
				var policy map[string]string
				policy, err = l.mapping(d.node)
				r.RestartCondition = policy["condition"]
			}
		}
	}
	return err
}

// devices reads both forms: "HOST:CONTAINER:RIGHTS", and a mapping.
func (l *loader) devices(n *yaml.Node) ([]string, error) {
	list, err := l.items(n)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range list {
		if e.Kind != yaml.MappingNode {
			s, err := l.text(e)
			if err != nil {
				return nil, err
			}
			all = append(all, s)
			continue
		}
		d, err := l.mapping(e)
		if err != nil {
			return nil, err
		}
		all = append(all, d["source"]+":"+d["target"]+":"+d["permissions"])
	}
	return all, nil
}

// mergeRights lays over onto base: texts replace, lists add.
func mergeRights(base, over Rights) Rights {
	m := over
	for _, key := range []string{"privileged", "network_mode", "pid", "ipc", "uts", "userns_mode", "cgroup", "user", "restart", "condition"} {
		if to := m.text(key); *to == "" {
			*to = *base.text(key)
		}
	}
	m.CapAdd = append(slices.Clone(base.CapAdd), over.CapAdd...)
	m.SecurityOpt = append(slices.Clone(base.SecurityOpt), over.SecurityOpt...)
	m.Devices = append(slices.Clone(base.Devices), over.Devices...)
	m.DeviceRules = append(slices.Clone(base.DeviceRules), over.DeviceRules...)
	return m
}
