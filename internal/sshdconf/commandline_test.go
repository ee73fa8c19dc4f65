package sshdconf

import (
	"slices"
	"strings"
	"testing"
)

func TestWithoutLog(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                      "",
		"-D":                    "-D",
		"-E /tmp/log":           "",
		"-E/tmp/log -D":         "-D",
		"-DE /tmp/log -p 22":    "-D -p 22",
		"-DE/tmp/log":           "-D",
		"-p 22 -E -f -oPort=1":  "-p 22 -oPort=1",
		"-f -E -o X=1":          "-f -E -o X=1",
		"-Dp -E -4":             "-Dp -E -4",
		"-oE -E x":              "-oE",
		"x -E log":              "x -E log",
		"-E":                    "",
		"-D -o LogLevel=INFO -": "-D -o LogLevel=INFO -",
	} {
		if got := WithoutLog(strings.Fields(in)); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
