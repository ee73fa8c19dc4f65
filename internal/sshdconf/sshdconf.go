// Package sshdconf reads the configuration of OpenSSH's sshd the way sshd
// does, and says where every effective value comes from.
//
// [Parse] reads the files once, with everything they include. The result can
// then be asked, any number of times, what holds for one connection
// ([Config.For]), as `sshd -T -C …` would answer, or under which of its Match
// blocks what holds ([Config.When]).
//
// The behaviour follows sshd_config(5) and sshd(8) of OpenSSH 8.4, 9.2 and
// 10.0 as Debian builds them, and is compared with the real program by a
// differential test.
package sshdconf

import (
	"net/netip"
	"path"
)

// DefaultFile is where sshd looks without -f.
const DefaultFile = "/etc/ssh/sshd_config"

// FS is where files are read from.
type FS interface {
	// ReadFile returns the whole content of a file. To sshd a folder is an
	// empty file.
	ReadFile(name string) ([]byte, error)
	// Glob returns the paths that match an absolute pattern as glob(3) does,
	// in lexical order; none is no error.
	Glob(pattern string) ([]string, error)
}

// Options say which sshd reads the configuration, and how it is started.
type Options struct {
	// Version is the release; the zero value stands for the newest known.
	Version Version
	// Release is its full name, which Match Version looks at
	// ("OpenSSH_10.0p1 Debian-7"). Empty: made from Version.
	Release string
	// Arguments are those of the daemon's command line: -f, -o, -p, -4, -6,
	// -g, -h, -c and -q count, others are skipped.
	Arguments []string
	// NoPAM is set for a build without PAM, whose UsePAM is an empty word.
	NoPAM bool
	// NoGSSAPI is set for a build without GSSAPI and Kerberos.
	NoGSSAPI bool
	// Home returns the home folder of a user, "" being the one sshd runs as.
	// Nil knows root alone.
	Home func(user string) (string, bool)
	// Service returns the TCP port of a named service. Nil knows none.
	Service func(name string) (int, bool)
	// Resolve returns the addresses of a host name in ListenAddress. Nil
	// leaves the name as it is written.
	Resolve func(host string) ([]netip.Addr, bool)
}

// Config is a configuration that sshd accepts. It is safe for concurrent use.
type Config struct {
	// File is the main file, after -f.
	File string
	// Files are all files read, in the order of first reading.
	Files []string
	// Folders are those whose content decides which files are included.
	Folders []string
	// Remarks are deprecated and unsupported keywords that sshd skips.
	Remarks []Problem
	// Directives are all lines that name a keyword, in sshd's reading order,
	// whether they take effect or not. Match and Include are left out.
	Directives []Directive
	// Blocks are all Match lines, in sshd's reading order.
	Blocks []*Block

	opts   Options
	reader *reader
	global []slot // what holds before any Match is looked at
}

// Directive is one line that sets a keyword.
type Directive struct {
	Place
	Keyword string // canonical, lower case
	Text    string // the arguments as written
	Block   *Block // the innermost Match block it stands in, nil outside
}

// Block is a Match line and what it governs.
type Block struct {
	Place
	Text  string // the criteria as written
	Outer *Block // the block whose Include brought this one in
	terms []Term // none: "Match all"
}

// Term is one criterion of a Match line.
type Term struct {
	Attr string // user, group, host, address, localaddress, localport, rdomain, version or invalid-user
	Arg  string
}

// Always reports whether the line itself is satisfied by every connection.
func (b *Block) Always() bool { return len(b.terms) == 0 }

// Terms returns the criteria, all of which must hold.
func (b *Block) Terms() []Term { return b.terms }

// Version is the release whose reading this is.
func (c *Config) Version() Version { return c.opts.Version }

// Parse reads the configuration. The error is a [*RefusedError] where sshd
// would refuse it, a [*ReadError] when a file could not be read.
func Parse(fs FS, opts Options) (*Config, error) {
	if opts.Version.IsZero() {
		opts.Version = Newest
	}
	r := newReader(fs, opts)
	c := &Config{File: DefaultFile, opts: opts, reader: r}
	p := newPass(r, nil)
	if err := p.commandLine(c, opts.Arguments); err != nil {
		return nil, err
	}
	if err := p.run(c.File); err != nil {
		return nil, err
	}
	c.Remarks, c.Directives, c.Blocks = p.remarks, p.directives, p.blocks
	for _, f := range r.order {
		c.Files = append(c.Files, path.Clean(f))
	}
	c.Folders = r.folders()
	p.fillDefaults()
	if err := p.checkStart(); err != nil {
		return nil, err
	}
	c.global = p.slots
	return c, nil
}
