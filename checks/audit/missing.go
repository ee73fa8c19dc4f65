package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/printable"
)

// ProposedFile is where rules that are missing are best written.
const ProposedFile = host.AuditRulesDir + "/50-hostguard.rules"

// Proposal is what closes the gaps of the requirements.
type Proposal struct {
	File  string // the rules belong to its end
	Rules []Proposed
	Open  []Gap // what no rule closes as things are
	Ready []Gap // what the next boot covers already, and the kernel does not yet

	// Load are the rules that the kernel lacks of those by which the next boot
	// would cover what is asked for, in their order; nil where the kernel was
	// not looked at.
	Load []auditrule.Rule
	// Unheard is what the kernel would not record even with those rules behind
	// its own, in which the first that matches decides.
	Unheard []Gap
	// Blocked says why no rule that is added is loaded at boot, or not safely so.
	Blocked Gap
}

// Assume is what somebody is about to change besides, before rules are added.
type Assume struct {
	Started bool            // the next boot starts what loads the rules
	Edits   host.AuditEdits // what is written
	File    string          // where rules are proposed; empty: where they are best written
}

// Proposed is one rule in the syntax of rules.d.
type Proposed struct {
	Text  string
	Rules []string // the requirements that it is for
	For   string   // the path that it is for: "dockerd /usr/bin/dockerd"
	Note  string   // why it is wider than that; empty: it is not
}

// Gap is something that is not recorded and that no proposed rule changes.
type Gap struct {
	Rule  string // the requirement
	Path  string // with what it is
	Why   string
	First string // what an administrator does first, then asks again; empty: not known
	Make  *Made  // the same as a fact, where it is a folder for tmpfiles.d(5) to make
}

// Made is a folder that a line of tmpfiles.d(5) makes at boot.
type Made struct {
	Path     string
	Mode     fs.FileMode
	UID, GID uint32
}

// Line is the folder's line in a file of tmpfiles.d.
func (m Made) Line() string { return fmt.Sprintf("d %s %04o %d %d -", m.Path, m.Mode, m.UID, m.GID) }

// File is where hostguard writes the line.
func (m Made) File() string {
	return "/etc/tmpfiles.d/hostguard" + strings.ReplaceAll(m.Path, "/", "-") + ".conf"
}

// Missing finds the rules that are missing on disk. It proposes none whose path
// can vanish, since the load at boot would end there: neither below a folder
// that lies in memory, nor in a volume that docker removes, nor where another
// user than root can take a folder away. What it proposes it tries: the rules
// files with the proposal, as auditctl would load them at boot, must cover what
// they are for; what they do not is in Open.
func Missing(ctx context.Context, h *host.Host, watches []Watch) (Proposal, []Unknown, error) {
	return MissingWith(ctx, h, watches, Assume{})
}

// MissingWith is Missing on a host that is about to be changed.
func MissingWith(ctx context.Context, h *host.Host, watches []Watch, assume Assume) (Proposal, []Unknown, error) {
	files, err := h.ImagineAudit(ctx, assume.Edits)
	if err != nil {
		return Proposal{}, nil, err
	}
	wanted, unknown, err := uncovered(ctx, h, watches, files, assume.Edits)
	if err != nil {
		return Proposal{}, nil, err
	}
	m := proposer{ctx: ctx, h: h, files: files, edits: assume.Edits, out: Proposal{File: cmp.Or(assume.File, ProposedFile)}}
	if files.Persisted() != host.AuditRulesDir {
		m.out.File = files.Persisted()
	}
	if err := m.readBase(); err != nil {
		return Proposal{}, nil, err
	}
	if layout, err := h.DockerLayout(ctx); err == nil && layout.DataRoot.Path != "" {
		m.dockers = []string{path.Join(layout.DataRoot.Path, "volumes"), layout.DataRoot.Path}
	}
	idle, err := NotStarted(ctx, h, files)
	if err != nil {
		unknown = append(unknown, Unknown{"the next boot", err})
	}
	if assume.Started && len(files.Loaders) > 0 {
		idle = ""
	}
	m.idle = idle != ""
	if m.blocked = blocked(files, idle); m.blocked.Why == "" {
		if err := m.propose(wanted); err != nil {
			return Proposal{}, nil, err
		}
	}
	err = m.try(wanted)
	m.out.Blocked = m.blocked
	return m.out, unknown, err
}

