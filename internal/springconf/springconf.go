// Package springconf tells which value a property has in a Spring Boot
// application that runs in a container: what its environment says, else the
// configuration files of the active profiles, with every ${…} replaced. See
// "Externalized Configuration" in Spring Boot's reference.
//
// What could change a value and is not followed (command-line arguments, Java's
// -D, SPRING_APPLICATION_JSON, spring.config.import …) is an error that names it,
// and never passed over. Values may be secrets: errors name places, never what
// stands there.
package springconf

import (
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/properties"
	"github.com/hostguard/hostguard/internal/secret"
)

// A Place is where something stands.
type Place struct {
	Source string // a file, or "container NAME"
	Line   int    // 0: it has no lines
	Key    string // the property or variable
}

func (p Place) String() string {
	if p.Line == 0 {
		return p.Source
	}
	return fmt.Sprintf("%s:%d", p.Source, p.Line)
}

// A Variable is one variable of the application's environment.
type Variable struct {
	Name    string
	Value   secret.Text
	Missing string // set when the value is not known: the variable that it needs and no file sets
	Place   Place  // where the application is given it
	Origin  Place  // where its value stands
}

// A File is a configuration file as it was read.
type File struct {
	Name string // its path
	Data []byte
	Err  error // why it could not be read
}

// A Value is what a property comes to.
type Value struct {
	Set    bool
	Text   secret.Text // with every ${…} replaced
	Place  Place       // the line that decides
	Origin Place       // where the text stands: of a lone ${NAME}, where NAME is set
}

// An App is a Spring Boot application's configuration.
type App struct {
	env    []Variable
	args   []secret.Text
	layers []*layer          // the highest first
	extra  map[string]*layer // by base name: files that code of the application names
	broken error             // why the layers cannot be told
}

// layer is one file's properties.
type layer struct {
	name  string
	get   func(key string) (properties.Property, bool)
	keys  []string
	error error
}

// New reads the configuration of an application that has this environment, these
// words on its command line, and these files in its configuration folder.
func New(env []Variable, args []secret.Text, files []File) *App {
	a := &App{env: env, args: args, extra: map[string]*layer{}}
	for _, f := range files {
		if l := read(f); l != nil {
			a.extra[path.Base(f.Name)] = l
		}
	}
	a.broken = a.arrange()
	return a
}

// Profiles are the active profiles, the last of which wins.
func (a *App) profiles(base []*layer) ([]string, error) {
	v, err := a.lookup("spring.profiles.active", base)
	if err != nil {
		return nil, err
	}
	var active []string
	for name := range strings.SplitSeq(v.Text.Reveal(), ",") {
		if name = strings.TrimSpace(name); name != "" {
			active = append(active, name)
		}
	}
	if len(active) == 0 {
		active = []string{"default"}
	}
	return active, nil
}

// arrange puts the files that are in force in their order.
func (a *App) arrange() error {
	base := a.named("application")
	for _, l := range base {
		if l.error != nil {
			return l.error
		}
	}
	active, err := a.profiles(base)
	if err != nil {
		return err
	}
	for _, profile := range slices.Backward(active) {
		a.layers = append(a.layers, a.named("application-"+profile)...)
	}
	a.layers = append(a.layers, base...)
	for _, l := range a.layers {
		if l.error != nil {
			return l.error
		}
		for _, key := range l.keys {
			if notFollowed(key) {
				p, _ := l.get(key)
				return fmt.Errorf("cannot tell the configuration: %s:%d sets %s, which this version of hostguard does not follow", l.name, p.Line, key)
			}
		}
	}
	for _, v := range a.env {
		if notFollowed(strings.ReplaceAll(v.Name, "_", ".")) {
			return fmt.Errorf("cannot tell the configuration: %v sets %s, which this version of hostguard does not follow", v.Place, v.Name)
		}
	}
	for o := range a.options() {
		if notFollowed(o.property) {
			return fmt.Errorf("cannot tell the configuration: %s sets %.64q, which this version of hostguard does not follow", o.from, o.property)
		}
	}
	return nil
}

