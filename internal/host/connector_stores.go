package host

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/keystore"
	"github.com/hostguard/hostguard/internal/properties"
	"github.com/hostguard/hostguard/internal/springconf"
)

// StoreUse is what a connector uses a store of certificates for.
type StoreUse string

// The uses.
const (
	StoreTLS   StoreUse = "TLS"   // the key and certificate that it serves with
	StoreTrust StoreUse = "trust" // whom it trusts
	StoreDAPS  StoreUse = "DAPS"  // the key and certificate by which it gets its tokens
)

// KeyStore is a store of certificates as one application of a connector uses it.
type KeyStore struct {
	Connector string // the project's folder
	App       string // "service ecc-provider", "container ecc"
	Core      bool   // it is an execution core
	Use       StoreUse
	NamedBy   springconf.Place // what names it, or should
	Path      string           // on the host; empty when no file is named
	Alias     string           // of the entry that is used; empty: none is named

	// Names are the host names by which the connector's other applications
	// address this one.
	Names    []string
	NamesErr error // why they cannot be told

	Store  *keystore.Store // nil: it is absent, or could not be opened
	Absent bool            // there is no such file, or none is named
	Err    error           // why it could not be opened
}

type connectorStoreFacts struct {
	connectorStores fact[[]KeyStore]
	authorities     fact[Authorities]
}

// Own returns the entries that the application uses of a store with its own key:
// the one of its alias, which Java compares without case, else all that have a
// private key.
func (s KeyStore) Own() []keystore.Entry {
	var own []keystore.Entry
	for _, e := range s.Store.Entries {
		if s.Alias == "" && e.Private || s.Alias != "" && strings.EqualFold(e.Alias, s.Alias) {
			own = append(own, e)
		}
	}
	return own
}

// Trusted returns the certificates that a trust store makes Java trust: it takes no
// anchor from an entry with a key.
func (s KeyStore) Trusted() []*x509.Certificate {
	var anchors []*x509.Certificate
	for _, e := range s.Store.Entries {
		if len(e.Chain) > 0 && !e.Private && !e.Loose {
			anchors = append(anchors, e.Chain[0])
		}
	}
	return anchors
}

// ConnectorStores opens the stores of certificates that the connectors'
// applications use, where and with which passwords their effective properties
// say. Without a connector it is ErrNoConnector. Errors hold no password.
func (h *Host) ConnectorStores(ctx context.Context) ([]KeyStore, error) {
	return h.connectorStores.get(ctx, h.openConnectorStores)
}

func (h *Host) openConnectorStores(ctx context.Context) ([]KeyStore, error) {
	connectors, err := h.ConnectorApps(ctx)
	if err != nil {
		return nil, err
	}
	if len(connectors) == 0 {
		return nil, ErrNoConnector
	}
	o := storeOpener{h: h, slots: make(chan struct{}, maxOpening), opening: map[openQuestion]func() (*keystore.Store, error){}}
	var named [][]namedStore // of each application, so that all open at once
	for _, c := range connectors {
		if c.Err != nil {
			named = append(named, []namedStore{{KeyStore: KeyStore{Connector: c.Connector.Dir, Use: StoreTLS, Err: c.Err}}})
			continue
		}
		for i, app := range c.Apps {
			names, namesErr := addressesOf(c, i)
			stores := o.storesOf(ctx, app)
			for at := range stores {
				s := &stores[at]
				s.Connector, s.App, s.Core, s.Names, s.NamesErr = c.Connector.Dir, app.Name(), app.Role == RoleCore, names, namesErr
			}
			named = append(named, stores)
		}
	}
	var all []KeyStore
	for _, stores := range named {
		of := len(all)
		for _, n := range stores {
			if s := n.opened(); !slices.ContainsFunc(all[of:], s.isIn) {
				all = append(all, s)
			}
		}
	}
	return all, nil
}

// storeProperties are the properties by which a part of an application is told
// its store.
type storeProperties struct {
	use           StoreUse
	enabled       string // must not be false for it to be used, and true with onDemand
	onDemand      bool
	folder, file  string // folder holds what stands in front of the file's name
	password, key string
	alias         string
}

// knownStores are those of Spring Boot's server, of Camel's two, and of the
// execution core's own clients.
var knownStores = []storeProperties{
	{use: StoreTLS, enabled: "server.ssl.enabled", file: "server.ssl.key-store", password: "server.ssl.key-store-password", key: "server.ssl.key-password", alias: "server.ssl.key-alias"},
	{use: StoreTLS, file: "camel.component.jetty.keystore", password: "camel.component.jetty.ssl-password", key: "camel.component.jetty.ssl-key-password"},
	{use: StoreTLS, file: "camel.ssl.config.key-managers.key-store.resource", password: "camel.ssl.config.key-managers.key-store.password", key: "camel.ssl.config.key-managers.key-password"},
	{use: StoreTrust, folder: "application.targetDirectory", file: "application.trustStoreName", password: "application.trustStorePassword"},
	{use: StoreTrust, enabled: "server.ssl.enabled", file: "server.ssl.trust-store", password: "server.ssl.trust-store-password"},
	{use: StoreDAPS, enabled: "application.isEnabledDapsInteraction", onDemand: true, folder: "application.targetDirectory", file: "application.keyStoreName", password: "application.keyStorePassword", alias: "application.keystoreAliasName"},
}

