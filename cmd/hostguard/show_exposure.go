package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/packetfilter"
	"github.com/hostguard/hostguard/internal/printable"
)

// exposureSchema is the version of the JSON form; a change that a reader could
// trip over raises it.
const exposureSchema = "1"

func showExposureCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "exposure",
		Short: "What listens or is published, and who reaches it through the packet filter",
		Long: `Shows every socket that listens, every port that docker publishes, and every
port that the packet filter leads on: whether this host itself, the internal
networks (network.internal, by default the private ones) and anybody else reach
it, and the rule that decides. Packets are followed through what is loaded:
nftables, iptables, docker's, ufw's and firewalld's rules, translations, routes.
"unknown" names what could not be told.

Containers are not looked into: a published port is taken to be served.

Exit codes: 0 shown; 2 the flags or configuration are wrong; 3 something could
not be seen, which is said on the standard error.`,
		Example: `  sudo hostguard show exposure
  sudo hostguard show exposure --format json | jq '.exposures[] | select(.from.anywhere.answer != "no")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return lookAround(cmd, o, func(ctx context.Context, h *host.Host, a *audit) error {
				return showExposures(ctx, cmd, o.format, h, a)
			})
		},
	}
	o.root = "/"
	f := cmd.Flags()
	sourceFlags(cmd, &o.sources)
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "bound on the whole run")
	f.StringVar(&o.format, "format", "text", "text or json")
	return cmd
}

func showExposures(ctx context.Context, cmd *cobra.Command, format string, h *host.Host, a *audit) error {
	var internal []netip.Prefix
	for _, p := range a.Config.Network.Internal {
		parsed, err := netip.ParsePrefix(string(p))
		if err != nil {
			return err
		}
		internal = append(internal, parsed)
	}
	if len(internal) == 0 {
		internal = packetfilter.PrivateNetworks
	}
	seen, err := h.Exposures(ctx, internal)
	if err != nil {
		return exitError{exitIncomplete, err}
	}
	s := shownExposures{SchemaVersion: exposureSchema, Internal: internal, Exposures: []shownExposure{}}
	for _, e := range seen.All {
		s.Exposures = append(s.Exposures, showOne(e))
	}
	if format == "json" {
		err = writeJSON(cmd.OutOrStdout(), s)
	} else {
		err = s.writeText(cmd.OutOrStdout())
	}
	if err != nil {
		return exitError{exitFindings, fmt.Errorf("cannot write: %w", err)}
	}
	var unseen []error
	if seen.Docker != nil {
		unseen = append(unseen, fmt.Errorf("cannot see what docker publishes: %w", seen.Docker))
	}
	for _, b := range seen.Beyond {
		unseen = append(unseen, fmt.Errorf("cannot tell who reaches the container %s: it is on the network %s (%s), past this host's packet filter",
			printable.String(b.Container), printable.String(b.Network), printable.String(b.Driver)))
	}
	for _, e := range seen.All {
		for c, r := range e.By {
			if r.Answer == packetfilter.Unknown {
				unseen = append(unseen, fmt.Errorf("cannot tell who reaches %v (%v): %s", e, packetfilter.Class(c), r.Why))
			}
		}
	}
	if len(unseen) > 0 {
		return exitError{exitIncomplete, errors.Join(unseen...)}
	}
	return nil
}

type shownExposures struct {
	SchemaVersion string          `json:"schema_version"`
	Internal      []netip.Prefix  `json:"internal"`
	Exposures     []shownExposure `json:"exposures"`
}

type shownExposure struct {
	Kind          string               `json:"kind"` // socket, published, translation
	Proto         string               `json:"protocol"`
	Address       string               `json:"address"`
	Port          uint16               `json:"port"`
	Device        string               `json:"device,omitempty"`
	PID           int                  `json:"pid,omitempty"`
	Program       string               `json:"program,omitempty"`
	Unit          string               `json:"unit,omitempty"`
	Container     string               `json:"container,omitempty"`
	ContainerPort uint16               `json:"container_port,omitempty"`
	To            string               `json:"to,omitempty"`
	From          map[string]shownFrom `json:"from"` // loopback, internal, anywhere

	name, what string
}

type shownFrom struct {
	Answer  string `json:"answer"` // yes, no, unknown
	By      string `json:"by"`     // the rule or policy that decides
	Why     string `json:"why,omitempty"`
	Bypass  string `json:"bypass,omitempty"`  // the rule that docker's translation leads past
	Example string `json:"example,omitempty"` // a source that fares so
	Device  string `json:"device,omitempty"`  // by which it comes
	To      string `json:"to,omitempty"`      // what it sends to
}

func showOne(e host.Exposure) shownExposure {
	s := shownExposure{
		Proto: e.Proto, Address: e.Local.Addr().String(), Port: e.Local.Port(), Device: printable.String(e.Device), From: map[string]shownFrom{},
		name: printable.String(e.String()),
	}
	switch {
	case e.Socket != nil:
		s.Kind, s.PID, s.Program, s.Unit = "socket", e.Socket.PID, printable.String(e.Socket.Exe), printable.String(e.Socket.Unit)
		s.Container = printable.String(e.Socket.Container)
		s.what = s.Program
		if s.Unit != "" {
			s.what += " (" + s.Unit + ")"
		}
		switch {
		case e.Socket.Hidden != "":
			s.what = "holder unseen"
		case e.Socket.Unheld:
			s.what = "the kernel"
		}
	case e.Publish != nil:
		s.Kind, s.Container, s.ContainerPort = "published", printable.String(e.Publish.Name), e.Inside
		s.what = fmt.Sprintf("container %s, port %d", s.Container, e.Inside)
	default:
		s.Kind, s.To = "translation", e.To.String()
		s.what = "led on to " + s.To
	}
	for c, r := range e.By {
		from := shownFrom{Answer: r.Answer.String(), By: printable.String(r.By), Why: printable.String(r.Why), Bypass: printable.String(r.Bypass), Device: printable.String(r.In)}
		if r.From.IsValid() {
			from.Example, from.To = r.From.String(), r.To.String()
		}
		s.From[packetfilter.Class(c).String()] = from
	}
	return s
}

// writeText prints a table, and below it who is let through or stopped by what.
func (s shownExposures) writeText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SOCKET OR PORT\tLOOPBACK\tINTERNAL\tANYWHERE\tWHAT")
	for _, e := range s.Exposures {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", e.name, e.From["loopback"].Answer, e.From["internal"].Answer, e.From["anywhere"].Answer, e.what)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(s.Exposures) == 0 {
		_, err := fmt.Fprintln(w, "nothing listens")
		return err
	}
	fmt.Fprintln(w, "\nDecided by")
	for _, e := range s.Exposures {
		fmt.Fprintf(w, "\n  %s\n", e.name)
		for _, class := range []string{"loopback", "internal", "anywhere"} {
			f := e.From[class]
			line := fmt.Sprintf("    %-9s %-8s %s", class, f.Answer, f.By)
			if f.Example != "" {
				line += "; from " + f.Example
				if f.Device != "" {
					line += " by " + f.Device
				}
				line += " to " + f.To
			}
			if f.Bypass != "" {
				line += "; that leads past " + f.Bypass
			}
			if f.Why != "" {
				line += "; not known: " + f.Why
			}
			if _, err := fmt.Fprintln(w, line); err != nil {
				return err
			}
		}
	}
	return nil
}
