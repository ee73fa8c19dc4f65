package sshdtest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hostguard/hostguard/internal/sshdconf"
)

var complaint = regexp.MustCompile(`^(.+?):? line (\d+): (.*)$`)

// Place writes a line of a file as Places does.
func Place(p sshdconf.Place) string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// Places are the lines that sshd's messages name, "file:line": those at fault, in
// its order, or the remarks, sorted. Main is the main file, which it does not
// always name.
func Places(stderr, main string, remarks bool) []string {
	out := []string{}
	for text := range strings.SplitSeq(stderr, "\n") {
		m := complaint.FindStringSubmatch(strings.TrimSuffix(text, "\r"))
		if m == nil {
			continue
		}
		isRemark := strings.HasPrefix(m[3], "Deprecated option") || strings.HasPrefix(m[3], "Unsupported option")
		if isRemark != remarks {
			continue
		}
		switch m[1] {
		case "reprocess config":
			m[1] = main
		case "command-line":
			m[1] = sshdconf.CommandLine
		}
		out = append(out, m[1]+":"+m[2])
	}
	if remarks {
		slices.Sort(out)
	}
	return slices.Compact(out)
}

// SamePlaces compares the lines at fault. sshd gives some reasons without a
// place, as its last words; ours may name one.
func SamePlaces(want, got []string, stderr string) bool {
	if len(got) == len(want)+1 {
		said := strings.Split(strings.TrimSpace(stderr), "\n")
		last := said[len(said)-1]
		if complaint.MatchString(last) || strings.Contains(last, ": terminating, ") {
			return false
		}
		got = got[:len(want)]
	}
	return slices.Equal(want, got)
}

// LineDiff says how two answers to -T differ, empty when they do not.
func LineDiff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var b strings.Builder
	for _, l := range w {
		if !slices.Contains(g, l) {
			fmt.Fprintf(&b, "sshd: %q\n", l)
		}
	}
	for _, l := range g {
		if !slices.Contains(w, l) {
			fmt.Fprintf(&b, "ours: %q\n", l)
		}
	}
	if b.Len() == 0 && want != got {
		return "the same lines in another order"
	}
	return b.String()
}

// Numbered writes a file with the numbers of its lines.
func Numbered(text string) string {
	var b strings.Builder
	for i, l := range strings.Split(text, "\n") {
		fmt.Fprintf(&b, "%3d %q\n", i+1, l)
	}
	return b.String()
}

// ConnectionArgs tell sshd -T of a connection.
func ConnectionArgs(c sshdconf.Connection) []string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	add("user", c.User)
	add("host", c.Host)
	add("addr", c.Addr)
	add("laddr", c.LocalAddr)
	add("rdomain", c.RDomain)
	if c.LocalPort != 0 {
		add("lport", strconv.Itoa(c.LocalPort))
	}
	if c.InvalidUser {
		parts = append(parts, "invalid-user")
	}
	if parts == nil {
		return nil
	}
	return []string{"-C", strings.Join(parts, ",")}
}
