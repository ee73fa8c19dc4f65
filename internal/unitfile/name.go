package unitfile

import (
	"slices"
	"strings"
)

// unitTypes are the suffixes of units, systemd.unit(5).
var unitTypes = []string{"service", "socket", "target", "device", "mount", "automount", "swap", "path", "timer", "slice", "scope"}

// maxName is systemd's UNIT_NAME_MAX.
const maxName = 255

// ValidName reports whether name could be a unit's: "ssh.service",
// "getty@tty1.service", or the template "getty@.service".
func ValidName(name string) bool {
	dot := strings.LastIndexByte(name, '.')
	if dot < 1 || len(name) > maxName || name[0] == '@' || !slices.Contains(unitTypes, name[dot+1:]) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(`:-_.\@`, c) >= 0) {
			return false
		}
	}
	return true
}

// IsTemplate reports whether name is a template's: nothing between @ and the suffix.
func IsTemplate(name string) bool {
	_, instance, ok := cutInstance(name)
	return ok && instance == ""
}

// Template is the template of an instance, "" of any other name.
func Template(name string) string {
	prefix, instance, ok := cutInstance(name)
	if !ok || instance == "" {
		return ""
	}
	return prefix + "@" + suffix(name)
}

func isInstance(name string) bool { return Template(name) != "" }

func isPlain(name string) bool { return !strings.Contains(name, "@") }

// cutInstance splits "getty@tty1.service" into "getty" and "tty1".
func cutInstance(name string) (prefix, instance string, ok bool) {
	stem := strings.TrimSuffix(name, suffix(name))
	return strings.Cut(stem, "@")
}

// withInstance makes "getty@tty1.service" of "getty@.service" and "tty1".
func withInstance(template, instance string) string {
	prefix, _, _ := cutInstance(template)
	return prefix + "@" + instance + suffix(template)
}

// suffix is ".service" of "ssh.service".
func suffix(name string) string {
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		return name[dot:]
	}
	return ""
}

// expand replaces the specifiers that names in [Install] use; ok is false
// when there is another one.
func expand(text, name string) (expanded string, ok bool) {
	prefix, instance, templated := cutInstance(name)
	if !templated {
		prefix = strings.TrimSuffix(name, suffix(name))
	}
	values := map[byte]string{
		'%': "%", 'n': name, 'N': strings.TrimSuffix(name, suffix(name)), 'p': prefix, 'i': instance,
		'j': prefix[strings.LastIndexByte(prefix, '-')+1:],
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			b.WriteByte(text[i])
			continue
		}
		if i++; i == len(text) {
			return "", false
		}
		value, known := values[text[i]]
		if !known {
			return "", false
		}
		b.WriteString(value)
	}
	return b.String(), true
}
