package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/remediate/logcopy"
)

// logsTold is what logs copy tells of its run.
type logsTold struct {
	logcopy.Result
	Schema, Dir string
	DryRun      bool
	Unseen      []unseenVolume
}

// unseenVolume is a volume that could not be looked through.
type unseenVolume struct {
	Volume string `json:"volume"`
	Why    string `json:"why"`
}

// finish adds what was refused when the volumes were looked through, and makes
// what containers named printable.
func (t *logsTold) finish(volumes []host.LogVolume) {
	for _, v := range volumes {
		for _, r := range v.Refused {
			t.Refused = append(t.Refused, logcopy.Item{Owner: v.Owner, Log: r.Path, Why: r.Why})
		}
	}
	for _, list := range [][]logcopy.Item{t.Copied, t.Waiting, t.Refused, t.Failed} {
		for i := range list {
			list[i].Log, list[i].Why = printable.String(list[i].Log), printable.String(list[i].Why)
		}
	}
	for i := range t.Removed {
		t.Removed[i] = printable.String(t.Removed[i])
	}
}

// logsForm is the JSON form.
type logsForm struct {
	Schema  string         `json:"schema_version"`
	Dir     string         `json:"dir"`
	DryRun  bool           `json:"dry_run"`
	Made    bool           `json:"folder_made"`
	Present int            `json:"present"` // copied by earlier runs
	Copied  []logcopy.Item `json:"copied"`
	Waiting []logcopy.Item `json:"waiting"`
	Refused []logcopy.Item `json:"refused"`
	Failed  []logcopy.Item `json:"failed"`
	Removed []string       `json:"removed"`
	Unseen  []unseenVolume `json:"unseen"`
}

func (t *logsTold) json() logsForm {
	return logsForm{
		Schema: t.Schema, Dir: t.Dir, DryRun: t.DryRun, Made: t.Made, Present: t.Present,
		Copied: orEmpty(t.Copied), Waiting: orEmpty(t.Waiting), Refused: orEmpty(t.Refused), Failed: orEmpty(t.Failed),
		Removed: orEmpty(t.Removed), Unseen: orEmpty(t.Unseen),
	}
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// mostTold is how many logs of a kind the text names: a container can plant
// thousands, and cron mails what is printed. The JSON form has them all.
const mostTold = 100

// first returns the logs of a list that the text names, and a line on how many
// more there are, if any.
func first(list []logcopy.Item, more string) ([]logcopy.Item, string) {
	if len(list) <= mostTold {
		return list, ""
	}
	return list[:mostTold], fmt.Sprintf("%s: %d more (--format json has all)\n", more, len(list)-mostTold)
}

func (t *logsTold) text(cmd *cobra.Command) error {
	would := ""
	if t.DryRun {
		would = "would be "
	}
	var b strings.Builder
	if t.Made {
		fmt.Fprintf(&b, "%smade: %s\n", would, t.Dir)
	}
	copied, more := first(t.Copied, would+"copied")
	for _, i := range copied {
		fmt.Fprintf(&b, "%scopied: %s (%d bytes)\n", would, i.Copy, i.Bytes)
	}
	b.WriteString(more)
	for _, name := range t.Removed {
		fmt.Fprintf(&b, "%sremoved: %s\n", would, name)
	}
	waiting, more := first(t.Waiting, "waits")
	for _, i := range waiting {
		fmt.Fprintf(&b, "waits: %s of %s: %s\n", i.Log, i.Owner, i.Why)
	}
	b.WriteString(more)
	if b.Len() == 0 {
		fmt.Fprintf(&b, "nothing to copy: %d are there\n", t.Present)
	}
	for _, list := range [][]logcopy.Item{t.Refused, t.Failed} {
		list, more := first(list, "hostguard: not copied")
		for _, i := range list {
			fmt.Fprintf(cmd.ErrOrStderr(), "hostguard: not copied: %s of %s: %s\n", i.Log, i.Owner, i.Why)
		}
		fmt.Fprint(cmd.ErrOrStderr(), more)
	}
	for _, u := range t.Unseen {
		fmt.Fprintf(cmd.ErrOrStderr(), "hostguard: cannot look through volume %s: %s\n", u.Volume, u.Why)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), b.String())
	return err
}
