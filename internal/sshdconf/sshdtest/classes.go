package sshdtest

import "regexp"

// classes are kinds of things to get wrong that a configuration can hold.
var classes = []struct {
	name string
	in   *regexp.Regexp
}{
	{"Include", regexp.MustCompile(`(?im)^[ \t]*include`)},
	{"Include in a Match block", regexp.MustCompile(`(?ims)^[ \t]*match.*^[ \t]*include`)},
	{"Include, chain of files", regexp.MustCompile(`(?im)^[ \t]*include \S+/chain`)},
	{"Match User", matchOf("user")},
	{"Match Group", matchOf("group")},
	{"Match Host", matchOf("host")},
	{"Match Address", matchOf("address")},
	{"Match LocalAddress", matchOf("localaddress")},
	{"Match LocalPort", matchOf("localport")},
	{"Match RDomain", matchOf("rdomain")},
	{"Match Version", matchOf("version")},
	{"Match invalid-user", matchOf("invalid-user")},
	{"Match all", matchOf(`"?all`)},
	{"Match, negated", regexp.MustCompile(`(?im)^[ \t]*match\b.*[ ,="]!`)},
	{"Match, network", regexp.MustCompile(`(?im)^[ \t]*match\b.*address.*/\d`)},
	{"Match, several criteria", regexp.MustCompile(`(?im)^[ \t]*match[ \t=]+\w+[ \t=]+[^ \t\n]+[ \t]+\w+[ \t=]`)},
	{"lists that accumulate", regexp.MustCompile(`(?im)^[ \t"]*(allow|deny)(users|groups)|^[ \t"]*(acceptenv|setenv|hostkey|port|listenaddress|subsystem)\b`)},
	{"AuthenticationMethods", regexp.MustCompile(`(?im)^[ \t"]*authenticationmethods`)},
	{"lists of algorithms", regexp.MustCompile(`(?im)^[ \t"]*(ciphers|macs|kexalgorithms|\w*accepted(keytypes|algorithms)|hostkeyalgorithms|casignature)`)},
	{"quotes", regexp.MustCompile(`["']`)},
	{"equals sign", regexp.MustCompile(`(?im)^[ \t]*\w+[ \t]*=`)},
	{"comment at a line's end", regexp.MustCompile(`(?m)^[ \t]*\w.*#`)},
	{"CRLF", regexp.MustCompile(`\r\n`)},
	{"byte order mark", regexp.MustCompile("\ufeff")},
	{"NUL byte", regexp.MustCompile(`\x00`)},
	{"deprecated keyword", regexp.MustCompile(`(?im)^[ \t"]*(protocol|useprivilegeseparation|rsaauthentication|keyregenerationinterval|serverkeybits|uselogin)\b`)},
	{"no final newline", regexp.MustCompile(`[^\n]\z`)},
}

func matchOf(criterion string) *regexp.Regexp {
	return regexp.MustCompile(`(?im)^[ \t]*match\b.*[ \t="]` + criterion + `\b`)
}

// Classes names the kinds of things that a case holds, for a count of what was
// tried.
func Classes(files map[string]string, args []string) []string {
	var found []string
	for _, c := range classes {
		for _, text := range files {
			if c.in.MatchString(text) {
				found = append(found, c.name)
				break
			}
		}
	}
	if len(files) > 1 {
		found = append(found, "several files")
	}
	if len(args) > 0 {
		found = append(found, "options of the command line")
	}
	return found
}
