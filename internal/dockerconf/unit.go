package dockerconf

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// A UnitFile is a unit file or one of its drop-ins.
type UnitFile struct {
	Name string
	Data []byte
}

// A Command is the command line that a service starts.
type Command struct {
	Args []string // the program first; environment variables expanded
	File string
	Line int
}

// CommandLine returns the main command of a service from its unit file and
// drop-ins in the order in which they apply. As in systemd.service(5), an
// empty ExecStart= forgets those before it, and Environment= and
// EnvironmentFile= supply variables; read returns an environment file's
// content. Specifiers other than %% are left as they are.
func CommandLine(files []UnitFile, read func(name string) ([]byte, error)) (Command, error) {
	var starts []setting
	env := map[string]string{}
	var envFiles []setting
	for _, f := range files {
		for _, s := range settings(f, "Service") {
			switch s.key {
			case "ExecStart":
				starts = collect(starts, s)
			case "EnvironmentFile":
				envFiles = collect(envFiles, s)
			case "Environment":
				if s.value == "" {
					clear(env)
				}
				for _, word := range words(s.value) {
					if k, v, ok := strings.Cut(word, "="); ok {
						env[k] = v
					}
				}
			}
		}
	}
	for _, s := range envFiles { // they win over Environment=
		name, optional := strings.CutPrefix(s.value, "-")
		data, err := read(name)
		if err != nil {
			if optional && errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return Command{}, fmt.Errorf("cannot read what %s:%d names: %w", s.file, s.line, err)
		}
		parseEnvironment(string(data), env)
	}
	if len(starts) != 1 {
		if len(starts) == 0 {
			return Command{}, errors.New("cannot tell the service's command: no ExecStart= is set")
		}
		return Command{}, fmt.Errorf("cannot tell the service's command: %d ExecStart= are set, the last at %s:%d",
			len(starts), starts[len(starts)-1].file, starts[len(starts)-1].line)
	}
	start := starts[0]
	args := expand(words(strings.TrimLeft(start.value, "@-:+!")), env)
	if len(args) == 0 || !path.IsAbs(args[0]) {
		return Command{}, fmt.Errorf("cannot tell the service's command at %s:%d: it does not start with an absolute path", start.file, start.line)
	}
	if strings.Contains(start.value[:len(start.value)-len(strings.TrimLeft(start.value, "@-:+!"))], "@") && len(args) > 1 {
		args = append(args[:1], args[2:]...) // the second word is the name to show
	}
	return Command{Args: args, File: start.file, Line: start.line}, nil
}

// A Stream is an address that a socket unit listens on, and where it is set.
type Stream struct {
	Address string // a path, a port, or an address with a port
	File    string
	Line    int
}

// ListenStreams returns what a socket unit's ListenStream= set.
func ListenStreams(files []UnitFile) []Stream {
	var streams []setting
	for _, f := range files {
		for _, s := range settings(f, "Socket") {
			if s.key == "ListenStream" {
				streams = collect(streams, s)
			}
		}
	}
	var set []Stream
	for _, s := range streams {
		set = append(set, Stream{strings.ReplaceAll(s.value, "%t", "/run"), s.file, s.line})
	}
	return set
}

// Setting returns the last value of a setting that holds one, in one section of
// a unit, and where it is set; line 0 when it is not, or was set back to nothing.
func Setting(files []UnitFile, section, key string) (value, file string, line int) {
	for _, f := range files {
		for _, s := range settings(f, section) {
			if s.key != key {
				continue
			}
			if value, file, line = s.value, s.file, s.line; value == "" {
				file, line = "", 0
			}
		}
	}
	return value, file, line
}

// setting is one assignment of a unit file.
type setting struct {
	key, value, file string
	line             int
}

// collect adds to a list setting; the empty value forgets what was there.
func collect(list []setting, s setting) []setting {
	if s.value == "" {
		return nil
	}
	return append(list, s)
}

// settings returns the assignments of one section, see systemd.syntax(7).
func settings(f UnitFile, section string) []setting {
	var found []setting
	inside := false
	lines := strings.Split(string(f.Data), "\n")
	for i := 0; i < len(lines); i++ {
		first := i
		line := strings.TrimSpace(lines[i])
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		var joined strings.Builder
		for strings.HasSuffix(line, `\`) && i+1 < len(lines) {
			joined.WriteString(strings.TrimSuffix(line, `\`) + " ")
			i++
			line = strings.TrimSpace(lines[i])
			if line != "" && (line[0] == '#' || line[0] == ';') {
				line = `\` // a comment inside a continued line is passed over
			}
		}
		joined.WriteString(strings.TrimSuffix(line, `\`))
		line = joined.String()
		if line == "" {
			continue
		}
		if line[0] == '[' {
			inside = line == "["+section+"]"
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if inside && ok {
			found = append(found, setting{strings.TrimSpace(key), strings.TrimSpace(value), f.Name, first + 1})
		}
	}
	return found
}

// words splits a value at white space, outside of quotes; quotes and
// backslashes are taken off.
func words(s string) []string {
	var all []string
	var word strings.Builder
	started := false
	var quote byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			i++
			word.WriteByte(s[i])
			started = true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, started = c, true
		case c == ' ' || c == '\t':
			if started {
				all = append(all, word.String())
				word.Reset()
				started = false
			}
		case c == '%' && i+1 < len(s) && s[i+1] == '%':
			i++
			word.WriteByte('%')
			started = true
		default:
			word.WriteByte(c)
			started = true
		}
	}
	if started {
		all = append(all, word.String())
	}
	return all
}

// expand puts variables into a command line: $NAME as a word of its own
// becomes as many words as its value has, ${NAME} anywhere becomes one text,
// $$ is a dollar.
func expand(args []string, env map[string]string) []string {
	var all []string
	for _, arg := range args {
		if name, ok := strings.CutPrefix(arg, "$"); ok && isName(name) {
			all = append(all, words(env[name])...)
			continue
		}
		var out strings.Builder
		for rest := arg; rest != ""; {
			before, after, found := strings.Cut(rest, "$")
			out.WriteString(before)
			rest = after
			if !found {
				break
			}
			name, tail, closed := strings.Cut(strings.TrimPrefix(after, "{"), "}")
			switch {
			case strings.HasPrefix(after, "$"):
				out.WriteByte('$')
				rest = after[1:]
			case strings.HasPrefix(after, "{") && closed && isName(name):
				out.WriteString(env[name])
				rest = tail
			default:
				out.WriteByte('$')
			}
		}
		all = append(all, out.String())
	}
	return all
}

func isName(s string) bool {
	for i, c := range s {
		if !(c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return s != ""
}

// parseEnvironment reads an environment file into env: one assignment a line,
// quotes taken off, # and ; start comments, a backslash continues the line.
func parseEnvironment(text string, env map[string]string) {
	text = strings.ReplaceAll(text, "\\\n", "")
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		k, v, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if k = strings.TrimSpace(k); !ok || !isName(k) {
			continue
		}
		v = strings.TrimSpace(v)
		if len(v) >= 2 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
			v = v[1 : len(v)-1]
		}
		env[k] = v
	}
}
