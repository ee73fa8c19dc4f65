package values

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

const strong = "9hQv-2mX_dk7-Wz4s-LpT8-yRb1-3nQe"

func hostOf(t *testing.T, mode os.FileMode, files map[string]string) *host.Host {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return host.New(host.Options{Root: root})
}

func describe(v checks.Verdict, err error) string {
	if err != nil {
		return err.Error()
	}
	text := v.Status.String()
	for _, e := range v.Evidence {
		text += fmt.Sprintf(" %s:%d %s=%s", e.Source, e.Line, e.Key, e.Got)
	}
	return text
}

func TestFileValue(t *testing.T) {
	t.Parallel()
	h := hostOf(t, 0o600, map[string]string{
		"/etc/a.json": `{"tls": {"verify": true}, "name": "x"}`, "/etc/b/1.ini": "[s]\nk=1\n", "/etc/b/2.ini": "[s]\nk=2\n", "/etc/bad.json": `{"tls": s3cret}`,
	})
	if err := os.Symlink("/etc/passwd", filepath.Join(h.Root(), "etc/link.json")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		p    valueParams
		want string
	}{
		"as wanted":        {valueParams{Paths: []string{"/etc/a.json"}, Format: "json", Equal: map[string]string{"tls.verify": "true"}, Not: map[string]string{"name": "y|z"}, Unset: unsetFail}, "pass /etc/a.json:1 tls.verify=true /etc/a.json:1 name=x"},
		"another value":    {valueParams{Paths: []string{"/etc/b/*.ini"}, Format: "ini", Equal: map[string]string{"s.k": "1|3"}, Unset: unsetFail}, "fail /etc/b/2.ini:2 s.k=2"},
		"a refused value":  {valueParams{Paths: []string{"/etc/a.json"}, Format: "json", Not: map[string]string{"name": "x"}, Unset: unsetFail, Hidden: true}, "fail /etc/a.json:1 name=a value"},
		"not set":          {valueParams{Paths: []string{"/etc/a.json"}, Format: "json", Equal: map[string]string{"x": ""}, Unset: unsetFail}, "fail /etc/a.json:0 x=not set"},
		"not set, allowed": {valueParams{Paths: []string{"/etc/a.json"}, Format: "json", Equal: map[string]string{"x": "1"}, Unset: unsetPass}, "pass /etc/a.json:0 x=not set"},
		"no file":          {valueParams{Paths: []string{"/etc/none"}, Format: "json", Equal: map[string]string{"x": "1"}, Unset: unsetFail}, "not-applicable"},
		"not JSON":         {valueParams{Paths: []string{"/etc/bad.json"}, Format: "json", Equal: map[string]string{"x": "1"}, Unset: unsetPass}, "cannot read /etc/bad.json: it is not JSON"},
		"a link":           {valueParams{Paths: []string{"/etc/link.json"}, Format: "json", Equal: map[string]string{"x": "1"}, Unset: unsetPass}, "a symbolic link"},
	} {
		if err := c.p.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := describe(fileValues(context.Background(), h, c.p)); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	for _, p := range []valueParams{
		{}, {Paths: []string{"a"}, Format: "json"}, {Paths: []string{"/a"}, Format: "xml"}, {Paths: []string{"/a"}, Format: "json"},
		{Paths: []string{"/a"}, Format: "json", Equal: map[string]string{"a": "b"}},
	} {
		if p.Validate() == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
}

func TestSecretStrength(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"/etc/node.env": "KEY_MASTER_PASSWORD=" + strong + "\n", "/etc/weak.env": "KEY_MASTER_PASSWORD=" + strings.Repeat("abcd", 10) + "\n",
		"/etc/systemd/system/node.service":    "[Service]\nExecStart=/bin/node\nEnvironmentFile=/etc/node.env\n",
		"/etc/systemd/system/tells.service":   "[Service]\nExecStart=/bin/node\nEnvironment=KEY_MASTER_PASSWORD=" + strong + "\n",
		"/etc/systemd/system/nothing.service": "[Service]\nExecStart=/bin/node\n",
	}
	closed, open := hostOf(t, 0o600, files), hostOf(t, 0o644, files)
	for name, c := range map[string]struct {
		h    *host.Host
		p    secretParams
		want string
	}{
		"strong":            {closed, secretParams{Paths: []string{"/etc/node.env"}, Format: "keyvalue"}, "pass /etc/node.env:1 KEY_MASTER_PASSWORD=32 characters, hard to guess"},
		"readable":          {open, secretParams{Paths: []string{"/etc/node.env"}, Format: "keyvalue"}, "fail /etc/node.env:0 mode=0644"},
		"weak":              {closed, secretParams{Paths: []string{"/etc/weak.env"}, Format: "keyvalue"}, "fail /etc/weak.env:1 KEY_MASTER_PASSWORD=40 characters that are easy to guess"},
		"known":             {closed, secretParams{Paths: []string{"/etc/node.env"}, Format: "keyvalue", Known: []string{strong}}, "a known one"},
		"no file":           {closed, secretParams{Paths: []string{"/etc/none"}, Format: "keyvalue"}, "not-applicable"},
		"of a unit's file":  {closed, secretParams{Unit: "node.service"}, "pass /etc/node.env:1"},
		"that a unit tells": {closed, secretParams{Unit: "tells.service"}, "fail /etc/systemd/system/tells.service:3"},
		"not in the unit":   {closed, secretParams{Unit: "nothing.service"}, "fail nothing.service:0 KEY_MASTER_PASSWORD=not set"},
		"of a container":    {closed, secretParams{Container: "x"}, "not-applicable"},
	} {
		c.p.Key, c.p.MinLength, c.p.MinBits = "KEY_MASTER_PASSWORD", 32, 80
		if err := c.p.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		v, err := secretStrength(context.Background(), c.h, c.p)
		got := describe(v, err)
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if strings.Contains(fmt.Sprint(v, err), strong) {
			t.Errorf("%s: the secret is shown", name)
		}
	}
	if (secretParams{Key: "k"}).Validate() == nil || (secretParams{Key: "k", Unit: "a", Container: "b"}).Validate() == nil || (secretParams{Unit: "a"}).Validate() == nil {
		t.Error("wrong parameters are accepted")
	}
}
