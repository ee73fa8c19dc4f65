package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/unitfile"
)

// Where Debian keeps audit rules.
const (
	AuditRulesDir  = "/etc/audit/rules.d"
	AuditRulesFile = "/etc/audit/audit.rules"
)

// AuditFiles is what the host's files say about audit rules.
type AuditFiles struct {
	Loaders []AuditLoader // what loads rules at boot, in order; none: nothing does

	HasDir    bool             // /etc/audit/rules.d exists
	Merged    auditrule.Merged // what augenrules makes of it
	HasFile   bool             // /etc/audit/audit.rules exists
	Generated []auditrule.Text // its lines
	Stale     bool             // augenrules would write another one
	Problem   string           // why auditctl refuses audit.rules as a file; empty: it does not

	Boot auditrule.Loaded // what the next boot would load

	sources []auditrule.Source // the files of rules.d
	awk     auditrule.Awk      // with which augenrules merges them
}

// AuditLoader is a command that loads rules at boot.
type AuditLoader struct {
	Unit       string // auditd.service, say
	Source     string // unit file
	Line       int
	Augenrules bool   // it runs augenrules --load, which writes audit.rules first
	File       string // what auditctl -R reads, else
}

// Persisted reports where the rules that the next boot loads are written.
func (f AuditFiles) Persisted() string {
	for _, l := range f.Loaders {
		if l.Augenrules && f.HasDir {
			return AuditRulesDir
		}
		if !l.Augenrules {
			return l.File
		}
	}
	return AuditRulesFile
}

// AuditFiles reads and judges the rule files; it works on a tree, too.
func (h *Host) AuditFiles(ctx context.Context) (AuditFiles, error) {
	return h.auditFiles.get(ctx, h.readAuditFiles)
}

func (h *Host) readAuditFiles(ctx context.Context) (AuditFiles, error) {
	go h.AuditLoaded(ctx) // what is asked for next, and the kernel can list them meanwhile
	var out AuditFiles
	var err error
	if out.Loaders, err = h.auditLoaders(ctx); err != nil {
		return out, fmt.Errorf("cannot tell what loads the audit rules at boot: %w", err)
	}
	if err := h.readRulesDir(&out); err != nil {
		return out, err
	}
	if err := h.readRulesFile(&out); err != nil {
		return out, err
	}
	if out.HasDir {
		out.Stale = !out.HasFile || !out.Merged.Equal(out.Generated)
	}
	paths, err := h.auditPathFacts(ctx)
	if err != nil {
		return out, err
	}
	lines, err := h.bootLines(&out, nil)
	if err != nil {
		return out, err
	}
	out.Boot = auditrule.Load(lines, paths.env, paths.seen, auditrule.Boot)
	return out, nil
}

// bootLines are the lines that the loaders would read, with files that are
// imagined to hold something else.
func (h *Host) bootLines(out *AuditFiles, imagined map[string][]byte) ([]auditrule.Text, error) {
	var lines []auditrule.Text
	for _, l := range out.Loaders {
		switch {
		case out.Problem != "" && (l.Augenrules || l.File == AuditRulesFile):
			// auditctl refuses the file; augenrules keeps its owner when it writes it.
		case l.Augenrules && out.HasDir:
			lines = append(lines, out.Merged.Lines...)
		case l.Augenrules, l.File == AuditRulesFile:
			lines = append(lines, out.Generated...)
		default:
			data, edited := imagined[l.File]
			if !edited {
				var err error
				if data, err = h.ReadFile(l.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return nil, fmt.Errorf("cannot read the audit rules that %s loads: %w", l.Source, err)
				}
			}
			lines = append(lines, auditrule.Lines(l.File, data)...)
		}
	}
	return lines, nil
}

// readRulesDir reads /etc/audit/rules.d. A file that cannot be read is an
// error: what it holds may be anything.
func (h *Host) readRulesDir(out *AuditFiles) error {
	entries, err := h.ReadDir(AuditRulesDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the audit rules: %w", err)
	}
	out.HasDir = true
	var files []auditrule.Source
	for _, e := range entries {
		// A name of several lines counts when one of them ends so.
		if strings.HasPrefix(e.Name(), ".") || !strings.Contains(e.Name()+"\n", ".rules") {
			continue
		}
		name := path.Join(AuditRulesDir, e.Name())
		data, err := h.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) || err != nil && e.IsDir() {
			continue // cat complains, and augenrules goes on
		}
		if err != nil {
			return fmt.Errorf("cannot read the audit rules: %w", err)
		}
		files = append(files, auditrule.Source{Name: e.Name(), Path: name, Data: data})
	}
	if out.awk, err = h.awk(); err != nil {
		return err
	}
	out.sources = files
	out.Merged = auditrule.Merge(files, out.awk)
	return nil
}

// awk finds the awk that augenrules runs.
func (h *Host) awk() (auditrule.Awk, error) {
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		real, err := h.Resolve(dir + "/awk")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("cannot tell how augenrules reads the rules: %w", err)
		}
		if path.Base(real) == "mawk" {
			return auditrule.Mawk, nil
		}
		return auditrule.Gawk, nil
	}
	return auditrule.Gawk, nil // it cannot run; the unit's state tells
}

func (h *Host) readRulesFile(out *AuditFiles) error {
	data, err := h.ReadFile(AuditRulesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the audit rules: %w", err)
	}
	out.HasFile = true
	out.Generated = auditrule.Lines(AuditRulesFile, data)
	info, err := h.Stat(AuditRulesFile)
	if err != nil {
		return err
	}
	switch owner := info.Sys().(*syscall.Stat_t).Uid; {
	case owner != 0:
		out.Problem = fmt.Sprintf("%s is owned by uid %d: auditctl does not read it", AuditRulesFile, owner)
	case info.Mode().Perm()&0o002 != 0:
		out.Problem = AuditRulesFile + " is writable by everyone: auditctl does not read it"
	}
	return nil
}

// auditUnits load the rules: auditd.service itself, since audit 4
// audit-rules.service before it.
var auditUnits = []string{"audit-rules.service", "auditd.service"}

// auditLoaders finds the commands of the units that load rules.
func (h *Host) auditLoaders(ctx context.Context) ([]AuditLoader, error) {
	var loaders []AuditLoader
	for _, unit := range auditUnits {
		places, err := h.unitPlaces(ctx, "", unit)
		if err != nil {
			return nil, err
		}
		commands := map[string][]AuditLoader{}
		for i, place := range places {
			data, masked, err := h.readUnit(place.Path)
			if err != nil {
				return nil, err
			}
			if masked && i == 0 {
				break // the unit itself, not one of its drop-ins
			}
			for _, e := range unitfile.Parse(data) {
				if e.Section != "Service" || !strings.HasPrefix(e.Key, "ExecStart") {
					continue
				}
				if e.Value == "" {
					commands[e.Key] = nil
				}
				if l, ok := auditLoader(e.Value); ok {
					l.Unit, l.Source, l.Line = unit, place.Path, e.Line
					commands[e.Key] = append(commands[e.Key], l)
				}
			}
		}
		for _, key := range []string{"ExecStartPre", "ExecStart", "ExecStartPost"} {
			loaders = append(loaders, commands[key]...)
		}
	}
	return loaders, nil
}

// auditLoader recognises a command line that loads rules.
func auditLoader(command string) (AuditLoader, bool) {
	words := strings.Fields(strings.TrimLeft(command, "-@:+!"))
	if len(words) == 0 {
		return AuditLoader{}, false
	}
	switch path.Base(words[0]) {
	case "augenrules":
		for _, w := range words[1:] {
			if w == "--load" {
				return AuditLoader{Augenrules: true}, true
			}
		}
	case "auditctl":
		if len(words) == 3 && words[1] == "-R" {
			return AuditLoader{File: words[2]}, true
		}
	}
	return AuditLoader{}, false
}

// AuditEnv answers what the reading of a rules file asks of this host.
func (h *Host) AuditEnv(ctx context.Context) (auditrule.Env, error) {
	paths, err := h.auditPathFacts(ctx)
	if err != nil {
		return nil, err
	}
	return paths.env, nil
}

// auditEnv answers what the reading of a rules file asks of the host.
type auditEnv struct {
	paths         auditrule.Paths
	users, groups func() (map[string]accountID, error) // read when the first is asked for
}

// accountID is the number of an account, or why it has none.
type accountID struct {
	id  uint32
	err error
}

func (h *Host) newAuditEnv(paths auditrule.Paths) auditEnv {
	of := func(file string) func() (map[string]accountID, error) {
		return sync.OnceValues(func() (map[string]accountID, error) { return h.accountIDs(file) })
	}
	return auditEnv{paths, of("/etc/passwd"), of("/etc/group")}
}

// Machine implements auditrule.Env. Of a tree it is taken to be this
// program's.
func (e auditEnv) Machine() (auditrule.Machine, error) { return auditMachine() }

func auditMachine() (auditrule.Machine, error) {
	m, ok := auditrule.ThisMachine()
	if !ok {
		return m, errors.New("the system calls of this architecture are not known")
	}
	return m, nil
}

// UID implements auditrule.Env.
func (e auditEnv) UID(name string) (uint32, bool, error) { return idOf(e.users, "/etc/passwd", name) }

// GID implements auditrule.Env.
func (e auditEnv) GID(name string) (uint32, bool, error) { return idOf(e.groups, "/etc/group", name) }

func idOf(ids func() (map[string]accountID, error), file, name string) (uint32, bool, error) {
	all, err := ids()
	if err != nil {
		return 0, false, err
	}
	account, found := all[name]
	if !found {
		return 0, false, fmt.Errorf("%s does not name it, and other sources are not asked", file)
	}
	return account.id, account.err == nil, account.err
}

// accountIDs reads the names and numbers of /etc/passwd or /etc/group; of lines
// with one name the first counts.
func (h *Host) accountIDs(file string) (map[string]accountID, error) {
	data, err := h.ReadFile(file)
	if err != nil {
		return nil, err
	}
	ids := map[string]accountID{}
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(fields) < 3 {
			continue
		}
		if _, known := ids[fields[0]]; known {
			continue
		}
		n, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil {
			err = fmt.Errorf("%s has no number for %s", file, fields[0])
		}
		ids[fields[0]] = accountID{uint32(n), err}
	}
	return ids, nil
}

// IsDir implements auditrule.Env.
func (e auditEnv) IsDir(name string) (bool, error) { return auditrule.IsDir(e.paths, name) }

// AuditViews are the host's audit rules prepared for questions about paths.
type AuditViews struct {
	Boot      *auditrule.View // the rules that the next boot loads
	Loaded    *auditrule.View // the rules that the kernel holds; nil with LoadedErr
	LoadedErr error           // why the kernel's rules cannot be seen; ErrNotRunning of a tree
}

// AuditViews returns both sides.
func (h *Host) AuditViews(ctx context.Context) (AuditViews, error) {
	return h.auditViews.get(ctx, func(ctx context.Context) (AuditViews, error) {
		var views AuditViews
		files, err := h.AuditFiles(ctx)
		if err != nil {
			return views, err
		}
		if views.Boot, err = h.AuditView(ctx, files.Boot.Rules); err != nil {
			return views, err
		}
		loaded, err := h.AuditLoaded(ctx)
		if err != nil {
			views.LoadedErr = err
			return views, nil
		}
		views.Loaded, err = h.AuditView(ctx, loaded)
		return views, err
	})
}
