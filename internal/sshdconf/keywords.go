package sshdconf

import "sync"

// A keyword is one setting.
type keyword struct {
	name   string // as sshd -T prints it
	merged bool   // a satisfied Match block's value replaces the global one
	preset string // its default; empty where it has none or it is computed
	read   reading
}

// A reading takes the arguments of a line and stores what they mean. It
// returns nil, or why sshd refuses the line.
type reading func(p *pass, l *line, a *arguments) *refusal

// An alias is a word that may stand at the start of a line.
type alias struct {
	word   string
	id     int // place in the table, or one of the words below
	global bool
	since  Version // zero: always
	before Version // zero: still
	option buildOption
}

// Words that are no settings.
const (
	unknown = -1 - iota
	deprecated
	ignored
	unsupported
	include
	match
)

// A buildOption is a part of sshd that a build can leave out; without it the
// word is unsupported.
type buildOption uint8

const (
	always buildOption = iota
	withPAM
	withGSSAPI
)

// Settings by their place in the table.
const (
	kUsePAM = iota
	kPAMServiceName
	kPort
	kHostKey
	kHostKeyAgent
	kPidFile
	kModuliFile
	kLoginGraceTime
	kPermitRootLogin
	kSyslogFacility
	kLogLevel
	kLogVerbose
	kHostbasedAuthentication
	kHostbasedUsesName
	kHostbasedAlgorithms
	kHostKeyAlgorithms
	kPubkeyAuthentication
	kPubkeyAlgorithms
	kPubkeyAuthOptions
	kKerberosAuthentication
	kKerberosOrLocalPasswd
	kKerberosTicketCleanup
	kGSSAPIAuthentication
	kGSSAPICleanup
	kGSSAPIStrictAcceptor
	kGSSAPIKeyExchange
	kGSSAPIStoreOnRekey
	kGSSAPIKex
	kPasswordAuthentication
	kKbdInteractive
	kChallengeResponse
	kListenAddress
	kAddressFamily
	kPrintMotd
	kPrintLastLog
	kIgnoreRhosts
	kIgnoreUserKnownHosts
	kX11Forwarding
	kX11DisplayOffset
	kX11UseLocalhost
	kXAuthLocation
	kStrictModes
	kPermitEmptyPasswords
	kPermitUserEnvironment
	kCompression
	kRekeyLimit
	kRekeyInterval
	kTCPKeepAlive
	kAllowTCPForwarding
	kAllowAgentForwarding
	kAllowUsers
	kDenyUsers
	kAllowGroups
	kDenyGroups
	kCiphers
	kMACs
	kGatewayPorts
	kSubsystem
	kMaxStartups
	kPerSourceMaxStartups
	kPerSourceNetBlockSize
	kPerSourcePenalties
	kPerSourcePenaltyExemptList
	kMaxAuthTries
	kMaxSessions
	kBanner
	kUseDNS
	kClientAliveInterval
	kClientAliveCountMax
	kAuthorizedKeysFile
	kAcceptEnv
	kSetEnv
	kPermitTunnel
	kPermitTTY
	kPermitUserRC
	kPermitOpen
	kPermitListen
	kForceCommand
	kChrootDirectory
	kHostCertificate
	kRevokedKeys
	kTrustedUserCAKeys
	kAuthorizedPrincipalsFile
	kKexAlgorithms
	kIPQoS
	kAuthorizedKeysCommand
	kAuthorizedKeysCommandUser
	kAuthorizedPrincipalsCommand
	kAuthorizedPrincipalsCommandUser
	kVersionAddendum
	kAuthenticationMethods
	kStreamLocalBindMask
	kStreamLocalBindUnlink
	kAllowStreamLocalForwarding
	kFingerprintHash
	kDisableForwarding
	kExposeAuthInfo
	kCASignatureAlgorithms
	kSecurityKeyProvider
	kRequiredRSASize
	kChannelTimeout
	kUnusedConnectionTimeout
	kDebianBanner
	kSshdSessionPath
	kSshdAuthPath
	kRefuseConnection
	kRDomain
	keywordCount
)

// aliasesOf is the list of words a line may start with.
var aliasesOf = sync.OnceValue(func() map[string][]alias {
	m := make(map[string][]alias, 2*keywordCount)
	for _, a := range aliases() {
		m[a.word] = append(m[a.word], a)
	}
	return m
})

