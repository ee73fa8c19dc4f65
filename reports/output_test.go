package reports

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseOutput(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"json=report.json": "{json report.json} <nil>",
		"text=-":           "{text -} <nil>",
		"json=a=b":         "{json a=b} <nil>",
		"report.json":      `{ } cannot read the output "report.json": want FORMAT=FILE, such as json=report.json or text=-`,
		"json=":            `{ } cannot read the output "json=": want FORMAT=FILE, such as json=report.json or text=-`,
		"pdf=x":            `{ } there is no report format "pdf": want json or text`,
		"":                 `{ } cannot read the output "": want FORMAT=FILE, such as json=report.json or text=-`,
	} {
		output, err := ParseOutput(in)
		if got := fmt.Sprint(output, err); got != want {
			t.Errorf("ParseOutput(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestOutputsWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := New(fixture())
	file, brief := filepath.Join(dir, "report.json"), filepath.Join(dir, "report.txt")
	var stdout bytes.Buffer
	outs, err := OpenOutputs([]Output{{"json", file}, {"text", brief}, {"text", "-"}}, &stdout)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err == nil || stdout.Len() > 0 {
		t.Error("something is to be seen before Write")
	}
	if err := outs.Write(r, Options{Quiet: true}); err != nil {
		t.Fatal(err)
	}
	outs.Abort() // as a deferred call does
	for name, got := range map[string]string{"stdout": stdout.String(), brief: read(t, brief)} {
		if want := string(render(t, WriteText, fixture(), Options{Quiet: true})); got != want {
			t.Errorf("%s holds\n%s", name, got)
		}
	}
	if read(t, file) != string(render(t, WriteJSON, fixture(), Options{})) {
		t.Error("the file is not the JSON report")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("the folder holds %v", entries)
	}
}

func TestOutputsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	os.WriteFile(at("file"), []byte("old"), 0o600)
	os.Symlink(at("file"), at("link"))
	unix.Mkfifo(at("fifo"), 0o600)
	for _, c := range []struct {
		name string
		list []Output
		want string
	}{
		{"all are told", []Output{{"json", at("no/x")}, {"text", at("link")}, {"text", at("good")}},
			"cannot write " + at("no/x") + ": no such file or directory\ncannot write " + at("link") + ": it is a symbolic link: name the file that it leads to"},
		{"the same file twice", []Output{{"json", at("a")}, {"text", dir + "/./a"}}, "cannot write two reports to " + dir + "/./a"},
		{"the standard output twice", []Output{{"json", "-"}, {"text", "/dev/stdout"}}, "cannot write two reports to /dev/stdout"},
		{"no such format", []Output{{"pdf", "-"}}, `there is no report format "pdf": want json or text`},
		{"a FIFO without a reader", []Output{{"json", at("fifo")}}, "cannot write " + at("fifo") + ": it is a FIFO that nobody reads from"},
		{"a descriptor that is not open", []Output{{"json", "/dev/fd/9999"}}, "cannot write /dev/fd/9999: bad file descriptor"},
		{"a folder", []Output{{"json", dir}}, "cannot write " + dir + ": it is a folder"},
		{"a folder with a slash", []Output{{"json", dir + "/"}}, "cannot write " + dir + "/: it is a folder"},
	} {
		outs, err := OpenOutputs(c.list, io.Discard)
		if outs != nil || err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 3 || read(t, at("file")) != "old" {
		t.Errorf("refusing left %v behind", entries)
	}
}

func TestOutputToReader(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	r, w, err := os.Pipe() // what a shell's >(…) is
	if err != nil {
		t.Fatal(err)
	}
	outs, err := OpenOutputs([]Output{{"json", fifo}, {"json", fmt.Sprintf("/dev/fd/%d", w.Fd())}, {"json", "/dev/null"}}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := OpenOutputs([]Output{{"json", fmt.Sprintf("/dev/fd/%d", r.Fd())}}, io.Discard); err == nil || !strings.HasSuffix(err.Error(), "it is open for reading only") {
		t.Errorf("a descriptor for reading: %v", err)
	}
	fromPipe := make(chan string)
	for _, f := range []io.Reader{r, reader} {
		go func() {
			data, _ := io.ReadAll(f)
			fromPipe <- string(data)
		}()
	}
	if err := outs.Write(New(fixture()), Options{}); err != nil {
		t.Fatal(err)
	}
	want := string(render(t, WriteJSON, fixture(), Options{}))
	for range 2 {
		if got := <-fromPipe; got != want {
			t.Errorf("the reader got %d bytes, want %d", len(got), len(want))
		}
	}
}

// A reader who leaves early is no error and costs no file; a full disk is one.
func TestOutputFailures(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "report.json")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	outs, err := OpenOutputs([]Output{{"text", "-"}, {"json", file}}, w)
	if err != nil {
		t.Fatal(err)
	}
	if err := outs.Write(New(fixture()), Options{}); err != nil {
		t.Errorf("with the reader gone: %v", err)
	}
	if len(read(t, file)) == 0 {
		t.Error("the file is empty")
	}

	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	outs, err = OpenOutputs([]Output{{"text", "-"}, {"json", "/dev/full"}}, full)
	if err != nil {
		t.Fatal(err)
	}
	want := "cannot write the standard output: write /dev/full: no space left on device\ncannot write /dev/full: write /dev/full: no space left on device"
	if err := outs.Write(New(fixture()), Options{}); err == nil || err.Error() != want {
		t.Errorf("to a full disk: %v, want %s", err, want)
	}
}

func TestTerminalOptions(t *testing.T) {
	t.Parallel()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 72}); err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, c := range []struct {
		name string
		file *os.File
		env  map[string]string
		want Options
	}{
		{"a terminal", master, nil, Options{Color: true, Width: 72}},
		{"NO_COLOR", master, map[string]string{"NO_COLOR": "1"}, Options{Width: 72}},
		{"an empty NO_COLOR is none", master, map[string]string{"NO_COLOR": ""}, Options{Color: true, Width: 72}},
		{"dumb terminal", master, map[string]string{"TERM": "dumb"}, Options{Width: 72}},
		{"no terminal", null, nil, Options{}},
	} {
		if got := TerminalOptions(Options{}, c.file, func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
