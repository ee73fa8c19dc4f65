package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// savedState is the name that qemu keeps a machine's saved state under.
const savedState = "saved"

// monitor gives qemu a command of its monitor, over its machine protocol (QMP),
// and waits for its end.
func monitor(socket, command string, deadline time.Time) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return fmt.Errorf("cannot ask qemu: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	answers := json.NewDecoder(bufio.NewReader(conn))
	for _, request := range []any{
		map[string]any{"execute": "qmp_capabilities"},
		map[string]any{"execute": "human-monitor-command", "arguments": map[string]string{"command-line": command}},
	} {
		if err := json.NewEncoder(conn).Encode(request); err != nil {
			return fmt.Errorf("cannot ask qemu: %w", err)
		}
		said, err := monitorAnswer(answers)
		if err == nil && said != "" {
			err = errors.New(said)
		}
		if err != nil {
			return fmt.Errorf("qemu cannot %s: %w", command, err)
		}
	}
	return nil
}

// monitorAnswer is the text of the next answer; the greeting and events come between.
func monitorAnswer(answers *json.Decoder) (string, error) {
	for {
		var answer struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
		}
		if err := answers.Decode(&answer); err != nil {
			return "", err
		}
		if answer.Error != nil {
			return "", errors.New(answer.Error.Desc)
		}
		if answer.Return != nil {
			var text string
			_ = json.Unmarshal(answer.Return, &text) // the handshake's is an object
			return strings.TrimSpace(text), nil
		}
	}
}
