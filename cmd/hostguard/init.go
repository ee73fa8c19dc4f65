package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/internal/atomicfile"
	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lazyregexp"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/internal/sshdconf"
	"github.com/hostguard/hostguard/internal/strictyaml"
	"github.com/hostguard/hostguard/internal/timeconf"
)

func initCommand() *cobra.Command {
	output, force := config.DefaultFile, false
	cmd := &cobra.Command{
		Use:   "init [FOLDER…]",
		Short: "Write a commented configuration from what is discovered",
		Long: `Writes a configuration file that explains every key and holds what could be
discovered: the folders of the connector's compose projects (from the labels of
docker's containers, or the FOLDERs given), the time servers that the time
daemon uses, and the group that sshd's AllowGroups names.`,
		RunE: func(cmd *cobra.Command, folders []string) error {
			found, err := discover(cmd.Context(), cmd.ErrOrStderr(), folders)
			if err != nil {
				return err
			}
			text := configText(found)
			if _, err := config.Parse(output, text); err != nil {
				return fmt.Errorf("cannot make a valid configuration, report this as a defect: %w", err)
			}
			if output == "-" {
				_, err := cmd.OutOrStdout().Write(text)
				return err
			}
			if err := writeConfig(output, text, force); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "wrote %s: read it, then run hostguard check\n", printable.Text(output))
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", output, "`file` to write, - for standard output")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite an existing file")
	return cmd
}

// discovery is a value for a key of the configuration, and where it was seen.
type discovery struct {
	Key    string
	Values []string
	Single bool // the key takes one value, not a list
	Seen   string
}

// discover looks for values on the running host. What cannot be seen is said
// on w; only a folder that was named and is no connector's is an error.
func discover(ctx context.Context, w io.Writer, folders []string) ([]discovery, error) {
	for i, folder := range folders {
		abs, err := filepath.Abs(folder)
		if err != nil {
			return nil, err
		}
		folders[i] = abs
	}
	h := host.New(host.Options{ConnectorDirs: folders})
	var found []discovery
	for _, look := range []struct {
		what string
		at   func(context.Context, *host.Host) (discovery, error)
	}{
		{"the connector", connectorDirs},
		{"the time servers", timeServers},
		{"the SSH group", sshGroup},
	} {
		d, err := look.at(ctx, h)
		if look.what == "the connector" && len(folders) > 0 {
			d.Seen = "named on the command line"
		}
		switch {
		case err != nil && look.what == "the connector" && len(folders) > 0:
			return nil, err
		case err != nil:
			fmt.Fprintf(w, "cannot discover %s: %s\n", look.what, printable.String(err.Error()))
		case len(d.Values) > 0:
			found = append(found, d)
		}
	}
	return found, nil
}

func connectorDirs(ctx context.Context, h *host.Host) (discovery, error) {
	d := discovery{Key: "connector.dir"}
	connectors, err := h.Connectors(ctx)
	if err != nil {
		return d, err
	}
	var seen []string
	for _, c := range connectors {
		if !utf8.ValidString(c.Dir) {
			return d, fmt.Errorf("the name of the folder %q is not UTF-8", c.Dir)
		}
		d.Values = append(d.Values, c.Dir)
		seen = append(seen, c.Source)
	}
	d.Seen = strings.Join(seen, ", ")
	if len(d.Values) == 0 {
		return d, errors.New("no container carries its labels: name its folder, or deploy it first")
	}
	return d, nil
}

func timeServers(ctx context.Context, h *host.Host) (discovery, error) {
	d := discovery{Key: "ntp.servers"}
	all, err := h.TimeSources(ctx)
	if err != nil {
		return d, err
	}
	for _, daemon := range all {
		for _, s := range daemon.Sources {
			if s.Kind != timeconf.Server && s.Kind != timeconf.Pool {
				continue
			}
			var name config.Server
			if name.UnmarshalText([]byte(s.Name)) == nil && !slices.Contains(d.Values, s.Name) {
				d.Values = append(d.Values, s.Name)
				d.Seen = fmt.Sprintf("%s:%d", s.File, s.Line)
			}
		}
	}
	return d, nil
}

// sshGroup takes the group of AllowGroups when it names exactly one, without
// a pattern: which of several is the dedicated one only the operator knows.
func sshGroup(ctx context.Context, h *host.Host) (discovery, error) {
	d := discovery{Key: "ssh.group", Single: true}
	servers, err := h.SSHServers(ctx)
	if err != nil {
		return d, err
	}
	for _, daemon := range servers.SSHDs {
		if daemon.Err != nil {
			return d, daemon.Err
		}
		effective, err := daemon.Config.For(sshdconf.Connection{})
		if err != nil {
			return d, err
		}
		for _, v := range effective.Get("allowgroups").Values {
			var name config.Account
			if name.UnmarshalText([]byte(v.Text)) == nil && !slices.Contains(d.Values, v.Text) {
				d.Values = append(d.Values, v.Text)
				d.Seen = fmt.Sprintf("AllowGroups at %s:%d", v.At.File, v.At.Line)
			}
		}
	}
	if len(d.Values) > 1 {
		return d, fmt.Errorf("AllowGroups names several: %s", strings.Join(d.Values, ", "))
	}
	return d, nil
}

