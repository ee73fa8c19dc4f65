package timeconf

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// chronyArgs says why chronyd refuses the words after a directive, "" when it
// takes them.
type chronyArgs func(args []string) string

// chronyDirectives are what chronyd of chrony 4 knows beside what names files
// and sources, see chrony.conf(5). What only some releases know is here, too.
var chronyDirectives = map[string]chronyArgs{
	"acquisitionport": integer(0, 65535), "cmdport": integer(0, 65535), "dscp": integer(0, 63), "logbanner": integer(0, math.MaxInt32),
	"maxntsconnections": integer(1, math.MaxInt32), "maxsamples": integer(0, math.MaxInt32), "minsamples": integer(0, math.MaxInt32),
	"minsources": integer(1, math.MaxInt32), "nocerttimecheck": integer(0, math.MaxInt32), "ntsport": integer(0, 65535),
	"ntsprocesses": integer(0, 1000), "ntsrefresh": integer(0, math.MaxInt32), "ntsrotate": integer(0, math.MaxInt32), "port": integer(0, 65535),
	"ptpdomain": integer(0, 255), "ptpport": integer(0, 65535), "refresh": integer(0, math.MaxInt32), "sched_priority": integer(0, 100),
	"clientloglimit": integer(0, math.MaxInt64), "maxunreach": integer(0, math.MaxInt32),

	"clockprecision": decimals(1), "combinelimit": decimals(1), "corrtimeratio": decimals(1), "hwtstimeout": decimals(1), "logchange": decimals(1),
	"maxclockerror": decimals(1), "maxdistance": decimals(1), "maxdrift": decimals(1), "maxjitter": decimals(1), "maxslewrate": decimals(1),
	"maxupdateskew": decimals(1), "reselectdist": decimals(1), "rtcautotrim": decimals(1), "stratumweight": decimals(1),

	"bindacqdevice": texts(1), "bindcmddevice": texts(1), "binddevice": texts(1), "dumpdir": texts(1), "hwclockfile": texts(1), "keyfile": texts(1),
	"leapsectz": texts(1), "leapseclist": texts(1), "logdir": texts(1), "ntpsigndsocket": texts(1), "ntscachedir": texts(1), "ntsdumpdir": texts(1),
	"ntsntpserver": texts(1), "ntsservercert": texts(1), "ntsserverkey": texts(1), "pidfile": texts(1), "rtcdevice": texts(1), "rtcfile": texts(1),
	"user": texts(1),

	"lock_all": texts(0), "manual": texts(0), "noclientlog": texts(0), "nosystemcert": texts(0), "rtconutc": texts(0), "rtcsync": texts(0),

	"commandkey": anything, "dumponexit": anything, "generatecommandkey": anything, "linux_freq_scale": anything, "linux_hz": anything,
	"ntsaeads": anything, "opencommands": anything, // since 4.6

	"authselectmode": oneOf("require", "prefer", "mix", "ignore"), "leapsecmode": oneOf("system", "slew", "step", "ignore"),
	"log": logNames, "allow": subnet, "deny": subnet, "cmdallow": subnet, "cmddeny": subnet,
	"bindacqaddress": address, "bindaddress": address, "bindcmdaddress": addressOrPath,

	"fallbackdrift": integers(2), "makestep": numbers("fi"), "maxchange": numbers("fii"), "mailonchange": numbers("sf"),
	"broadcast": either(numbers("ia"), numbers("iai")), "smoothtime": either(numbers("ff"), leapOnly), "tempcomp": either(numbers("sfs"), numbers("sfffff")),
	"ntstrustedcerts": either(texts(1), numbers("is")), "driftfile": either(texts(1), driftInterval), "initstepslew": initStepSlew,

	"ratelimit": options(0, rateOptions), "cmdratelimit": options(0, rateOptions), "ntsratelimit": options(0, rateOptions),
	"local": options(0, map[string]byte{"stratum": 'i', "orphan": 0, "distance": 'f', "activate": 'f', "waitsynced": 'f', "waitunsynced": 'f'}),
	"hwtimestamp": options(1, map[string]byte{
		"maxsamples": 'i', "minsamples": 'i', "minpoll": 'i', "maxpoll": 'i', "precision": 'f', "rxcomp": 'f', "txcomp": 'f', "rxfilter": 's', "nocrossts": 0,
	}),
	"refclock": options(2, map[string]byte{
		"refid": 's', "lock": 's', "poll": 'i', "dpoll": 'i', "filter": 'i', "local": 0, "rate": 'i', "minsamples": 'i', "maxlockage": 'i', "maxsamples": 'i',
		"offset": 'f', "delay": 'f', "pps": 0, "precision": 'f', "maxdispersion": 'f', "stratum": 'i', "tai": 0, "width": 'f',
		"noselect": 0, "prefer": 0, "require": 0, "trust": 0, "maxunreach": 'i',
	}),
	"server": sourceArgs, "pool": sourceArgs, "peer": sourceArgs,
}

var rateOptions = map[string]byte{"interval": 'i', "burst": 'i', "leak": 'i', "kod": 'i'}

