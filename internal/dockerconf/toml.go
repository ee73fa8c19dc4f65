package dockerconf

import "strings"

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
		v = strings.TrimSpace(v)
		if v == "" || v[0] != '"' && v[0] != '\'' {
			return "", n
		}
		text, _, closed := strings.Cut(v[1:], v[:1])
		if !closed || v[0] == '"' && strings.Contains(text, `\`) {
			return "", n
		}
		return text, n
	}
	return "", 0
}
