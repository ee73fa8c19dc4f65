package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/hostguard/hostguard/internal/printable"
)

// writeText writes what sshd -T prints, byte for byte where it is not a
// terminal; with origins it is a form of our own.
func (s *shownSSHD) writeText(w io.Writer) error {
	if s.effective == nil {
		return nil
	}
	var b strings.Builder
	if s.origin {
		s.writeOrigins(&b)
	} else if _, err := s.effective.WriteTo(&b); err != nil {
		return err
	}
	text := b.String()
	if s.origin || isTerminal(w) {
		text = printable.Text(text)
	}
	_, err := io.WriteString(w, text)
	return err
}

// originColumn is where the origins begin, after all but the longest lines.
const originColumn = 44

// writeOrigins writes each line of sshd -T with a comment: the place that
// decides, and what has no effect.
func (s *shownSSHD) writeOrigins(b *strings.Builder) {
	fmt.Fprintf(b, "# %s (%s), options %s from %s\n", cmp.Or(s.SSHD.Release, "sshd"), s.SSHD.Program,
		cmp.Or(strings.Join(s.SSHD.Args, " "), "none"), s.SSHD.ArgsFrom)
	if c := s.Connection; c != nil {
		fmt.Fprintf(b, "# for%s\n", c.words())
	}
	for _, m := range s.Matched {
		fmt.Fprintf(b, "# %v holds\n", &m)
	}
	for _, u := range s.Sockets {
		fmt.Fprintf(b, "# %v\n", u)
	}
	for _, k := range s.Settings {
		fmt.Fprintf(b, "%-*s  # %s\n", originColumn, k.Keyword+" "+k.Value, s.origins(k))
	}
}

func (c *shownConnection) words() string {
	var b strings.Builder
	for _, p := range [][2]string{
		{"user", c.User}, {"groups", strings.Join(c.Groups, ",")}, {"addr", c.Addr}, {"host", c.Host}, {"laddr", c.LocalAddr}, {"rdomain", c.RDomain},
	} {
		if p[1] != "" {
			fmt.Fprintf(&b, " %s=%s", p[0], p[1])
		}
	}
	if c.LocalPort != 0 {
		fmt.Fprintf(&b, " lport=%d", c.LocalPort)
	}
	if c.InvalidUser {
		b.WriteString(" invalid-user")
	}
	return b.String()
}

func (s *shownSSHD) origins(k shownKeyword) string {
	text := "default"
	if len(k.Origin) > 0 {
		var places []string
		for _, o := range k.Origin {
			if p := o.place(); len(places) == 0 || places[len(places)-1] != p {
				places = append(places, p)
			}
		}
		text = joinSome(places)
	}
	if (k.Keyword == "port" || k.Keyword == "listenaddress") && len(s.Sockets) > 0 {
		text += "; without effect: " + s.Sockets[0].Unit + " listens"
	}
	for _, list := range []struct {
		words string
		lines []shownOrigin
	}{{"without effect", k.Shadowed}, {"not here", k.NotHere}} {
		if len(list.lines) == 0 {
			continue
		}
		var parts []string
		for _, o := range list.lines {
			parts = append(parts, fmt.Sprintf("%s (%s)", o.Value, o.place()))
		}
		text += "; " + list.words + ": " + joinSome(parts)
	}
	return text
}

// place names the line, and the Match block that it stands in.
func (o shownOrigin) place() string {
	text := "default"
	switch {
	case o.CommandLine != "":
		text = "command line, " + o.CommandLine
	case o.Place != nil:
		text = o.Place.String()
	}
	if o.Match != nil {
		text += fmt.Sprintf(" in Match %s", o.Match.Match)
		if o.Match.File != o.Place.File {
			text += " of " + o.Match.shownPlace.String()
		} else {
			text += " of line " + itoa(o.Match.Line)
		}
	}
	return text
}

// joinSome joins the first few, and says how many there are more.
func joinSome(list []string) string {
	if more := len(list) - maxShownSSHD; more > 0 {
		return strings.Join(list[:maxShownSSHD], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(list, ", ")
}