// writeConfig writes the file as a whole or not at all. The usual folder is
// made when it is missing.
func writeConfig(name string, text []byte, force bool) error {
	if _, err := os.Lstat(name); err == nil && !force {
		return fmt.Errorf("cannot write %s: it exists (--force overwrites it)", name)
	}
	if name == config.DefaultFile {
		if err := os.Mkdir(filepath.Dir(name), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("cannot make the folder: %w", err)
		}
	}
	f, err := atomicfile.Create(name, 0o644)
	if err != nil {
		return err
	}
	defer f.Abort()
	if _, err := f.Write(text); err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	return f.Commit()
}

// examples show the form of each key that nothing was discovered for.
var examples = map[string]string{
	"profile":           config.DefaultProfile,
	"connector.dir":     "/opt/trueconnector",
	"connector.names":   "[connector.example.org]",
	"ntp.servers":       "[ntp1.example.org, ntp2.example.org]",
	"ssh.group":         "ssh_login_group",
	"ssh.users":         "[operator]",
	"ssh.use_pam":       "any",
	"ssh.key_sources":   "[/etc/ssh/user_ca.pub]",
	"network.internal":  "[10.0.0.0/8]",
	"docker.users":      "[operator]",
	"docker.containers": "[node-exporter]",
	"docker.images":     "['rdlabengpa/*:v1.14.8']",
	"services.allow":    "[node_exporter.service]",
	"ports.allow":       "[9100/tcp]",
	"storage.watch":     "{unit: df-watch.timer}",

	"storage.warn.free":            "10%",
	"storage.warn.free_bytes":      "1GiB",
	"storage.warn.free_inodes":     "10%",
	"storage.warn.full_within":     "24h",
	"storage.critical.free":        "5%",
	"storage.critical.free_bytes":  "512MiB",
	"storage.critical.free_inodes": "5%",
	"storage.critical.full_within": "2h",

	"logs.reader": "tclogs",
	"logs.group":  "tclogs",
	"logs.dir":    config.DefaultLogsDir,
	"logs.keep":   "90d",
	"logs.job":    "{unit: copy-logs.timer}",

	"notify.smtp.relay":         "mail.example.org:587",
	"notify.smtp.to":            "ops@example.org",
	"notify.smtp.from":          "hostguard@example.org",
	"notify.smtp.user":          "hostguard",
	"notify.smtp.password_file": "/etc/hostguard/smtp.password",
	"notify.webhook":            "https://chat.example.org/hooks/operations",
	"notify.repeat":             "1h",

	"schedule.by":            "timer",
	"schedule.storage_watch": `"*/10 * * * *"`,
	"schedule.log_copy":      `"10 1 * * *"`,
	"schedule.key_reminder":  `"20 7 * * *"`,
	"schedule.check":         `"40 5 * * *"`,

	"attestations": "[{rule: SSH-031, owner: J. Doe, note: asked each user, date: 2026-01-31, expires: 2026-04-30}]",
	"parameters":   "{CLK-001: {}}",
}

// configText is a configuration with every key and its meaning: what was
// found is set, all else is commented out.
func configText(found []discovery) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# What hostguard cannot discover, and what is different on this host.\n"+
		"# Every key is optional. hostguard lint finds mistakes. Only root may write this file.\n")
	configKeys(&b, "", reflect.TypeFor[config.Config](), found)
	return b.Bytes()
}

func configKeys(b *bytes.Buffer, section string, t reflect.Type, found []discovery) {
	indent := strings.Repeat("  ", strings.Count(section, "."))
	for _, f := range strictyaml.FieldsOf(t) {
		key := section + f.Name
		if section == "" {
			b.WriteString("\n")
		}
		for _, line := range wrapped(f.Doc, pageWidth) {
			fmt.Fprintf(b, "%s# %s\n", indent, line)
		}
		at := slices.IndexFunc(found, func(d discovery) bool { return d.Key == key })
		switch {
		case at >= 0:
			fmt.Fprintf(b, "%s# Found: %s\n%s%s: %s\n", indent, printable.String(found[at].Seen), indent, f.Name, found[at].yaml())
		case examples[key] != "":
			fmt.Fprintf(b, "%s#%s: %s\n", indent, f.Name, examples[key])
		default:
			// A section without any value set would be an empty mapping.
			if !slices.ContainsFunc(found, func(d discovery) bool { return strings.HasPrefix(d.Key, key+".") }) {
				fmt.Fprintf(b, "%s#%s:\n", indent, f.Name)
			} else {
				fmt.Fprintf(b, "%s%s:\n", indent, f.Name)
			}
			configKeys(b, key+".", f.Type, found)
		}
	}
}

func (d discovery) yaml() string {
	if d.Single {
		return yamlWord(d.Values[0])
	}
	quoted := make([]string, len(d.Values))
	for i, v := range d.Values {
		quoted[i] = yamlWord(v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// plainWord is what YAML reads as text without quotes: a name or path, a port,
// a time span, a share, an amount of storage.
var plainWord = lazyregexp.New(`^([a-zA-Z/][a-zA-Z0-9/_.@*+-]*|[0-9]+/(tcp|udp)|([0-9.]+(ns|us|ms|s|m|h|d|w))+|[0-9.]+(%|B|[KMGT]iB))$`)

// yamlWord writes a string as YAML, in quotes unless it can only be text.
func yamlWord(s string) string {
	if plainWord().MatchString(s) && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off"}, strings.ToLower(s)) {
		return s
	}
	return strconv.QuoteToASCII(s) // its escapes are also YAML's
}
