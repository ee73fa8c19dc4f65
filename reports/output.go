package reports

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/atomicfile"
	"github.com/hostguard/hostguard/internal/lazyregexp"
)

// fileMode of a report: it names the weaknesses of a host. A file that is
// there already, and ours, keeps its own mode and group: that is how a report
// is made readable to others.
const fileMode = 0o600

// Output is one report to be written: what -o FORMAT=FILE says.
type Output struct {
	Format string // a name in Writers
	File   string // "-" is the standard output
}

// ParseOutput reads FORMAT=FILE.
func ParseOutput(s string) (Output, error) {
	format, file, found := strings.Cut(s, "=")
	if !found || file == "" {
		return Output{}, fmt.Errorf("cannot read the output %q: want FORMAT=FILE, such as json=report.json or text=-", s)
	}
	if _, err := WriterFor(format); err != nil {
		return Output{}, err
	}
	return Output{Format: format, File: file}, nil
}

// Outputs are the places that the reports of a run go to.
type Outputs struct {
	files   []destination // written and renamed
	streams []destination // written as they are
}

type destination struct {
	Output
	file   *atomicfile.File
	stream io.WriteCloser
}

// OpenOutputs prepares all outputs, so that one that cannot be written is known
// before the run starts: its error lists all such. Regular files are written
// atomically. /dev/stdout, /dev/stderr and /dev/fd/N are the descriptors that
// we were started with; other character devices, and FIFOs that are ours and
// have a reader, are written as they are. Links, folders and what else there is
// are refused: as root we do not write where a link planted by others leads.
func OpenOutputs(outputs []Output, stdout io.Writer) (*Outputs, error) {
	o := &Outputs{}
	seen := map[string]bool{}
	var errs []error
	for _, output := range outputs {
		name := output.File
		if name == "/dev/stdout" {
			name = "-"
		}
		if name != "-" {
			if absolute, err := filepath.Abs(name); err == nil && !strings.HasSuffix(name, "/") {
				name = absolute
			}
		}
		if seen[name] {
			errs = append(errs, fmt.Errorf("cannot write two reports to %s", output.File))
			continue
		}
		seen[name] = true
		if err := o.open(output, name, stdout); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		o.Abort()
		return nil, err
	}
	return o, nil
}

func (o *Outputs) open(output Output, name string, stdout io.Writer) error {
	if _, err := WriterFor(output.Format); err != nil {
		return err
	}
	if name == "-" {
		o.streams = append(o.streams, destination{Output: Output{output.Format, "-"}, stream: keptOpen{stdout}})
		return nil
	}
	stream, err := openStream(name)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", output.File, err)
	}
	if stream != nil {
		o.streams = append(o.streams, destination{Output: output, stream: stream})
		return nil
	}
	file, err := atomicfile.Create(name, fileMode)
	if err != nil {
		return err
	}
	o.files = append(o.files, destination{Output: output, file: file})
	return nil
}

// keptOpen is the standard output, which is not ours to close.
type keptOpen struct{ io.Writer }

func (keptOpen) Close() error { return nil }

var descriptor = lazyregexp.New(`^(?:/dev|/proc/self)/fd/([0-9]{1,6})$`)

// openStream opens what is written as it is, and returns nil for the rest.
func openStream(name string) (*os.File, error) {
	fd := -1
	switch match := descriptor().FindStringSubmatch(name); {
	case name == "/dev/stderr":
		fd = 2
	case match != nil:
		fd, _ = strconv.Atoi(match[1])
	}
	if fd >= 0 {
		return duplicate(fd, name)
	}
	info, err := os.Lstat(name)
	if err != nil {
		return nil, nil // absent, or an error that atomicfile will say better
	}
	switch info.Mode() & (os.ModeNamedPipe | os.ModeCharDevice) {
	case os.ModeNamedPipe:
		if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Geteuid() {
			return nil, errors.New("it is somebody else's FIFO")
		}
	case os.ModeCharDevice:
	default:
		return nil, nil
	}
	f, err := os.OpenFile(name, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENXIO) {
		return nil, errors.New("it is a FIFO that nobody reads from")
	}
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	return f, nil
}

func duplicate(fd int, name string) (*os.File, error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return nil, err
	}
	if flags&unix.O_ACCMODE == unix.O_RDONLY {
		return nil, errors.New("it is open for reading only")
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(own), name), nil
}

// Write renders the report to all outputs, see WriteBy.
func (o *Outputs) Write(r *Report, options Options) error {
	return o.WriteBy(options, func(w io.Writer, format string, options Options) error {
		return Writers[format](w, r, options)
	})
}

// WriteBy has something rendered to all outputs: files before streams, so that a
// reader of the standard output who leaves early, which is no error, costs no
// file. Colours and width are decided for each, by what it is. An output that
// fails does not keep the others from being written.
func (o *Outputs) WriteBy(options Options, render func(w io.Writer, format string, options Options) error) error {
	var errs []error
	for _, d := range o.files {
		err := render(d.file, d.Format, options)
		if err == nil {
			err = d.file.Commit()
		}
		errs = append(errs, err)
	}
	for _, d := range o.streams {
		err := render(d.stream, d.Format, forStream(options, d.stream))
		if err != nil && !(d.File == "-" && errors.Is(err, unix.EPIPE)) {
			errs = append(errs, fmt.Errorf("cannot write %s: %w", nameOf(d.File), err))
		}
	}
	o.Abort() // what could not be committed
	return errors.Join(errs...)
}

// Abort closes all outputs; files that Write did not finish leave no trace.
func (o *Outputs) Abort() {
	for _, d := range o.files {
		d.file.Abort()
	}
	for _, d := range o.streams {
		d.stream.Close()
	}
}

func forStream(options Options, stream io.Writer) Options {
	if kept, ok := stream.(keptOpen); ok {
		stream = kept.Writer
	}
	if f, ok := stream.(*os.File); ok {
		return TerminalOptions(options, f, os.Getenv)
	}
	return options
}

func nameOf(file string) string {
	if file == "-" {
		return "the standard output"
	}
	return file
}
