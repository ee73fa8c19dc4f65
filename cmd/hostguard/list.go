package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/checks/all"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/rules"
)

func listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List rules, checks, profiles or requirements",
	}
	cmd.AddCommand(
		listing("rules", "List the rules, and their level in the profile", func(src sources) (any, [][]string, error) {
			a, err := load(src)
			if err != nil {
				return nil, nil, err
			}
			list, table := listRules(a)
			return list, table, nil
		}),
		listing("checks", "List the checks: the ways of looking", func(sources) (any, [][]string, error) {
			list, table := listChecks(all.Families)
			return list, table, nil
		}),
		listing("profiles", "List the profiles", func(src sources) (any, [][]string, error) {
			set, err := loadRules(src.Rules)
			if err != nil {
				return nil, nil, err
			}
			list, table := listProfiles(set)
			return list, table, nil
		}),
		listing("requirements", "List the requirements of the source documents, and the rules that answer them", func(src sources) (any, [][]string, error) {
			set, err := loadRules(src.Rules)
			if err != nil {
				return nil, nil, err
			}
			list, table := listRequirements(set)
			return list, table, nil
		}),
	)
	return cmd
}

// listing makes one subcommand. gather returns the list for JSON and the rows,
// with a heading, for people.
func listing(name, short string, gather func(sources) (list any, table [][]string, err error)) *cobra.Command {
	var src sources
	format := "text"
	cmd := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("there is no format %q: want text or json", format)
			}
			list, table, err := gather(src)
			if err != nil {
				return err
			}
			if format == "json" {
				return writeJSON(cmd.OutOrStdout(), list)
			}
			return writeTable(cmd.OutOrStdout(), table)
		},
	}
	sourceFlags(cmd, &src)
	cmd.Flags().StringVar(&format, "format", format, "text or json")
	return cmd
}

type listedRule struct {
	ID       string   `json:"id"`
	Level    string   `json:"level"` // "" when not in the profile
	Severity string   `json:"severity"`
	Check    string   `json:"check"`
	Source   []string `json:"source"`
	Tags     []string `json:"tags"`
	Title    string   `json:"title"`
}

func listRules(a *audit) ([]listedRule, [][]string) {
	levels := map[string]string{}
	for _, b := range a.Bound {
		levels[b.Rule.ID] = b.Level.String()
	}
	list := make([]listedRule, 0, len(a.Rules.Rules))
	table := [][]string{{"ID", "LEVEL", "SEVERITY", "SOURCE", "TITLE"}}
	for _, r := range a.Rules.Rules {
		l := listedRule{r.ID, levels[r.ID], r.Severity.String(), r.Check, printableAll(r.Source), printableAll(r.Tags), printable.Text(r.Title)}
		list = append(list, l)
		table = append(table, []string{l.ID, orDash(l.Level), l.Severity, strings.Join(l.Source, " "), l.Title})
	}
	return list, table
}

type listedCheck struct {
	Name  string   `json:"name"`
	Looks string   `json:"looks"`
	Blind string   `json:"blind"`
	Needs string   `json:"needs"`
	Takes []string `json:"parameters"`
}

func listChecks(families [][]checks.Check) ([]listedCheck, [][]string) {
	list := []listedCheck{}
	table := [][]string{{"NAME", "NEEDS", "PARAMETERS"}}
	for _, c := range slices.Concat(families...) {
		l := listedCheck{c.Name, c.Looks, c.Blind, c.Needs.String(), []string{}}
		for _, p := range paramsOf(&c) {
			l.Takes = append(l.Takes, p.Name)
		}
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b listedCheck) int { return strings.Compare(a.Name, b.Name) })
	for _, l := range list {
		table = append(table, []string{l.Name, orDash(l.Needs), orDash(strings.Join(l.Takes, ", "))})
	}
	return list, table
}

type listedProfile struct {
	Name     string `json:"name"`
	Required int    `json:"required"`
	Advice   int    `json:"advice"`
	Digest   string `json:"digest"`
	Title    string `json:"title"`
}

func listProfiles(set *rules.Set) ([]listedProfile, [][]string) {
	list := []listedProfile{}
	table := [][]string{{"NAME", "REQUIRED", "ADVICE", "TITLE"}}
	for i := range set.Profiles {
		p := &set.Profiles[i]
		l := listedProfile{Name: printable.Text(p.Name), Digest: set.Digest(p), Title: printable.Text(p.Title)}
		for _, e := range p.Rules {
			if e.Level == rules.Required {
				l.Required++
			} else {
				l.Advice++
			}
		}
		list = append(list, l)
		table = append(table, []string{l.Name, fmt.Sprint(l.Required), fmt.Sprint(l.Advice), l.Title})
	}
	return list, table
}

type listedRequirement struct {
	ID          string   `json:"id"`
	How         string   `json:"how"`
	Rules       []string `json:"rules"`
	Requirement string   `json:"requirement"`
}

func listRequirements(set *rules.Set) ([]listedRequirement, [][]string) {
	list := []listedRequirement{}
	table := [][]string{{"ID", "HOW", "RULES"}}
	for _, section := range set.Requirements {
		for _, row := range section.Rows {
			l := listedRequirement{row.ID, row.How, set.Answering(row.ID), row.Text}
			list = append(list, l)
			table = append(table, []string{l.ID, l.How, orDash(strings.Join(l.Rules, " "))})
		}
	}
	return list, table
}

func printableAll(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = printable.Text(w)
	}
	return out
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func writeTable(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	return tw.Flush()
}
