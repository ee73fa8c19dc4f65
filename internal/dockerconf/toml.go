package dockerconf

import (
	"regexp"
	"strings"
)

var tomlString = regexp.MustCompile(`^(?:"([^"\\]*)"|'([^']*)')`)

// TopLevelTOML returns the string that a key before the first table of a TOML
// file is set to, and its line; line 0 when it is not set. A value that is no
// plain string is "".
func TopLevelTOML(data []byte, key string) (value string, line int) {
	n := 0
	for text := range strings.SplitSeq(string(data), "\n") {
		n++
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "[") {
			return "", 0
		}
		k, v, found := strings.Cut(text, "=")
		if !found || strings.Trim(strings.TrimSpace(k), `"'`) != key {
			continue
		}
		if m := tomlString.FindStringSubmatch(strings.TrimSpace(v)); m != nil {
			return m[1] + m[2], n
		}
		return "", n
	}
	return "", 0
}
