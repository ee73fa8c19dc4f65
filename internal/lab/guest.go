package lab

import (
	"io/fs"
	"os"
	"testing"
)

// guest is a host under test as the lab reaches it.
type guest interface {
	String() string // "the test host"
	run(input string, args []string) (Result, error)
	write(path string, content []byte, mode fs.FileMode) error
	read(path string) ([]byte, error)
	details() string // what helps to understand a failure; may be empty
}

// hands are what a test does on a guest. Whatever goes wrong with the guest
// itself fails the test.
type hands struct {
	t testing.TB
	guest
}

// Run runs a program on the host as root and returns its outputs and exit
// code. It fails the test if the program does not end in time.
func (h hands) Run(args ...string) Result {
	h.t.Helper()
	return h.RunInput("", args...)
}

// RunInput is Run with a text as the program's standard input.
func (h hands) RunInput(input string, args ...string) Result {
	h.t.Helper()
	result, err := h.run(input, args)
	if err != nil {
		h.t.Fatalf("in %s: %v%s", h.guest, err, h.details())
	}
	return result
}

// Must is Run for programs that have to succeed; it returns what they print.
func (h hands) Must(args ...string) string {
	h.t.Helper()
	result := h.Run(args...)
	if result.Code != 0 {
		h.t.Fatalf("in %s: %q ended with %d: %s", h.guest, args, result.Code, lastLines(result.Stdout+result.Stderr, 15))
	}
	return result.Stdout
}

// WriteFile writes a file of the host, with mode 0644, making the folders
// above it.
func (h hands) WriteFile(path, content string) {
	h.t.Helper()
	h.WriteFileMode(path, content, 0o644)
}

// WriteFileMode is WriteFile with a mode, set even if the file exists.
func (h hands) WriteFileMode(path, content string, mode fs.FileMode) {
	h.t.Helper()
	if err := h.write(path, []byte(content), mode); err != nil {
		h.t.Fatalf("cannot write %s in %s: %v", path, h.guest, err)
	}
}

// ReadFile returns the content of a file of the host.
func (h hands) ReadFile(path string) string {
	h.t.Helper()
	content, err := h.read(path)
	if err != nil {
		h.t.Fatalf("cannot read %s in %s: %v", path, h.guest, err)
	}
	return string(content)
}

// Install copies a file of this machine into the host and makes it executable.
func (h hands) Install(from, to string) {
	h.t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		h.t.Fatalf("cannot copy into %s: %v", h.guest, err)
	}
	h.WriteFileMode(to, string(content), 0o755)
}

// Key is the path of the private key of the good host's operator.
func (h hands) Key() string {
	h.t.Helper()
	path, err := operatorKey()
	if err != nil {
		h.t.Fatal(err)
	}
	return path
}
