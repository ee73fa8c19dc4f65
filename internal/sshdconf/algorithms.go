package sshdconf

import (
	"slices"
	"strings"
)

// algorithms are the names a release knows, and those it offers by default.
type algorithms struct {
	ciphers, macs, kex, keys              []string
	defCiphers, defMACs, defKex, defKeys  []string
	defSigs, plainKeys, shortKeys, gssKex []string
	gssPreset                             string
}

// Space-separated name lists, in the releases' own order.
const (
	ciphersAll = `3des-cbc aes128-cbc aes192-cbc aes256-cbc aes128-ctr aes192-ctr aes256-ctr
		aes128-gcm@openssh.com aes256-gcm@openssh.com chacha20-poly1305@openssh.com`
	macsAll = `hmac-sha1 hmac-sha1-96 hmac-sha2-256 hmac-sha2-512 hmac-md5 hmac-md5-96
		umac-64@openssh.com umac-128@openssh.com
		hmac-sha1-etm@openssh.com hmac-sha1-96-etm@openssh.com hmac-sha2-256-etm@openssh.com
		hmac-sha2-512-etm@openssh.com hmac-md5-etm@openssh.com hmac-md5-96-etm@openssh.com
		umac-64-etm@openssh.com umac-128-etm@openssh.com`
	macsDefault = `umac-64-etm@openssh.com umac-128-etm@openssh.com hmac-sha2-256-etm@openssh.com
		hmac-sha2-512-etm@openssh.com hmac-sha1-etm@openssh.com umac-64@openssh.com umac-128@openssh.com
		hmac-sha2-256 hmac-sha2-512 hmac-sha1`
	kexOld = `diffie-hellman-group1-sha1 diffie-hellman-group14-sha1 diffie-hellman-group14-sha256
		diffie-hellman-group16-sha512 diffie-hellman-group18-sha512 diffie-hellman-group-exchange-sha1
		diffie-hellman-group-exchange-sha256 ecdh-sha2-nistp256 ecdh-sha2-nistp384 ecdh-sha2-nistp521
		curve25519-sha256 curve25519-sha256@libssh.org`
	kexCurves = `curve25519-sha256 curve25519-sha256@libssh.org
		ecdh-sha2-nistp256 ecdh-sha2-nistp384 ecdh-sha2-nistp521`
	kexGroups = `diffie-hellman-group-exchange-sha256 diffie-hellman-group16-sha512
		diffie-hellman-group18-sha512 diffie-hellman-group14-sha256`
	kexPrime  = "sntrup761x25519-sha512 sntrup761x25519-sha512@openssh.com"
	chacha    = "chacha20-poly1305@openssh.com"
	aesCTR    = "aes128-ctr aes192-ctr aes256-ctr"
	aesGCM    = "aes128-gcm@openssh.com aes256-gcm@openssh.com"
	kexMLKEM  = "mlkem768x25519-sha256"
	gssKexAll = `gss-gex-sha1- gss-group1-sha1- gss-group14-sha1- gss-group14-sha256-
		gss-group16-sha512- gss-nistp256-sha256- gss-curve25519-sha256-`
	// Short names that stand for plain key types, in any case.
	keyShort = "ed25519 ed25519-sk ecdsa ecdsa-sk dsa rsa null"

	keysEd25519 = `ssh-ed25519 ssh-ed25519-cert-v01@openssh.com
		sk-ssh-ed25519@openssh.com sk-ssh-ed25519-cert-v01@openssh.com`
	keysECDSA = `ecdsa-sha2-nistp256 ecdsa-sha2-nistp256-cert-v01@openssh.com
		ecdsa-sha2-nistp384 ecdsa-sha2-nistp384-cert-v01@openssh.com
		ecdsa-sha2-nistp521 ecdsa-sha2-nistp521-cert-v01@openssh.com
		sk-ecdsa-sha2-nistp256@openssh.com sk-ecdsa-sha2-nistp256-cert-v01@openssh.com
		webauthn-sk-ecdsa-sha2-nistp256@openssh.com`
	keysDSA = "ssh-dss ssh-dss-cert-v01@openssh.com"
	keysRSA = `ssh-rsa ssh-rsa-cert-v01@openssh.com rsa-sha2-256 rsa-sha2-256-cert-v01@openssh.com
		rsa-sha2-512 rsa-sha2-512-cert-v01@openssh.com`
	keysBefore8_5 = `ssh-ed25519 ssh-ed25519-cert-v01@openssh.com
		sk-ssh-ed25519@openssh.com sk-ssh-ed25519-cert-v01@openssh.com
		ssh-rsa rsa-sha2-256 rsa-sha2-512 ssh-dss ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521
		sk-ecdsa-sha2-nistp256@openssh.com webauthn-sk-ecdsa-sha2-nistp256@openssh.com
		ssh-rsa-cert-v01@openssh.com rsa-sha2-256-cert-v01@openssh.com rsa-sha2-512-cert-v01@openssh.com
		ssh-dss-cert-v01@openssh.com ecdsa-sha2-nistp256-cert-v01@openssh.com
		ecdsa-sha2-nistp384-cert-v01@openssh.com ecdsa-sha2-nistp521-cert-v01@openssh.com
		sk-ecdsa-sha2-nistp256-cert-v01@openssh.com`

	keyDefaults = `ssh-ed25519-cert-v01@openssh.com ecdsa-sha2-nistp256-cert-v01@openssh.com
		ecdsa-sha2-nistp384-cert-v01@openssh.com ecdsa-sha2-nistp521-cert-v01@openssh.com
		sk-ssh-ed25519-cert-v01@openssh.com sk-ecdsa-sha2-nistp256-cert-v01@openssh.com
		rsa-sha2-512-cert-v01@openssh.com rsa-sha2-256-cert-v01@openssh.com
		ssh-ed25519 ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521
		sk-ssh-ed25519@openssh.com sk-ecdsa-sha2-nistp256@openssh.com rsa-sha2-512 rsa-sha2-256`
	keyDefaultsBefore8_5 = `ecdsa-sha2-nistp256-cert-v01@openssh.com ecdsa-sha2-nistp384-cert-v01@openssh.com
		ecdsa-sha2-nistp521-cert-v01@openssh.com sk-ecdsa-sha2-nistp256-cert-v01@openssh.com
		ssh-ed25519-cert-v01@openssh.com sk-ssh-ed25519-cert-v01@openssh.com
		rsa-sha2-512-cert-v01@openssh.com rsa-sha2-256-cert-v01@openssh.com ssh-rsa-cert-v01@openssh.com
		ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521 sk-ecdsa-sha2-nistp256@openssh.com
		ssh-ed25519 sk-ssh-ed25519@openssh.com rsa-sha2-512 rsa-sha2-256 ssh-rsa`
	sigDefaults = `ssh-ed25519 ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521
		sk-ssh-ed25519@openssh.com sk-ecdsa-sha2-nistp256@openssh.com rsa-sha2-512 rsa-sha2-256`
	sigDefaultsBefore8_5 = `ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521
		sk-ecdsa-sha2-nistp256@openssh.com ssh-ed25519 sk-ssh-ed25519@openssh.com rsa-sha2-512 rsa-sha2-256`
)