// blocked says why no rule that is added would be loaded at boot, or not
// safely so: a line that is mended later may repeat one that was added.
func blocked(files host.AuditFiles, idle string) Gap {
	switch {
	case len(files.Loaders) == 0:
		return Gap{Why: idle, First: "apt-get install auditd"}
	case idle != "":
		return Gap{Why: idle, First: "systemctl enable auditd.service"}
	case files.Problem != "":
		return Gap{Why: files.Problem, First: "chown root " + host.AuditRulesFile + " && chmod o-w " + host.AuditRulesFile}
	case files.Boot.Stopped != nil:
		return Gap{Why: "the load ends at " + files.Boot.Stopped.Error() + ": mend that line first"}
	}
	return Gap{}
}

// wantedPath is a target of a requirement that is not covered on some side.
type wantedPath struct {
	target
	watch        Watch
	boot, loaded auditrule.Coverage
	seen         bool // the kernel's side was looked at
	locked       bool // and only a reboot changes it
}

func uncovered(ctx context.Context, h *host.Host, watches []Watch, files host.AuditFiles, edits host.AuditEdits) (wanted []wantedPath, unknown []Unknown, err error) {
	boot, err := h.ImagineAuditView(ctx, files.Boot.Rules, edits)
	if err != nil {
		return nil, nil, err
	}
	for _, w := range watches {
		targets, _, _, err := findTargets(ctx, h, w.Params) // none may be there yet
		var sides bothSides
		if err == nil {
			sides, err = sidesOf(ctx, h, targets)
		}
		if err != nil {
			unknown = append(unknown, Unknown{w.Rule, err})
			continue
		}
		if sides.paths, err = withFuture(ctx, h, sides.paths, w.Params, edits); err != nil {
			return nil, nil, err
		}
		for _, p := range sides.paths {
			sides.files = files
			p.boot = sides.bootCoverage(boot.Cover(p.Want))
			wanted = append(wanted, wantedPath{p.target, w, p.boot, p.loaded, sides.loadedErr == nil, sides.status.Enabled == 2})
		}
	}
	return wanted, unknown, nil
}

// withFuture adds the wanted paths that will be there.
func withFuture(ctx context.Context, h *host.Host, paths []covered, p WatchParams, edits host.AuditEdits) ([]covered, error) {
	for _, name := range edits.Folders {
		if !slices.Contains(p.Paths, name) || slices.ContainsFunc(paths, func(c covered) bool { return c.Path == name }) {
			continue
		}
		c := covered{target: target{Want: auditrule.Want{Path: name, Perms: auditrule.Perm(p.Perms), Use: p.Use}}}
		held, err := h.AuditLoaded(ctx)
		if err == nil {
			view, err := h.ImagineAuditView(ctx, held, edits)
			if err != nil {
				return nil, err
			}
			c.loaded = view.Cover(c.Want)
		}
		paths = append(paths, c)
	}
	return paths, nil
}

// proposer works a proposal out.
type proposer struct {
	ctx     context.Context
	h       *host.Host
	files   host.AuditFiles // with the edits
	edits   host.AuditEdits
	base    []byte   // what the file holds to which rules are added
	dockers []string // folders whose content docker makes and removes, the deepest first
	out     Proposal
	rules   []auditrule.Rule // the next boot's and those proposed
	idle    bool             // the next boot loads no rules, whatever is written
	blocked Gap              // why no rule is proposed at all; without a reason: some may be
	closed  map[string]Gap   // why no rule was proposed for a part, by its path
}

// readBase reads the file to which rules are added.
func (m *proposer) readBase() error {
	base, edited := m.edits.Files[m.out.File]
	switch {
	case edited:
	case m.files.Persisted() == host.AuditRulesDir:
		base = m.files.Source(m.out.File)
	default:
		var err error
		if base, err = m.h.ReadFile(m.out.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	m.base = base
	return nil
}

// view prepares rules for questions about the host with the edits.
func (m *proposer) view(rules []auditrule.Rule) (*auditrule.View, error) {
	return m.h.ImagineAuditView(m.ctx, rules, m.edits)
}

// imagine is the next boot's load with the proposal.
func (m *proposer) imagine() (auditrule.Loaded, error) {
	edits := host.AuditEdits{Files: maps.Clone(m.edits.Files), Made: m.edits.Made, Folders: m.edits.Folders}
	if edits.Files == nil {
		edits.Files = map[string][]byte{}
	}
	edits.Files[m.out.File] = slices.Concat(m.base, m.out.Text())
	files, err := m.h.ImagineAudit(m.ctx, edits)
	return files.Boot, err
}

// need is a part of a wanted path that is not recorded in full.
type need struct {
	auditrule.Part
	watch Watch
	what  string
}

func (m *proposer) propose(wanted []wantedPath) error {
	m.rules = slices.Clone(m.files.Boot.Rules)
	m.closed = map[string]Gap{}
	view, err := m.view(m.rules)
	if err != nil {
		return err
	}
	var needs []need
	for _, w := range wanted {
		if w.boot.Answer == auditrule.Covered {
			continue
		}
		parts, err := view.Parts(w.Want)
		if err != nil {
			continue // try says so
		}
		for _, p := range parts {
			if p.Perms != 0 || p.Use {
				needs = append(needs, need{p, w.watch, strings.TrimSpace(w.what + " " + w.Path)})
			}
		}
	}
	// A folder's rule spares those of what lies below it.
	slices.SortStableFunc(needs, func(a, b need) int {
		return cmp.Or(cmp.Compare(strings.Count(a.Path, "/"), strings.Count(b.Path, "/")), cmp.Compare(a.Path, b.Path))
	})
	for _, n := range together(needs) {
		lacking := lacks(view, n.Part)
		if lacking.Perms == 0 && !lacking.Use {
			continue
		}
		rules, proposed := len(m.rules), len(m.out.Rules)
		if err := m.add(n, lacking); err != nil {
			return err
		}
		if len(m.rules) == rules {
			continue
		}
		with, err := m.view(m.rules)
		if err != nil {
			return err
		}
		if left := lacks(with, n.Part); left.Perms == lacking.Perms && left.Use == lacking.Use {
			m.rules, m.out.Rules = m.rules[:rules], m.out.Rules[:proposed] // it changes nothing
			continue
		}
		view = with
	}
	return nil
}

// lacks returns a part with those kinds of access that are not recorded.
func lacks(view *auditrule.View, p auditrule.Part) auditrule.Part {
	out := p
	out.Perms, out.Use = 0, false
	for _, w := range single(p.Want) {
		one := p
		one.Want = w
		if view.CoverPart(one).Answer != auditrule.Covered {
			out.Perms |= w.Perms
			out.Use = out.Use || w.Use
		}
	}
	return out
}

// together joins the needs of one part; the first one's key is taken.
func together(needs []need) []need {
	var list []need
	for _, n := range needs {
		if last := len(list) - 1; last >= 0 && list[last].Path == n.Path && list[last].Use == n.Use && list[last].Tree == n.Tree {
			list[last].Perms |= n.Perms
			if !strings.Contains(" "+list[last].watch.Rule+" ", " "+n.watch.Rule+" ") {
				list[last].watch.Rule += " " + n.watch.Rule
			}
			continue
		}
		list = append(list, n)
	}
	return list
}

// add proposes rules for a part, unless no rule on it would last.
func (m *proposer) add(n need, lacking auditrule.Part) error {
	at, note, gap, err := m.steady(n.Part)
	if err != nil {
		return err
	}
	if gap.Why != "" {
		m.closed[n.Path] = gap
		return nil
	}
	env, err := m.h.ImagineAuditEnv(m.ctx, m.edits)
	if err != nil {
		return err
	}
	lacking.Path = at
	for _, text := range ruleTexts(lacking, n.watch.Params.Key) {
		line, err := auditrule.ParseLine(text, auditrule.Pos{File: m.out.File}, env)
		if strings.Contains(text, "\n") || !printable.IsText(text) {
			err = errors.New("the path's name cannot be written on a line of text")
		}
		if err != nil {
			m.closed[n.Path] = Gap{Why: "a rule for it cannot be written: " + err.Error()}
			return nil
		}
		m.out.Rules = append(m.out.Rules, Proposed{Text: text, Rules: strings.Fields(n.watch.Rule), For: n.what, Note: note})
		m.rules = append(m.rules, line.Rule)
	}
	return nil
}

// ruleTexts are the rules that record a part.
func ruleTexts(p auditrule.Part, key string) []string {
	name := strings.NewReplacer(`\`, `\\`, " ", `\ `).Replace(p.Path)
	switch {
	case p.Use:
		// Programs of both kinds, or the 32-bit one connects unseen.
		return []string{
			"-a always,exit -F arch=b64 -S connect -F path=" + name + " -F key=" + key,
			"-a always,exit -F arch=b32 -S connect -F path=" + name + " -F key=" + key,
		}
	case p.Kind == auditrule.Link:
		return []string{fmt.Sprintf("-a always,exit -F path=%s -F perm=%v -F key=%s", name, p.Perms, key)}
	}
	return []string{fmt.Sprintf("-w %s -p %v -k %s", name, p.Perms, key)}
}

// try loads the proposal in the mind, drops what does not load, and sorts what
// is left open.
func (m *proposer) try(wanted []wantedPath) error {
	var loaded auditrule.Loaded
	var err error
	for range 3 { // a rule that is refused ends the load before others are
		if loaded, err = m.imagine(); err != nil {
			return err
		}
		if !m.drop(loaded.Refused) {
			break
		}
	}
	if loaded.Stopped != nil && m.blocked.Why == "" {
		m.blocked = Gap{Why: "with the rules for it the load would end at " + loaded.Stopped.Error()}
		m.out.Rules = nil
		loaded = m.files.Boot
	}
	view, err := m.view(loaded.Rules)
	if err != nil {
		return err
	}
	sides := bothSides{files: m.files}
	sides.files.Boot = loaded
	if err := m.load(wanted, loaded.Rules, view); err != nil {
		return err
	}
	for _, w := range wanted {
		name := strings.TrimSpace(w.what + " " + w.Path)
		switch {
		case w.boot.Answer != auditrule.Covered || m.idle:
			c := sides.bootCoverage(view.Cover(w.Want))
			if c.Answer != auditrule.Covered || m.idle {
				m.out.Open = append(m.out.Open, m.explain(w, name, c, view))
			}
		case w.seen && w.loaded.Answer != auditrule.Covered:
			g := Gap{Rule: w.watch.Rule, Path: name, Why: why(w.loaded), First: "augenrules --load"}
			if w.locked {
				g.First = "systemctl reboot (the kernel holds its configuration locked)"
			}
			m.out.Ready = append(m.out.Ready, g)
		}
	}
	return nil
}

// load finds the rules of the next boot that the kernel lacks: those that are
// proposed, and those that cover what is asked for.
func (m *proposer) load(wanted []wantedPath, boot []auditrule.Rule, view *auditrule.View) error {
	if len(wanted) == 0 || !wanted[0].seen {
		return nil
	}
	held, err := m.h.AuditLoaded(m.ctx)
	if err != nil {
		return err
	}
	asked := map[auditrule.Pos]bool{}
	for _, w := range wanted {
		if c := view.Cover(w.Want); c.Answer == auditrule.Covered {
			for _, r := range c.By {
				asked[r.Pos] = true
			}
		}
	}
	proposed := func(r *auditrule.Rule) bool {
		return r.Pos.File == m.out.File && r.Pos.Line > bytes.Count(m.base, []byte("\n"))
	}
	lacking, _ := difference(boot, held)
	for _, r := range lacking {
		if asked[r.Pos] || proposed(r) {
			m.out.Load = append(m.out.Load, *r)
		}
	}
	then, err := m.view(slices.Concat(held, m.out.Load))
	if err != nil {
		return err
	}
	for _, w := range wanted {
		if c := then.Cover(w.Want); c.Answer != auditrule.Covered && view.Cover(w.Want).Answer == auditrule.Covered {
			m.out.Unheard = append(m.out.Unheard, Gap{Rule: w.watch.Rule, Path: strings.TrimSpace(w.what + " " + w.Path), Why: why(c)})
		}
	}
	return nil
}

// drop takes the refused lines out of the proposal. It reports whether any was.
func (m *proposer) drop(refused []*auditrule.LineError) bool {
	before := len(m.out.Rules)
	for _, r := range refused {
		m.out.Rules = slices.DeleteFunc(m.out.Rules, func(p Proposed) bool { return p.Text == r.Text && r.Pos.File == m.out.File })
	}
	return len(m.out.Rules) < before
}

// explain says why a gap stays open.
func (m *proposer) explain(w wantedPath, name string, c auditrule.Coverage, view *auditrule.View) Gap {
	g := Gap{Rule: w.watch.Rule, Path: name, Why: why(c)}
	if m.blocked.Why != "" {
		g.Why, g.First = m.blocked.Why, m.blocked.First
		return g
	}
	parts, _ := view.Parts(w.Want)
	for _, p := range parts {
		if closed, ok := m.closed[p.Path]; ok {
			g.Why, g.First, g.Make = closed.Why, closed.First, closed.Make
		}
	}
	return g
}

// why puts a coverage that is not whole into words.
func why(c auditrule.Coverage) string {
	details := c.Missing
	if c.Answer == auditrule.Unknown {
		details = c.Doubts
	}
	if len(details) == 0 {
		return c.Answer.String()
	}
	return c.Answer.String() + ": " + strings.Join(details, "; ")
}

// Text is the proposal as it is appended to its file. It begins with an empty
// line: a file before it may lack the final newline, and its last rule and our
// first line would become one.
func (p Proposal) Text() []byte {
	var b strings.Builder
	for _, r := range p.Rules {
		if b.Len() == 0 {
			b.WriteByte('\n')
		}
		if r.Note != "" {
			fmt.Fprintf(&b, "## %s\n", r.Note)
		}
		b.WriteString(r.Text + "\n")
	}
	return []byte(b.String())
}
