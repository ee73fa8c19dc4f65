package sshdconf

import (
	"strconv"
	"strings"
)

// withArgument are sshd's options that take an argument.
const withArgument = "CEbcfghkopu"

// commandLine applies the options of the daemon's command line, in order.
func (p *pass) commandLine(c *Config, args []string) error {
	for i := 0; i < len(args); i++ {
		flags, ok := strings.CutPrefix(args[i], "-")
		if !ok || flags == "" {
			return nil
		}
		for j := range len(flags) {
			if strings.IndexByte(withArgument, flags[j]) < 0 {
				p.simpleOption(flags[j])
				continue
			}
			arg := flags[j+1:]
			if arg == "" && i+1 < len(args) {
				i++
				arg = args[i]
			}
			if err := p.option(c, flags[j], arg); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// WithoutLog takes the log file (-E) out of a command line of sshd: it would
// open the file for writing, or make it, even when it only tests.
func WithoutLog(args []string) []string {
	var kept []string
	for i := 0; i < len(args); i++ {
		flags, ok := strings.CutPrefix(args[i], "-")
		at := strings.IndexAny(flags, withArgument)
		switch {
		case !ok || flags == "":
			return append(kept, args[i:]...)
		case at < 0:
			kept = append(kept, args[i])
			continue
		}
		alone := at == len(flags)-1 && i+1 < len(args) // its argument is the next word
		switch {
		case flags[at] != 'E':
			kept = append(kept, args[i])
			if alone {
				kept = append(kept, args[i+1])
			}
		case at > 0:
			kept = append(kept, "-"+flags[:at])
		}
		if alone {
			i++
		}
	}
	return kept
}

func (p *pass) simpleOption(flag byte) {
	p.at = Place{File: CommandLine}
	switch flag {
	case '4':
		p.last(kAddressFamily, "inet")
	case '6':
		p.last(kAddressFamily, "inet6")
	case 'q':
		p.last(kLogLevel, "SILENT")
	}
}

func (p *pass) option(c *Config, flag byte, arg string) error {
	p.at = Place{File: CommandLine}
	switch flag {
	case 'f':
		c.File = arg
	case 'p':
		n, ok := p.r.opts.port(arg)
		if !ok || n == 0 {
			_, err := p.fatal("-p " + quoted(arg) + " is not a port")
			return err
		}
		p.portsFixed = true
		p.add(kPort, strconv.Itoa(n))
	case 'g':
		n, ok := seconds(arg, p.r.opts.Version)
		if !ok {
			_, err := p.fatal("-g " + quoted(arg) + " is not a time span")
			return err
		}
		p.last(kLoginGraceTime, strconv.Itoa(n))
	case 'h', 'c':
		id := kHostKey
		if flag == 'c' {
			id = kHostCertificate
		}
		if name, ok := p.r.opts.absolute(arg); ok {
			p.add(id, name)
		}
	case 'o':
		return p.setOption(arg)
	}
	return nil
}

func (p *pass) setOption(text string) error {
	l := lexLine(text, 0, p.r.opts.Version)
	if l.name == "" {
		return nil
	}
	if l.keyword == include || l.keyword == match {
		_, err := p.fatal(quoted(l.name) + " is not allowed on the command line")
		return err
	}
	m := asUsual
	mild, err := p.line(&l, &m, 0)
	if mild && err == nil {
		err = p.refusedError()
	}
	return err
}
