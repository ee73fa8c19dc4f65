package connector

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/composefile"
	"github.com/hostguard/hostguard/internal/host"
	propertyfile "github.com/hostguard/hostguard/internal/properties"
	"github.com/hostguard/hostguard/internal/springconf"
	"github.com/hostguard/hostguard/internal/valuefile"
)

// publishedWords are the passwords of TRUE Connector's published files and of
// their comments: nobody else has come upon them.
var publishedWords = []string{
	"changeit", "allpassword", "passwordApiUser", "passwordAlice", "passwordIdsUser", "passwordBob",
	"file_password password", "file_12345 12345",
}

// publishedGuesses were published, too, and are words: they count where a
// password is meant.
var publishedGuesses = []string{"password", "12345"}

// publishedHashes are the hashes in users.properties, of this and of earlier
// versions.
var publishedHashes = []string{
	"$2a$12$cxXwcV989VwOUznb10oBcuvHSTVDAl6MWL2GG257RfI3Gg.J8Qvnu",
	"$2a$12$xeiemEk5ycerfxq7440ieeTUmZ3EK65hwXwM.NQu.1Y29xbpOMVyq",
	"$2a$12$54Rw0Bp/9yt5Zcj4gVkvnuVT9aeN36m4dzVMMLrPC0v78lAOQo9te",
	"$2a$12$8ngZQYUF9pATTwNRmLiYeu6XGlLd79eb4FIgr5ezzuAA6tGLxuAyy",
	"$2a$10$MQ5grDaIqDpBjMlG78PFduv.AMRe9cs0CNm/V4cgUubrqdGTFCH3m",
}

// isPublished reports whether a setting has a published secret for a value, or
// within it: in a URL, in JSON, among a program's options. Case does not count:
// who guesses tries others, too.
func isPublished(key, value string) bool {
	value = strings.TrimSpace(value)
	if mentions([]byte(value), isDelimiter) {
		return true
	}
	if !isSecretName(key) {
		return false
	}
	// H2 takes two passwords in one setting: that of the file, that of the user.
	parts := strings.Fields(value)
	if len(parts) == 2 && (parts[0] == "file_password" || parts[0] == "file_12345") {
		return true
	}
	isGuess := func(word string) bool { return slices.Contains(publishedGuesses, strings.ToLower(word)) }
	return isGuess(value) || len(parts) == 2 && isGuess(parts[1])
}

// mentionsPublished reports whether a text holds a published password, in
// whatever case, or a published hash.
func mentionsPublished(text []byte) bool { return mentions(text, isEdge) }

func mentions(text []byte, edge func(text []byte, i int) bool) bool {
	lower := bytes.ToLower(text)
	for _, word := range publishedWords {
		if holds(lower, strings.ToLower(word), edge) {
			return true
		}
	}
	return slices.ContainsFunc(publishedHashes, func(hash string) bool { return holds(text, hash, edge) })
}

// holds reports whether a word stands anywhere in a text by itself.
func holds(text []byte, word string, edge func(text []byte, i int) bool) bool {
	for from := 0; ; {
		i := bytes.Index(text[from:], []byte(word))
		if i < 0 {
			return false
		}
		i += from
		if edge(text, i-1) && edge(text, i+len(word)) {
			return true
		}
		from = i + 1
	}
}

// isDelimiter reports whether a value's part may begin or end at i: a password of
// one's own may hold other signs.
func isDelimiter(text []byte, i int) bool {
	return i < 0 || i >= len(text) || strings.IndexByte(" \t\r\n:@;=,\"'&{}[]()|\\", text[i]) >= 0
}

// isEdge reports whether no letter or digit stands at i.
func isEdge(line []byte, i int) bool {
	if i < 0 || i >= len(line) {
		return true
	}
	c := line[i]
	return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
}

