package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/sshdconf"
)

// showSSHDOptions are the flags of show sshd.
type showSSHDOptions struct {
	root, format, argsFrom string
	timeout                time.Duration
	conn                   sshdconf.Connection // what is asked about; its groups are not flags
	asked                  bool                // any of the connection's flags is given
	origin                 bool
	matrix, allAccounts    bool
}

func showSSHDCommand() *cobra.Command {
	var o showSSHDOptions
	cmd := &cobra.Command{
		Use:   "sshd",
		Short: "The configuration in effect of the SSH server, and where each value comes from",
		Long: `Prints what sshd's configuration comes to, line for line as this host's sshd
prints it: without a connection as sshd -T does, which leaves out every Match
block but "Match all"; with one as sshd -T -C user=…,addr=… does. Options of the
daemon's command line count. A user's groups are those of the host's accounts.
To a terminal, what could deceive there is escaped.

  --origin     after each value the line that sets it, the Match block it stands
               in, and what is set elsewhere without effect; and what listens
  --matrix     who can log in: each account, on each connection that Match blocks,
               user lists and keys tell apart, with the methods that suffice, the
               number of keys, what refuses it after all, and the lines that
               decide. With --user only that account, with --addr, --host, --laddr,
               --lport or --rdomain only that connection (what is not given is as
               of a client whom nothing names). --all-accounts shows also who
               cannot log in, and why

Exit codes: 0 shown; 2 the flags are wrong; 3 something could not be seen, or
sshd refuses the configuration, which is said on the standard error.`,
		Example: `  sudo hostguard show sshd
  sudo hostguard show sshd --user operator --addr 192.0.2.7 --origin
  sudo hostguard show sshd --user root --addr 10.0.0.1 --format json
  sudo hostguard show sshd --origin --root /mnt/image
  sudo hostguard show sshd --matrix
  sudo hostguard show sshd --matrix --user operator --addr 192.0.2.7`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return showSSHD(cmd, &o) },
	}
	f := cmd.Flags()
	defer cmd.MarkFlagsMutuallyExclusive("matrix", "origin")
	f.StringVar(&o.conn.User, "user", "", "the `name` that logs in")
	f.StringVar(&o.conn.Addr, "addr", "", "the client's `address`")
	f.StringVar(&o.conn.Host, "host", "", "the client's `name`, as the reverse look-up gives it where UseDNS is on, else its address")
	f.StringVar(&o.conn.LocalAddr, "laddr", "", "the `address` of this host that the client reaches")
	f.IntVar(&o.conn.LocalPort, "lport", 0, "the `port` of this host that the client reaches")
	f.StringVar(&o.conn.RDomain, "rdomain", "", "the routing `domain` that the connection arrives in")
	f.BoolVar(&o.conn.InvalidUser, "invalid-user", false, "the user has no account, which Match invalid-user asks for")
	f.BoolVar(&o.origin, "origin", false, "say where each value comes from and what has no effect")
	f.BoolVar(&o.matrix, "matrix", false, "print who can log in, how and from where")
	f.BoolVar(&o.allAccounts, "all-accounts", false, "with --matrix: also accounts that cannot log in, and why")
	f.StringVar(&o.argsFrom, "args-from", "", "of several sshds the one whose options come from `there`: \"process 812\", \"/lib/systemd/system/ssh.service:14\"")
	f.StringVar(&o.root, "root", "/", "look at the file tree of a mounted image or container instead of this host")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "bound on the whole run")
	f.StringVar(&o.format, "format", "text", "text or json")
	return cmd
}

// connectionFlags are those that describe a connection.
var connectionFlags = []string{"user", "addr", "host", "laddr", "lport", "rdomain", "invalid-user"}

// usage finds what is wrong with the flags.
func (o *showSSHDOptions) usage(cmd *cobra.Command) error {
	if o.format != "text" && o.format != "json" {
		return fmt.Errorf("there is no format %q: want text or json", o.format)
	}
	for _, name := range connectionFlags {
		if f := cmd.Flags().Lookup(name); f.Changed {
			o.asked = true
			if f.Value.String() == "" { // as of a variable that is not set
				return fmt.Errorf("cannot use --%s: it is empty", name)
			}
		}
	}
	if cmd.Flags().Changed("lport") && (o.conn.LocalPort < 1 || o.conn.LocalPort > 65535) {
		return fmt.Errorf("cannot use --lport %d: want 1 to 65535", o.conn.LocalPort)
	}
	for name, addr := range map[string]string{"addr": o.conn.Addr, "laddr": o.conn.LocalAddr} {
		if addr == "" {
			continue
		}
		if _, err := netip.ParseAddr(addr); err != nil {
			return fmt.Errorf("cannot use --%s: %q is no address", name, addr)
		}
	}
	return nil
}

func showSSHD(cmd *cobra.Command, o *showSSHDOptions) error {
	if err := o.usage(cmd); err != nil {
		return err
	}
	root, err := rootFolder(o.root, o.timeout)
	if err != nil {
		return err
	}
	h := host.New(host.Options{Root: root})
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), o.timeout, fmt.Errorf("no end within %v (--timeout)", o.timeout))
	defer cancel()
	if h.Running() && os.Geteuid() != 0 {
		return exitError{exitIncomplete, host.ErrNotRoot}
	}
	if o.matrix {
		return showMatrix(ctx, cmd, h, o)
	}
	seen, err := lookAtSSHD(ctx, h, o)
	if err != nil {
		return exitError{exitIncomplete, err}
	}
	for _, n := range seen.notes {
		fmt.Fprintf(cmd.ErrOrStderr(), "note: %s\n", oneLine(n))
	}
	return present(cmd, o.format, seen)
}

// present writes what is shown in a format. What could not be seen decides the
// exit code.
func present(cmd *cobra.Command, format string, seen shown) error {
	var err error
	if format == "json" {
		err = writeJSON(cmd.OutOrStdout(), seen)
	} else {
		err = seen.writeText(cmd.OutOrStdout())
	}
	if err != nil {
		return exitError{exitFindings, fmt.Errorf("cannot write: %w", err)}
	}
	if err := seen.unseen(); err != nil {
		return exitError{exitIncomplete, err}
	}
	return nil
}

// chooseSSHD is the sshd that is meant: the one named, else the one that a
// distribution's unit starts, else the first. It returns also the others.
func chooseSSHD(s *host.SSHServers, argsFrom string) (*host.SSHD, []*host.SSHD, error) {
	if len(s.SSHDs) == 0 {
		return nil, nil, errors.New("cannot show what is not there: no OpenSSH server is installed")
	}
	at := 0
	if argsFrom != "" {
		at = slices.IndexFunc(s.SSHDs, func(d *host.SSHD) bool { return d.ArgsFrom == argsFrom })
		if at < 0 {
			var names []string
			for _, d := range s.SSHDs {
				names = append(names, fmt.Sprintf("%q", d.ArgsFrom))
			}
			return nil, nil, fmt.Errorf("cannot use --args-from %q: the options of the sshds here come from %s", argsFrom, strings.Join(names, ", "))
		}
	} else if main := slices.IndexFunc(s.SSHDs, func(d *host.SSHD) bool { return d.Main() }); main >= 0 {
		at = main
	}
	others := slices.Delete(slices.Clone(s.SSHDs), at, at+1)
	return s.SSHDs[at], others, nil
}

// isTerminal reports whether what is written to w is seen on a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
