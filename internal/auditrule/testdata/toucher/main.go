// Command toucher touches files on request, one request a line: it is the
// process whose system calls the audit tests look for. It is built for 64-bit
// and 32-bit, and does with package syscall alone: it is quickly built.
package main

import "syscall"

func main() {
	var line []byte
	var one [1]byte
	for {
		n, err := syscall.Read(0, one[:])
		if n == 0 && err == nil {
			return
		}
		if n == 1 && one[0] != '\n' {
			line = append(line, one[0])
			continue
		}
		words := cut(string(line))
		answer := "done"
		if err := touch(words[0], words[1], words[2]); err != nil {
			answer = err.Error()
		}
		syscall.Write(1, []byte(answer+"\n"))
		line = line[:0]
	}
}

// cut splits at tabs.
func cut(line string) (words [3]string) {
	at := 0
	for _, c := range line {
		if c == '\t' && at < 2 {
			at++
			continue
		}
		words[at] += string(c)
	}
	return words
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
	return syscall.EINVAL
}
