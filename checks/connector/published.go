package connector

import (
	"bytes"
	"context"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	propertyfile "github.com/hostguard/hostguard/internal/properties"
	"github.com/hostguard/hostguard/internal/springconf"
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

// isPublished reports whether a setting has a published secret for a value.
func isPublished(key, value string) bool {
	value = strings.TrimSpace(value)
	return slices.Contains(publishedWords, value) || slices.Contains(publishedHashes, value) ||
		slices.Contains(publishedGuesses, value) && isSecretName(key)
}

// mentionsPublished reports whether a text holds a published password.
func mentionsPublished(line []byte) bool {
	for _, list := range [][]string{publishedWords, publishedHashes} {
		for _, word := range list {
			if i := bytes.Index(line, []byte(word)); i >= 0 && isEdge(line, i-1) && isEdge(line, i+len(word)) {
				return true
			}
		}
	}
	return false
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
	files := map[string]host.ConfigFile{}
	for _, c := range all {
		if c.Err != nil {
			o.unknown = append(o.unknown, c.Err)
			continue
		}
		for _, v := range c.Variables {
			o.variable(v)
		}
		for _, app := range c.Apps {
			for _, v := range app.Env {
				o.variable(v)
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
		line := 0
		for text := range bytes.Lines(f.Data) {
			line++
			trimmed := bytes.TrimSpace(text)
			if bytes.HasPrefix(trimmed, []byte("#")) || !mentionsPublished(trimmed) {
				continue
			}
			o.bad = append(o.bad, checks.Evidence{Source: f.Path, Line: line, Want: wantOwn, Got: gotPublished})
		}
	}
	if len(o.bad) == before {
		o.good = append(o.good, checks.Evidence{Source: f.Path, Key: "published secrets", Got: "none"})
	}
}
