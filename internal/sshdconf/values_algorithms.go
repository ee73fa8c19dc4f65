package sshdconf

import (
	"strconv"
	"strings"
)

func keyNames(id int, plainFrom10 bool) reading {
	return func(p *pass, _ *line, a *arguments) *refusal {
		return algorithmNames(id, p, a, func(s string) bool {
			return p.r.algs.validKeys(s, plainFrom10 && p.r.opts.Version.AtLeast(V10_0))
		})
	}
}

// algorithmNames reads a list of names; valid judges it without + or ^.
func algorithmNames(id int, p *pass, a *arguments, valid func(string) bool) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	if arg[0] != '-' {
		list := arg
		if arg[0] == '+' || arg[0] == '^' {
			list = arg[1:]
		}
		if !valid(list) {
			return refuse("it names an algorithm that sshd does not know: " + quoted(arg))
		}
	}
	p.first(id, arg)
	return nil
}

func readCiphers(p *pass, _ *line, a *arguments) *refusal {
	return algorithmNames(kCiphers, p, a, func(s string) bool { return known(s, p.r.algs.ciphers, nil) })
}

func readMACs(p *pass, _ *line, a *arguments) *refusal {
	return algorithmNames(kMACs, p, a, func(s string) bool { return known(s, p.r.algs.macs, nil) })
}

func readKex(p *pass, _ *line, a *arguments) *refusal {
	return algorithmNames(kKexAlgorithms, p, a, p.r.algs.validKex)
}

func readGSSKex(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	if !known(arg, nil, p.r.algs.knowsGSSKex) {
		return refuse("it names an algorithm that sshd does not know: " + quoted(arg))
	}
	p.first(kGSSAPIKex, arg)
	return nil
}

func readPubkeyAuthOptions(p *pass, _ *line, a *arguments) *refusal {
	touch, verify := "", ""
	for _, arg := range a.all() {
		switch asciiLower(arg) {
		case "none":
		case "touch-required":
			touch = " touch-required"
		case "verify-required":
			verify = " verify-required"
		default:
			return &refusal{quoted(arg) + " is none of its values", p.r.opts.Version.AtLeast(V8_7)}
		}
	}
	text := strings.TrimSpace(touch + verify)
	if text == "" {
		text = "none"
	}
	p.first(kPubkeyAuthOptions, text)
	return nil
}

func readRekeyLimit(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	limit := int64(0)
	if arg != "default" {
		n, ok := scaled(arg)
		if !ok {
			return refuse(quoted(arg) + " is not an amount of data")
		}
		if n != 0 && n < 16 {
			return refuse(quoted(arg) + " is too small")
		}
		limit = n
	}
	p.first(kRekeyLimit, strconv.FormatUint(uint64(limit), 10))
	if !a.byWord && !a.more {
		return nil
	}
	interval, ok := a.next()
	switch {
	case !ok:
		return nil
	case interval == "none":
		return nil
	case interval == "":
		return refuse(missing)
	}
	n, ok := seconds(interval, p.r.opts.Version)
	if !ok {
		return refuse(quoted(interval) + " is not a time span")
	}
	p.first(kRekeyInterval, strconv.Itoa(n))
	return nil
}

func readFingerprintHash(p *pass, _ *line, a *arguments) *refusal {
	arg, why := one(a)
	if why != nil {
		return why
	}
	value, ok := hashes[asciiLower(arg)]
	if !ok {
		return refuse(quoted(arg) + " is not a hash")
	}
	p.last(kFingerprintHash, value)
	return nil
}
