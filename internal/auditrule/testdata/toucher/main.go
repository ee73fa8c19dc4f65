// Command toucher touches files on request, one request a line: it is the
// process whose system calls the audit tests look for. It is built for 64-bit
// and 32-bit.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
)

func main() {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		op, path, _ := strings.Cut(in.Text(), " ")
		path, second, _ := strings.Cut(path, "\t")
		fmt.Println(touch(op, path, second))
	}
}

func touch(op, path, second string) error {
	openAnd := func(flags int) error {
		fd, err := syscall.Open(path, flags, 0o600)
		if err == nil {
			syscall.Close(fd)
		}
		return err
	}
	switch op {
	case "write":
		return openAnd(syscall.O_WRONLY)
	case "read":
		return openAnd(syscall.O_RDONLY)
	case "create":
		return openAnd(syscall.O_WRONLY | syscall.O_CREAT | syscall.O_EXCL)
	case "truncate":
		return syscall.Truncate(path, 0)
	case "unlink":
		return syscall.Unlink(path)
	case "mkdir":
		return syscall.Mkdir(path, 0o700)
	case "rename":
		return syscall.Rename(second, path)
	case "link":
		return syscall.Link(second, path)
	case "chmod":
		return syscall.Chmod(path, 0o644)
	case "chown":
		return syscall.Chown(path, 0, 0)
	case "exec":
		pid, err := syscall.ForkExec(path, []string{path}, &syscall.ProcAttr{})
		if err == nil {
			_, err = syscall.Wait4(pid, nil, 0, nil)
		}
		return err
	case "connect":
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		if err == nil {
			err = syscall.Connect(fd, &syscall.SockaddrUnix{Name: path})
			syscall.Close(fd)
		}
		return err
	}
	return fmt.Errorf("unknown request %q", op)
}
