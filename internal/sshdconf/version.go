package sshdconf

import (
	"fmt"
	"strings"
)

// Version is an OpenSSH release, without its portable suffix.
type Version struct{ Major, Minor int }

// The releases whose behaviour is known keyword by keyword: those of Debian
// 11, 12 and 13. Others behave as the newest known one that is not newer.
var (
	V8_4  = Version{8, 4}
	V8_5  = Version{8, 5}
	V8_7  = Version{8, 7}
	V9_1  = Version{9, 1}
	V9_2  = Version{9, 2}
	V9_5  = Version{9, 5}
	V9_8  = Version{9, 8}
	V10_0 = Version{10, 0}
)

// Known lists the releases that are compared with the real program, oldest
// first.
var Known = []Version{V8_4, V9_2, V10_0}

// Newest is the newest release this package knows.
var Newest = Known[len(Known)-1]

// AtLeast reports whether v is o or newer.
func (v Version) AtLeast(o Version) bool {
	return v.Major > o.Major || v.Major == o.Major && v.Minor >= o.Minor
}

// IsZero reports whether no version is given.
func (v Version) IsZero() bool { return v == Version{} }

func (v Version) String() string {
	if v.IsZero() {
		return "unknown"
	}
	return fmt.Sprintf("%d.%d", v.Major, v.Minor)
}

// ParseVersion reads a release from a banner ("SSH-2.0-OpenSSH_9.2p1
// Debian-2"), the answer to -V ("OpenSSH_9.2p1, OpenSSL…") or a package's
// version ("1:9.2p1-2+deb12u7").
func ParseVersion(text string) (Version, bool) {
	if _, after, ok := strings.Cut(text, "OpenSSH_"); ok {
		text = after
	} else if epoch, after, ok := strings.Cut(text, ":"); ok && len(epoch) < 3 {
		text = after
	}
	major, text, ok := smallNumber(text)
	if !ok || !strings.HasPrefix(text, ".") {
		return Version{}, false
	}
	minor, text, ok := smallNumber(text[1:])
	if !ok || text != "" && strings.IndexByte("p ,-+", text[0]) < 0 {
		return Version{}, false
	}
	return Version{major, minor}, true
}

// smallNumber takes one or two digits off text.
func smallNumber(text string) (n int, rest string, ok bool) {
	i := 0
	for i < len(text) && i < 2 && digit(text[i]) < 10 {
		n = n*10 + digit(text[i])
		i++
	}
	return n, text[i:], i > 0
}
