package jobs

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/checks/storage"
	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/internal/cronconf"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/remediate"
	"github.com/hostguard/hostguard/remediate/jobstate"
)

const (
	program = "/usr/local/bin/hostguard"
	watch   = "*/10 * * * * root /usr/local/bin/hostguard watch storage --quiet"
	logs    = "10 1 * * * root /usr/local/bin/hostguard logs copy"
)

func TestTable(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ old, want string }{
		"a new one":                  {"", heading + watch + "\n"},
		"another job's":              {heading + logs + "\n", heading + logs + "\n" + watch + "\n"},
		"as it is":                   {heading + watch + "\n", heading + watch + "\n"},
		"other times, another place": {heading + "0 1 * * * root /opt/hostguard watch storage\n" + logs + "\n", heading + watch + "\n" + logs + "\n"},
		"twice":                      {watch + "\n" + watch + "\n", watch + "\n"},
		"no newline at its end":      {"7 * * * * root true", "7 * * * * root true\n" + watch + "\n"},
		"somebody's lines stay":      {"# mine\nMAILTO=ops\n\n7 * * * * root true\n", "# mine\nMAILTO=ops\n\n7 * * * * root true\n" + watch + "\n"},
		"a comment is no entry":      {"#" + watch + "\n", "#" + watch + "\n" + watch + "\n"},
		"echo is another command":    {"7 * * * * root echo /usr/local/bin/hostguard watch storage\n", "7 * * * * root echo /usr/local/bin/hostguard watch storage\n" + watch + "\n"},
		"one that cron refuses":      {"nonsense\n", "error: line 1"},
	} {
		got, err := withEntry([]byte(tt.old), StorageWatch, watch)
		if want, wrong := strings.CutPrefix(tt.want, "error: "); wrong {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, tt.want)
		}
		again, err := withEntry(got, StorageWatch, watch)
		if err != nil || string(again) != string(got) {
			t.Errorf("%s: a second time: %v\n%s", name, err, again)
		}
	}
	for name, tt := range map[string]struct{ old, want string }{
		"the only one":      {heading + watch + "\n", ""},
		"one of two":        {heading + watch + "\n" + logs + "\n", heading + logs + "\n"},
		"not there":         {heading + logs + "\n", heading + logs + "\n"},
		"somebody's remain": {"# mine\n" + watch + "\n", "# mine\n"},
	} {
		if got := withoutEntry([]byte(tt.old), StorageWatch); string(got) != tt.want || tt.want == "" && got != nil {
			t.Errorf("without, %s: %q, want %q", name, got, tt.want)
		}
	}
}

// Whatever stands in the table: what was put in is an entry that cron runs, and
// what others wrote is there still.
func FuzzTable(f *testing.F) {
	f.Add(heading + logs + "\n")
	f.Add("A=B\n* * * * * root x\n\n# c")
	f.Fuzz(func(t *testing.T, old string) {
		got, err := withEntry([]byte(old), StorageWatch, watch)
		if err != nil {
			return
		}
		found := 0
		for _, e := range cronconf.Parse(got, true).Entries {
			if StorageWatch.is(e.Command) {
				found++
			}
		}
		if found != 1 {
			t.Fatalf("%d entries in\n%s", found, got)
		}
		for line := range strings.Lines(old) {
			if !entryOf(line, StorageWatch) && !strings.Contains(string(got), strings.TrimSuffix(line, "\n")) && strings.TrimSpace(old) != "" {
				t.Errorf("%q is lost", line)
			}
		}
	})
}

func TestEntriesRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		job     Job
		program string
	}{
		"the 30th of February":   {Job{Name: Audit, Times: "0 5 30 2 *"}, program},
		"a program with a blank": {Job{Name: Audit, Times: "0 5 * * *"}, "/opt/a b/hostguard"},
		"a program with a %":     {Job{Name: Audit, Times: "0 5 * * *"}, "/opt/%d/hostguard"},
		"a configuration with ;": {Job{Name: Audit, Times: "0 5 * * *", Config: "/etc/x;reboot"}, program},
		"a newline":              {Job{Name: Audit, Times: "0 5 * * *\n* * * * * root reboot #"}, program},
	} {
		if entry, err := tt.job.entry(tt.program); err == nil {
			t.Errorf("%s: %q", name, entry)
		}
		if _, err := tt.job.timerFile(); err == nil && strings.Contains(tt.job.Times, "30 2") {
			t.Errorf("%s: a timer", name)
		}
	}
}

// systemd understands the units, and each timer's times are those that were given.
func TestUnitsAreSystemds(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	dir := t.TempDir()
	fake := filepath.Join(dir, "hostguard")
	if err := os.WriteFile(fake, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var units []string
	for name := range definitions {
		j := job(name, &config.Config{}, asked)
		timer, err1 := j.timerFile()
		service, err2 := j.serviceFile(fake)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		for unit, text := range map[string]string{name.timer(): timer, name.service(): service} {
			path := filepath.Join(dir, unit)
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			units = append(units, path)
		}
		_, calendar, _ := strings.Cut(timer, "OnCalendar=")
		calendar, _, _ = strings.Cut(calendar, "\n")
		if r := lab.Exec(t, "systemd-analyze", "calendar", calendar); r.Code != 0 {
			t.Errorf("%s: %s", calendar, r.Stderr)
		}
	}
	if r := lab.Exec(t, append([]string{"systemd-analyze", "verify", "--man=no"}, units...)...); r.Code != 0 || strings.Contains(r.Stderr, "hostguard") {
		t.Errorf("%d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
}

func TestProposals(t *testing.T) {
	t.Parallel()
	parse := func(text string) *config.Config {
		c, err := config.Parse(config.DefaultFile, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	failing := func(repair any) checks.Finding {
		return checks.Finding{Verdict: checks.Verdict{Status: checks.Fail, Repair: repair}}
	}
	if p := proposeWatch(remediate.Case{Finding: failing(nil), Config: parse("storage: {watch: {unit: df-watch.timer}}\n")}); len(p.Changes) != 0 || len(p.Person) != 1 {
		t.Errorf("somebody else's watch: %+v", p)
	}
	p := proposeWatch(remediate.Case{Finding: failing(storage.Lacking{}), Config: parse("schedule: {by: timer, storage_watch: \"*/5 * * * *\"}\n")})
	if want := (Job{Name: StorageWatch, Times: "*/5 * * * *", By: "timer"}); len(p.Changes) != 1 || p.Changes[0] != want {
		t.Errorf("our own: %+v", p)
	}
	for text, person := range map[string]bool{"": true, "logs: {reader: tclogs}\n": false, "logs: {reader: tclogs, job: {unit: x.timer}}\n": true} {
		if p := proposeCopy(remediate.Case{Finding: failing(nil), Config: parse(text)}); (len(p.Person) == 1) != person || (len(p.Changes) == 1) == person {
			t.Errorf("the copy of logs, %q: %+v", text, p)
		}
	}
	if got, want := proposeScheduled(parse("")), []remediate.Change{Without{KeyReminder}, Without{Audit}}; !reflect.DeepEqual(got, want) {
		t.Errorf("nothing is scheduled: %+v", got)
	}
	got := proposeScheduled(parse("schedule: {check: \"40 5 * * *\", log_copy: \"0 2 * * *\"}\n"))
	want := []remediate.Change{Without{KeyReminder}, Job{Name: Audit, Times: "40 5 * * *", why: standing}, Job{Name: LogCopy, Times: "0 2 * * *", why: ifThere}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("scheduled: %+v", got)
	}
}

// The rule about the watch looks at the file that the watch writes.
func TestStampIsTheWatchs(t *testing.T) {
	t.Parallel()
	if storage.OwnStamp != jobstate.Path("watch-storage")+"/"+jobstate.Succeeded {
		t.Error(storage.OwnStamp)
	}
}
