package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	auditing "github.com/hostguard/hostguard/checks/audit"
	"github.com/hostguard/hostguard/internal/auditrule"
	"github.com/hostguard/hostguard/internal/canary"
	"github.com/hostguard/hostguard/internal/host"
)

func TestJudgeFlight(t *testing.T) {
	t.Parallel()
	on := host.AuditStatus{Enabled: 1}
	ruled := auditing.Recorder{Rule: &auditrule.Rule{}, Keys: []string{"a", "b"}}
	event := func(keys ...string) canary.Result {
		return canary.Result{Event: &canary.Event{ID: "1.000:2", Keys: keys}}
	}
	for name, c := range map[string]struct {
		rule   auditing.Recorder
		result canary.Result
		after  host.AuditStatus
		want   string
		says   string
	}{
		"recorded":                      {ruled, event("b"), on, recorded, ""},
		"recorded, others lost":         {ruled, event("a"), host.AuditStatus{Enabled: 1, Lost: 3}, recorded, ""},
		"a rule without a key":          {auditing.Recorder{Rule: &auditrule.Rule{}}, event(), on, recorded, ""},
		"under another key":             {ruled, event("x"), on, notRecorded, "not with the key a, b"},
		"recorded without a key":        {ruled, event(), on, notRecorded, "not with the key"},
		"nothing came":                  {ruled, canary.Result{}, on, notRecorded, "although a rule should record it"},
		"no rule":                       {auditing.Recorder{Why: "not covered"}, canary.Result{}, on, notRecorded, "no rule in the kernel records it: not covered"},
		"23 off":                        {ruled, canary.Result{}, host.AuditStatus{}, notRecorded, "auditing is off"},
		"25 lost":                       {ruled, canary.Result{}, host.AuditStatus{Enabled: 1, Lost: 3}, lost, "lost 3 records"},
		"the open failed, and recorded": {ruled, canary.Result{Event: event("a").Event, Error: "text file busy"}, on, recorded, "text file busy"},
	} {
		f := flight{Result: cannotTell}
		judgeFlight(&f, c.rule, c.result, on, c.after, time.Second)
		if f.Result != c.want || !strings.Contains(f.Why, c.says) || f.Keys == nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// On the real kernel: recorded under the rule's key, and not once the rule is
// gone, another key's rule is before it, or auditing is off.
func TestCanary(t *testing.T) {
	k := holdAudit(t)
	dir, err := os.MkdirTemp("/opt", "hostguard-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := dir + "/application.properties"
	k.write(file, "a=b\n")
	k.write(dir+"/docker-compose.yml", "services: {ecc: {image: x}}\n")
	fly := func(args ...string) (map[string]flight, int) {
		t.Helper()
		out, stderr, code := k.hostguard(append([]string{"canary", "--format", "json", "--wait", "500ms", "--connector", dir}, args...)...)
		var list []flight
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatalf("%v %q %s", err, out, stderr)
		}
		flights := map[string]flight{}
		for _, f := range list {
			flights[f.Path] = f
		}
		return flights, code
	}
	want := func(what, result, says string, code int) {
		t.Helper()
		flights, got := fly(file)
		if f := flights[file]; f.Result != result || !strings.Contains(f.Why, says) || got != code {
			t.Errorf("%s: %+v, exit code %d", what, f, got)
		}
	}
	want("no rule", notRecorded, "no rule in the kernel", 1)
	watch := []string{"auditctl", "-w", dir, "-p", "wa", "-k", k.key + "a"}
	k.must(watch...)
	want("watched", recorded, "", 0)

	flights, _ := fly() // docker's files are watched or not; the connector's are
	if f := flights[dir+"/docker-compose.yml"]; f.Result != recorded || len(f.Keys) != 1 || f.Keys[0] != k.key+"a" {
		t.Errorf("without a path: %+v", flights)
	}
	if _, opened := flights[file]; opened {
		t.Error("two files of one folder were tried")
	}
	flights, code := fly(dir)
	if f := flights[dir]; f.Result != cannotTell || code != 3 {
		t.Errorf("a folder: %+v, exit code %d", f, code)
	}
	flights, code = fly(dir, "/etc/audit")
	if len(flights) != 2 || code != 3 {
		t.Errorf("%+v, exit code %d", flights, code)
	}

	k.must("auditctl", "-e", "0")
	want("off", notRecorded, "auditing is off", 1)
	k.must("auditctl", "-e", "1")
	k.must("auditctl", "-A", "never,exit", "-F", "path="+file, "-F", "perm=w", "-F", "key="+k.key+"n")
	want("never before", notRecorded, "suppresses it", 1)
}
