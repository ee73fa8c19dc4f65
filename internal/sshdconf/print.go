package sshdconf

import (
	"fmt"
	"io"
	"strings"
)

// How a setting is printed.
type layout uint8

const (
	single   layout = iota // keyword and value
	perValue               // one line per value, none without
	joined                 // one line with all values, none without
)

type printed struct {
	id    int
	how   layout
	since Version
}

// printing is the order of sshd -T.
var printing = [...]printed{
	{id: kPort, how: perValue}, {id: kAddressFamily}, {id: kListenAddress, how: perValue},
	{id: kUsePAM}, {id: kPAMServiceName, since: V9_8},
	{id: kLoginGraceTime}, {id: kX11DisplayOffset}, {id: kMaxAuthTries}, {id: kMaxSessions},
	{id: kClientAliveInterval}, {id: kClientAliveCountMax}, {id: kRequiredRSASize, since: V9_1},
	{id: kStreamLocalBindMask}, {id: kUnusedConnectionTimeout, since: V9_2},
	{id: kPermitRootLogin}, {id: kIgnoreRhosts}, {id: kIgnoreUserKnownHosts}, {id: kHostbasedAuthentication},
	{id: kHostbasedUsesName}, {id: kPubkeyAuthentication},
	{id: kKerberosAuthentication}, {id: kKerberosOrLocalPasswd}, {id: kKerberosTicketCleanup},
	{id: kGSSAPIAuthentication}, {id: kGSSAPICleanup}, {id: kGSSAPIKeyExchange}, {id: kGSSAPIStrictAcceptor},
	{id: kGSSAPIStoreOnRekey}, {id: kGSSAPIKex},
	{id: kPasswordAuthentication}, {id: kKbdInteractive}, {id: kChallengeResponse},
	{id: kPrintMotd}, {id: kPrintLastLog}, {id: kX11Forwarding}, {id: kX11UseLocalhost}, {id: kPermitTTY},
	{id: kPermitUserRC}, {id: kStrictModes}, {id: kTCPKeepAlive}, {id: kPermitEmptyPasswords}, {id: kCompression},
	{id: kGatewayPorts}, {id: kUseDNS}, {id: kAllowTCPForwarding}, {id: kAllowAgentForwarding},
	{id: kDisableForwarding}, {id: kAllowStreamLocalForwarding}, {id: kStreamLocalBindUnlink},
	{id: kFingerprintHash}, {id: kExposeAuthInfo}, {id: kRefuseConnection, since: V10_0}, {id: kDebianBanner, since: V10_0},
	{id: kPidFile}, {id: kModuliFile, since: V8_5}, {id: kXAuthLocation}, {id: kCiphers}, {id: kMACs}, {id: kBanner},
	{id: kForceCommand}, {id: kChrootDirectory}, {id: kTrustedUserCAKeys}, {id: kRevokedKeys},
	{id: kSecurityKeyProvider}, {id: kAuthorizedPrincipalsFile}, {id: kVersionAddendum},
	{id: kAuthorizedKeysCommand}, {id: kAuthorizedKeysCommandUser},
	{id: kAuthorizedPrincipalsCommand}, {id: kAuthorizedPrincipalsCommandUser}, {id: kHostKeyAgent},
	{id: kKexAlgorithms}, {id: kCASignatureAlgorithms}, {id: kHostbasedAlgorithms}, {id: kHostKeyAlgorithms},
	{id: kPubkeyAlgorithms}, {id: kSshdSessionPath, since: V9_8}, {id: kSshdAuthPath, since: V10_0},
	{id: kPerSourcePenaltyExemptList, since: V9_8}, {id: kLogLevel}, {id: kSyslogFacility},
	{id: kAuthorizedKeysFile, how: joined}, {id: kHostKey, how: perValue}, {id: kHostCertificate, how: perValue},
	{id: kAllowUsers, how: perValue}, {id: kDenyUsers, how: perValue}, {id: kAllowGroups, how: perValue},
	{id: kDenyGroups, how: perValue}, {id: kAcceptEnv, how: perValue}, {id: kSetEnv, how: perValue},
	{id: kAuthenticationMethods, how: joined}, {id: kLogVerbose, how: joined, since: V8_5},
	{id: kChannelTimeout, how: joined, since: V9_2}, {id: kSubsystem, how: perValue}, {id: kMaxStartups},
	{id: kPerSourceMaxStartups, since: V8_5}, {id: kPerSourceNetBlockSize, since: V8_5}, {id: kPermitTunnel},
	{id: kIPQoS}, {id: kRekeyLimit}, {id: kPermitOpen, how: joined}, {id: kPermitListen, how: joined},
	{id: kPermitUserEnvironment}, {id: kPubkeyAuthOptions}, {id: kPerSourcePenalties, since: V9_8},
}

// Line is one line of the effective configuration.
type Line struct {
	Keyword, Text string
	Setting       Setting
}

func (l Line) String() string { return l.Keyword + " " + l.Text }

// Lines is the effective configuration in the order and the words of
// `sshd -T -C …`.
func (e *Effective) Lines() []Line {
	lines := make([]Line, 0, len(printing)+8)
	for _, p := range printing {
		if p.id == kChallengeResponse && e.version.AtLeast(V8_7) || !p.since.IsZero() && !e.version.AtLeast(p.since) {
			continue
		}
		name := nameOf(p.id, e.version)
		s := e.Get(name)
		if len(s.Values) == 0 {
			if text, ok := e.unset(p.id); ok {
				lines = append(lines, Line{name, text, s})
			}
			continue
		}
		if p.how == perValue {
			for _, v := range s.Values {
				one := s
				one.Values = []Value{v}
				lines = append(lines, Line{name, printedText(p.id, v.Text), one})
			}
			continue
		}
		text := printedText(p.id, s.Text())
		if p.id == kRekeyLimit {
			text += " " + e.slots[kRekeyInterval].values[0].Text
		}
		lines = append(lines, Line{name, text, s})
	}
	return lines
}

// unset is what is printed for a list that is empty.
func (e *Effective) unset(id int) (string, bool) {
	switch id {
	case kAuthenticationMethods, kPermitOpen, kPermitListen:
		return "any", true
	case kChannelTimeout:
		return "none", e.version.AtLeast(V10_0)
	}
	return "", false
}

func printedText(id int, text string) string {
	switch {
	case (id == kHostKey || id == kHostCertificate) && text == "none":
		return "(null)"
	case id == kUnusedConnectionTimeout && text == "0":
		return "none"
	}
	return text
}

// WriteTo prints the effective configuration as `sshd -T -C …` does.
func (e *Effective) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	for _, l := range e.Lines() {
		fmt.Fprintln(&b, l.Keyword, l.Text)
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}
