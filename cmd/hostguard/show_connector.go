package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/internal/certificate"
	"github.com/hostguard/hostguard/internal/composefile"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/keystore"
	"github.com/hostguard/hostguard/internal/printable"
)

// connectorSchema is the version of the JSON form; a change that a reader could
// trip over raises it.
const connectorSchema = "1"

func showConnectorCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "connector",
		Short: "The connector's services, ports, and the certificates in its stores",
		Long: `Shows each connector: its services with what they are, their images and the
ports that docker publishes for them, and the key and trust stores that they are
told to use, opened with the passwords that stand in their settings: every entry
with its key, names, use, and until when it is valid. A container that was made
otherwise than is written now is shown beside its service. Neither passwords nor
private keys are shown.

Validity is seen from the time of the time servers where the clock could be
compared with them.

Exit codes: 0 shown; 2 the flags or configuration are wrong; 3 something could
not be seen, which is said on the standard error.`,
		Example: `  sudo hostguard show connector
  sudo hostguard show connector --connector /opt/trueconnector
  sudo hostguard show connector --root /mnt/image --connector /opt/trueconnector
  sudo hostguard show connector --format json | jq '.connectors[].stores[].entries[].chain[0].days_left'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return lookAround(cmd, o, func(ctx context.Context, h *host.Host, a *audit) error {
				return showConnectors(ctx, cmd, o.format, h, a)
			})
		},
	}
	f := cmd.Flags()
	sourceFlags(cmd, &o.sources)
	f.StringSliceVar(&o.connectors, "connector", nil, "the connector's compose project `folder` (repeatable; default: the configuration's, else discovered from docker)")
	f.StringVar(&o.root, "root", "/", "look at the file tree of a mounted image or container instead of this host")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "bound on the whole run")
	f.StringVar(&o.format, "format", "text", "text or json")
	return cmd
}

func showConnectors(ctx context.Context, cmd *cobra.Command, format string, h *host.Host, a *audit) error {
	var servers []string
	for _, s := range a.Config.NTP.Servers {
		servers = append(servers, string(s))
	}
	seen, err := lookAtConnectors(ctx, h, servers)
	if err != nil {
		return exitError{exitIncomplete, err}
	}
	return present(cmd, format, seen)
}

// shownConnectors is what is shown of all connectors.
type shownConnectors struct {
	SchemaVersion string           `json:"schema_version"`
	Time          time.Time        `json:"time"`  // from which validity is seen
	Clock         string           `json:"clock"` // whose time that is
	Connectors    []shownConnector `json:"connectors"`

	errs []error
}

type shownConnector struct {
	Dir      string         `json:"dir"`
	Source   string         `json:"source"`
	Project  string         `json:"project"`
	Files    []string       `json:"files"` // compose files
	Services []shownService `json:"services"`
	Stores   []shownStore   `json:"stores"`
	Error    string         `json:"error,omitempty"`
}

type shownService struct {
	Name      string   `json:"name"`
	Role      string   `json:"role,omitempty"`
	Image     string   `json:"image"`
	Container string   `json:"container,omitempty"` // made otherwise than the service is written
	Made      []string `json:"made,omitempty"`      // containers that were made as it is written
	Ports     []string `json:"ports"`
	Settings  []string `json:"settings"` // files, the one that wins first
	Error     string   `json:"error,omitempty"`
}

type shownStore struct {
	Use     string       `json:"use"` // TLS, trust, DAPS
	Path    string       `json:"path,omitempty"`
	NamedBy string       `json:"named_by,omitempty"`
	Apps    []string     `json:"apps"`
	Alias   string       `json:"alias,omitempty"`
	Format  string       `json:"format,omitempty"`
	Absent  bool         `json:"absent,omitempty"`
	Error   string       `json:"error,omitempty"`
	Entries []shownEntry `json:"entries"`
}

type shownEntry struct {
	Alias      string             `json:"alias"`
	PrivateKey string             `json:"private_key,omitempty"` // "there", or why it could not be looked at
	Used       bool               `json:"used"`
	Chain      []shownCertificate `json:"chain"`
	Error      string             `json:"error,omitempty"`
}

type shownCertificate struct {
	Subject        string    `json:"subject"`
	Issuer         string    `json:"issuer"`
	Names          []string  `json:"names"`
	Key            string    `json:"key"`
	Digest         string    `json:"digest,omitempty"`
	Usage          []string  `json:"extended_key_usage"`
	NotBefore      time.Time `json:"not_before"`
	NotAfter       time.Time `json:"not_after"`
	DaysLeft       int       `json:"days_left"`
	SelfSigned     bool      `json:"self_signed"`
	Fingerprint    string    `json:"sha256"`
	KeyFingerprint string    `json:"key_sha256"`
	Published      string    `json:"published,omitempty"` // where its private key can be downloaded

	line string
}

func lookAtConnectors(ctx context.Context, h *host.Host, servers []string) (*shownConnectors, error) {
	connectors, err := h.ConnectorApps(ctx)
	if err != nil {
		return nil, err
	}
	if len(connectors) == 0 {
		return nil, host.ErrNoConnector
	}
	stores, err := h.ConnectorStores(ctx)
	if err != nil {
		return nil, err
	}
	now := h.MeasuredNow(ctx, servers)
	s := &shownConnectors{SchemaVersion: connectorSchema, Time: now.UTC().Truncate(time.Second), Clock: printable.String(now.By)}
	for _, c := range connectors {
		s.Connectors = append(s.Connectors, s.connector(c, stores, now.Time))
	}
	return s, nil
}

func (s *shownConnectors) unseen() error { return errors.Join(s.errs...) }

// cannot takes down what could not be seen, and returns it for its place.
func (s *shownConnectors) cannot(err error) string {
	text := printable.String(err.Error())
	if !slices.ContainsFunc(s.errs, func(e error) bool { return e.Error() == text }) {
		s.errs = append(s.errs, errors.New(text))
	}
	return text
}

func (s *shownConnectors) connector(c host.ConnectorApps, stores []host.KeyStore, now time.Time) shownConnector {
	shown := shownConnector{
		Dir: printable.String(c.Connector.Dir), Source: printable.String(c.Connector.Source), Project: printable.String(c.Connector.Project),
		Files: allPrintable(c.Connector.ComposeFiles), Services: []shownService{}, Stores: []shownStore{},
	}
	if c.Err != nil {
		shown.Error = s.cannot(c.Err)
		return shown
	}
	for _, app := range c.Apps {
		service := shownService{
			Name: printable.String(app.Service.Name), Role: string(app.Role), Image: printable.String(app.Service.Image),
			Container: printable.String(app.Container), Made: allPrintable(app.Made), Ports: portTexts(app.Service.Ports), Settings: allPrintable(app.Files()),
		}
		if app.ConfigErr != nil && (app.Role == host.RoleCore || app.Role == host.RoleDataApp || app.Role == host.RoleUsageControl) {
			service.Error = s.cannot(app.ConfigErr)
		}
		shown.Services = append(shown.Services, service)
	}
	for _, store := range stores {
		if store.Connector == c.Connector.Dir {
			shown.add(store, s, now)
		}
	}
	return shown
}

// add adds a store, or its application to a store that is there already.
func (c *shownConnector) add(k host.KeyStore, s *shownConnectors, now time.Time) {
	one := shownStore{
		Use: string(k.Use), Path: printable.String(k.Path), Alias: printable.String(k.Alias), Absent: k.Absent, Apps: []string{printable.String(k.App)},
		Entries: []shownEntry{},
	}
	if k.NamedBy.Source != "" {
		one.NamedBy = printable.String(k.NamedBy.String())
	}
	if k.Err != nil {
		one.Error = s.cannot(k.Err)
	}
	if k.Store != nil {
		one.Format = string(k.Store.Format)
		for _, e := range k.Store.Entries {
			one.Entries = append(one.Entries, s.entry(e, k, now))
		}
	}
	for i, o := range c.Stores {
		// Applications may open a store in other ways, and see the same.
		if o.Use == one.Use && o.Path == one.Path && o.Absent == one.Absent && o.Error == one.Error && reflect.DeepEqual(o.Entries, one.Entries) {
			if !slices.Contains(o.Apps, one.Apps[0]) {
				c.Stores[i].Apps = append(o.Apps, one.Apps[0])
			}
			return
		}
	}
	c.Stores = append(c.Stores, one)
}

func (s *shownConnectors) entry(e keystore.Entry, k host.KeyStore, now time.Time) shownEntry {
	shown := shownEntry{Alias: printable.String(e.Alias), Chain: []shownCertificate{}}
	switch {
	case k.Use == host.StoreTrust:
		shown.Used = !e.Private && !e.Loose
	case k.Alias != "":
		shown.Used = strings.EqualFold(e.Alias, k.Alias)
	default:
		shown.Used = e.Private
	}
	where := func(err error) error { return fmt.Errorf("%s, entry %s: %w", k.Path, e.Alias, err) }
	switch {
	case e.Private && errors.Is(e.KeyErr, keystore.ErrOtherKey):
		shown.PrivateKey = "another one than the certificate's"
	case e.Private && e.KeyErr != nil:
		shown.PrivateKey = printable.String(e.KeyErr.Error())
		if shown.Used {
			s.cannot(where(e.KeyErr))
		}
	case e.Private:
		shown.PrivateKey = "there"
	}
	if e.CertErr != nil {
		shown.Error = s.cannot(where(e.CertErr))
	}
	for _, cert := range e.Chain {
		c := shownCertificate{
			Subject: printable.String(cert.Subject.String()), Issuer: printable.String(cert.Issuer.String()), Names: allPrintable(certificate.Names(cert)),
			Key: certificate.KeyOf(cert).String(), Digest: certificate.Digest(cert), Usage: allPrintable(certificate.Usage(cert)),
			NotBefore: cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(), DaysLeft: certificate.DaysLeft(cert, now), SelfSigned: certificate.SelfSigned(cert),
			Fingerprint: certificate.Fingerprint(cert), KeyFingerprint: certificate.KeyFingerprint(cert), line: printable.String(certificate.Describe(cert, now)),
		}
		c.Published, _ = certificate.Published(cert)
		shown.Chain = append(shown.Chain, c)
	}
	return shown
}

func allPrintable(list []string) []string {
	out := make([]string, len(list))
	for i, text := range list {
		out[i] = printable.String(text)
	}
	return out
}

// portTexts writes ports as compose files do.
func portTexts(ports []composefile.Port) []string {
	texts := []string{}
	for _, p := range ports {
		text := p.Target
		if p.Published != "" || p.Address != "" {
			text = p.Published + ":" + text
		}
		if p.Address != "" {
			text = p.Address + ":" + text
		}
		if p.Protocol != "" && p.Protocol != "tcp" {
			text += "/" + p.Protocol
		}
		texts = append(texts, printable.String(text))
	}
	return texts
}