// otherwise are properties that name certificates in a way that is not followed.
var otherwise = []string{"server.ssl.bundle", "server.ssl.certificate"}

// maxOpening is how many stores are opened at once: each may take MaxFile bytes.
const maxOpening = 4

// storeOpener opens files at once, each once for the same passwords: the
// applications of the published connector share theirs.
type storeOpener struct {
	h       *Host
	slots   chan struct{} // one for each that is opening
	opening map[openQuestion]func() (*keystore.Store, error)
}

type openQuestion struct {
	path      string
	passwords keystore.Passwords
}

// namedStore is a store of an application that may still be opening.
type namedStore struct {
	KeyStore
	opening func() (*keystore.Store, error) // waits for it; nil: there is nothing to open
}

// opened waits for a store to open.
func (n namedStore) opened() KeyStore {
	s := n.KeyStore
	if n.opening == nil {
		return s
	}
	var err error
	switch s.Store, err = n.opening(); {
	case errors.Is(err, fs.ErrNotExist):
		s.Absent = true
	case err != nil:
		s.Err = fmt.Errorf("cannot look at the %s store of %s, %s: %w", s.Use, s.App, s.Path, withoutPath(err))
	}
	return s
}

// storesOf begins to open the stores of an application; some may be named twice.
func (o *storeOpener) storesOf(ctx context.Context, app ConnectorApp) []namedStore {
	var all []namedStore
	if app.ConfigErr != nil && (app.Role == RoleOther || app.Role == RolePIP) {
		return nil // neither keeps certificates where it is published
	}
	for _, known := range knownStores {
		if s, used := o.storeOf(ctx, app, known); used {
			all = append(all, s)
		}
	}
	if s, used := o.socketStore(ctx, app); used {
		all = append(all, s)
	}
	for _, key := range otherwise {
		if v, err := app.Property(key); err == nil && v.Set {
			all = append(all, namedStore{KeyStore: KeyStore{Use: StoreTLS, NamedBy: v.Place, Err: fmt.Errorf("cannot find the certificate of %s: %v sets %s, which this version of hostguard does not follow", app.Name(), v.Place, key)}})
		}
	}
	if v, err := app.Property("server.ssl.enabled"); err == nil && isFalse(v) {
		return all // it serves without, which another rule is about
	}
	if app.Role == RoleCore && !slices.ContainsFunc(all, func(s namedStore) bool { return s.Use == StoreTLS }) {
		all = append(all, namedStore{KeyStore: KeyStore{Use: StoreTLS, Err: fmt.Errorf("cannot find the certificate of %s: none of its properties names a key store that it serves with", app.Name())}})
	}
	return all
}

// isIn reports whether another is the same store, or the same trouble with it.
func (s KeyStore) isIn(t KeyStore) bool {
	if s.Err != nil || t.Err != nil {
		return s.Use == t.Use && s.Err != nil && t.Err != nil && s.Err.Error() == t.Err.Error()
	}
	return s.Use == t.Use && s.Path == t.Path && s.Store == t.Store && (s.Alias == "" || s.Alias == t.Alias)
}

// storeOf finds one store and begins to open it. It is not used when no property
// names it.
func (o *storeOpener) storeOf(ctx context.Context, app ConnectorApp, known storeProperties) (s namedStore, used bool) {
	s.Use = known.use
	value := func(key string) springconf.Value {
		if key == "" || s.Err != nil {
			return springconf.Value{}
		}
		v, err := app.Property(key)
		if err != nil {
			s.Err = fmt.Errorf("cannot tell the %s store: %w", s.Use, err)
		}
		return v
	}
	enabled := value(known.enabled)
	if s.Err == nil && (isFalse(enabled) || known.onDemand && !strings.EqualFold(strings.TrimSpace(enabled.Text.Reveal()), "true")) {
		return s, false
	}
	file, folder := value(known.file), value(known.folder)
	password, key, alias := value(known.password), value(known.key), value(known.alias)
	s.NamedBy, s.Alias = file.Origin, alias.Text.Reveal()
	switch {
	case s.Err != nil:
		return s, true
	case file.Text.Empty() && known.onDemand:
		s.Absent = true
		if !file.Set {
			s.NamedBy = enabled.Origin
		}
		return s, true
	case file.Text.Empty():
		return s, false
	}
	s.open(ctx, o, app, folder.Text.Reveal()+file.Text.Reveal(), keystore.Passwords{
		Store: password.Text.Reveal(), NoStore: !password.Set, Key: key.Text.Reveal(),
	})
	return s, true
}

