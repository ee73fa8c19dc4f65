// Package config reads hostguard.yaml: what the operator says about the host,
// and which parameters of rules differ here. Every key is optional.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/attested"
	"github.com/hostguard/hostguard/internal/strictyaml"
	"github.com/hostguard/hostguard/internal/trustedfile"
)

// DefaultFile is read when no other is named; it may be absent.
const DefaultFile = "/etc/hostguard/hostguard.yaml"

// DefaultProfile is in force when none is named.
const DefaultProfile = "true-connector"

// Config is a configuration file's content. The zero value is an empty file.
type Config struct {
	Profile      string                     `yaml:"profile" doc:"The profile to check (hostguard list profiles)."`
	Connector    Connector                  `yaml:"connector" doc:"The connector on this host."`
	NTP          NTP                        `yaml:"ntp" doc:"The time servers to measure the clock against."`
	SSH          SSH                        `yaml:"ssh" doc:"Who may log in over SSH, and how."`
	Network      Network                    `yaml:"network" doc:"The networks around this host."`
	Docker       Docker                     `yaml:"docker" doc:"Who may use docker, and what runs on it."`
	Services     Services                   `yaml:"services" doc:"Services that belong here besides those of the profile."`
	Ports        Ports                      `yaml:"ports" doc:"Listeners that belong here besides those of the profile."`
	Storage      Storage                    `yaml:"storage" doc:"How file systems are watched."`
	Logs         Logs                       `yaml:"logs" doc:"Who reads copies of the connector's logs, and where they are."`
	Notify       Notify                     `yaml:"notify" doc:"Whom hostguard's jobs tell of what they find, besides syslog."`
	Schedule     Schedule                   `yaml:"schedule" doc:"When hostguard's jobs run. hostguard fix installs them."`
	Attestations []attested.Attestation     `yaml:"attestations" doc:"What a person vouches for because no program can see it: one for each rule that asks for it (hostguard list rules, check attestation)."`
	Parameters   map[string]strictyaml.Node `yaml:"parameters" doc:"Per rule: parameters of its check (hostguard explain ID)."`

	file string
	root strictyaml.Node
}

// Connector says where the connector is.
type Connector struct {
	Dir   Folders  `yaml:"dir" doc:"The compose project's folder; a list when there are several. Discovered from docker when not given."`
	Names []string `yaml:"names" doc:"Host names by which partners address the connector: its TLS certificate must be for them."`
}

// NTP names time servers.
type NTP struct {
	Servers []Server `yaml:"servers" doc:"Host names or addresses. Those of the time daemon when not given."`
}

// SSH says who may log in.
type SSH struct {
	Group  Account   `yaml:"group" doc:"The group that AllowGroups must name."`
	Users  []Account `yaml:"users" doc:"The accounts that may log in."`
	UsePAM Choice    `yaml:"use_pam" doc:"What UsePAM must be: any, yes or no."`
	// KeySources are none but the accounts' files unless named.
	KeySources []KeySource `yaml:"key_sources" doc:"Where keys may come from besides the accounts' files: programs of AuthorizedKeysCommand, files of TrustedUserCAKeys, SHA256 fingerprints of certificate authorities."`
}

// Network names networks.
type Network struct {
	Internal []Prefix `yaml:"internal" doc:"The networks counted as internal, such as 10.0.0.0/8."`
}

// Services extends the allowed units.
type Services struct {
	Allow []Unit `yaml:"allow" doc:"Unit names or patterns, such as node_exporter.service."`
}

// Ports extends the allowed listeners.
type Ports struct {
	Allow []Port `yaml:"allow" doc:"Ports with their protocol, such as 9100/tcp."`
}

// Storage names somebody else's watch over the file systems.
type Storage struct {
	Watch Watch `yaml:"watch" doc:"The job that notifies before a file system is full, when it is not hostguard's own. Exactly one of its keys."`

	Warn     Limits `yaml:"warn" doc:"When hostguard's own watch warns. As the rules about room have it when not given, and when it would be full within a day."`
	Critical Limits `yaml:"critical" doc:"When it calls the state critical. At half of that when not given, and when it would be full within two hours."`
}

// Watch names one job.
type Watch struct {
	Unit    Unit   `yaml:"unit" doc:"A systemd timer or service."`
	Cron    string `yaml:"cron" doc:"A cron table, such as /etc/cron.d/df-watch."`
	Process string `yaml:"process" doc:"A running program."`
}

