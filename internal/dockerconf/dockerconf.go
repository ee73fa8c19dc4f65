// Package dockerconf reads how the docker daemon is configured: daemon.json,
// dockerd's command line, and the unit files that hold the command line. See
// dockerd(8) and systemd.service(5).
package dockerconf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// An Option is one option of the daemon and where it is set.
type Option struct {
	Values []string // one for each time it is given; objects as "key=value"; never empty
	Source string   // "/etc/docker/daemon.json", "/lib/systemd/system/docker.service"
	Line   int
}

// Last is the value of an option that holds one.
func (o Option) Last() string { return o.Values[len(o.Values)-1] }

// Options are options by their name in daemon.json: "data-root", "hosts".
type Options map[string]Option

// renamed maps option names of before to those of now.
var renamed = map[string]string{"graph": "data-root"}

// ParseFile reads daemon.json. As in dockerd, an empty file sets nothing and
// the last of two equal keys counts. Errors name file and line, and hold
// nothing of what the file says.
func ParseFile(name string, data []byte) (Options, error) {
	options := Options{}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if len(bytes.TrimSpace(data)) == 0 {
		return options, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	line := func() int { return 1 + bytes.Count(data[:min(int(d.InputOffset()), len(data))], []byte("\n")) }
	fail := func(err error) error {
		var syntax *json.SyntaxError
		switch {
		case errors.As(err, &syntax):
			at := 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
			return fmt.Errorf("cannot read %s:%d: %w", name, at, syntax)
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("cannot read %s:%d: it ends too early", name, line())
		}
		return fmt.Errorf("cannot read %s:%d: %w", name, line(), err)
	}
	open, err := d.Token()
	if err != nil {
		return nil, fail(err)
	}
	if open != json.Delim('{') {
		return nil, fail(errors.New("it is not a JSON object"))
	}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, fail(err)
		}
		key := token.(string) // the decoder lets nothing else stand there
		at := line()
		var value any
		if err := d.Decode(&value); err != nil {
			return nil, fail(err)
		}
		if now, ok := renamed[key]; ok {
			key = now
		}
		if values := flatten(value); len(values) > 0 {
			options[key] = Option{Values: values, Source: name, Line: at}
		} else {
			delete(options, key)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, fail(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fail(errors.New("something follows the JSON object"))
	}
	return options, nil
}

// flatten turns a JSON value into the strings that flags would have set.
func flatten(value any) []string {
	switch v := value.(type) {
	case nil:
		return nil
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, e := range v {
			all = append(all, flatten(e)...)
		}
		return all
	case map[string]any:
		var all []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			all = append(all, k+"="+strings.Join(flatten(v[k]), ","))
		}
		return all
	}
	return []string{fmt.Sprint(value)}
}

// flagNames maps flags, short ones included, to names in daemon.json where
// the two differ.
var flagNames = map[string]string{
	"H": "hosts", "host": "hosts", "G": "group", "b": "bridge", "l": "log-level", "p": "pidfile",
	"s": "storage-driver", "D": "debug", "g": "data-root", "graph": "data-root",
	"label": "labels", "log-opt": "log-opts", "storage-opt": "storage-opts", "exec-opt": "exec-opts",
	"insecure-registry": "insecure-registries", "registry-mirror": "registry-mirrors",
	"authorization-plugin": "authorization-plugins", "add-runtime": "runtimes", "default-ulimit": "default-ulimits",
	"cluster-store-opt": "cluster-store-opts", "node-generic-resource": "node-generic-resources",
	"default-address-pool": "default-address-pools", "containerd-namespace": "containerd-namespace",
}

// shortSwitches are the one-letter flags that take no value.
const shortSwitches = "Dvh"

// ParseFlags reads dockerd's arguments, without the program's name. Every
// argument that does not start with a dash is the value of the flag before
// it, since dockerd takes no other.
func ParseFlags(source string, line int, args []string) (Options, error) {
	options := Options{}
	set := func(flag, value string) {
		name := flag
		if n, ok := flagNames[flag]; ok {
			name = n
		}
		o := options[name]
		options[name] = Option{Values: append(o.Values, value), Source: source, Line: line}
	}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		next := func() (string, bool) {
			if i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
				i++
				return args[i], true
			}
			return "", false
		}
		switch {
		case arg == "":
		case strings.HasPrefix(arg, "--"):
			flag, value, given := strings.Cut(arg[2:], "=")
			if !given {
				if value, given = next(); !given {
					value = "true"
				}
			}
			if flag == "" {
				return nil, fmt.Errorf("cannot read the arguments of dockerd in %s:%d: a flag without a name", source, line)
			}
			set(flag, value)
		case strings.HasPrefix(arg, "-") && len(arg) > 1:
			letters := arg[1:]
			for letters != "" && strings.Contains(shortSwitches, letters[:1]) {
				value := "true"
				flag := letters[:1]
				if rest, given := strings.CutPrefix(letters[1:], "="); given {
					value, letters = rest, letters[:1]
				}
				set(flag, value)
				letters = letters[1:]
			}
			if letters == "" {
				continue
			}
			flag, value := letters[:1], strings.TrimPrefix(letters[1:], "=")
			if value == "" {
				var given bool
				if value, given = next(); !given {
					return nil, fmt.Errorf("cannot read the arguments of dockerd in %s:%d: -%s lacks its value", source, line, flag)
				}
			}
			set(flag, value)
		default:
			return nil, fmt.Errorf("cannot read the arguments of dockerd in %s:%d: an argument that belongs to no flag", source, line)
		}
	}
	return options, nil
}

// Merge lays flags and file over each other. Options in both are returned by
// name, sorted: dockerd refuses to start with them, so neither value is in
// force after a restart.
func Merge(file, flags Options) (merged Options, both []string) {
	merged = maps.Clone(file)
	for name, o := range flags {
		// Objects of flags add to those of the file (dockerd's flat options).
		if _, twice := file[name]; twice && name != "runtimes" && name != "default-ulimits" {
			both = append(both, name)
		}
		merged[name] = o
	}
	slices.Sort(both)
	return merged, both
}