// lookup finds the meaning of a word in lower case.
func lookup(word string, v Version) (int, alias) {
	for _, a := range aliasesOf()[word] {
		if (a.since.IsZero() || v.AtLeast(a.since)) && (a.before.IsZero() || !v.AtLeast(a.before)) {
			return a.id, a
		}
	}
	return unknown, alias{id: unknown}
}

const (
	anywhere   = false
	globalOnly = true
)

func aliases() []alias {
	return []alias{
		{word: "usepam", id: kUsePAM, global: globalOnly, option: withPAM},
		{word: "pamservicename", id: kPAMServiceName, since: V9_8, option: withPAM},
		{word: "pamauthenticationviakbdint", id: deprecated, global: globalOnly},
		{word: "port", id: kPort, global: globalOnly},
		{word: "hostkey", id: kHostKey, global: globalOnly},
		{word: "hostdsakey", id: kHostKey, global: globalOnly},
		{word: "hostkeyagent", id: kHostKeyAgent, global: globalOnly},
		{word: "pidfile", id: kPidFile, global: globalOnly},
		{word: "modulifile", id: kModuliFile, global: globalOnly, since: V8_5},
		{word: "serverkeybits", id: deprecated, global: globalOnly},
		{word: "logingracetime", id: kLoginGraceTime, global: globalOnly},
		{word: "keyregenerationinterval", id: deprecated, global: globalOnly},
		{word: "permitrootlogin", id: kPermitRootLogin},
		{word: "syslogfacility", id: kSyslogFacility, global: globalOnly},
		{word: "loglevel", id: kLogLevel},
		{word: "logverbose", id: kLogVerbose, since: V8_5},
		{word: "rhostsauthentication", id: deprecated, global: globalOnly},
		{word: "rhostsrsaauthentication", id: deprecated},
		{word: "hostbasedauthentication", id: kHostbasedAuthentication},
		{word: "hostbasedusesnamefrompacketonly", id: kHostbasedUsesName},
		{word: "hostbasedacceptedalgorithms", id: kHostbasedAlgorithms, since: V8_5},
		{word: "hostbasedacceptedkeytypes", id: kHostbasedAlgorithms},
		{word: "hostkeyalgorithms", id: kHostKeyAlgorithms, global: globalOnly},
		{word: "rsaauthentication", id: deprecated},
		{word: "pubkeyauthentication", id: kPubkeyAuthentication},
		{word: "pubkeyacceptedalgorithms", id: kPubkeyAlgorithms, since: V8_5},
		{word: "pubkeyacceptedkeytypes", id: kPubkeyAlgorithms},
		{word: "pubkeyauthoptions", id: kPubkeyAuthOptions},
		{word: "dsaauthentication", id: kPubkeyAuthentication, global: globalOnly},
		{word: "kerberosauthentication", id: kKerberosAuthentication, option: withGSSAPI},
		{word: "kerberosorlocalpasswd", id: kKerberosOrLocalPasswd, global: globalOnly, option: withGSSAPI},
		{word: "kerberosticketcleanup", id: kKerberosTicketCleanup, global: globalOnly, option: withGSSAPI},
		{word: "kerberosgetafstoken", id: unsupported, global: globalOnly},
		{word: "kerberostgtpassing", id: unsupported, global: globalOnly},
		{word: "afstokenpassing", id: unsupported, global: globalOnly},
		{word: "gssapiauthentication", id: kGSSAPIAuthentication, option: withGSSAPI},
		{word: "gssapicleanupcredentials", id: kGSSAPICleanup, global: globalOnly, option: withGSSAPI},
		{word: "gssapicleanupcreds", id: kGSSAPICleanup, global: globalOnly, option: withGSSAPI},
		{word: "gssapistrictacceptorcheck", id: kGSSAPIStrictAcceptor, global: globalOnly, option: withGSSAPI},
		{word: "gssapikeyexchange", id: kGSSAPIKeyExchange, global: globalOnly, option: withGSSAPI},
		{word: "gssapistorecredentialsonrekey", id: kGSSAPIStoreOnRekey, global: globalOnly, option: withGSSAPI},
		{word: "gssapikexalgorithms", id: kGSSAPIKex, global: globalOnly, option: withGSSAPI},
		{word: "gssusesessionccache", id: unsupported, global: globalOnly},
		{word: "gssapiusesessioncredcache", id: unsupported, global: globalOnly},
		{word: "passwordauthentication", id: kPasswordAuthentication},
		{word: "kbdinteractiveauthentication", id: kKbdInteractive},
		{word: "challengeresponseauthentication", id: kKbdInteractive, since: V8_7},
		{word: "challengeresponseauthentication", id: kChallengeResponse, global: globalOnly, before: V8_7},
		{word: "skeyauthentication", id: kKbdInteractive, since: V8_7},
		{word: "skeyauthentication", id: deprecated, global: globalOnly, before: V8_7},
		{word: "checkmail", id: deprecated, global: globalOnly},
		{word: "listenaddress", id: kListenAddress, global: globalOnly},
		{word: "addressfamily", id: kAddressFamily, global: globalOnly},
		{word: "printmotd", id: kPrintMotd, global: globalOnly},
		{word: "printlastlog", id: kPrintLastLog, global: globalOnly},
		{word: "ignorerhosts", id: kIgnoreRhosts},
		{word: "ignoreuserknownhosts", id: kIgnoreUserKnownHosts, global: globalOnly},
		{word: "x11forwarding", id: kX11Forwarding},
		{word: "x11displayoffset", id: kX11DisplayOffset},
		{word: "x11uselocalhost", id: kX11UseLocalhost},
		{word: "xauthlocation", id: kXAuthLocation, global: globalOnly},
		{word: "strictmodes", id: kStrictModes, global: globalOnly},
		{word: "permitblacklistedkeys", id: deprecated, global: globalOnly},
		{word: "permitemptypasswords", id: kPermitEmptyPasswords},
		{word: "permituserenvironment", id: kPermitUserEnvironment, global: globalOnly},
		{word: "uselogin", id: deprecated, global: globalOnly},
		{word: "compression", id: kCompression, global: globalOnly},
		{word: "rekeylimit", id: kRekeyLimit},
		{word: "tcpkeepalive", id: kTCPKeepAlive, global: globalOnly},
		{word: "keepalive", id: kTCPKeepAlive, global: globalOnly},
		{word: "allowtcpforwarding", id: kAllowTCPForwarding},
		{word: "allowagentforwarding", id: kAllowAgentForwarding},
		{word: "allowusers", id: kAllowUsers},
		{word: "denyusers", id: kDenyUsers},
		{word: "allowgroups", id: kAllowGroups},
		{word: "denygroups", id: kDenyGroups},
		{word: "ciphers", id: kCiphers, global: globalOnly},
		{word: "macs", id: kMACs, global: globalOnly},
		{word: "protocol", id: ignored, global: globalOnly},
		{word: "gatewayports", id: kGatewayPorts},
		{word: "subsystem", id: kSubsystem, since: V9_5},
		{word: "subsystem", id: kSubsystem, global: globalOnly, before: V9_5},
		{word: "maxstartups", id: kMaxStartups, global: globalOnly},
		{word: "persourcemaxstartups", id: kPerSourceMaxStartups, global: globalOnly, since: V8_5},
		{word: "persourcenetblocksize", id: kPerSourceNetBlockSize, global: globalOnly, since: V8_5},
		{word: "persourcepenalties", id: kPerSourcePenalties, global: globalOnly, since: V9_8},
		{word: "persourcepenaltyexemptlist", id: kPerSourcePenaltyExemptList, global: globalOnly, since: V9_8},
		{word: "maxauthtries", id: kMaxAuthTries},
		{word: "maxsessions", id: kMaxSessions},
		{word: "banner", id: kBanner},
		{word: "usedns", id: kUseDNS, global: globalOnly},
		{word: "verifyreversemapping", id: deprecated, global: globalOnly},
		{word: "reversemappingcheck", id: deprecated, global: globalOnly},
		{word: "clientaliveinterval", id: kClientAliveInterval},
		{word: "clientalivecountmax", id: kClientAliveCountMax},
		{word: "authorizedkeysfile", id: kAuthorizedKeysFile},
		{word: "authorizedkeysfile2", id: deprecated},
		{word: "useprivilegeseparation", id: deprecated, global: globalOnly},
		{word: "acceptenv", id: kAcceptEnv},
		{word: "setenv", id: kSetEnv},
		{word: "permittunnel", id: kPermitTunnel},
		{word: "permittty", id: kPermitTTY},
		{word: "permituserrc", id: kPermitUserRC},
		{word: "match", id: match},
		{word: "permitopen", id: kPermitOpen},
		{word: "permitlisten", id: kPermitListen},
		{word: "forcecommand", id: kForceCommand},
		{word: "chrootdirectory", id: kChrootDirectory},
		{word: "hostcertificate", id: kHostCertificate, global: globalOnly},
		{word: "revokedkeys", id: kRevokedKeys},
		{word: "trustedusercakeys", id: kTrustedUserCAKeys},
		{word: "authorizedprincipalsfile", id: kAuthorizedPrincipalsFile},
		{word: "kexalgorithms", id: kKexAlgorithms, global: globalOnly},
		{word: "include", id: include},
		{word: "ipqos", id: kIPQoS},
		{word: "authorizedkeyscommand", id: kAuthorizedKeysCommand},
		{word: "authorizedkeyscommanduser", id: kAuthorizedKeysCommandUser},
		{word: "authorizedprincipalscommand", id: kAuthorizedPrincipalsCommand},
		{word: "authorizedprincipalscommanduser", id: kAuthorizedPrincipalsCommandUser},
		{word: "versionaddendum", id: kVersionAddendum, global: globalOnly},
		{word: "authenticationmethods", id: kAuthenticationMethods},
		{word: "streamlocalbindmask", id: kStreamLocalBindMask},
		{word: "streamlocalbindunlink", id: kStreamLocalBindUnlink},
		{word: "allowstreamlocalforwarding", id: kAllowStreamLocalForwarding},
		{word: "fingerprinthash", id: kFingerprintHash, global: globalOnly},
		{word: "disableforwarding", id: kDisableForwarding},
		{word: "exposeauthinfo", id: kExposeAuthInfo},
		{word: "rdomain", id: kRDomain},
		{word: "casignaturealgorithms", id: kCASignatureAlgorithms},
		{word: "securitykeyprovider", id: kSecurityKeyProvider, global: globalOnly},
		{word: "requiredrsasize", id: kRequiredRSASize, since: V9_1},
		{word: "channeltimeout", id: kChannelTimeout, since: V9_2},
		{word: "unusedconnectiontimeout", id: kUnusedConnectionTimeout, since: V9_2},
		{word: "debianbanner", id: kDebianBanner, global: globalOnly},
		{word: "sshdsessionpath", id: kSshdSessionPath, global: globalOnly, since: V9_8},
		{word: "sshdauthpath", id: kSshdAuthPath, global: globalOnly, since: V10_0},
		{word: "refuseconnection", id: kRefuseConnection, since: V10_0},
	}
}