// socketSettings is a file in which a data app is told the key store of its web
// socket. It is no configuration file of Spring's: nothing is replaced in it, and
// nothing wins over it.
const socketSettings = "config.properties"

// socketStore finds the key store of a data app's web socket and begins to open it. The published
// settings give one password, which is that of the store and of the key.
func (o *storeOpener) socketStore(ctx context.Context, app ConnectorApp) (s namedStore, used bool) {
	file, there := app.File(socketSettings)
	if app.Role != RoleDataApp || !there {
		return s, false
	}
	s.Use = StoreTLS
	settings, err := properties.Parse(file.Path, file.Data)
	if err = cmp.Or(file.Err, err); err != nil {
		s.Err = fmt.Errorf("cannot tell the %s store of %s's web socket: %w", s.Use, app.Name(), err)
		return s, true
	}
	store, named := settings.Get("server.ssl.key-store")
	if !named || store.Value == "" {
		return s, false
	}
	s.NamedBy = springconf.Place{Source: file.Path, Line: store.Line, Key: store.Key}
	key, keyGiven := settings.Get("server.ssl.key-password")
	password, given := settings.Get("server.ssl.key-store-password")
	if !given {
		password, given = key, keyGiven
	}
	if strings.Contains(store.Value+password.Value+key.Value, "${") {
		s.Err = fmt.Errorf("cannot find the %s store of %s, which %v names: variables are not replaced there", s.Use, app.Name(), s.NamedBy)
		return s, true
	}
	s.open(ctx, o, app, store.Value, keystore.Passwords{Store: password.Value, NoStore: !given, Key: key.Value})
	return s, true
}

func isFalse(v springconf.Value) bool {
	return strings.EqualFold(strings.TrimSpace(v.Text.Reveal()), "false")
}

// open begins to read a store by its name in the application's container.
func (s *namedStore) open(ctx context.Context, o *storeOpener, app ConnectorApp, inside string, p keystore.Passwords) {
	inside = strings.TrimPrefix(inside, "file:")
	dir, rel, err := app.HostPath(inside)
	if strings.Contains(inside, ":") { // classpath:…, https:…
		err = errors.New("it is no path of a file")
	}
	if err != nil {
		s.Err = fmt.Errorf("cannot find the %s store of %s, which %v names: %w", s.Use, app.Name(), s.NamedBy, err)
		return
	}
	s.Path = dir
	if rel != "" {
		s.Path = strings.TrimSuffix(dir, "/") + "/" + rel
	}
	q := openQuestion{s.Path, p}
	if o.opening[q] == nil {
		var f fact[*keystore.Store]
		wait := func() (*keystore.Store, error) {
			return f.get(ctx, func(ctx context.Context) (*keystore.Store, error) {
				o.slots <- struct{}{}
				defer func() { <-o.slots }()
				// Containers may write into what they mount.
				data, _, _, err := o.h.ReadInside(app, inside, MaxFile)
				if err != nil {
					return nil, err
				}
				return keystore.OpenWith(ctx, data, p)
			})
		}
		o.opening[q] = wait
		go wait()
	}
	s.opening = o.opening[q]
}

// addressed are the properties by which applications are told where others are.
// One without a dot in its host, or with a service's name, is of this connector.
var addressed = []struct {
	by  Role
	key string
	of  Role
}{
	{RoleCore, "spring.ids.ucapp.baseUrl", RoleUsageControl},
	{RoleCore, "application.openDataAppReceiver", RoleDataApp},
	{RoleDataApp, "application.ecc.host", RoleCore},
	{RoleUsageControl, "application.ecc.selfdescription.url", RoleCore},
}

// addressesOf are the host names by which a connector's other applications
// address one of them.
func addressesOf(c ConnectorApps, which int) ([]string, error) {
	var names []string
	app := c.Apps[which]
	for _, a := range addressed {
		if a.of != app.Role {
			continue
		}
		for _, other := range c.Of(a.by) {
			v, err := other.Property(a.key)
			if err != nil {
				return nil, fmt.Errorf("cannot tell how %s is addressed: %w", app.Name(), err)
			}
			name := hostOf(v.Text.Reveal())
			if name != "" && c.means(name, app) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// means reports whether a host name is that of an application: its service's or
// its container's, or any other when it is the only one of its role.
func (c ConnectorApps) means(name string, app ConnectorApp) bool {
	known := func(a ConnectorApp) bool {
		return strings.EqualFold(name, a.Service.Name) || slices.ContainsFunc(append([]string{a.Container}, a.Made...), func(n string) bool { return strings.EqualFold(n, name) })
	}
	if slices.ContainsFunc(c.Apps, known) {
		return known(app)
	}
	services := map[string]bool{}
	for _, a := range c.Of(app.Role) {
		services[a.Service.Name] = true
	}
	return len(services) == 1 && (app.Role == RoleCore || !strings.Contains(name, "."))
}

// hostOf is the host of a URL, or a host name alone.
func hostOf(text string) string {
	if !strings.Contains(text, "://") {
		text = "//" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
