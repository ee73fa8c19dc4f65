package audit

import (
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/auditrule"
)

// pictureOf compares rules.d and audit.rules of a tree with what a kernel
// would hold; nil: it is not looked at.
func pictureOf(t *testing.T, rulesD, generated string, kernel []string) string {
	t.Helper()
	h := tree(t, map[string]string{
		"/lib/systemd/system/auditd.service": "[Service]\nExecStartPost=-/sbin/augenrules --load\n",
		"/etc/audit/rules.d/50-x.rules":      rulesD,
		"/etc/audit/audit.rules":             generated,
		"/etc/docker/daemon.json":            "{}\n",
	})
	p, err := Compare(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	if kernel != nil {
		text := strings.Join(kernel, "\n") + "\n"
		files, err := debian(t, text).AuditFiles(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		rules := files.Boot.Rules
		for i := range rules {
			rules[i].Pos = auditrule.Pos{}
		}
		view, err := h.AuditView(t.Context(), rules)
		if err != nil {
			t.Fatal(err)
		}
		env, err := h.AuditEnv(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.Rules = compare(p.Files, rules, true, env, view.Shadows())
	}
	var out []string
	for _, r := range p.Rules {
		line := string(r.State) + ": " + r.Rule.String()
		if r.ShadowedBy != nil {
			line += " < " + r.ShadowedBy.String()
		}
		if r.Why != "" {
			line += " (" + r.Why + ")"
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// Case 17: three places, and each rule is somewhere.
func TestPicture(t *testing.T) {
	t.Parallel()
	const docker, audit = "-w /etc/docker -p wa -k d", "-w /etc/audit -p wa -k a"
	for name, c := range map[string]struct {
		rulesD, generated string
		kernel            []string
		want              string
	}{
		"in all three":       {docker + "\n", docker + "\n", []string{docker}, "in all three: " + docker},
		"another spelling":   {"-a always,exit -F dir=/etc/docker -F perm=aw -k d\n", docker + "\n", []string{docker}, "in all three: " + docker},
		"17 not loaded":      {docker + "\n", docker + "\n", []string{audit}, "not loaded: " + docker + "\nnot persisted: " + audit},
		"17 written by hand": {docker + "\n", docker + "\n" + audit + "\n", []string{docker, audit}, "in all three: " + docker + "\nstale: " + audit + " (augenrules writes the file anew, without it)"},
		"not generated":      {docker + "\n", "", []string{docker}, "stale: " + docker},
		"neither":            {docker + "\n", "", []string{}, "not loaded: " + docker},
		"not persisted":      {"", "", []string{docker}, "not persisted: " + docker},
		"another key":        {docker + "\n", docker + "\n", []string{docker + "2"}, "not loaded: " + docker + "\nnot persisted: " + docker + "2"},
		"shadowed": {
			"-w /etc -p rwxa -k e\n" + docker + "\n", "-w /etc -p rwxa -k e\n" + docker + "\n", []string{"-w /etc -p rwxa -k e", docker},
			"in all three: -w /etc -p rwxa -k e\nshadowed: " + docker + " < -w /etc -p rwxa -k e",
		},
		"18 loaded now, left out at boot": {
			"bad\n" + docker + "\n", "bad\n" + docker + "\n", []string{docker},
			"not persisted: " + docker + " (the load ends before, at /etc/audit/rules.d/50-x.rules:1: \"bad\" is given without an option)",
		},
		"a tree":      {docker + "\n", docker + "\n", nil, "on disk: " + docker},
		"a stale one": {docker + "\n", "", nil, "stale: " + docker},
		"twice": {
			docker + "\n" + docker + "\n", docker + "\n" + docker + "\n", []string{docker},
			"in all three: " + docker + "\nnot loaded: " + docker + " (the rule exists already (/etc/audit/rules.d/50-x.rules:1))",
		},
	} {
		if got := pictureOf(t, c.rulesD, c.generated, c.kernel); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, c.want)
		}
	}
}
