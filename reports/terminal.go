package reports

import (
	"os"

	"golang.org/x/sys/unix"
)

// TerminalOptions adds to o what the file that a text report goes to allows:
// colours on a terminal, unless NO_COLOR is set (https://no-color.org) or the
// terminal is dumb, and the terminal's width up to DefaultWidth.
func TerminalOptions(o Options, f *os.File, getenv func(string) string) Options {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return o // no terminal
	}
	o.Color = getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	if size.Col > 0 {
		o.Width = min(int(size.Col), DefaultWidth)
	}
	return o
}

// IsTerminal reports whether a file is a terminal.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}
