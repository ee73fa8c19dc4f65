package services

import (
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/hostguard/hostguard/internal/strictyaml"
	"github.com/hostguard/hostguard/internal/unitfile"
)

//go:embed known.yaml
var knownYAML []byte

// kind is one sort of server that is known by its units and programs.
type kind struct {
	Title    string `yaml:"title" required:"true"`
	Units    words  `yaml:"units" required:"true"`
	Programs words  `yaml:"programs" required:"true"`
}

// words is a list written as words of one text.
type words []string

// UnmarshalText splits at white space.
func (w *words) UnmarshalText(text []byte) error {
	*w = strings.Fields(string(text))
	return nil
}

// knownServers is the table of known.yaml, ready to be asked.
type knownServers struct {
	kinds    map[string]kind
	units    matcher
	programs matcher
}

// known reads the table once, when a check first runs.
var known = sync.OnceValues(func() (*knownServers, error) {
	k := &knownServers{}
	doc, err := strictyaml.Parse("known.yaml", knownYAML)
	if err != nil {
		return nil, err
	}
	if err := doc.Decode(&k.kinds); err != nil {
		return nil, err
	}
	for name, kind := range k.kinds {
		if err := k.units.add(name, kind.Units); err != nil {
			return nil, fmt.Errorf("known.yaml: %s: %w", name, err)
		}
		if err := k.programs.add(name, kind.Programs); err != nil {
			return nil, fmt.Errorf("known.yaml: %s: %w", name, err)
		}
	}
	return k, nil
})

// unit returns the kind of server a unit belongs to, "" when it is not known.
func (k *knownServers) unit(name string) string {
	stem := stemOf(name)
	if found := k.units.match(stem); found != "" {
		return found
	}
	if template := unitfile.Template(name); template != "" {
		return k.units.match(stemOf(template))
	}
	return ""
}

// program returns the kind of server a program is, by the last part of its path.
func (k *knownServers) program(exe string) string {
	return k.programs.match(path.Base(strings.TrimSuffix(exe, " (deleted)")))
}

// matcher finds names in lists that hold mostly plain names and few patterns.
type matcher struct {
	exact    map[string]string
	patterns []pattern
}

type pattern struct{ prefix, glob, value string } // prefix: what stands before the first wildcard

func (m *matcher) add(value string, names []string) error {
	if m.exact == nil {
		m.exact = make(map[string]string)
	}
	for _, name := range names {
		wild := strings.IndexAny(name, `*?[\`)
		if wild < 0 {
			m.exact[name] = value
			continue
		}
		if _, err := path.Match(name, ""); err != nil {
			return fmt.Errorf("%q is not a pattern: %w", name, err)
		}
		m.patterns = append(m.patterns, pattern{name[:wild], name, value})
	}
	slices.SortFunc(m.patterns, func(a, b pattern) int { return strings.Compare(a.glob, b.glob) })
	return nil
}

func (m *matcher) match(name string) string {
	if value, ok := m.exact[name]; ok {
		return value
	}
	for _, p := range m.patterns {
		if !strings.HasPrefix(name, p.prefix) {
			continue
		}
		if ok, _ := path.Match(p.glob, name); ok {
			return p.value
		}
	}
	return ""
}

// watched are the kinds of units that run, listen or fire.
var watched = []string{".service", ".socket", ".timer", ".path"}

// stemOf is the unit's name without its suffix.
func stemOf(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }
