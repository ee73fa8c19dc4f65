package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/attested"
	"github.com/hostguard/hostguard/internal/auditrule"
)

// hostsDir holds the hosts; its README.md describes their notation.
const hostsDir = "../../testdata/hosts"

// hostFile is one host of testdata/hosts as it is written.
type hostFile struct {
	name    string // without .txtar
	archive *txtar.Archive
	from    string // the host that this one is a change of; empty: none
	args    []string
	wants   string
}

func readHost(t testing.TB, name string) *hostFile {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join(hostsDir, name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	h := &hostFile{name: name, archive: archive}
	for _, f := range archive.Files {
		switch f.Name {
		case "from":
			h.from = strings.TrimSpace(string(f.Data))
		case "args":
			h.args = strings.Fields(string(f.Data))
		case "wants":
			h.wants = string(f.Data)
		case "tree", "hostguard.yaml":
		default:
			if !strings.HasPrefix(f.Name, "/") && !strings.HasPrefix(f.Name, "$OUTSIDE/") {
				t.Fatalf("%s: %q is no path of the host and no section that is known", name, f.Name)
			}
		}
	}
	return h
}

// save writes new wants into the host's file.
func (h *hostFile) save(t testing.TB, wants string) {
	t.Helper()
	for i := range h.archive.Files {
		if h.archive.Files[i].Name == "wants" {
			h.archive.Files = append(h.archive.Files[:i], h.archive.Files[i+1:]...)
			break
		}
	}
	h.archive.Files = append(h.archive.Files, txtar.File{Name: "wants", Data: []byte(wants)})
	if err := os.WriteFile(filepath.Join(hostsDir, h.name+".txtar"), txtar.Format(h.archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// planted is a host made of its file.
type planted struct {
	root    string   // the tree
	outside string   // a folder beside it, which nobody must read
	dir     string   // of both, and of the configuration: where check is run
	args    []string // for check
}

// plant makes the tree of a host, the one it is a change of first.
func plant(t testing.TB, name string) planted {
	t.Helper()
	dir := t.TempDir()
	p := planted{dir: dir, root: filepath.Join(dir, "root"), outside: filepath.Join(dir, "outside")}
	for _, d := range []string{p.root, p.outside} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(p.root) // a tree that holds links out of itself is no danger to its maker either
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	stores := storeMaker{}
	var lay func(name string)
	lay = func(name string) {
		h := readHost(t, name)
		if h.from != "" {
			lay(h.from)
		}
		if h.args != nil {
			p.args = h.args
		}
		for _, f := range h.archive.Files {
			data := dated(bytes.ReplaceAll(f.Data, []byte("$OUTSIDE"), []byte(p.outside)))
			var err error
			switch {
			case strings.HasPrefix(f.Name, "/"):
				err = writeHostFile(root, f.Name, data, 0o644)
			case strings.HasPrefix(f.Name, "$OUTSIDE/"):
				err = os.WriteFile(filepath.Join(p.outside, strings.TrimPrefix(f.Name, "$OUTSIDE/")), data, 0o644)
			case f.Name == "hostguard.yaml":
				err = os.WriteFile(filepath.Join(dir, "hostguard.yaml"), data, 0o644)
			case f.Name == "tree":
				number := 0
				for line := range strings.Lines(string(data)) {
					number++
					if err := directive(root, stores, strings.TrimSpace(line)); err != nil {
						t.Fatalf("%s: line %d of tree: %v", name, number, err)
					}
				}
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	lay(name)
	if _, err := os.Stat(filepath.Join(dir, "hostguard.yaml")); err == nil {
		p.args = append([]string{"--config", "hostguard.yaml"}, p.args...)
	}
	return p
}

var datePlaceholder = regexp.MustCompile(`\$TODAY([+-][0-9]+)?`)

// dated writes days for $TODAY, $TODAY-10 and $TODAY+10.
func dated(data []byte) []byte {
	return datePlaceholder.ReplaceAllFunc(data, func(word []byte) []byte {
		days, _ := strconv.Atoi(strings.TrimPrefix(string(word), "$TODAY"))
		return []byte(attested.DayOf(time.Now()).Add(days).String())
	})
}

func writeHostFile(root *os.Root, name string, data []byte, mode fs.FileMode) error {
	name = inside(name)
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if err := root.RemoveAll(name); err != nil { // a link in its place would be followed
		return err
	}
	return root.WriteFile(name, data, mode)
}

// inside is a host's path as os.Root wants it.
func inside(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// directive does what one line of a section "tree" says.
func directive(root *os.Root, stores storeMaker, line string) error {
	words, err := splitWords(line)
	if err != nil || len(words) == 0 {
		return err
	}
	verb, words := words[0], words[1:]
	if verb == "augenrules" {
		return augenrules(root)
	}
	if verb == "ledger" {
		return appendToLedger(root, words)
	}
	least := map[string]int{"dir": 1, "link": 2, "mode": 2, "remove": 1, "fifo": 1, "socket": 1, "sparse": 2, "program": 1, "goprogram": 3, "replace": 3, "append": 2, "repeat": 4, "store": 2}
	n, known := least[verb]
	if !known || len(words) < n {
		return fmt.Errorf("cannot read %q", line)
	}
	name := inside(words[0])
	made := filepath.Join(root.Name(), name)
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	switch verb {
	case "dir":
		if err := root.MkdirAll(name, 0o755); err != nil {
			return err
		}
		return setMode(root, name, words[1:])
	case "mode":
		return setMode(root, name, words[1:])
	case "link":
		if err := root.RemoveAll(name); err != nil {
			return err
		}
		return root.Symlink(words[1], name)
	case "remove":
		return root.RemoveAll(name)
	case "fifo", "socket":
		if err := root.RemoveAll(name); err != nil {
			return err
		}
		kind := map[string]uint32{"fifo": unix.S_IFIFO, "socket": unix.S_IFSOCK}[verb]
		return unix.Mknod(made, kind|0o644, 0)
	case "sparse":
		size, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			return err
		}
		if err := writeHostFile(root, name, nil, 0o644); err != nil {
			return err
		}
		return os.Truncate(made, size)
	case "program":
		return writeHostFile(root, name, []byte("\x7fELF\x00"+strings.Join(words[1:], "\x00")+"\x00"), 0o755)
	case "store":
		data, err := stores.store("/"+name, words[1:])
		if err != nil {
			return err
		}
		if err := writeHostFile(root, name, data, 0o440); err != nil {
			return err
		}
		return root.Lchown(name, 65534, 0)
	case "goprogram":
		return writeHostFile(root, name, goProgram(words[1], words[2]), 0o755)
	}
	data, err := root.ReadFile(name)
	if err != nil {
		return err
	}
	switch text := string(data); verb {
	case "replace":
		if strings.Count(text, words[1]) == 0 {
			return fmt.Errorf("%s does not hold %q", name, words[1])
		}
		text = strings.ReplaceAll(text, words[1], words[2])
		return root.WriteFile(name, []byte(text), 0o644)
	case "append":
		return root.WriteFile(name, []byte(text+words[1]), 0o644)
	default: // repeat
		first, err1 := strconv.Atoi(words[1])
		count, err2 := strconv.Atoi(words[2])
		if err1 != nil || err2 != nil {
			return fmt.Errorf("cannot read the numbers of %q", line)
		}
		var b strings.Builder
		b.WriteString(text)
		for i := range count {
			b.WriteString(strings.ReplaceAll(words[3], "%d", strconv.Itoa(first+i)))
		}
		return root.WriteFile(name, []byte(b.String()), 0o644)
	}
}

// augenrules writes the file that the program of this name would write.
func augenrules(root *os.Root) error {
	entries, err := fs.ReadDir(root.FS(), "etc/audit/rules.d")
	if err != nil {
		return err
	}
	var files []auditrule.Source
	for _, e := range entries {
		data, err := root.ReadFile("etc/audit/rules.d/" + e.Name())
		if err != nil {
			return err
		}
		if strings.HasSuffix(e.Name(), ".rules") && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, auditrule.Source{Name: e.Name(), Path: e.Name(), Data: data})
		}
	}
	return writeHostFile(root, "etc/audit/audit.rules", auditrule.Merge(files, auditrule.Mawk).Bytes(), 0o640)
}

// setMode sets a mode and, when given, an owner: "0640 0:4".
func setMode(root *os.Root, name string, words []string) error {
	if len(words) > 1 {
		uid, gid, _ := strings.Cut(words[1], ":")
		u, err1 := strconv.Atoi(uid)
		g, err2 := strconv.Atoi(gid)
		if err1 != nil || err2 != nil {
			return fmt.Errorf("cannot read the owner %q", words[1])
		}
		if err := root.Lchown(name, u, g); err != nil {
			return err
		}
	}
	if len(words) > 0 {
		mode, err := strconv.ParseUint(words[0], 8, 12)
		if err != nil {
			return err
		}
		return root.Chmod(name, fs.FileMode(mode))
	}
	return nil
}

// splitWords cuts a line at blanks; a word in double quotes is a Go string. What
// follows # is a comment.
func splitWords(line string) (words []string, err error) {
	for line = strings.TrimLeft(line, " \t"); line != "" && line[0] != '#'; line = strings.TrimLeft(line, " \t") {
		if line[0] != '"' {
			end := strings.IndexAny(line, " \t")
			if end < 0 {
				end = len(line)
			}
			words, line = append(words, line[:end]), line[end:]
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, fmt.Errorf("cannot read %q: %w", line, err)
		}
		word, _ := strconv.Unquote(quoted)
		words, line = append(words, word), line[len(quoted):]
	}
	return words, nil
}

// goProgram is the least ELF file in which debug/buildinfo finds what a Go
// program was built from: a segment that is also the section .go.buildinfo.
func goProgram(module, version string) []byte {
	const (
		header, segment, section = 64, 56, 64
		base                     = 0x400000
	)
	sized := func(s string) string { return string(binary.AppendUvarint(nil, uint64(len(s)))) + s }
	const mark = "0123456789abcdef" // sixteen bytes stand before and behind the description
	description := mark + "path\t" + module + "\nmod\t" + strings.TrimSuffix(module, "/cmd") + "\t" + version + "\t\n" + mark
	info := "\xff Go buildinf:\x08\x02" + strings.Repeat("\x00", 16) + sized("go1.24.1") + sized(description)
	names := "\x00.go.buildinfo\x00.shstrtab\x00"

	infoAt := header + segment + 8 // a multiple of 16
	namesAt := infoAt + len(info)
	sectionsAt := (namesAt + len(names) + 7) &^ 7
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			binary.Write(&b, binary.LittleEndian, v)
		}
	}
	b.WriteString("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9))
	put(uint16(2), uint16(62), uint32(1), uint64(base), uint64(header), uint64(sectionsAt), uint32(0),
		uint16(header), uint16(segment), uint16(1), uint16(section), uint16(3), uint16(2))
	put(uint32(1), uint32(6), uint64(infoAt), uint64(base), uint64(base), uint64(len(info)), uint64(len(info)), uint64(16))
	b.WriteString(strings.Repeat("\x00", infoAt-b.Len()) + info + names)
	b.WriteString(strings.Repeat("\x00", sectionsAt-b.Len()))
	b.Write(make([]byte, section))
	put(uint32(1), uint32(1), uint64(3), uint64(base), uint64(infoAt), uint64(len(info)), uint32(0), uint32(0), uint64(16), uint64(0))
	put(uint32(15), uint32(3), uint64(0), uint64(0), uint64(namesAt), uint64(len(names)), uint32(0), uint32(0), uint64(1), uint64(0))
	return b.Bytes()
}
