package jobs

import (
	"io/fs"
	"syscall"
)

// uidOf is the number of a file's owner.
func uidOf(info fs.FileInfo) uint32 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Uid
	}
	return ^uint32(0)
}