const gssKexDefault = "gss-group14-sha256-,gss-group16-sha512-,gss-nistp256-sha256-,gss-curve25519-sha256-," +
	"gss-group14-sha1-,gss-gex-sha1-"

func names(list string) []string { return strings.Fields(list) }

func algorithmsOf(v Version) *algorithms {
	a := &algorithms{
		ciphers: names(ciphersAll), macs: names(macsAll), defMACs: names(macsDefault),
		defCiphers: names(chacha + " " + aesCTR + " " + aesGCM),
		kex:        names(kexOld + " " + kexPrime),
		defKex:     names(kexPrime + " " + kexCurves + " " + kexGroups),
		keys:       names(keysEd25519 + " " + keysECDSA + " " + keysDSA + " " + keysRSA),
		defKeys:    names(keyDefaults), defSigs: names(sigDefaults),
		shortKeys: names(keyShort), gssKex: names(gssKexAll), gssPreset: gssKexDefault,
	}
	switch {
	case v.AtLeast(V10_0):
		a.defCiphers = names(chacha + " " + aesGCM + " " + aesCTR)
		a.kex = names(kexOld + " " + kexPrime + " " + kexMLKEM)
		a.defKex = names(kexMLKEM + " " + kexPrime + " " + kexCurves)
		a.keys = names(keysEd25519 + " " + keysECDSA + " " + keysRSA)
		a.shortKeys = names("null")
	case !v.AtLeast(V8_5):
		a.ciphers = slices.Insert(a.ciphers, 4, "rijndael-cbc@lysator.liu.se")
		a.kex = names(kexOld + " sntrup4591761x25519-sha512@tinyssh.org")
		a.defKex = names(kexCurves + " " + kexGroups)
		a.keys, a.defKeys, a.defSigs = names(keysBefore8_5), names(keyDefaultsBefore8_5), names(sigDefaultsBefore8_5)
	}
	for _, k := range a.keys {
		if !strings.Contains(k, "-cert-") {
			a.plainKeys = append(a.plainKeys, k)
		}
	}
	return a
}