// notFollowed are the properties that change which files count, however spelt.
func notFollowed(key string) bool {
	key = strings.ToLower(uniform.Replace(key))
	for _, start := range []string{"spring.config.", "spring.profiles.include", "spring.profiles.group", "spring.profiles.active[", "spring.profiles.active."} {
		if strings.HasPrefix(key, start) {
			return true
		}
	}
	return key == "spring.profiles.default" || key == "spring.profiles" || key == "spring.application.json"
}

// named are the files of one name, the one that wins first.
func (a *App) named(name string) []*layer {
	var layers []*layer
	for _, extension := range []string{".properties", ".xml", ".yml", ".yaml"} {
		if l := a.extra[name+extension]; l != nil {
			layers = append(layers, l)
		}
	}
	return layers
}

// Files are the names of the files that count, the one that wins first, and of
// those others that were read.
func (a *App) Files() []string {
	var names []string
	for _, l := range a.layers {
		names = append(names, l.name)
	}
	return names
}

// Property returns what a property comes to. more names files, by their base
// names, in which the application's code looks besides (@PropertySource): what
// environment and configuration files say wins over them. A property that is set
// nowhere is one that is not Set: what the image itself brings is not seen.
func (a *App) Property(key string, more ...string) (Value, error) {
	if a.broken != nil {
		return Value{}, a.broken
	}
	layers := a.layers
	for _, name := range more {
		if l := a.extra[name]; l != nil {
			if l.error != nil {
				return Value{}, l.error
			}
			layers = append(slices.Clone(layers), l)
		}
	}
	return a.lookup(key, layers)
}

func (a *App) lookup(key string, layers []*layer) (Value, error) {
	if err := a.overridden(key); err != nil {
		return Value{}, err
	}
	var failed error
	find := func(name string) (Value, bool) {
		v, found, err := a.raw(name, layers)
		if err != nil && failed == nil {
			failed = err
		}
		return v, found
	}
	v, found := find(key)
	if !found || failed != nil {
		return Value{}, failed
	}
	text, err := properties.Expand(v.Text.Reveal(), func(name string) (string, bool) {
		if err := a.overridden(name); err != nil && failed == nil {
			failed = err
		}
		inner, found := find(name)
		return inner.Text.Reveal(), found
	})
	if failed != nil {
		return Value{}, fmt.Errorf("cannot tell %s (%v): %w", key, v.Place, failed)
	}
	if err != nil {
		return Value{}, fmt.Errorf("cannot tell %s (%v): %w", key, v.Place, withoutValue(err))
	}
	v.Origin = a.origin(v, layers)
	v.Text = secret.New(text)
	return v, nil
}

// withoutValue keeps an error of Expand from showing a default, which may be a
// secret: it stands after the name's colon.
func withoutValue(err error) error {
	if errors.Is(err, properties.ErrUnset) {
		return errors.New("a variable in it has no value")
	}
	return errors.New("its ${…} cannot be replaced")
}

// maxChain is how many references are followed to where a value stands.
const maxChain = 16

// origin follows a value that is one reference and nothing else.
func (a *App) origin(v Value, layers []*layer) Place {
	for range maxChain {
		text := v.Text.Reveal()
		name, isRef := strings.CutPrefix(text, "${")
		end := strings.IndexByte(name, '}')
		if !isRef || end < 0 || end != len(name)-1 || strings.Contains(name, "${") {
			break
		}
		name, _, _ = strings.Cut(name[:end], ":")
		next, found, err := a.raw(name, layers)
		if err != nil || !found {
			break
		}
		v = next
	}
	return v.Origin
}

// raw is a property as it is written, where it is found first.
func (a *App) raw(key string, layers []*layer) (Value, bool, error) {
	same := func(x, y string) bool { return x == y }
	if isCanonical(key) {
		same = strings.EqualFold
	}
	for _, name := range variables(key) {
		for _, v := range a.env {
			if !same(v.Name, name) {
				continue
			}
			if v.Missing != "" {
				return Value{}, true, fmt.Errorf("the value of %s (%v) depends on the variable %.64q, which is set in no file", v.Name, v.Place, v.Missing)
			}
			return Value{Set: true, Text: v.Value, Place: v.Place, Origin: v.Origin}, true, nil
		}
	}
	for _, l := range layers {
		if p, found := l.bound(key); found {
			at := Place{l.name, p.Line, key}
			return Value{Set: true, Text: secret.New(p.Value), Place: at, Origin: at}, true, nil
		}
	}
	return Value{}, false, nil
}

