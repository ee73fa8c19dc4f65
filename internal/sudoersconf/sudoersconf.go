// Package sudoersconf reads from sudoers(5) which users its rules name. What
// commands a rule allows, on which hosts and as whom, is not read: it is a rule.
package sudoersconf

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Source gives the files.
type Source interface {
	ReadFile(name string) ([]byte, error)
	// Names lists the names of a folder.
	Names(dir string) ([]string, error)
}

// Bounds of what is read; sudo itself follows 128 includes inside each other.
const (
	maxFiles = 1000
	maxDepth = 128
	maxLine  = 1 << 20
)

// Policy is what a sudoers file and all that it includes say of users.
type Policy struct {
	Files    []string
	Rules    []Rule
	Problems []Problem // lines that are not understood: they may name anybody

	aliases map[string][]member
}

// Rule is a line that gives users something.
type Rule struct {
	File string
	Line int
	Text string // the users as written

	users []member
}

// Problem is a line that is not understood.
type Problem struct {
	File string
	Line int
	Text string
}

// member is one entry of a list of users.
type member struct {
	word   string
	quoted bool
	not    bool
}

// Load reads a sudoers file and what it includes. An error is that of the file
// itself; what of the rest cannot be read is a problem.
func Load(src Source, file string) (*Policy, error) {
	p := &Policy{aliases: map[string][]member{}}
	data, err := src.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p.read(src, file, data, 0)
	return p, nil
}

func (p *Policy) problem(file string, line int, format string, args ...any) {
	if len(p.Problems) < maxFiles {
		p.Problems = append(p.Problems, Problem{file, line, fmt.Sprintf(format, args...)})
	}
}

func (p *Policy) read(src Source, file string, data []byte, depth int) {
	p.Files = append(p.Files, file)
	number := 0
	rest := string(data)
	for rest != "" {
		var text string
		first := number + 1
		for {
			var line string
			line, rest, _ = strings.Cut(rest, "\n")
			number++
			if cut, continued := strings.CutSuffix(line, `\`); continued && rest != "" && !isComment(text+line) {
				text += cut
				continue
			}
			text += line
			break
		}
		if len(text) > maxLine {
			p.problem(file, first, "the line is too long")
			continue
		}
		p.line(src, file, first, strings.TrimSpace(text), depth)
	}
}

// isComment: a backslash does not continue a comment.
func isComment(text string) bool {
	text = strings.TrimLeft(text, " \t")
	return strings.HasPrefix(text, "#") && !strings.HasPrefix(text, "#include") && (len(text) < 2 || text[1] < '0' || text[1] > '9')
}

func (p *Policy) line(src Source, file string, number int, text string, depth int) {
	if text == "" || isComment(text) {
		return
	}
	word, rest, _ := strings.Cut(strings.ReplaceAll(text, "\t", " "), " ")
	switch {
	case word == "@include" || word == "#include":
		p.include(src, file, number, rest, depth)
	case word == "@includedir" || word == "#includedir":
		p.includeDir(src, file, number, rest, depth)
	case strings.HasPrefix(text, "#include") || strings.HasPrefix(text, "@"):
		p.problem(file, number, "the directive is not understood")
	case word == "Defaults" || strings.HasPrefix(word, "Defaults") && strings.ContainsAny(word[len("Defaults"):len("Defaults")+1], "@:!>"):
	case word == "Host_Alias" || word == "Runas_Alias" || word == "Cmnd_Alias" || word == "Cmd_Alias":
	case word == "User_Alias":
		p.userAlias(file, number, rest)
	default:
		p.rule(file, number, text)
	}
}

// fileName reads the path of an include, in quotes or with escapes.
func (p *Policy) fileName(file string, number int, text string) (string, bool) {
	text = strings.TrimSpace(text)
	var name strings.Builder
	quoted := strings.HasPrefix(text, `"`)
	text = strings.TrimPrefix(text, `"`)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text) && !quoted:
			i++
			name.WriteByte(text[i])
		case quoted && c == '"' || !quoted && (c == ' ' || c == '\t'):
			i = len(text)
		default:
			name.WriteByte(c)
		}
	}
	at := name.String()
	switch {
	case at == "":
		p.problem(file, number, "the include names no file")
		return "", false
	case strings.Contains(at, "%"):
		p.problem(file, number, "the include depends on the host's name")
		return "", false
	case !path.IsAbs(at):
		at = path.Join(path.Dir(file), at)
	}
	return at, true
}

func (p *Policy) include(src Source, file string, number int, text string, depth int) {
	name, ok := p.fileName(file, number, text)
	if !ok {
		return
	}
	p.included(src, file, number, name, depth)
}

func (p *Policy) included(src Source, file string, number int, name string, depth int) {
	if depth+1 > maxDepth || len(p.Files) >= maxFiles {
		p.problem(file, number, "there are too many includes")
		return
	}
	data, err := src.ReadFile(name)
	if err != nil {
		p.problem(file, number, "cannot read what it includes: %v", err)
		return
	}
	p.read(src, name, data, depth+1)
}

// includeDir reads all files of a folder but those with a dot in the name or a
// ~ at its end.
func (p *Policy) includeDir(src Source, file string, number int, text string, depth int) {
	dir, ok := p.fileName(file, number, text)
	if !ok {
		return
	}
	names, err := src.Names(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		p.problem(file, number, "cannot list what it includes: %v", err)
		return
	}
	slices.Sort(names)
	for _, name := range names {
		if !strings.Contains(name, ".") && !strings.HasSuffix(name, "~") {
			p.included(src, file, number, path.Join(dir, name), depth)
		}
	}
}
