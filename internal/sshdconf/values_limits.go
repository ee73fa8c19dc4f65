package sshdconf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// readMaxStartups sets its parts one by one: a lone number leaves the rate of
// an earlier line.
func readMaxStartups(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	n := colonInts(arg, 3)
	s := &p.startups
	copy(s[:], n)
	bad := refuse(quoted(arg) + " is not START:RATE:FULL")
	switch len(n) {
	case 3:
		if s[0] > s[2] || s[1] > 100 || s[1] < 1 {
			return bad
		}
	case 1:
		s[2] = s[0]
	default:
		return bad
	}
	if p.r.opts.Version.AtLeast(V8_5) && (s[2] <= 0 || s[0] <= 0) {
		return bad
	}
	p.last(kMaxStartups, "")
	return nil
}

func readPerSourceMaxStartups(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	text := "none"
	if arg != "none" {
		n, ok := atoi(arg)
		if !ok {
			return refuse(quoted(arg) + " is not a whole number in range")
		}
		if n != noLimit {
			text = strconv.Itoa(n)
		}
	}
	if p.r.opts.Version.AtLeast(V9_8) {
		p.first(kPerSourceMaxStartups, text)
	} else {
		p.last(kPerSourceMaxStartups, text)
	}
	return nil
}

// noLimit is the largest C int, which sshd prints as none.
const noLimit = 1<<31 - 1

func readPerSourceNetBlockSize(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	n := colonInts(arg, 2)
	if len(n) == 0 || n[0] < 0 || n[0] > 32 || len(n) == 2 && (n[1] < 0 || n[1] > 128) {
		return refuse(quoted(arg) + " is not a pair of mask lengths")
	}
	second := "0" // sshd takes a number that it never set, and that is what its builds have there
	if len(n) == 2 {
		second = strconv.Itoa(n[1])
	}
	p.last(kPerSourceNetBlockSize, strconv.Itoa(n[0])+":"+second)
	return nil
}

var dscp = map[string]int{
	"none": noLimit, "af11": 0x28, "af12": 0x30, "af13": 0x38, "af21": 0x48, "af22": 0x50, "af23": 0x58,
	"af31": 0x68, "af32": 0x70, "af33": 0x78, "af41": 0x88, "af42": 0x90, "af43": 0x98,
	"cs0": 0x00, "cs1": 0x20, "cs2": 0x40, "cs3": 0x60, "cs4": 0x80, "cs5": 0xa0, "cs6": 0xc0, "cs7": 0xe0,
	"ef": 0xb8, "le": 0x04, "lowdelay": 0x10, "throughput": 0x08,
}

func qos(arg string, v Version) (string, bool) {
	arg = asciiLower(arg)
	if !v.AtLeast(V8_5) { // le has bits of its own there
		switch n, rest, _ := strtol(arg, 0); {
		case arg == "reliability", n == 0x04 && rest == "":
			return "reliability", true
		case arg == "le", n == 0x01 && rest == "":
			return "le", true
		}
	}
	deprecated := arg == "lowdelay" || arg == "throughput" || arg == "reliability"
	switch _, named := dscp[arg]; {
	case deprecated && v.AtLeast(V10_0):
		return "none", true
	case arg == "reliability":
		return "le", true // the same bits
	case named:
		return arg, true
	}
	n, rest, ok := strtol(arg, 0)
	if v.AtLeast(V10_0) {
		n, rest, ok = strtol(arg, 10)
	}
	if !ok || rest != "" || n < 0 || n > 255 {
		return "", false
	}
	for name, bits := range dscp {
		if bits == int(n) && !(v.AtLeast(V10_0) && (name == "lowdelay" || name == "throughput")) {
			return name, true
		}
	}
	return fmt.Sprintf("0x%02x", n), true
}

func readIPQoS(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	interactive, ok := qos(arg, p.r.opts.Version)
	if !ok {
		return refuse(quoted(arg) + " is no class of traffic")
	}
	bulk := interactive
	if arg, more := a.next(); more {
		if bulk, ok = qos(arg, p.r.opts.Version); !ok {
			return refuse(quoted(arg) + " is no class of traffic")
		}
	}
	p.last(kIPQoS, interactive+" "+bulk)
	return nil
}

// penalties are the parts of PerSourcePenalties in the order of printing,
// with their defaults.
var penalties = []struct {
	name, preset string
	kind         byte // t: time, n: number, o: overflow mode
}{
	{"crash", "90", 't'}, {"authfail", "5", 't'}, {"noauth", "1", 't'}, {"grace-exceeded", "10", 't'},
	{"refuseconnection", "10", 't'}, {"max", "600", 't'}, {"min", "15", 't'},
	{"max-sources4", "65536", 'n'}, {"max-sources6", "65536", 'n'},
	{"overflow", "permissive", 'o'}, {"overflow6", "", 'o'},
}

func readPerSourcePenalties(p *pass, _ *line, a *arguments) *refusal {
	args := a.all()
	if len(args) == 0 {
		return refuse(missing)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(p.slots[kPerSourcePenalties].values, func(v Value) bool {
			have, _, _ := strings.Cut(v.Text, ":")
			return have == name
		})
	}
	for i, arg := range args {
		if word := asciiLower(arg); word == "yes" || word == "no" {
			if i < len(args)-1 {
				return refuse(quoted(arg) + " stands with other arguments")
			}
			p.add(kPerSourcePenalties, "enabled:"+word)
			continue
		}
		name, text, _ := strings.Cut(arg, ":")
		value, ok := "", false
		for _, part := range penalties {
			if part.name != name || !strings.Contains(arg, ":") {
				continue
			}
			switch part.kind {
			case 't':
				n, isTime := seconds(text, p.r.opts.Version)
				value, ok = strconv.Itoa(n), isTime
			case 'n':
				n, isNumber := atoi(text)
				value, ok = strconv.Itoa(n), isNumber
			default:
				value, ok = text, text == "deny-all" || text == "permissive"
			}
		}
		if !ok {
			return refuse(quoted(arg) + " is none of its values")
		}
		if !has(name) {
			p.add(kPerSourcePenalties, name+":"+value, "on:yes")
		}
	}
	return nil
}

func readPenaltyExemptList(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	if matchAddrs("", arg, true, p.r.opts.Version) != missed {
		return refuse("an address is malformed: " + quoted(arg))
	}
	p.first(kPerSourcePenaltyExemptList, arg)
	return nil
}
