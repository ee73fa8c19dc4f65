package main

// What shadow(5) holds of accounts in each state. Day 19000 was in 2022.
const (
	locked       = "!" + passwordHash
	onlyLocked   = "!"
	expired      = ":19000:0:99999:7::19100:" // the account, after the password
	passwordOld  = ":19000:0:30:7:::"
	inactive     = ":19000:0:30:7:10::"
	mustChange   = ":0:0:99999:7:::"
	expiresLater = ":19000:0:99999:7::29000:"
	endsToday    = ":19000:0:99999:7::1:"
)

// states are accounts in each state, each with a key.
func states() []loginAccount {
	return []loginAccount{
		{name: "open", shadow: passwordHash, keys: "{ed}"},
		{name: "star", shadow: "*", keys: "{ed}"},
		{name: "bang", shadow: onlyLocked, keys: "{ed}"},
		{name: "locked", shadow: locked, keys: "{ed}"},
		{name: "bangbang", shadow: "!!", keys: "{ed}"},
		{name: "bangstar", shadow: "!*", keys: "{ed}"},
		{name: "word", shadow: "x", keys: "{ed}"},
		{name: "empty", shadow: "empty", keys: "{ed}"},
		{name: "expired", shadow: passwordHash + expired, keys: "{ed}"},
		{name: "later", shadow: passwordHash + expiresLater, keys: "{ed}"},
		{name: "long", shadow: passwordHash + endsToday, keys: "{ed}"},
		{name: "oldpw", shadow: passwordHash + passwordOld, keys: "{ed}"},
		{name: "inactive", shadow: passwordHash + inactive, keys: "{ed}"},
		{name: "change", shadow: passwordHash + mustChange, keys: "{ed}"},
		{name: "staroldpw", shadow: "*" + passwordOld, keys: "{ed}"},
	}
}

// shells are accounts with each kind of shell, each with a key and a password.
func shells() []loginAccount {
	var out []loginAccount
	for name, shell := range map[string]string{
		"bash": "/bin/bash", "nologin": "/usr/sbin/nologin", "false": "/bin/false", "true": "/bin/true", "gone": "/bin/gone",
		"plain": "/etc/motd-like", "folder": "/etc", "relative": "sh", "sync": "/bin/sync", "linked": "/srv/shells/link", "odd": "/srv/shells/odd",
		"relbin": "bin/sh", "ownfalse": "/srv/shells/false",
	} {
		out = append(out, loginAccount{name: name, shadow: passwordHash, shell: shell, keys: "{ed}"})
	}
	return out
}

const makeShells = `mkdir -p /srv/shells; ln -sfn /bin/sh /srv/shells/link; cp /bin/dash /srv/shells/odd; chmod 744 /srv/shells/odd; cp /bin/dash /srv/shells/false; echo text >/etc/motd-like; chmod 644 /etc/motd-like`

// people are the accounts that the lists of users and groups are tried with.
func people() []loginAccount {
	return []loginAccount{
		{name: "alice", shadow: passwordHash, keys: "{ed}"},
		{name: "bob", shadow: passwordHash, keys: "{ed}"},
		{name: "carol", gid: "3000", shadow: passwordHash, keys: "{ed}"},
		{name: "root", keys: "{ed}"},
	}
}

// alice is one account with one key.
func alice(options string) []loginAccount {
	return []loginAccount{{name: "alice", shadow: passwordHash, keys: options + "{ed}"}}
}

const peopleGroups = "sshers:x:3000:alice\nothers:x:3001:bob,alice\nnobodies:x:3002:\n"