var sourceArgs = options(1, map[string]byte{
	"auto_offline": 0, "burst": 0, "copy": 0, "iburst": 0, "offline": 0, "noselect": 0, "prefer": 0, "require": 0, "trust": 0, "xleave": 0, "nts": 0,
	"ipv4": 0, "ipv6": 0, "certset": 'i', "key": 'i', "asymmetry": 'f', "extfield": 's', "filter": 'i', "maxdelay": 'f', "maxdelayratio": 'f',
	"maxdelaydevratio": 'f', "maxdelayquant": 'f', "maxpoll": 'i', "maxsamples": 'i', "maxsources": 'i', "mindelay": 'f', "minpoll": 'i',
	"minsamples": 'i', "minstratum": 'i', "ntsport": 'p', "offset": 'f', "port": 'p', "polltarget": 'i', "presend": 'i', "version": 'i', "maxunreach": 'i',
})

func anything([]string) string { return "" }

// texts wants a number of words, whatever they are.
func texts(n int) chronyArgs {
	return func(args []string) string {
		if len(args) != n {
			return fmt.Sprintf("wants %d words, not %d", n, len(args))
		}
		return ""
	}
}

// numbers wants words of the kinds that value knows.
func numbers(kinds string) chronyArgs {
	return func(args []string) string {
		if why := texts(len(kinds))(args); why != "" {
			return why
		}
		for i, arg := range args {
			if why := value(kinds[i], arg); why != "" {
				return why
			}
		}
		return ""
	}
}

func integers(n int) chronyArgs { return numbers(strings.Repeat("i", n)) }
func decimals(n int) chronyArgs { return numbers(strings.Repeat("f", n)) }

// value says why a word is not of a kind: i integer, f decimal number, p port,
// a address, s anything.
func value(kind byte, word string) string {
	bad, what := false, ""
	switch kind {
	case 'i':
		_, err := strconv.ParseInt(word, 10, 64)
		bad, what = err != nil, "whole number"
	case 'f':
		bad, what = !startsNumber(word), "number"
	case 'p':
		n, err := strconv.Atoi(word)
		bad, what = err != nil || n < 0 || n > 65535, "port"
	case 'a':
		_, err := netip.ParseAddr(word)
		bad, what = err != nil, "address"
	}
	if bad {
		return fmt.Sprintf("%q is no %s", word, what)
	}
	return ""
}

// startsNumber reports whether C's scanf finds a number at the start.
func startsNumber(word string) bool {
	word = strings.ToLower(strings.TrimLeft(word[:1], "+-") + word[1:])
	if strings.HasPrefix(word, "inf") || strings.HasPrefix(word, "nan") {
		return true
	}
	word = strings.TrimPrefix(word, ".")
	return word != "" && word[0] >= '0' && word[0] <= '9'
}

func integer(low, high int64) chronyArgs {
	return func(args []string) string {
		if why := integers(1)(args); why != "" {
			return why
		}
		if n, _ := strconv.ParseInt(args[0], 10, 64); n < low || n > high {
			return fmt.Sprintf("%d is not between %d and %d", n, low, high)
		}
		return ""
	}
}

func oneOf(known ...string) chronyArgs {
	return func(args []string) string {
		if len(args) != 1 || !hasWord(known, args[0]) {
			return "wants one of " + strings.Join(known, ", ")
		}
		return ""
	}
}

func either(forms ...chronyArgs) chronyArgs {
	return func(args []string) string {
		why := ""
		for _, form := range forms {
			if why = form(args); why == "" {
				break
			}
		}
		return why
	}
}

// options wants some words and then options, with or without a value.
func options(before int, known map[string]byte) chronyArgs {
	return func(args []string) string {
		if len(args) < before {
			return fmt.Sprintf("wants %d words and options", before)
		}
		for args = args[before:]; len(args) > 0; args = args[1:] {
			kind, ok := known[strings.ToLower(args[0])]
			switch {
			case !ok:
				return fmt.Sprintf("chronyd knows no option %q of it", args[0])
			case kind == 0:
				continue
			case len(args) < 2:
				return fmt.Sprintf("%s wants a value", args[0])
			}
			if why := value(kind, args[1]); why != "" {
				return fmt.Sprintf("%s: %s", args[0], why)
			}
			args = args[1:]
		}
		return ""
	}
}

func logNames(args []string) string {
	for _, name := range args {
		if !slices.Contains([]string{"rawmeasurements", "measurements", "selection", "statistics", "tracking", "rtc", "refclocks", "tempcomp"}, name) {
			return fmt.Sprintf("there is no log %q", name)
		}
	}
	return ""
}

// subnet is "[all] [address, name or subnet]".
func subnet(args []string) string {
	if len(args) > 0 && strings.EqualFold(args[0], "all") {
		args = args[1:]
	}
	if len(args) > 1 {
		return "wants one subnet"
	}
	return ""
}

func address(args []string) string { return numbers("a")(args) }

func addressOrPath(args []string) string {
	if len(args) == 1 && strings.HasPrefix(args[0], "/") {
		return ""
	}
	return address(args)
}

func leapOnly(args []string) string {
	if why := numbers("ffs")(args); why != "" || strings.EqualFold(args[2], "leaponly") {
		return why
	}
	return "wants leaponly as third word"
}

func driftInterval(args []string) string {
	if why := numbers("ssi")(args); why != "" || strings.EqualFold(args[1], "interval") {
		return why
	}
	return "wants a file, and no more than an interval"
}

func initStepSlew(args []string) string {
	if len(args) == 0 {
		return "wants a threshold"
	}
	return value('f', args[0])
}
