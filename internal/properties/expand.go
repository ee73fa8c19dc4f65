package properties

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	maxDepth    = 32      // of ${…} within what ${…} stands for
	maxExpanded = 1 << 16 // bytes of one value
	maxSteps    = 10_000  // ${…} that one value may lead to
)

// ErrUnset marks a ${NAME} without a value and without a default.
var ErrUnset = errors.New("has no value")

// Expand replaces each ${NAME} of a value by what lookup says of the name, and
// ${NAME:DEFAULT} by the default where it says nothing. Names and defaults may
// hold ${…} themselves, and so may what lookup returns. The rules are those of
// Spring's PropertyPlaceholderHelper. The error names what has no value, a
// circle, or a value that grows without bound; it never holds a value.
func Expand(value string, lookup func(name string) (string, bool)) (string, error) {
	e := expander{lookup: lookup}
	return e.expand(value)
}

type expander struct {
	lookup func(string) (string, bool)
	within []string // the names being expanded, outermost first
	steps  int
}

func (e *expander) expand(value string) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(value, "${")
		end := closing(rest)
		if !found || end < 0 {
			out.WriteString(value) // an opened one that is not closed stays as it is
			break
		}
		out.WriteString(before)
		text, err := e.placeholder(rest[:end])
		if err != nil {
			return "", err
		}
		out.WriteString(text)
		value = rest[end+1:]
		if out.Len() > maxExpanded {
			return "", fmt.Errorf("cannot expand ${%s}: more than %d bytes", rest[:end], maxExpanded)
		}
	}
	return out.String(), nil
}

// closing finds the brace that closes an opened ${, minding those within.
func closing(text string) int {
	open := 0
	for i := range len(text) {
		switch {
		case text[i] == '{' && open >= 0:
			open++
		case text[i] == '}':
			if open == 0 {
				return i
			}
			open--
		}
	}
	return -1
}

func (e *expander) placeholder(text string) (string, error) {
	if len(e.within) == maxDepth {
		return "", fmt.Errorf("cannot expand ${%s}: more than %d within each other", e.within[0], maxDepth)
	}
	if slices.Contains(e.within, text) {
		return "", fmt.Errorf("cannot expand ${%s}: it stands for itself", text)
	}
	if e.steps++; e.steps > maxSteps {
		return "", fmt.Errorf("cannot expand ${%s}: it leads to more than %d others", text, maxSteps)
	}
	e.within = append(e.within, text)
	defer func() { e.within = e.within[:len(e.within)-1] }()

	name, err := e.expand(text)
	if err != nil {
		return "", err
	}
	if value, found := e.lookup(name); found {
		return e.expand(value)
	}
	if name, fallback, given := strings.Cut(name, ":"); given {
		if value, found := e.lookup(name); found {
			return e.expand(value)
		}
		return e.expand(fallback)
	}
	return "", fmt.Errorf("${%s} %w", name, ErrUnset)
}

// VariableOf is the environment variable that overrides a property in Spring
// Boot, whatever the file says: "application.isEnabledDapsInteraction" is
// APPLICATION_ISENABLEDDAPSINTERACTION.
func VariableOf(key string) string { return strings.ToUpper(variable.Replace(key)) }

var variable = strings.NewReplacer(".", "_", "-", "", "[", "_", "]", "")
