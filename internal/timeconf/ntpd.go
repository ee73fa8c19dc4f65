package timeconf

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"strings"
)

// ntpMaxInclude is how deep includefile may nest.
const ntpMaxInclude = 5

// NTPD reads the ntp.conf of ntpd, classic or NTPsec, with what it includes,
// see ntp.conf(5). NTPsec's ntpd then reads ntp.d/*.conf beside the file;
// confDir says that this one does. The error says that a file could not be read.
func NTPD(files Files, name string, confDir bool) (*Config, error) {
	r := ntpReader{files: files, config: &Config{}}
	if err := r.file(name, 0); err != nil {
		return r.config, err
	}
	if !confDir {
		return r.config, nil
	}
	err := r.dir(path.Join(path.Dir(name), "ntp.d"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return r.config, err
}

type ntpReader struct {
	files  Files
	config *Config
}

func (r *ntpReader) file(name string, depth int) error {
	data, err := r.config.read(r.files, name)
	if err != nil {
		return err
	}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		if err := r.line(name, number, ntpWords(string(line)), depth); err != nil {
			return err
		}
	}
	return nil
}

func (r *ntpReader) dir(dir string, depth int) error {
	entries, err := r.files.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".conf") {
			if err := r.file(path.Join(dir, e.Name()), depth); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *ntpReader) line(file string, number int, words []string, depth int) error {
	if len(words) == 0 {
		return nil
	}
	command, args := words[0], words[1:]
	for len(args) > 0 && (args[0] == "-4" || args[0] == "-6") {
		args = args[1:]
	}
	s := Source{File: file, Line: number}
	switch command {
	case "server":
		s.Kind = Server
	case "pool":
		s.Kind = Pool
	case "peer":
		s.Kind = Peer
	case "refclock":
		s.Kind = RefClock
	case "broadcastclient", "multicastclient", "manycastclient":
		s.Kind, s.Name = Broadcast, command
		r.config.add(s)
		return nil
	case "includefile":
		return r.include(file, number, args, depth)
	default:
		return nil
	}
	if len(args) == 0 {
		r.config.problem(file, number, "%s wants a name or an address", command)
		return nil
	}
	s.Name, s.NoSelect = args[0], hasWord(args[1:], "noselect")
	if command == "refclock" && s.Name == "local" {
		s.Kind = Local
	}
	// Classic ntpd names the clocks of the machine 127.127.TYPE.UNIT; type 1
	// is the machine's own clock.
	if driver, found := strings.CutPrefix(s.Name, "127.127."); found && command != "refclock" {
		s.Kind = RefClock
		if strings.HasPrefix(driver, "1.") {
			s.Kind = Local
		}
	}
	r.config.add(s)
	return nil
}

// include reads a file, or the *.conf of a folder. A relative name is below
// the folder of the file that names it.
func (r *ntpReader) include(file string, number int, args []string, depth int) error {
	if len(args) != 1 {
		r.config.problem(file, number, "includefile wants one file")
		return nil
	}
	if depth+1 > ntpMaxInclude {
		r.config.problem(file, number, "includes are nested more than %d levels deep", ntpMaxInclude)
		return nil
	}
	name := args[0]
	if !path.IsAbs(name) {
		name = path.Join(path.Dir(file), name)
	}
	if _, err := r.files.ReadDir(name); err == nil {
		return r.dir(name, depth+1)
	}
	err := r.file(name, depth+1)
	if errors.Is(err, fs.ErrNotExist) {
		r.config.problem(file, number, "%s does not exist", name)
		return nil
	}
	return err
}

// ntpWords splits a line of ntp.conf: # starts a comment anywhere but in
// quotes; a missing closing quote is assumed at the end of the line.
func ntpWords(line string) []string {
	var words []string
	var word []byte
	inWord, quoted := false, false
	flush := func() {
		if inWord {
			words = append(words, string(word))
		}
		word, inWord = word[:0], false
	}
scan:
	for _, c := range []byte(strings.TrimRight(line, "\r\n")) {
		switch {
		case c == '"':
			quoted, inWord = !quoted, true
		case quoted:
			word = append(word, c)
		case c == '#':
			break scan
		case isSpace(rune(c)):
			flush()
		default:
			word, inWord = append(word, c), true
		}
	}
	flush()
	return words
}

// OpenNTPD reads the ntpd.conf of OpenNTPD, see its ntpd.conf(5). The error
// says that the file could not be read.
func OpenNTPD(files Files, name string) (*Config, error) {
	c := &Config{}
	data, err := c.read(files, name)
	if err != nil {
		return c, err
	}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		words := ntpWords(string(line))
		if len(words) == 0 {
			continue
		}
		kind, known := map[string]Kind{"server": Server, "servers": Pool, "sensor": RefClock}[words[0]]
		if !known {
			continue
		}
		if len(words) < 2 {
			c.problem(name, number, "%s wants a name", words[0])
			continue
		}
		c.add(Source{Kind: kind, Name: words[1], File: name, Line: number})
	}
	return c, nil
}