func publishedSecrets(ctx context.Context, h *host.Host) (checks.Verdict, error) {
	all, err := appsOf(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgePublished(all)
}

func judgePublished(all []host.ConnectorApps) (checks.Verdict, error) {
	var o outcome
	files, compose := map[string]host.ConfigFile{}, map[string]host.ConfigFile{}
	for _, c := range all {
		if c.Err != nil {
			o.unknown = append(o.unknown, c.Err)
			continue
		}
		for _, v := range c.Variables {
			o.variable(v)
		}
		for _, f := range c.Compose {
			compose[f.Path] = f
		}
		for _, f := range c.Sources {
			files[f.Path] = f
		}
		for _, app := range c.Apps {
			for _, v := range app.Env {
				o.variable(v)
			}
			for i, word := range app.Service.Command {
				if mentionsPublished([]byte(word.Reveal())) {
					o.bad = append(o.bad, checks.Evidence{Source: app.Service.File, Line: app.Service.Line, Key: fmt.Sprintf("%s: command, word %d", subject(app), i+1), Want: wantOwn, Got: gotPublished})
				}
			}
			if app.ConfigErr != nil && app.Role != host.RoleOther {
				o.unknown = append(o.unknown, app.ConfigErr)
			}
			for _, f := range app.Config {
				files[f.Path] = f
			}
		}
	}
	for _, name := range sorted(files) {
		o.publishedIn(files[name])
	}
	for _, name := range sorted(compose) {
		o.publishedInCompose(compose[name])
	}
	return o.verdict("Passwords that everybody can read in the published files of TRUE Connector are in use.", "")
}

const (
	wantOwn      = "a secret of your own"
	gotPublished = "a published one"
)

func (o *outcome) variable(v springconf.Variable) {
	switch {
	case isPublished(v.Name, v.Value.Reveal()):
		o.bad = append(o.bad, checks.Evidence{Source: v.Origin.Source, Line: v.Origin.Line, Key: v.Origin.Key, Want: wantOwn, Got: gotPublished})
	case isSecretName(v.Name) && v.Missing == "" && !v.Value.Empty():
		o.good = append(o.good, checks.Evidence{Source: v.Origin.Source, Line: v.Origin.Line, Key: v.Origin.Key, Got: "none that was published"})
	}
}

// publishedInCompose looks for published secrets where a compose file may hold
// them besides environment and command: in labels, health checks, build arguments,
// configs. What was seen before in a line is not said again.
func (o *outcome) publishedInCompose(f host.ConfigFile) {
	texts, err := composefile.Texts(composefile.File{Name: f.Path, Data: f.Data})
	if err = cmp.Or(f.Err, err); err != nil {
		o.unknown = append(o.unknown, err)
		return
	}
	for _, v := range texts {
		said := slices.ContainsFunc(o.bad, func(e checks.Evidence) bool { return e.Source == f.Path && e.Line == v.Line })
		if !said && isPublished(v.Key, strings.ReplaceAll(v.Value, ":-", ":")) { // ${NAME:-DEFAULT}
			o.bad = append(o.bad, checks.Evidence{Source: f.Path, Line: v.Line, Key: v.Key, Want: wantOwn, Got: gotPublished})
		}
	}
}

// publishedIn looks for published secrets in a configuration file.
func (o *outcome) publishedIn(f host.ConfigFile) {
	if f.Err != nil {
		o.unknown = append(o.unknown, f.Err)
		return
	}
	before := len(o.bad)
	if path.Ext(f.Path) == ".properties" {
		parsed, err := propertyfile.Parse(f.Path, f.Data)
		if err != nil {
			o.unknown = append(o.unknown, err)
			return
		}
		for _, p := range parsed.All {
			if isPublished(p.Key, p.Value) {
				o.bad = append(o.bad, checks.Evidence{Source: f.Path, Line: p.Line, Key: p.Key, Want: wantOwn, Got: gotPublished})
			}
		}
	} else {
		seen := map[int]bool{} // a YAML value may be published only by its key, or be written with escapes
		if ext := path.Ext(f.Path); ext == ".yml" || ext == ".yaml" {
			values, _ := valuefile.YAML(f.Data) // what is no YAML is read as lines alone
			for _, v := range values {
				if isPublished(v.Key, v.Text) && !seen[v.Line] {
					seen[v.Line] = true
					o.bad = append(o.bad, checks.Evidence{Source: f.Path, Line: v.Line, Key: v.Key, Want: wantOwn, Got: gotPublished})
				}
			}
		}
		line := 0
		for text := range bytes.Lines(f.Data) {
			line++
			trimmed := bytes.TrimSpace(text)
			if seen[line] || bytes.HasPrefix(trimmed, []byte("#")) || !mentionsPublished(trimmed) {
				continue
			}
			o.bad = append(o.bad, checks.Evidence{Source: f.Path, Line: line, Want: wantOwn, Got: gotPublished})
		}
	}
	if len(o.bad) == before {
		o.good = append(o.good, checks.Evidence{Source: f.Path, Key: "published secrets", Got: "none"})
	}
}