// settings is the table of keywords.
var settings = sync.OnceValue(func() *[keywordCount]keyword {
	const fromBlock = true
	t := &[keywordCount]keyword{
		kUsePAM:                          {name: "usepam", preset: "no", read: flag(kUsePAM)},
		kPAMServiceName:                  {name: "pamservicename", merged: fromBlock, preset: "sshd", read: word(kPAMServiceName)},
		kPort:                            {name: "port", preset: "22", read: readPort},
		kHostKey:                         {name: "hostkey", read: readHostKey},
		kHostKeyAgent:                    {name: "hostkeyagent", preset: "none", read: readHostKeyAgent},
		kPidFile:                         {name: "pidfile", preset: "/run/sshd.pid", read: file(kPidFile)},
		kModuliFile:                      {name: "modulifile", preset: "/etc/ssh/moduli", read: file(kModuliFile)},
		kLoginGraceTime:                  {name: "logingracetime", preset: "120", read: span(kLoginGraceTime)},
		kPermitRootLogin:                 {name: "permitrootlogin", merged: fromBlock, preset: "without-password", read: oneOf(kPermitRootLogin, rootLogins)},
		kSyslogFacility:                  {name: "syslogfacility", preset: "AUTH", read: readFacility},
		kLogLevel:                        {name: "loglevel", merged: fromBlock, preset: "INFO", read: readLogLevel},
		kLogVerbose:                      {name: "logverbose", merged: fromBlock, read: readLogVerbose},
		kHostbasedAuthentication:         {name: "hostbasedauthentication", merged: fromBlock, preset: "no", read: flag(kHostbasedAuthentication)},
		kHostbasedUsesName:               {name: "hostbasedusesnamefrompacketonly", merged: fromBlock, preset: "no", read: flag(kHostbasedUsesName)},
		kHostbasedAlgorithms:             {name: "hostbasedacceptedalgorithms", merged: fromBlock, read: keyNames(kHostbasedAlgorithms, false)},
		kHostKeyAlgorithms:               {name: "hostkeyalgorithms", read: keyNames(kHostKeyAlgorithms, false)},
		kPubkeyAuthentication:            {name: "pubkeyauthentication", merged: fromBlock, preset: "yes", read: flag(kPubkeyAuthentication)},
		kPubkeyAlgorithms:                {name: "pubkeyacceptedalgorithms", merged: fromBlock, read: keyNames(kPubkeyAlgorithms, false)},
		kPubkeyAuthOptions:               {name: "pubkeyauthoptions", merged: fromBlock, preset: "none", read: readPubkeyAuthOptions},
		kKerberosAuthentication:          {name: "kerberosauthentication", merged: fromBlock, preset: "no", read: flag(kKerberosAuthentication)},
		kKerberosOrLocalPasswd:           {name: "kerberosorlocalpasswd", preset: "yes", read: flag(kKerberosOrLocalPasswd)},
		kKerberosTicketCleanup:           {name: "kerberosticketcleanup", preset: "yes", read: flag(kKerberosTicketCleanup)},
		kGSSAPIAuthentication:            {name: "gssapiauthentication", merged: fromBlock, preset: "no", read: flag(kGSSAPIAuthentication)},
		kGSSAPICleanup:                   {name: "gssapicleanupcredentials", preset: "yes", read: flag(kGSSAPICleanup)},
		kGSSAPIStrictAcceptor:            {name: "gssapistrictacceptorcheck", preset: "yes", read: flag(kGSSAPIStrictAcceptor)},
		kGSSAPIKeyExchange:               {name: "gssapikeyexchange", preset: "no", read: flag(kGSSAPIKeyExchange)},
		kGSSAPIStoreOnRekey:              {name: "gssapistorecredentialsonrekey", preset: "no", read: flag(kGSSAPIStoreOnRekey)},
		kGSSAPIKex:                       {name: "gssapikexalgorithms", preset: gssKexDefault, read: readGSSKex},
		kPasswordAuthentication:          {name: "passwordauthentication", merged: fromBlock, preset: "yes", read: flag(kPasswordAuthentication)},
		kKbdInteractive:                  {name: "kbdinteractiveauthentication", merged: fromBlock, preset: "yes", read: flag(kKbdInteractive)},
		kChallengeResponse:               {name: "challengeresponseauthentication", preset: "yes", read: flag(kChallengeResponse)},
		kListenAddress:                   {name: "listenaddress", read: readListenAddress},
		kAddressFamily:                   {name: "addressfamily", preset: "any", read: oneOf(kAddressFamily, families)},
		kPrintMotd:                       {name: "printmotd", preset: "yes", read: flag(kPrintMotd)},
		kPrintLastLog:                    {name: "printlastlog", preset: "yes", read: flag(kPrintLastLog)},
		kIgnoreRhosts:                    {name: "ignorerhosts", merged: fromBlock, preset: "yes", read: oneOf(kIgnoreRhosts, rhosts)},
		kIgnoreUserKnownHosts:            {name: "ignoreuserknownhosts", preset: "no", read: flag(kIgnoreUserKnownHosts)},
		kX11Forwarding:                   {name: "x11forwarding", merged: fromBlock, preset: "no", read: flag(kX11Forwarding)},
		kX11DisplayOffset:                {name: "x11displayoffset", merged: fromBlock, preset: "10", read: number(kX11DisplayOffset)},
		kX11UseLocalhost:                 {name: "x11uselocalhost", merged: fromBlock, preset: "yes", read: flag(kX11UseLocalhost)},
		kXAuthLocation:                   {name: "xauthlocation", preset: "/usr/bin/xauth", read: file(kXAuthLocation)},
		kStrictModes:                     {name: "strictmodes", preset: "yes", read: flag(kStrictModes)},
		kPermitEmptyPasswords:            {name: "permitemptypasswords", merged: fromBlock, preset: "no", read: flag(kPermitEmptyPasswords)},
		kPermitUserEnvironment:           {name: "permituserenvironment", preset: "no", read: word(kPermitUserEnvironment)},
		kCompression:                     {name: "compression", preset: "yes", read: oneOf(kCompression, compressions)},
		kRekeyLimit:                      {name: "rekeylimit", merged: fromBlock, preset: "0", read: readRekeyLimit},
		kRekeyInterval:                   {name: "", merged: fromBlock, preset: "0"},
		kTCPKeepAlive:                    {name: "tcpkeepalive", preset: "yes", read: flag(kTCPKeepAlive)},
		kAllowTCPForwarding:              {name: "allowtcpforwarding", merged: fromBlock, preset: "yes", read: oneOf(kAllowTCPForwarding, forwardings)},
		kAllowAgentForwarding:            {name: "allowagentforwarding", merged: fromBlock, preset: "yes", read: flag(kAllowAgentForwarding)},
		kAllowUsers:                      {name: "allowusers", merged: fromBlock, read: userPatterns(kAllowUsers)},
		kDenyUsers:                       {name: "denyusers", merged: fromBlock, read: userPatterns(kDenyUsers)},
		kAllowGroups:                     {name: "allowgroups", merged: fromBlock, read: groupPatterns(kAllowGroups)},
		kDenyGroups:                      {name: "denygroups", merged: fromBlock, read: groupPatterns(kDenyGroups)},
		kCiphers:                         {name: "ciphers", read: readCiphers},
		kMACs:                            {name: "macs", read: readMACs},
		kGatewayPorts:                    {name: "gatewayports", merged: fromBlock, preset: "no", read: oneOf(kGatewayPorts, gatewayPorts)},
		kSubsystem:                       {name: "subsystem", read: readSubsystem},
		kMaxStartups:                     {name: "maxstartups", read: readMaxStartups},
		kPerSourceMaxStartups:            {name: "persourcemaxstartups", preset: "none", read: readPerSourceMaxStartups},
		kPerSourceNetBlockSize:           {name: "persourcenetblocksize", preset: "32:128", read: readPerSourceNetBlockSize},
		kPerSourcePenalties:              {name: "persourcepenalties", read: readPerSourcePenalties},
		kPerSourcePenaltyExemptList:      {name: "persourcepenaltyexemptlist", preset: "none", read: readPenaltyExemptList},
		kMaxAuthTries:                    {name: "maxauthtries", merged: fromBlock, preset: "6", read: number(kMaxAuthTries)},
		kMaxSessions:                     {name: "maxsessions", merged: fromBlock, preset: "10", read: number(kMaxSessions)},
		kBanner:                          {name: "banner", merged: fromBlock, preset: "none", read: file(kBanner)},
		kUseDNS:                          {name: "usedns", preset: "no", read: flag(kUseDNS)},
		kClientAliveInterval:             {name: "clientaliveinterval", merged: fromBlock, preset: "0", read: span(kClientAliveInterval)},
		kClientAliveCountMax:             {name: "clientalivecountmax", merged: fromBlock, preset: "3", read: number(kClientAliveCountMax)},
		kAuthorizedKeysFile:              {name: "authorizedkeysfile", merged: fromBlock, read: readAuthorizedKeysFile},
		kAcceptEnv:                       {name: "acceptenv", merged: fromBlock, read: readAcceptEnv},
		kSetEnv:                          {name: "setenv", merged: fromBlock, read: readSetEnv},
		kPermitTunnel:                    {name: "permittunnel", merged: fromBlock, preset: "no", read: readPermitTunnel},
		kPermitTTY:                       {name: "permittty", merged: fromBlock, preset: "yes", read: flag(kPermitTTY)},
		kPermitUserRC:                    {name: "permituserrc", merged: fromBlock, preset: "yes", read: flag(kPermitUserRC)},
		kPermitOpen:                      {name: "permitopen", merged: fromBlock, read: permits(kPermitOpen)},
		kPermitListen:                    {name: "permitlisten", merged: fromBlock, read: permits(kPermitListen)},
		kForceCommand:                    {name: "forcecommand", merged: fromBlock, preset: "none", read: readForceCommand},
		kChrootDirectory:                 {name: "chrootdirectory", merged: fromBlock, preset: "none", read: word(kChrootDirectory)},
		kHostCertificate:                 {name: "hostcertificate", read: readHostCertificate},
		kRevokedKeys:                     {name: "revokedkeys", merged: fromBlock, preset: "none", read: file(kRevokedKeys)},
		kTrustedUserCAKeys:               {name: "trustedusercakeys", merged: fromBlock, preset: "none", read: file(kTrustedUserCAKeys)},
		kAuthorizedPrincipalsFile:        {name: "authorizedprincipalsfile", merged: fromBlock, preset: "none", read: readPrincipalsFile},
		kKexAlgorithms:                   {name: "kexalgorithms", read: readKex},
		kIPQoS:                           {name: "ipqos", merged: fromBlock, read: readIPQoS},
		kAuthorizedKeysCommand:           {name: "authorizedkeyscommand", merged: fromBlock, preset: "none", read: command(kAuthorizedKeysCommand)},
		kAuthorizedKeysCommandUser:       {name: "authorizedkeyscommanduser", merged: fromBlock, preset: "none", read: word(kAuthorizedKeysCommandUser)},
		kAuthorizedPrincipalsCommand:     {name: "authorizedprincipalscommand", merged: fromBlock, preset: "none", read: command(kAuthorizedPrincipalsCommand)},
		kAuthorizedPrincipalsCommandUser: {name: "authorizedprincipalscommanduser", merged: fromBlock, preset: "none", read: word(kAuthorizedPrincipalsCommandUser)},
		kVersionAddendum:                 {name: "versionaddendum", preset: "none", read: readVersionAddendum},
		kAuthenticationMethods:           {name: "authenticationmethods", merged: fromBlock, read: readAuthenticationMethods},
		kStreamLocalBindMask:             {name: "streamlocalbindmask", merged: fromBlock, preset: "0177", read: readBindMask},
		kStreamLocalBindUnlink:           {name: "streamlocalbindunlink", merged: fromBlock, preset: "no", read: flag(kStreamLocalBindUnlink)},
		kAllowStreamLocalForwarding:      {name: "allowstreamlocalforwarding", merged: fromBlock, preset: "yes", read: oneOf(kAllowStreamLocalForwarding, forwardings)},
		kFingerprintHash:                 {name: "fingerprinthash", preset: "SHA256", read: readFingerprintHash},
		kDisableForwarding:               {name: "disableforwarding", merged: fromBlock, preset: "no", read: flag(kDisableForwarding)},
		kExposeAuthInfo:                  {name: "exposeauthinfo", merged: fromBlock, preset: "no", read: flag(kExposeAuthInfo)},
		kCASignatureAlgorithms:           {name: "casignaturealgorithms", merged: fromBlock, read: keyNames(kCASignatureAlgorithms, true)},
		kSecurityKeyProvider:             {name: "securitykeyprovider", preset: "internal", read: readSecurityKeyProvider},
		kRequiredRSASize:                 {name: "requiredrsasize", merged: fromBlock, preset: "1024", read: number(kRequiredRSASize)},
		kChannelTimeout:                  {name: "channeltimeout", merged: fromBlock, read: readChannelTimeout},
		kUnusedConnectionTimeout:         {name: "unusedconnectiontimeout", merged: fromBlock, preset: "none", read: readUnusedConnectionTimeout},
		kDebianBanner:                    {name: "debianbanner", preset: "yes", read: flag(kDebianBanner)},
		kSshdSessionPath:                 {name: "sshdsessionpath", preset: "/usr/lib/openssh/sshd-session", read: file(kSshdSessionPath)},
		kSshdAuthPath:                    {name: "sshdauthpath", preset: "/usr/lib/openssh/sshd-auth", read: file(kSshdAuthPath)},
		kRefuseConnection:                {name: "refuseconnection", merged: fromBlock, preset: "no", read: flag(kRefuseConnection)},
		kRDomain:                         {name: "rdomain", merged: fromBlock, preset: "none", read: readRDomain},
	}
	return t
})