// UnmarshalNode reads the watch and demands exactly one job.
func (w *Watch) UnmarshalNode(n strictyaml.Node) error {
	type plain Watch
	if err := n.Decode((*plain)(w)); err != nil {
		return err
	}
	given := slices.DeleteFunc([]string{string(w.Unit), w.Cron, w.Process}, func(s string) bool { return s == "" })
	if len(given) != 1 {
		return n.Errorf("want exactly one of unit, cron and process")
	}
	return nil
}

// later are keys of the design whose meaning this version does not know yet.
// They are refused by name, because a waiver that is silently not honoured is
// as bad as a setting that is not.
var later = []string{"waivers"}

// Load reads a configuration file that nobody but root could have written (see
// trustedfile). Without a name it reads DefaultFile, and an absent one is an
// empty configuration.
func Load(name string) (*Config, error) {
	named := name != ""
	if !named {
		name = DefaultFile
	}
	data, err := trustedfile.Read(name, strictyaml.MaxSize)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return &Config{file: name}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use the configuration: %w", err)
	}
	return Parse(name, data)
}

// Parse reads a configuration's text. The error is strictyaml.Errors.
func Parse(file string, data []byte) (*Config, error) {
	root, err := strictyaml.Parse(file, data)
	if err != nil {
		return nil, err
	}
	c := &Config{file: file}
	var errs strictyaml.Errors
	c.root = withoutLater(root, &errs)
	errs.Add(root, c.root.Decode(c))
	errs = append(errs, c.attestedTwice()...)
	return c, errs.OrNil()
}

func withoutLater(root strictyaml.Node, errs *strictyaml.Errors) strictyaml.Node {
	rest := root
	rest.Items = nil
	for i := 0; i+1 < len(root.Items); i += 2 {
		key := root.Items[i]
		if root.Kind == strictyaml.Map && slices.Contains(later, key.Text) {
			*errs = append(*errs, key.Errorf("%q is not known to this version of hostguard", key.Text))
			continue
		}
		rest.Items = append(rest.Items, root.Items[i:i+2]...)
	}
	if root.Kind != strictyaml.Map {
		return root
	}
	return rest
}

// attestedTwice finds rules with two attestations: of which only one could count.
func (c *Config) attestedTwice() strictyaml.Errors {
	var errs strictyaml.Errors
	for i, a := range c.Attestations {
		if first := c.Attestation(a.Rule); a.Rule != "" && first != &c.Attestations[i] {
			errs = append(errs, a.At("rule").Errorf("%s has a second attestation: the first is at %s", a.Rule, first.At("rule").Place()))
		}
	}
	return errs
}

// Attestation returns the attestation given for a rule, nil when there is none.
func (c *Config) Attestation(rule string) *attested.Attestation {
	if i := slices.IndexFunc(c.Attestations, func(a attested.Attestation) bool { return a.Rule == rule }); i >= 0 {
		return &c.Attestations[i]
	}
	return nil
}

// File is the file's name, read or not.
func (c *Config) File() string { return c.file }

// Lookup returns the node at a dotted key, such as ntp.servers; it is Absent
// when the file does not give it. A single connector folder is returned as a
// list of one.
func (c *Config) Lookup(key string) strictyaml.Node {
	n := c.root.Get(strings.Split(key, ".")...)
	if key == "connector.dir" && n.Kind == strictyaml.Text {
		return strictyaml.Node{File: n.File, Line: n.Line, Column: n.Column, Kind: strictyaml.List, Items: []strictyaml.Node{n}}
	}
	return n
}

// ParametersOf returns the parameters given for a rule, Absent when none are.
func (c *Config) ParametersOf(rule string) strictyaml.Node { return c.root.Get("parameters", rule) }

// ParametersKey returns the node of the rule's id below parameters, for errors.
func (c *Config) ParametersKey(rule string) strictyaml.Node {
	return c.root.Get("parameters").Key(rule)
}

// Keys lists every dotted key that a rule's `configured` may name.
func Keys() []string { return keysOf("", reflect.TypeFor[Config]()) }

func keysOf(prefix string, t reflect.Type) []string {
	var keys []string
	for _, f := range strictyaml.FieldsOf(t) {
		switch {
		case f.Name == "parameters" || f.Name == "attestations": // of rules, not of checks
		case f.Type == reflect.TypeFor[Notify]() || f.Type == reflect.TypeFor[Schedule]() || f.Type == reflect.TypeFor[Limits](): // of jobs
		case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Watch]():
			keys = append(keys, keysOf(prefix+f.Name+".", f.Type)...)
		default:
			keys = append(keys, prefix+f.Name)
		}
	}
	return keys
}