// known reports whether every name up to the first empty one is in all.
func known(list string, all []string, also func(string) bool) bool {
	if list == "" {
		return false
	}
	for name := range strings.SplitSeq(list, ",") {
		if name == "" {
			break
		}
		if !slices.Contains(all, name) && (also == nil || !also(name)) {
			return false
		}
	}
	return true
}

func (a *algorithms) validKeys(list string, plainOnly bool) bool {
	if plainOnly {
		for name := range strings.SplitSeq(list, ",") {
			if name == "" {
				break
			}
			if strings.Contains(name, "-cert-") && slices.Contains(a.keys, name) {
				return false
			}
		}
	}
	return known(list, a.keys, func(name string) bool {
		return slices.Contains(a.shortKeys, asciiLower(name)) ||
			slices.ContainsFunc(a.keys, func(k string) bool { return matchList(k, name, false) != missed })
	})
}

func (a *algorithms) validKex(list string) bool {
	return known(list, a.kex, a.knowsGSSKex)
}

func (a *algorithms) knowsGSSKex(name string) bool {
	return slices.ContainsFunc(a.gssKex, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// assemble turns what is configured (empty, a list, or +, - or ^ and a list)
// into the names in force. It returns false where sshd gives up.
func assemble(configured string, defaults, all []string) (string, bool) {
	if configured == "" {
		return strings.Join(defaults, ","), true
	}
	list := configured
	switch configured[0] {
	case '-':
		kept := slices.DeleteFunc(slices.Clone(defaults), func(name string) bool {
			return matchList(name, configured[1:], false) == matched
		})
		return strings.Join(kept, ","), true
	case '+':
		list = joinNew(strings.Join(defaults, ","), configured[1:])
	case '^':
		list = joinNew(configured[1:], strings.Join(defaults, ","))
	}
	out := ""
	for pattern := range strings.SplitSeq(list, ",") {
		if strings.HasPrefix(pattern, "!") {
			return "", false
		}
		var found []string
		for _, name := range all {
			if matchList(name, pattern, false) == matched {
				found = append(found, name)
			}
		}
		out = joinNew(out, strings.Join(found, ","))
	}
	return out, out != ""
}

// joinNew appends the names of b, up to an empty one, that a does not hold.
func joinNew(a, b string) string {
	if a == "" {
		return b
	}
	have := strings.Split(a, ",")
	for name := range strings.SplitSeq(b, ",") {
		if name == "" {
			break
		}
		if !slices.Contains(have, name) {
			have = append(have, name)
		}
	}
	return strings.Join(have, ",")
}
