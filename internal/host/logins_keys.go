package host

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hostguard/hostguard/internal/authorizedkeys"
	"github.com/hostguard/hostguard/internal/loginmatrix"
	"github.com/hostguard/hostguard/internal/sshdconf"
)

// otherKeys are the settings by which keys come from elsewhere than the files
// of accounts: how many there are cannot be known.
var otherKeys = []struct{ keyword, name string }{
	{"authorizedkeyscommand", "AuthorizedKeysCommand"},
	{"trustedusercakeys", "TrustedUserCAKeys"},
}

// keysOf counts the keys of an account that an sshd takes on a connection, and
// knows whether one is for SFTP only.
func (h *Host) keysOf(ctx context.Context, d *SSHD) (loginmatrix.Keys, sftpByKey, error) {
	all, err := h.AuthorizedKeys(ctx)
	if err != nil {
		return nil, nil, err
	}
	var keys *ServerKeys
	for _, k := range all.Servers {
		if k.SSHD == d {
			keys = k
		}
	}
	switch {
	case keys == nil:
		return nil, nil, fmt.Errorf("cannot tell the keys that this sshd takes")
	case keys.Err != nil:
		return nil, nil, keys.Err
	}
	accounts, err := h.Accounts(ctx)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	elsewhere := map[*sshdconf.Effective]string{}
	sftp := func(a *loginmatrix.Account, conn sshdconf.Connection, e *sshdconf.Effective) bool {
		uses, unknown := keys.Judge(a.Name, e, authorizedkeys.Conn{Addr: conn.Addr, Host: conn.Host, Time: now})
		return len(unknown) > 0 || slices.ContainsFunc(uses, func(u KeyUse) bool {
			command := u.Entry.Options.Command
			return u.Why == "" && command != nil && loginmatrix.InternalSFTP(*command)
		})
	}
	return func(a *loginmatrix.Account, conn sshdconf.Connection, e *sshdconf.Effective, forced bool) (int, string) {
		from, ok := elsewhere[e]
		if !ok {
			for _, s := range otherKeys {
				if setting := e.Get(s.keyword); !isNone(setting) {
					from = s.name + " is " + setting.Text()
					break
				}
			}
			elsewhere[e] = from
		}
		if from == "" && accounts.User(a.Name) == nil {
			from = "the keys of accounts from elsewhere are not read"
		}
		if from != "" {
			return loginmatrix.KeysUnknown, from
		}
		uses, unknown := keys.Judge(a.Name, e, authorizedkeys.Conn{Addr: conn.Addr, Host: conn.Host, Time: now})
		if len(unknown) > 0 {
			return loginmatrix.KeysUnknown, unknown[0].Error()
		}
		// A key that stands in two lines is one.
		good := map[string]bool{}
		for _, u := range uses {
			if u.Why == "" && (!forced || u.Entry.Options.Command != nil || u.Entry.Options.CertAuthority) {
				good[string(u.Entry.Blob)] = true
			}
		}
		return len(good), ""
	}, sftp, nil
}

// sftpByKey is Input.SFTPByKey of loginmatrix; where keys are not known, there
// may be one.
type sftpByKey func(*loginmatrix.Account, sshdconf.Connection, *sshdconf.Effective) bool

// fromLists are the lists of addresses in the options of keys: they tell
// connections apart, too.
func (h *Host) fromLists(ctx context.Context, d *SSHD) []string {
	all, err := h.AuthorizedKeys(ctx)
	if err != nil {
		return nil
	}
	const most = 32
	var lists []string
	seen := map[string]bool{}
	for _, k := range all.Servers {
		if k.SSHD != d {
			continue
		}
		for _, a := range k.Accounts {
			for _, f := range a.Files {
				for i := range f.Entries {
					from := f.Entries[i].Options.From
					if from == nil || seen[*from] || strings.TrimSpace(*from) == "" {
						continue
					}
					if seen[*from] = true; len(lists) < most {
						lists = append(lists, *from)
					}
				}
			}
		}
	}
	return lists
}
