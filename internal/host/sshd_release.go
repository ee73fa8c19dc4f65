package host

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/sshdconf"
)

// program is what an sshd program says about itself.
type program struct {
	version sshdconf.Version
	release string
	noPAM   bool
	noGSS   bool
	err     error
}

// sshdRelease finds the release inside the program: it need not be run, and
// of a file tree it could not be.
func (h *Host) sshdRelease(file string) *program {
	p := &program{}
	texts, err := h.programTexts(file, "OpenSSH_", "libpam.so", "libgssapi")
	if err != nil {
		p.err = fmt.Errorf("cannot tell the release of sshd: %w", err)
		return p
	}
	p.err = fmt.Errorf("cannot tell the release of sshd: %s does not name one", file)
	p.noPAM, p.noGSS = true, true
	for _, text := range texts {
		switch {
		case strings.HasPrefix(text, "libpam.so"):
			p.noPAM = false
		case strings.HasPrefix(text, "libgssapi"):
			p.noGSS = false
		case strings.ContainsAny(text, "*,"): // patterns for clients with faults
		default:
			if v, ok := sshdconf.ParseVersion(text); ok && len(text) > len(p.release) {
				p.version, p.release, p.err = v, text, nil
			}
		}
	}
	// Since 9.8 the part that talks to PAM is a program of its own.
	if split, err := h.Exists("/usr/lib/openssh/sshd-session"); err != nil || split {
		p.noPAM, p.noGSS = false, false
	}
	return p
}

// maxText is how long a text of a program may be to be found.
const maxText = 256

// programTexts returns the texts in a program that start with one of the
// words and end with a NUL byte. The program is read piece by piece.
func (h *Host) programTexts(file string, words ...string) ([]string, error) {
	f, err := h.open(file, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, pathError("read", file, cmp.Or(err, ErrNotRegular))
	}
	var texts []string
	buf := make([]byte, 0, 64<<10)
	for total := 0; total <= maxProgram; {
		n, err := io.ReadFull(f, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		total += n
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return nil, pathError("read", file, err)
		}
		for _, w := range words {
			rest := buf
			for {
				i := bytes.Index(rest, []byte(w))
				if i < 0 {
					break
				}
				rest = rest[i:]
				if end := bytes.IndexByte(rest, 0); end > 0 && end < maxText {
					texts = append(texts, string(rest[:end]))
				}
				rest = rest[len(w):]
			}
		}
		if last {
			return texts, nil
		}
		buf = append(buf[:0], buf[len(buf)-maxText:]...) // a text may be cut
	}
	return nil, pathError("read", file, ErrTooLarge)
}