// isCanonical reports whether Spring Boot finds a property under other spellings,
// too: it does when it is asked for one in lower case, with dashes for word breaks.
func isCanonical(key string) bool {
	return !strings.ContainsFunc(key, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '[' && r != ']'
	})
}

// bound returns a property of a file. What is asked for by its canonical name may
// be spelt otherwise: server.ssl.keyStore, server.ssl.ENABLED.
func (l *layer) bound(key string) (properties.Property, bool) {
	p, found := l.get(key)
	if found || !isCanonical(key) {
		return p, found
	}
	wanted := uniform.Replace(key)
	for _, k := range slices.Backward(l.keys) { // the last one counts
		if len(k) >= len(key)/2 && strings.EqualFold(uniform.Replace(k), wanted) {
			return l.get(k)
		}
	}
	return p, false
}

// uniform takes out of a property's name what binding passes over, but for dots.
var uniform = strings.NewReplacer("-", "", "_", "")

// variables are the names by which the environment may set a property, those of
// Spring's SystemEnvironmentPropertySource and of Spring Boot's relaxed binding.
func variables(key string) []string {
	dots := strings.ReplaceAll(key, ".", "_")
	dashes := strings.ReplaceAll(key, "-", "_")
	both := strings.ReplaceAll(dots, "-", "_")
	names := []string{key, dots, dashes, both}
	for _, name := range names[:4:4] {
		names = append(names, strings.ToUpper(name))
	}
	names = append(names, properties.VariableOf(key))
	slices.Sort(names[1:])
	return slices.Compact(names)
}

// optionVariables hold words for the Java command line.
var optionVariables = []string{"JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JAVA_OPTS", "OPENJ9_JAVA_OPTIONS", "IBM_JAVA_OPTIONS"}

// option is a property that a word of the command line sets, which wins over
// environment and files.
type option struct{ property, from string }

// options are those of the container's command and of the variables that hold
// words for Java. Words that a shell gets as one text are taken apart.
func (a *App) options() iter.Seq[option] {
	return func(yield func(option) bool) {
		each := func(text, from string) bool {
			for word := range strings.FieldsSeq(text) {
				word = strings.Trim(word, `"'`)
				name, isFlag := strings.CutPrefix(word, "--")
				if !isFlag {
					name, isFlag = strings.CutPrefix(word, "-D")
				}
				name, _, _ = strings.Cut(name, "=")
				if isFlag && !yield(option{strings.Trim(name, `"'`), from}) {
					return false
				}
			}
			return true
		}
		for _, word := range a.args {
			if !each(word.Reveal(), "the container's command") {
				return
			}
		}
		for _, v := range a.env {
			if slices.Contains(optionVariables, v.Name) && !each(v.Value.Reveal(), fmt.Sprintf("%s (%v)", v.Name, v.Place)) {
				return
			}
		}
	}
}

// overridden is an error when the command line, which wins over the rest, sets a
// property.
func (a *App) overridden(key string) error {
	for _, v := range a.env {
		if slices.Contains(optionVariables, v.Name) && strings.Contains(v.Value.Reveal(), "@") {
			return fmt.Errorf("cannot tell %s: %s (%v) names a file of options", key, v.Name, v.Place)
		}
	}
	for o := range a.options() {
		if relaxed(o.property) == relaxed(key) {
			return fmt.Errorf("cannot tell %s: %s sets it, too", key, o.from)
		}
	}
	return nil
}

// relaxed is a property's name without what relaxed binding passes over.
func relaxed(name string) string {
	return strings.ToLower(strings.ReplaceAll(uniform.Replace(name), ".", ""))
}