// loginHosts is the table of TestRealLogins.
func loginHosts() []loginHost {
	return []loginHost{
		// HARD-CASES 36: who can log in at all.
		{
			name: "case 36: states of accounts, with PAM", config: "UsePAM yes\nPermitEmptyPasswords no\n", accounts: states(),
			tries: `
				open      ed       in
				open      password in
				open      keyboard-interactive in
				star      ed       in
				star      password no
				bang      ed       in
				locked    ed       in
				locked    password no
				bangbang  ed       in
				bangstar  ed       in
				word      ed       in
				word      password no
				empty     ed       in
				empty     nothing  no
				expired   ed       after
				expired   password after
				later     ed       in
				later     password in
				long      ed       after
				oldpw     ed       after
				oldpw     password after
				inactive  ed       after
				inactive  password after
				change    ed       after
				change    password after
				staroldpw ed       after`,
		},
		{
			name: "case 36: states of accounts, without PAM", config: "UsePAM no\n", accounts: states(),
			tries: `
				open      ed       in
				open      password in
				open      keyboard-interactive no
				star      ed       in
				star      password no
				bang      ed       no
				locked    ed       no
				locked    password no
				bangbang  ed       no
				bangstar  ed       no
				word      ed       in
				empty     ed       in
				empty     nothing  no
				expired   ed       no
				expired   password no
				later     ed       in
				later     password in
				long      ed       no
				oldpw     ed       in
				oldpw     password after
				inactive  ed       in
				inactive  password after
				change    ed       in
				change    password after
				staroldpw ed       in`,
		},
		{
			name: "case 36: empty passwords allowed, with PAM", config: "UsePAM yes\nPermitEmptyPasswords yes\n", accounts: states(),
			tries: `
				empty   nothing  in
				empty   ed       in
				open    nothing  no
				star    nothing  no
				bang    nothing  no`,
		},
		{
			name: "case 36: empty passwords allowed, without PAM", config: "UsePAM no\nPermitEmptyPasswords yes\n", accounts: states(),
			tries: `
				empty   nothing  in
				open    nothing  no
				star    nothing  no
				bang    nothing  no`,
		},
		{
			name: "empty passwords allowed, passwords off", config: "UsePAM no\nPermitEmptyPasswords yes\nPasswordAuthentication no\n", accounts: states(),
			tries: `
				empty   nothing  no
				empty   ed       in`,
		},
		{
			name:   "empty passwords allowed, passwords off, PAM and keyboard-interactive on",
			config: "UsePAM yes\nPermitEmptyPasswords yes\nPasswordAuthentication no\nKbdInteractiveAuthentication yes\n", accounts: states(),
			tries: `
				empty   nothing  no
				empty   keyboard-interactive in
				open    keyboard-interactive in`,
		},
		{
			name: "empty passwords not allowed, keyboard-interactive on", config: "UsePAM yes\nPasswordAuthentication no\nKbdInteractiveAuthentication yes\n", accounts: states(),
			tries: `
				empty   nothing  no
				empty   keyboard-interactive no
				locked  keyboard-interactive no
				oldpw   keyboard-interactive no
				expired keyboard-interactive no
				open    password no`,
		},
		{
			name: "case 36: shells, with PAM", config: "UsePAM yes\n", accounts: shells(), setup: makeShells,
			tries: `
				bash     ed       in
				nologin  ed       after
				nologin  password after
				false    ed       after
				gone     ed       no
				gone     password no
				plain    ed       no
				folder   ed       no
				relative ed       no
				relbin   ed       after
				ownfalse ed       in
				linked   ed       in
				odd      ed       after maybe`,
		},
		{
			name: "case 36: shells, without PAM", config: "UsePAM no\n", accounts: shells(), setup: makeShells,
			tries: `
				bash     ed       in
				nologin  ed       after
				gone     ed       no
				plain    ed       no`,
		},
		{
			name: "internal-sftp needs no shell to run", config: "UsePAM yes\nForceCommand internal-sftp\n", accounts: shells(), setup: makeShells,
			tries: `
				bash     ed in sftp
				nologin  ed in sftp
				false    ed in sftp
				gone     ed no sftp`,
		},
		{
			name: "a subsystem within sshd needs no shell to run, one of Debian's does", config: "UsePAM yes\nSubsystem sftp internal-sftp\nMatch User false\n ForceCommand /bin/true\n", accounts: shells(), setup: makeShells,
			tries: `
				bash     ed in sftp
				nologin  ed in sftp
				false    ed after sftp
				gone     ed no sftp`,
		},
		{
			name: "a subsystem that needs a shell", config: "UsePAM yes\n", accounts: shells(), setup: makeShells,
			tries: `
				bash     ed in sftp
				nologin  ed after sftp`,
		},
		{
			name: "sessions that end: ChrootDirectory and MaxSessions", config: "UsePAM yes\nSubsystem sftp internal-sftp\nMatch User alice\n ChrootDirectory /srv/site\nMatch User bob\n ChrootDirectory %h\nMatch User carol\n ChrootDirectory /srv/site\n ForceCommand internal-sftp\nMatch User dave\n ChrootDirectory /\nMatch User erin\n ChrootDirectory /srv/gone\nMatch User frank\n MaxSessions 0\n",
			accounts: []loginAccount{{name: "alice", keys: "{ed}"}, {name: "bob", keys: "{ed}"}, {name: "carol", keys: "{ed}"}, {name: "dave", keys: "{ed}"}, {name: "erin", keys: "{ed}"}, {name: "frank", keys: "{ed}"}, {name: "grace", keys: "{ed}"}},
			setup:    "mkdir -p /srv/site; chmod 755 /srv /srv/site",
			tries: `
				alice ed in sftp
				bob   ed after sftp
				carol ed in sftp
				dave  ed in
				erin  ed after sftp
				frank ed after
				grace ed in`,
		},
		{
			name: "a chroot without a shell", config: "UsePAM yes\nMatch User alice\n ChrootDirectory /srv/site\nMatch User bob\n ChrootDirectory /srv/site/open\n",
			accounts: []loginAccount{{name: "alice", keys: "{ed}"}, {name: "bob", keys: "{ed}"}},
			setup:    "mkdir -p /srv/site/open; chmod 755 /srv /srv/site; chmod 775 /srv/site/open",
			tries: `
				alice ed after
				bob   ed after`,
		},
		{
			name: "/etc/nologin, with PAM", config: "UsePAM yes\nPermitRootLogin prohibit-password\n", accounts: people(), files: map[string]string{"/etc/nologin": "closed\n"},
			tries: `
				alice ed after
				root  ed in`,
		},
		{
			name: "/etc/nologin, without PAM", config: "UsePAM no\nPermitRootLogin prohibit-password\n", accounts: people(), files: map[string]string{"/etc/nologin": "closed\n"},
			tries: `
				alice ed after
				root  ed in`,
		},
		{
			name: "no home", config: "UsePAM yes\nAuthorizedKeysFile /etc/ssh/keys/%u .ssh/authorized_keys\n",
			accounts: []loginAccount{{name: "alice", home: "/home/alice"}, {name: "bob", home: "/home/bob"}},
			files:    map[string]string{"/etc/ssh/keys/alice": "{ed}\n"},
			tries: `
				alice ed in
				bob   ed no`,
		},
		{
			name: "pam_access refuses", config: "UsePAM yes\n", accounts: people(),
			files: map[string]string{
				"/etc/pam.d/common-account": "account required pam_access.so accessfile=/etc/security/lab.conf\naccount required pam_unix.so\n",
				"/etc/security/lab.conf":    "-:bob:ALL\n",
			},
			tries: `
				alice ed in
				bob   ed after notjudged`,
		},
		{
			name: "pam_shells", config: "UsePAM yes\n", accounts: append(shells(), people()...), setup: makeShells,
			files: map[string]string{"/etc/pam.d/common-account": "account required pam_shells.so\naccount required pam_unix.so\n"},
			tries: `
				bash   ed in
				linked ed after
				true   ed after`,
		},
		{
			name: "PAM denies all", config: "UsePAM yes\n", accounts: people(),
			files: map[string]string{"/etc/pam.d/sshd": "auth required pam_deny.so\naccount required pam_deny.so\nsession required pam_permit.so\n"},
			tries: `
				alice ed       after
				alice password no`,
		},

		// Lists of users and groups.
		{
			name: "AllowGroups: supplementary, primary and missing", config: "UsePAM yes\nAllowGroups sshers missing\nPermitRootLogin yes\n",
			accounts: people(), groups: peopleGroups,
			tries: `
				alice ed       in
				bob   ed       no
				bob   password no
				carol ed       in
				root  ed       no`,
		},
		{
			name: "AllowGroups: only a missing one", config: "UsePAM yes\nAllowGroups missing\n", accounts: people(), groups: peopleGroups,
			tries: `
				alice ed no
				carol ed no
				carol password no`,
		},
		{
			name: "AllowGroups: an empty one", config: "UsePAM yes\nAllowGroups nobodies\n", accounts: people(), groups: peopleGroups,
			tries: `alice ed no`,
		},
		{
			name: "AllowGroups: patterns, of which ! is no part", config: "UsePAM yes\nAllowGroups ssh* !others\n", accounts: people(), groups: peopleGroups,
			tries: `
				alice ed in
				bob   ed no
				carol ed in`,
		},
		{
			name: "AllowUsers and AllowGroups must both hold", config: "UsePAM yes\nAllowGroups sshers\nAllowUsers alice bob\n", accounts: people(), groups: peopleGroups,
			tries: `
				alice ed in
				bob   ed no
				carol ed no`,
		},
		{
			name: "DenyUsers before AllowUsers", config: "UsePAM yes\nAllowUsers *\nDenyUsers bob c*\n", accounts: people(), groups: peopleGroups,
			tries: `
				alice ed in
				bob   ed no
				carol ed no`,
		},
		{
			name: "DenyGroups", config: "UsePAM yes\nDenyGroups others\n", accounts: people(), groups: peopleGroups,
			tries: `
				alice ed no
				bob   ed no
				carol ed in`,
		},
		{
			name: "AllowUsers with addresses", config: "UsePAM yes\nAllowUsers alice@192.0.2.0/24 bob@198.51.100.7 carol@2001:db8::/32\n", accounts: people(), groups: peopleGroups,
			tries: `
				alice ed in
				alice ed no from=198.51.100.7 to=198.51.100.2
				bob   ed no
				bob   ed in from=198.51.100.7 to=198.51.100.2
				carol ed no
				carol ed in from=2001:db8::1 to=2001:db8::2
				carol password no`,
		},
		{
			name: "DenyUsers with an address", config: "UsePAM yes\nDenyUsers alice@198.51.100.* bob@192.0.2.101\n", accounts: people(), groups: peopleGroups,
			tries: `
				alice ed in
				alice ed no from=198.51.100.7 to=198.51.100.2
				bob   ed in
				bob   ed no from=192.0.2.101`,
		},
		{
			name: "AllowUsers with a negation admits nobody else", config: "UsePAM yes\nAllowUsers !bob a*\n", accounts: people(), groups: peopleGroups,
			tries: `
				alice ed in
				bob   ed no`,
		},
		{
			name: "AllowUsers with a name to be looked up", config: "UsePAM yes\nUseDNS yes\nAllowUsers alice@*.example.org\n", accounts: people(), groups: peopleGroups,
			tries: `
				alice ed no
				alice ed in from=198.51.100.7 to=198.51.100.2 host=partner.example.org`,
		},
		{
			name: "lists accumulate over files", config: "UsePAM yes\nAllowUsers alice\nInclude /etc/ssh/sshd_config.d/*.conf\n", accounts: people(), groups: peopleGroups,
			files: map[string]string{"/etc/ssh/sshd_config.d/50-more.conf": "AllowUsers bob\n"},
			tries: `
				alice ed in
				bob   ed in
				carol ed no`,
		},

		// Match.
		{
			name: "Match User and Group", config: "UsePAM yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nMatch User bob\n PasswordAuthentication yes\nMatch Group sshers User carol\n KbdInteractiveAuthentication yes\n PubkeyAuthentication no\n",
			accounts: people(), groups: peopleGroups,
			tries: `
				alice ed       in
				alice password no
				bob   password in
				carol ed       no
				carol keyboard-interactive in`,
		},
		{
			name: "Match Address, inside, outside and negated", config: "UsePAM yes\nPubkeyAuthentication no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nMatch Address 192.0.2.0/24,!192.0.2.101\n PubkeyAuthentication yes\nMatch Address 198.51.100.*\n PasswordAuthentication yes\n",
			accounts: alice(""),
			tries: `
				alice ed       in
				alice ed       no from=192.0.2.101
				alice password no
				alice ed       no from=198.51.100.7 to=198.51.100.2
				alice password in from=198.51.100.7 to=198.51.100.2
				alice ed       no from=127.0.0.1 to=127.0.0.1`,
		},
		{
			name: "Match Address of version 6", config: "UsePAM yes\nPasswordAuthentication no\nMatch Address 2001:db8::/32,::1\n PasswordAuthentication yes\n", accounts: alice(""),
			tries: `
				alice password no
				alice password in from=2001:db8::1 to=2001:db8::2
				alice password in from=::1 to=::1`,
		},
		{
			name: "Match Address: a link-local client is in no network", config: "UsePAM yes\nPasswordAuthentication yes\nMatch Address 0.0.0.0/0,::/0,fe80::/10\n PasswordAuthentication no\n",
			accounts: []loginAccount{{name: "alice", shadow: passwordHash, keys: `from="::/0,0.0.0.0/0" {ed}`}, {name: "bob", shadow: passwordHash, keys: `from="fe80::*" {ed}`}},
			tries: `
				alice password no
				alice ed       in
				alice password no from=2001:db8::1 to=2001:db8::2
				alice ed       in from=2001:db8::1 to=2001:db8::2
				alice password in from=fe80::1%eth0 to=fe80::2%eth0
				alice ed       no from=fe80::1%eth0 to=fe80::2%eth0
				bob   ed       in from=fe80::1%eth0 to=fe80::2%eth0`,
		},
		{
			name: "accounts that only the C library sees", config: "UsePAM yes\nPermitRootLogin prohibit-password\nAuthorizedKeysFile /etc/ssh/keys/%u\n",
			files:    map[string]string{"/etc/ssh/keys/short": "{ed}\n", "/etc/ssh/keys/hidden": "{ed}\n", "/etc/ssh/keys/noid": "{ed}\n", "/etc/ssh/keys/alice": "{ed}\n"},
			accounts: []loginAccount{{name: "alice", gid: "3009"}}, groups: "listed:x:+3009\n",
			setup: `printf 'short:x:2050:2050\nhidden:x: 0:0::/root:\nnoid:x:0x0:0::/:/bin/sh\n' >>/etc/passwd
				printf 'short:%s:19000:0:99999\nhidden:*:19000:0:99999:7:::\nnoid:*:19000:0:99999:7:::\n' '` + passwordHash + `' >>/etc/shadow
				echo 'AllowGroups listed root 2050' >>/etc/ssh/sshd_config; echo '2050:x:2050' >>/etc/group`,
			tries: `
				alice  ed       in
				short  ed       in
				short  password in
				hidden ed       in
				hidden password no`,
		},
		{
			name: "Match Address, negations only", config: "UsePAM yes\nPasswordAuthentication no\nMatch Address !192.0.2.1\n PasswordAuthentication yes\n", accounts: alice(""),
			tries: `
				alice password no
				alice password no from=192.0.2.101
				alice password no from=198.51.100.7 to=198.51.100.2`,
		},
		{
			name: "Match LocalPort", config: "UsePAM yes\nPort 22\nPort 2222\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nMatch LocalPort 2222\n PasswordAuthentication yes\n PubkeyAuthentication no\n", accounts: alice(""),
			tries: `
				alice ed       in
				alice password no
				alice ed       no port=2222
				alice password in port=2222`,
		},
		{
			name: "Match LocalAddress", config: "UsePAM yes\nPasswordAuthentication no\nMatch LocalAddress 192.0.2.3,198.51.100.0/24\n PasswordAuthentication yes\n", accounts: alice(""),
			tries: `
				alice password no
				alice password in to=192.0.2.3
				alice password in from=198.51.100.7 to=198.51.100.2`,
		},
		{
			name: "Match Host without names looked up", config: "UsePAM yes\nPasswordAuthentication no\nMatch Host partner.example.org,192.0.2.101\n PasswordAuthentication yes\n", accounts: alice(""),
			tries: `
				alice password no
				alice password in from=192.0.2.101
				alice password no from=198.51.100.7 to=198.51.100.2`,
		},
		{
			name: "Match Host with names looked up", config: "UsePAM yes\nUseDNS yes\nPasswordAuthentication no\nMatch Host *.example.org\n PasswordAuthentication yes\n", accounts: alice(""),
			tries: `
				alice password no
				alice password in from=198.51.100.7 to=198.51.100.2 host=partner.example.org`,
		},
		{
			name: "Match all, and the first value wins", config: "UsePAM yes\nPasswordAuthentication no\nMatch all\n PasswordAuthentication yes\n AllowUsers alice\nMatch User alice\n AllowUsers bob\n", accounts: people(),
			tries: `
				alice ed       in
				alice password in
				bob   ed       no`,
		},
		{
			name: "Match inside an included file ends with it", config: "UsePAM yes\nInclude /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication no\n", accounts: people(),
			files: map[string]string{"/etc/ssh/sshd_config.d/10-bob.conf": "Match User bob\n PasswordAuthentication yes\n"},
			tries: `
				alice password no
				bob   password in`,
		},
		{
			name: "Include inside Match", config: "UsePAM yes\nPasswordAuthentication no\nMatch User bob\n Include /etc/ssh/lab-*.conf\n", accounts: people(),
			files: map[string]string{"/etc/ssh/lab-1.conf": "PasswordAuthentication yes\nMatch User carol\n PasswordAuthentication yes\n"},
			tries: `
				alice password no
				bob   password in
				carol password no`,
		},
		{
			name: "two Match blocks, the first value wins", config: "UsePAM yes\nMatch User alice\n PasswordAuthentication no\nMatch Address 192.0.2.0/24\n PasswordAuthentication yes\n PubkeyAuthentication no\n", accounts: people(),
			tries: `
				alice password no
				alice ed       no
				bob   password in
				bob   ed       in from=198.51.100.7 to=198.51.100.2`,
		},
		{
			name: "Match User with a negation", config: "UsePAM yes\nPubkeyAuthentication no\nMatch User *,!bob\n PubkeyAuthentication yes\n", accounts: people(),
			tries: `
				alice ed in
				bob   ed no`,
		},

		// AuthenticationMethods.
		{
			name: "a key and a password", config: "UsePAM yes\nAuthenticationMethods publickey,password\n", accounts: people(),
			tries: `
				alice ed          no
				alice password    no
				alice ed+password in`,
		},
		{
			name: "case 9: only keys, whatever the others say", config: "UsePAM yes\nPasswordAuthentication yes\nAuthenticationMethods publickey\n", accounts: people(),
			tries: `
				alice ed       in
				alice password no
				alice keyboard-interactive no`,
		},
		{
			name: "two lists of methods", config: "UsePAM yes\nAuthenticationMethods publickey,keyboard-interactive:pam password\n", accounts: people(),
			tries: `
				alice ed       no
				alice password in
				alice ed+keyboard-interactive in
				alice keyboard-interactive no`,
		},
		{
			name: "two keys", config: "UsePAM yes\nAuthenticationMethods publickey,publickey\n",
			accounts: []loginAccount{{name: "alice", keys: "{ed}\n{other}"}, {name: "bob", keys: "{ed}"}},
			tries: `
				alice ed       no
				alice ed+other in
				bob   ed       no`,
		},
		{
			name: "methods per Match", config: "UsePAM yes\nAuthenticationMethods publickey\nMatch User bob\n AuthenticationMethods password\n", accounts: people(),
			tries: `
				alice password no
				bob   password in
				bob   ed       no
				carol password no
				carol ed       in`,
		},
		{
			name: "a device of keyboard-interactive that does not exist", config: "UsePAM yes\nPasswordAuthentication no\nAuthenticationMethods keyboard-interactive:bsdauth publickey\n", accounts: alice(""),
			tries: `
				alice keyboard-interactive no
				alice ed in`,
		},
		{
			name: "keyboard-interactive off and required", config: "UsePAM yes\nKbdInteractiveAuthentication no\nAuthenticationMethods publickey,keyboard-interactive publickey,password\n", accounts: alice(""),
			tries: `
				alice ed+keyboard-interactive no
				alice ed+password in`,
		},

		// root.
		{
			name: "PermitRootLogin yes", config: "UsePAM yes\nPermitRootLogin yes\n",
			accounts: []loginAccount{{name: "root", shadow: passwordHash, keys: "{ed}"}},
			tries: `
				root ed       in
				root password in
				root keyboard-interactive in`,
		},
		{
			name: "PermitRootLogin prohibit-password", config: "UsePAM yes\nPermitRootLogin prohibit-password\n",
			accounts: []loginAccount{{name: "root", shadow: passwordHash, keys: "{ed}"}, {name: "toor", gid: "0", shadow: passwordHash, keys: "{ed}"}},
			tries: `
				root ed       in
				root password no
				root keyboard-interactive no
				toor ed       in
				toor password no`,
		},
		{
			name: "PermitRootLogin forced-commands-only", config: "UsePAM yes\nPermitRootLogin forced-commands-only\n",
			accounts: []loginAccount{{name: "root", shadow: passwordHash, keys: "{ed}\ncommand=\"true\" {other}"}, {name: "alice", keys: "{ed}"}},
			tries: `
				root  ed    after
				root  other in
				root  password no
				alice ed    in`,
		},
		{
			name: "PermitRootLogin forced-commands-only with ForceCommand", config: "UsePAM yes\nPermitRootLogin forced-commands-only\nForceCommand true\n",
			accounts: []loginAccount{{name: "root", shadow: passwordHash, keys: "{ed}"}},
			tries:    `root ed after`,
		},
		{
			name: "PermitRootLogin no", config: "UsePAM yes\nPermitRootLogin no\n",
			accounts: []loginAccount{{name: "root", shadow: passwordHash, keys: "{ed}"}, {name: "toor", gid: "0", shadow: passwordHash, keys: "{ed}"}},
			tries: `
				root ed       no
				root password no
				toor ed       no`,
		},
		{
			name: "root from one network only", config: "UsePAM yes\nPermitRootLogin no\nMatch Address 198.51.100.0/24\n PermitRootLogin without-password\n",
			accounts: people(),
			tries: `
				root ed       no
				root ed       in from=198.51.100.7 to=198.51.100.2
				root password no from=198.51.100.7 to=198.51.100.2`,
		},
		{
			name: "a locked root without PAM", config: "UsePAM no\nPermitRootLogin prohibit-password\n",
			accounts: []loginAccount{{name: "root", shadow: onlyLocked, keys: "{ed}"}},
			tries:    `root ed no`,
		},

		// HARD-CASES 37: options of keys.
		{
			name: "case 37: from", config: "UsePAM yes\nPasswordAuthentication no\n",
			accounts: []loginAccount{
				{name: "net", keys: `from="192.0.2.0/24" {ed}`},
				{name: "several", keys: `from="198.51.100.7,203.0.113.*" {ed}`},
				{name: "not", keys: `from="!192.0.2.101,192.0.2.*" {ed}`},
				{name: "onlynot", keys: `from="!192.0.2.101" {ed}`},
				{name: "six", keys: `from="2001:db8::/32" {ed}`},
				{name: "named", keys: `from="*.example.org" {ed}`},
				{name: "badnet", keys: `from="192.0.2.1/24" {ed}`},
				{name: "blank", keys: `from="" {ed}`},
				{name: "spaced", keys: `from="192.0.2.1, 198.51.100.7" {ed}`},
			},
			tries: `
				net     ed in
				net     ed no from=198.51.100.7 to=198.51.100.2
				several ed no
				several ed in from=198.51.100.7 to=198.51.100.2
				not     ed in
				not     ed no from=192.0.2.101
				onlynot ed no
				onlynot ed no from=192.0.2.101
				six     ed no
				six     ed in from=2001:db8::1 to=2001:db8::2
				named   ed no from=198.51.100.7 to=198.51.100.2
				badnet  ed no
				badnet  ed no from=192.0.2.101
				blank   ed no
				spaced  ed in
				spaced  ed no from=198.51.100.7 to=198.51.100.2`,
		},
		{
			name: "case 37: from with names looked up", config: "UsePAM yes\nUseDNS yes\n", accounts: alice(`from="*.example.org,!bad.example.org" `),
			tries: `
				alice ed no
				alice ed in from=198.51.100.7 to=198.51.100.2 host=partner.example.org`,
		},
		{
			name: "case 37: expiry-time", config: "UsePAM yes\n",
			accounts: []loginAccount{
				{name: "past", keys: `expiry-time="20200101" {ed}`},
				{name: "pastmin", keys: `expiry-time="202001011200" {ed}`},
				{name: "future", keys: `expiry-time="20380101" {ed}`},
				{name: "futuresec", keys: `expiry-time="20380101120000" {ed}`},
				{name: "zulu", keys: `expiry-time="20380101120000Z" {ed}`},
				{name: "bad", keys: `expiry-time="tomorrow" {ed}`},
				{name: "twice", keys: `expiry-time="20380101",expiry-time="20200101" {ed}`},
				{name: "thirteenth", keys: `expiry-time="20381301" {ed}`},
			},
			tries: `
				past       ed no
				pastmin    ed no
				future     ed in
				futuresec  ed in
				zulu       ed in
				bad        ed no
				twice      ed no
				thirteenth ed no`,
		},
		{
			name: "case 37: commands and restrictions", config: "UsePAM yes\n",
			accounts: []loginAccount{
				{name: "command", keys: `command="true" {ed}`},
				{name: "fails", keys: `command="exit 0; \"a,b\"" {ed}`},
				{name: "restrict", keys: `restrict {ed}`},
				{name: "several", keys: `restrict,pty,command="true",no-pty,environment="A=b",permitopen="h:1" {ed}`},
				{name: "twice", keys: `command="true",command="true" {ed}`},
				{name: "fromtwice", keys: `from="192.0.2.1",from="192.0.2.1" {ed}`},
				{name: "nologin", shell: "/usr/sbin/nologin", keys: `command="true" {ed}`},
				{name: "sftp", shell: "/usr/sbin/nologin", keys: `command="internal-sftp" {ed}`},
			},
			tries: `
				command   ed in
				fails     ed in
				restrict  ed in
				several   ed in
				twice     ed no
				fromtwice ed no
				nologin   ed after
				sftp      ed in sftp`,
		},
		{
			name: "case 37: options sshd refuses", config: "UsePAM yes\n",
			accounts: []loginAccount{
				{name: "unknown", keys: `no-such-option {ed}`},
				{name: "open", keys: `command="true {ed}`},
				{name: "space", keys: `command="true", no-pty {ed}`},
				{name: "capital", keys: `NO-PTY,Command="true" {ed}`},
				{name: "value", keys: `restrict="yes" {ed}`},
				{name: "novalue", keys: `command {ed}`},
				{name: "comma", keys: `no-pty, {ed}`},
				{name: "port", keys: `permitopen="h:99999" {ed}`},
				{name: "tunnel", keys: `tunnel="x" {ed}`},
				{name: "env", keys: `environment="A B=c" {ed}`},
				{name: "indent", keys: "  \t{ed}"},
				{name: "crlf", keys: "{ed}\r\n"},
				{name: "comment", keys: "#{ed}"},
				{name: "second", keys: "ssh-ed25519 AAAA broken\nno-such-option {other}\n{ed}"},
				{name: "notouch", keys: `no-touch-required,verify-required {ed}`},
			},
			tries: `
				unknown ed no
				open    ed no
				space   ed no
				capital ed in
				value   ed no
				novalue ed no
				comma   ed in
				port    ed no
				tunnel  ed no
				env     ed no
				indent  ed in
				crlf    ed in
				comment ed no
				second  ed in
				second  other no
				notouch ed in`,
		},
		{
			name: "case 37: certificates by cert-authority", config: "UsePAM yes\n",
			accounts: []loginAccount{
				{name: "alice", keys: `cert-authority {ca}`},
				{name: "bob", keys: `cert-authority,principals="web,bob" {ca}`},
				{name: "carol", keys: `cert-authority {ca}`},
				{name: "dave", keys: `cert-authority,principals="" {ca}`},
				{name: "erin", keys: `{ca}`},
				{name: "frank", keys: `principals="frank" {ed}`},
				{name: "grace", keys: `cert-authority {ed}`},
			},
			tries: `
				alice cert      in
				alice certother no
				alice certold   no
				alice certhost  no
				alice certany   in
				alice certfrom  no
				alice certfrom  in from=198.51.100.7 to=198.51.100.2
				bob   cert      in
				bob   certother no
				carol cert      no maybe
				erin  cert      no
				erin  ca        in
				grace ed        no maybe`,
		},
		{
			name: "case 37: TrustedUserCAKeys", config: "UsePAM yes\nTrustedUserCAKeys /etc/ssh/ca.pub\n", accounts: []loginAccount{{name: "alice"}, {name: "bob"}},
			files: map[string]string{"/etc/ssh/ca.pub": "{ca}\n"},
			tries: `
				alice cert      in unknown
				alice certother no unknown
				bob   cert      no unknown`,
		},
		{
			name: "case 37: AuthorizedPrincipalsFile", config: "UsePAM yes\nTrustedUserCAKeys /etc/ssh/ca.pub\nAuthorizedPrincipalsFile /etc/ssh/principals-%u\n", accounts: []loginAccount{{name: "alice"}, {name: "bob"}},
			files: map[string]string{"/etc/ssh/ca.pub": "{ca}\n", "/etc/ssh/principals-bob": "web\n"},
			tries: `
				alice cert no unknown
				bob   cert in unknown`,
		},
		{
			name: "case 37: AuthorizedKeysCommand", config: "UsePAM yes\nAuthorizedKeysCommand /usr/local/bin/keys-of %u\nAuthorizedKeysCommandUser nobody\n", accounts: []loginAccount{{name: "alice"}, {name: "bob", keys: "{other}"}},
			setup: "printf '#!/bin/sh\\n[ \"$1\" = alice ] && cat /etc/ssh/keys-from-elsewhere\\n' >/usr/local/bin/keys-of; chmod 755 /usr/local/bin/keys-of",
			files: map[string]string{"/etc/ssh/keys-from-elsewhere": "{ed}\n"},
			tries: `
				alice ed    in unknown
				bob   ed    no unknown
				bob   other in unknown`,
		},

		// HARD-CASES 37: files of keys.
		{
			name: "case 37: several patterns with tokens", config: "UsePAM yes\nAuthorizedKeysFile .ssh/authorized_keys %h/.ssh/more /etc/ssh/keys/%u /etc/ssh/keys/%U-%%\n",
			accounts: []loginAccount{{name: "alice", keys: "{ed}"}, {name: "bob"}, {name: "carol"}, {name: "dave"}},
			files:    map[string]string{"/etc/ssh/keys/bob": "{ed}\n", "/etc/ssh/keys/2002-%": "{ed}\n"},
			setup:    "mkdir -m 700 /home/dave/.ssh; echo '{ed}' >/home/dave/.ssh/more; chown -R dave:dave /home/dave",
			tries: `
				alice ed in
				bob   ed in
				carol ed in
				dave  ed in
				dave  other no`,
		},
		{
			name: "case 37: AuthorizedKeysFile none", config: "UsePAM yes\nAuthorizedKeysFile none\n", accounts: alice(""),
			tries: `
				alice ed no
				alice password in`,
		},
		{
			name: "case 37: the default names two files", config: "UsePAM yes\n", accounts: []loginAccount{{name: "alice"}},
			setup: "mkdir -m 700 /home/alice/.ssh; echo '{ed}' >/home/alice/.ssh/authorized_keys2; chown -R alice:alice /home/alice",
			tries: `alice ed in`,
		},
		{
			name: "case 37: AuthorizedKeysFile per Match", config: "UsePAM yes\nAuthorizedKeysFile /etc/ssh/keys/%u\nMatch User bob\n AuthorizedKeysFile .ssh/authorized_keys\nMatch Address 198.51.100.0/24\n AuthorizedKeysFile none\n", accounts: people(),
			files: map[string]string{"/etc/ssh/keys/alice": "{other}\n"},
			tries: `
				alice ed    no
				alice other in
				alice other no from=198.51.100.7 to=198.51.100.2
				bob   ed    in
				bob   ed    in from=198.51.100.7 to=198.51.100.2`,
		},
		{
			name: "StrictModes yes", config: "UsePAM yes\n",
			accounts: []loginAccount{
				{name: "home", keys: "{ed}"}, {name: "dir", keys: "{ed}"}, {name: "file", keys: "{ed}"}, {name: "world", keys: "{ed}"},
				{name: "foreign", keys: "{ed}"}, {name: "ofroot", keys: "{ed}"}, {name: "dirforeign", keys: "{ed}"}, {name: "readable", keys: "{ed}"},
				{name: "shared", keys: "{ed}"}, {name: "primary", keys: "{ed}"}, {name: "second", gid: "2009"}, {name: "listed", gid: "3003", keys: "{ed}"}, {name: "nogroup", keys: "{ed}"}, {name: "ofgroup", keys: "{ed}"}, {name: "fileshared", keys: "{ed}"},
				{name: "linked", keys: "{ed}"}, {name: "linkeddir", keys: "{ed}"},
			},
			groups: "listed:x:3003:listed\nlonely:x:3004:\nmany:x:3005:fileshared,home\n",
			setup: `cd /home; sed -i 's/^shared:x:\([0-9]*\):.*/shared:x:\1:home/' /etc/group; chmod 775 shared primary listed nogroup ofgroup
				chgrp listed listed; chgrp 4000 nogroup; chgrp lonely ofgroup; chgrp many fileshared/.ssh/authorized_keys; chmod 660 fileshared/.ssh/authorized_keys
				chmod 775 home; chmod 770 dir/.ssh; chmod 660 file/.ssh/authorized_keys; chmod 757 world
				chown home foreign/.ssh/authorized_keys; chown -R root ofroot/.ssh; chmod 755 ofroot/.ssh; chmod 644 ofroot/.ssh/authorized_keys
				chown home dirforeign/.ssh; chmod 755 dirforeign/.ssh; chmod 755 readable/.ssh; chmod 644 readable/.ssh/authorized_keys
				mv linked/.ssh/authorized_keys linked/keys; ln -s ../keys linked/.ssh/authorized_keys
				mv linkeddir/.ssh linkeddir/ssh; ln -s ssh linkeddir/.ssh`,
			tries: `
				home       ed in
				dir        ed in
				file       ed in
				shared     ed no
				primary    ed no
				listed     ed in
				nogroup    ed no
				ofgroup    ed no
				fileshared ed no
				world      ed no
				foreign    ed no
				ofroot     ed in
				dirforeign ed no
				readable   ed in
				linked     ed in
				linkeddir  ed in`,
		},
		{
			name: "StrictModes and links on the way", config: "UsePAM yes\n",
			accounts: []loginAccount{
				{name: "movedhome", keys: "{ed}"}, {name: "movedopen", keys: "{ed}"}, {name: "foreigndir", keys: "{other}"}, {name: "owner", keys: "{ed}"},
				{name: "outside", keys: "{other}"}, {name: "below", home: "/srv/site/below/home"}, {name: "dangling", keys: "{ed}"}, {name: "folder", keys: "{ed}"}, {name: "fifo", keys: "{ed}"},
			},
			setup: `mkdir -p /srv/site/open; chmod 755 /srv /srv/site; chmod 777 /srv/site/open; cd /home
				mv movedhome /srv/site/movedhome; ln -s /srv/site/movedhome movedhome
				mv movedopen /srv/site/open/movedopen; ln -s /srv/site/open/movedopen movedopen
				rm -r foreigndir/.ssh; ln -s /home/owner/.ssh foreigndir/.ssh; chmod 755 owner/.ssh; chmod 644 owner/.ssh/authorized_keys
				rm outside/.ssh/authorized_keys; echo '{ed}' >/srv/site/open/keys; ln -s /srv/site/open/keys outside/.ssh/authorized_keys
				mkdir -p /srv/site/below/home/.ssh; chmod 777 /srv/site/below; echo '{ed}' >/srv/site/below/home/.ssh/authorized_keys; chown -R below:below /srv/site/below/home
				rm dangling/.ssh/authorized_keys; ln -s nowhere dangling/.ssh/authorized_keys
				rm folder/.ssh/authorized_keys; mkdir folder/.ssh/authorized_keys
				rm fifo/.ssh/authorized_keys; mkfifo fifo/.ssh/authorized_keys; chown -h fifo fifo/.ssh/authorized_keys`,
			tries: `
				movedhome  ed in
				movedopen  ed in
				foreigndir ed no
				owner      ed in
				outside    ed no
				below      ed in
				dangling   ed no
				folder     ed no
				fifo       ed no`,
		},
		{
			name: "StrictModes no", config: "UsePAM yes\nStrictModes no\n",
			accounts: []loginAccount{
				{name: "home", keys: "{ed}"}, {name: "dir", keys: "{ed}"}, {name: "file", keys: "{ed}"}, {name: "foreign", keys: "{ed}"}, {name: "unreadable", keys: "{ed}"},
			},
			setup: `cd /home; chmod 777 home; chmod 777 dir/.ssh; chmod 666 file/.ssh/authorized_keys; chown home foreign/.ssh/authorized_keys; chmod 644 foreign/.ssh/authorized_keys
				chown home unreadable/.ssh/authorized_keys; chmod 600 unreadable/.ssh/authorized_keys`,
			tries: `
				home       ed in
				dir        ed in
				file       ed in
				foreign    ed in
				unreadable ed no`,
		},
		{
			name: "keys of root's in a folder of the system", config: "UsePAM yes\nAuthorizedKeysFile /srv/site/%u\n", accounts: []loginAccount{{name: "alice"}, {name: "bob"}, {name: "carol"}},
			setup: "mkdir -p /srv/site; for u in alice bob carol; do echo '{ed}' >/srv/site/$u; done; chmod 666 /srv/site/bob; chmod 600 /srv/site/carol",
			tries: `
				alice ed in
				bob   ed no
				carol ed no`,
		},
		{
			name: "keys of root's in a folder that others write", config: "UsePAM yes\nAuthorizedKeysFile /srv/site/%u\n", accounts: []loginAccount{{name: "alice"}},
			setup: "mkdir -p /srv/site; echo '{ed}' >/srv/site/alice; chmod 777 /srv/site",
			tries: `alice ed no`,
		},

		// HARD-CASES 38, and keys that sshd refuses.
		{
			name: "case 38: one key of two users, DSA, small RSA and unknown kinds", config: "UsePAM yes\nPasswordAuthentication no\n",
			accounts: []loginAccount{
				{name: "alice", keys: "{ed}"}, {name: "bob", keys: "{ed}"}, {name: "dsa", keys: "{dsa}"}, {name: "small", keys: "{rsa1024}"},
				{name: "rsa", keys: "{rsa2048}"}, {name: "ecdsa", keys: "{ecdsa}"},
				{name: "unknown", keys: "ssh-quantum AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl x\n{ed}"},
				{name: "onlyunknown", keys: "ssh-quantum AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl x"},
			},
			tries: `
				alice       ed      in
				bob         ed      in
				dsa         dsa     no
				small       rsa1024 in
				rsa         rsa2048 in
				ecdsa       ecdsa   in
				unknown     ed      in
				onlyunknown ed      no`,
		},
		{
			name: "RequiredRSASize", config: "UsePAM yes\nRequiredRSASize 3072\n", accounts: []loginAccount{{name: "alice", keys: "{rsa2048}"}, {name: "bob", keys: "{rsa1024}\n{ed}"}},
			tries: `
				alice rsa2048 no
				bob   rsa1024 no
				bob   ed      in`,
		},
		{
			name: "PubkeyAcceptedAlgorithms with DSA, without ECDSA", config: "UsePAM yes\nPubkeyAcceptedAlgorithms ssh-dss,ssh-ed25519\n", accounts: []loginAccount{{name: "alice", keys: "{dsa}"}, {name: "bob", keys: "{ecdsa}"}, {name: "carol", keys: "{ed}"}},
			tries: `
				alice dsa   in
				bob   ecdsa no
				carol ed    in`,
		},
		{
			name: "PubkeyAcceptedAlgorithms per Match", config: "UsePAM yes\nMatch Address 198.51.100.0/24\n PubkeyAcceptedAlgorithms rsa-sha2-512,ecdsa-sha2-*\n", accounts: alice(""),
			tries: `
				alice ed in
				alice ed no from=198.51.100.7 to=198.51.100.2`,
		},
		{
			name: "RevokedKeys as a list", config: "UsePAM yes\nRevokedKeys /etc/ssh/revoked\n", accounts: []loginAccount{{name: "alice", keys: "{ed}\n{other}"}},
			files: map[string]string{"/etc/ssh/revoked": "{ed}\n"},
			tries: `
				alice ed    no
				alice other in`,
		},
		{
			name: "RevokedKeys as a KRL", config: "UsePAM yes\nRevokedKeys /etc/ssh/revoked.krl\n", accounts: []loginAccount{{name: "alice", keys: "{ed}\n{other}"}},
			tries: `
				alice ed    no
				alice other in`,
		},
		{
			name: "RevokedKeys that is not there refuses all keys", config: "UsePAM yes\nRevokedKeys /etc/ssh/not-there\n", accounts: alice(""),
			tries: `
				alice ed       no
				alice password in`,
		},
		{
			name: "keys off", config: "UsePAM yes\nPubkeyAuthentication no\n", accounts: alice(""),
			tries: `
				alice ed       no
				alice password in`,
		},
		{
			name: "all off", config: "UsePAM yes\nPubkeyAuthentication no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n", accounts: alice(""),
			tries: `
				alice ed       no
				alice password no`,
		},
		{
			name: "case 8: passwords off, PAM and the old name of keyboard-interactive on", config: "UsePAM yes\nPasswordAuthentication no\nChallengeResponseAuthentication yes\n", accounts: alice(""),
			tries: `
				alice password             no
				alice keyboard-interactive in`,
		},
		{
			name: "keyboard-interactive without PAM", config: "UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication yes\n", accounts: alice(""),
			tries: `
				alice keyboard-interactive no
				alice ed                   in`,
		},
	}
}
