package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// agent speaks with the guest agent of a virtual machine over a serial port of
// its own, so that commands run there whatever a test does to sshd and network.
type agent struct {
	conn  net.Conn
	lines *bufio.Reader
}

// dialAgent connects to the port and waits until the agent answers.
func dialAgent(socket string, deadline time.Time) (*agent, error) {
	var conn net.Conn
	var err error
	poll(time.Until(deadline), func() bool {
		conn, err = net.Dial("unix", socket)
		return !errors.Is(err, syscall.ECONNREFUSED) // the socket is there a moment before qemu listens
	})
	if err != nil {
		return nil, err
	}
	a := &agent{conn: conn, lines: bufio.NewReader(conn)}
	if err := a.sync(deadline); err != nil {
		conn.Close()
		return nil, fmt.Errorf("no agent answers: %w", err)
	}
	return a, nil
}

// sync asks until the agent gives back the number it was asked for: what is
// sent before the agent runs can be lost, and old answers can be under way.
func (a *agent) sync(deadline time.Time) error {
	const pause = 500 * time.Millisecond
	for number := 1; ; number++ {
		request := map[string]any{"execute": "guest-sync", "arguments": map[string]int{"id": number}}
		for asked := a.send(request, time.Now().Add(pause)); asked == nil; {
			var answer struct{ Return int }
			line, err := a.lines.ReadBytes('\n')
			if err != nil {
				break
			}
			if json.Unmarshal(line, &answer) == nil && answer.Return == number {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return errors.New("its time is over")
		}
	}
}

func (a *agent) send(request any, deadline time.Time) error {
	if err := a.conn.SetDeadline(deadline); err != nil {
		return err
	}
	text, err := json.Marshal(request)
	if err != nil {
		return err
	}
	_, err = a.conn.Write(append(text, '\n'))
	return err
}

// call has the agent carry out one of its commands and decodes its answer.
func (a *agent) call(command string, arguments, answer any, deadline time.Time) error {
	err := a.send(map[string]any{"execute": command, "arguments": arguments}, deadline)
	if err != nil {
		return fmt.Errorf("cannot ask the agent: %w", err)
	}
	line, err := a.lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("cannot hear the agent: %w", err)
	}
	reply := struct {
		Return any
		Error  *struct{ Desc string }
	}{Return: answer}
	if err := json.Unmarshal(line, &reply); err != nil {
		return fmt.Errorf("cannot understand the agent: %w", err)
	}
	if reply.Error != nil {
		return fmt.Errorf("the agent refuses %s: %s", command, reply.Error.Desc)
	}
	return nil
}

// run runs a program in the guest to its end.
func (a *agent) run(args []string, input string, deadline time.Time) (Result, error) {
	var started struct{ PID int }
	err := a.call("guest-exec", map[string]any{
		"path": "/usr/bin/env", "arg": append(append([]string{"-i"}, cleanEnv...), args...),
		"input-data": []byte(input), "capture-output": true,
	}, &started, deadline)
	if err != nil {
		return Result{}, err
	}
	// The agent has no way to tell the end, and writes each question into the
	// journal: asked without pause it would take half of the processor.
	for pause := 20 * time.Millisecond; ; pause = min(pause*3/2, time.Second) {
		var status struct {
			Exited   bool
			ExitCode int
			Signal   int
			Out      []byte `json:"out-data"`
			Err      []byte `json:"err-data"`
		}
		if err := a.call("guest-exec-status", map[string]int{"pid": started.PID}, &status, deadline); err != nil {
			return Result{}, fmt.Errorf("cannot wait for %q: %w", args, err)
		}
		if status.Exited {
			if status.Signal != 0 {
				status.ExitCode = 128 + status.Signal
			}
			return Result{Stdout: string(status.Out), Stderr: string(status.Err), Code: status.ExitCode}, nil
		}
		if time.Now().After(deadline) {
			return Result{}, fmt.Errorf("cannot wait for %q: its time is over", args)
		}
		time.Sleep(pause)
	}
}

// writeFile writes a file in the guest.
func (a *agent) writeFile(path string, content []byte, deadline time.Time) error {
	var handle int
	err := a.call("guest-file-open", map[string]string{"path": path, "mode": "w"}, &handle, deadline)
	if err != nil {
		return err
	}
	const piece = 1 << 20
	for len(content) > 0 && err == nil {
		part := content[:min(piece, len(content))]
		var written struct{ Count int }
		err = a.call("guest-file-write", map[string]any{"handle": handle, "buf-b64": part}, &written, deadline)
		content = content[written.Count:]
	}
	return errors.Join(err, a.call("guest-file-close", map[string]int{"handle": handle}, nil, deadline))
}
