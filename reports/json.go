package reports

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// Schema is the JSON Schema (2020-12) of what WriteJSON writes.
//
//go:embed report.schema.json
var Schema []byte

// WriteJSON writes the report as one JSON object in ASCII: characters beyond
// it are \u escapes. Findings are written one by one, so that a large report
// needs no second copy of itself in memory.
func WriteJSON(w io.Writer, r *Report, _ Options) error {
	out := bufio.NewWriterSize(w, 32<<10)
	head := *r
	head.Findings = nil
	data, err := json.MarshalIndent(head, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write the report as JSON: %w", err)
	}
	// Findings are the last field, so this is where they belong.
	writeASCII(out, bytes.TrimSuffix(data, []byte("null\n}")))
	separator := "[\n    "
	for i := range r.Findings {
		data, err := json.MarshalIndent(&r.Findings[i], "    ", "  ")
		if err != nil {
			return fmt.Errorf("cannot write finding %s as JSON: %w", r.Findings[i].Rule, err)
		}
		out.WriteString(separator)
		writeASCII(out, data)
		separator = ",\n    "
	}
	if len(r.Findings) == 0 {
		out.WriteString("[")
	}
	out.WriteString("\n  ]\n}\n")
	return out.Flush() // repeats the first error of all the writes
}

// writeASCII writes JSON with all beyond ASCII escaped. Such characters occur
// in strings only, so the meaning stays.
func writeASCII(out *bufio.Writer, data []byte) {
	for len(data) > 0 {
		plain := 0
		for plain < len(data) && data[plain] < utf8.RuneSelf {
			plain++
		}
		out.Write(data[:plain])
		if data = data[plain:]; len(data) == 0 {
			return
		}
		r, size := utf8.DecodeRune(data) // valid: encoding/json saw to it
		data = data[size:]
		if r1, r2 := utf16.EncodeRune(r); r1 != utf8.RuneError {
			fmt.Fprintf(out, `\u%04x\u%04x`, r1, r2)
		} else {
			fmt.Fprintf(out, `\u%04x`, r)
		}
	}
}
