package rotatedlogs

import (
	"io/fs"
	"strings"
	"syscall"
	"time"
)

// separator stands in the name of a copy for the folders on its way, and after
// its owner. No service's name and no log's path holds it, so that no two logs
// have one name.
const separator = "+"

// Day returns the day that a rotated log's name holds: the first date in it, of
// a name that ends in .gz.
func Day(name string) (string, bool) {
	if !strings.HasSuffix(name, ".gz") {
		return "", false
	}
	for i := 0; i+len(time.DateOnly) <= len(name); i++ {
		day := name[i : i+len(time.DateOnly)]
		if !digit(day[0]) || i > 0 && digit(name[i-1]) || i+len(day) < len(name) && digit(name[i+len(day)]) {
			continue
		}
		if _, err := time.Parse(time.DateOnly, day); err == nil {
			return day, true
		}
	}
	return "", false
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// CopyName is the name of a log's copy: be-dataapp-provider+log+dataapp+dataapp-2026-01-31.0.gz.
// The owner is a service's or container's name.
func CopyName(owner, log string) string {
	return owner + separator + strings.ReplaceAll(log, "/", separator)
}

// CopyDay is the day of a copy, by a name that CopyName could have given it.
func CopyDay(name string) (string, bool) {
	owner, rest, found := strings.Cut(name, separator)
	if !found || !IsOwner(owner) || !plain(strings.ReplaceAll(rest, separator, "/")) {
		return "", false
	}
	return Day(rest[strings.LastIndex(rest, separator)+1:])
}

// IsOwner reports whether a name can be the first part of a copy's: docker lets
// containers, services and volumes have no other ones.
func IsOwner(name string) bool {
	return name != "" && len(name) <= 80 && name[0] != '.' && plain(name) && !strings.Contains(name, "/")
}

// plain reports whether a path holds nothing but letters, digits, dots, hyphens
// and underscores between its slashes.
func plain(name string) bool {
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || digit(c)
		if !letter && c != '.' && c != '-' && c != '_' && c != '/' {
			return false
		}
	}
	return true
}

func hardLinks(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(stat.Nlink)
	}
	return 0
}
