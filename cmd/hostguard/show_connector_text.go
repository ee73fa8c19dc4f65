package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// writeText prints each connector: its services as a table, then its stores
// with their entries.
func (s *shownConnectors) writeText(w io.Writer) error {
	var b bytes.Buffer
	for i, c := range s.Connectors {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "Connector %s (project %s, by %s)\n", c.Dir, cmp.Or(c.Project, "unknown"), c.Source)
		if c.Error != "" {
			fmt.Fprintf(&b, "  not known: %s\n", c.Error)
			continue
		}
		c.writeServices(&b)
		for _, store := range c.Stores {
			store.write(&b)
		}
	}
	fmt.Fprintf(&b, "\nSeen at %s by %s\n", s.Time.Format("2006-01-02 15:04:05 UTC"), s.Clock)
	_, err := w.Write(b.Bytes())
	return err
}

func (c shownConnector) writeServices(b *bytes.Buffer) {
	b.WriteString("\n")
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  SERVICE\tROLE\tIMAGE\tPORTS")
	for _, s := range c.Services {
		name := s.Name
		if s.Container != "" {
			name += " (container " + s.Container + ", made otherwise)"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", name, cmp.Or(s.Role, "-"), cmp.Or(s.Image, "-"), cmp.Or(strings.Join(s.Ports, " "), "-"))
	}
	t.Flush()
}

func (s shownStore) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n  %s store", s.Use)
	if s.Path != "" {
		fmt.Fprintf(b, " %s", s.Path)
	}
	if s.Format != "" {
		fmt.Fprintf(b, " (%s)", s.Format)
	}
	fmt.Fprintf(b, "\n    of %s", strings.Join(s.Apps, ", "))
	if s.NamedBy != "" {
		fmt.Fprintf(b, "; named by %s", s.NamedBy)
	}
	b.WriteString("\n")
	switch {
	case s.Error != "":
		fmt.Fprintf(b, "    not known: %s\n", s.Error)
	case s.Absent && s.Path == "":
		b.WriteString("    none is named\n")
	case s.Absent:
		b.WriteString("    no such file\n")
	case len(s.Entries) == 0:
		b.WriteString("    it holds nothing\n")
	}
	for _, e := range s.Entries {
		e.write(b, s.Use)
	}
}

func (e shownEntry) write(b *bytes.Buffer, use string) {
	fmt.Fprintf(b, "    %s: ", cmp.Or(e.Alias, "(no alias)"))
	switch e.PrivateKey {
	case "there":
		b.WriteString("private key and certificate")
	case "":
		b.WriteString("certificate")
	default:
		b.WriteString("private key (" + e.PrivateKey + ") and certificate")
	}
	if !e.Used {
		b.WriteString(", not used")
		if use == "trust" {
			b.WriteString(": Java does not take it for a trusted one")
		}
	}
	b.WriteString("\n")
	if e.Error != "" {
		fmt.Fprintf(b, "      not known: %s\n", e.Error)
	}
	for i, c := range e.Chain {
		fmt.Fprintf(b, "      %s%s\n", strings.Repeat("  ", min(i, 8)), c.line)
		if i == 0 && e.PrivateKey != "" && len(c.Names) > 0 {
			fmt.Fprintf(b, "        for %s\n", strings.Join(c.Names, ", "))
		}
		if i == 0 {
			fmt.Fprintf(b, "        SHA-256 %s\n", c.Fingerprint)
		}
		if c.Published != "" {
			fmt.Fprintf(b, "        its private key is public knowledge: %s\n", c.Published)
		}
	}
}
