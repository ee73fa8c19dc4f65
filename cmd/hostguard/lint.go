package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/hostguard/hostguard/checks/all"
	"github.com/hostguard/hostguard/internal/config"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/printable"
	"github.com/hostguard/hostguard/internal/strictyaml"
	"github.com/hostguard/hostguard/rules"
)

func lintCommand() *cobra.Command {
	var src sources
	cmd := &cobra.Command{
		Use:   "lint [FILE…]",
		Short: "Find every error in rules and configuration",
		Long: `Finds every error in the rules, the profiles and the configuration, each with
its file, line and column, and exits with 2 if there are any.

Without FILE it looks at what check would use: the embedded rules, those of
` + rulesFolder + ` and --rules, and the configuration. With FILE it
looks at these files, wherever they are and whoever owns them: a list is taken
for rules, a mapping for a configuration. A rule file of hostguard's own source
tree (rules/…) stands for the embedded rules that were made from it.`,
		RunE: func(cmd *cobra.Command, files []string) error {
			errs := lint(src, files)
			for _, err := range errs {
				fmt.Fprintln(cmd.OutOrStdout(), printable.Text(err.Error()))
			}
			if len(errs) > 0 {
				return exitError{code: exitUsage}
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "no errors")
			return nil
		},
	}
	sourceFlags(cmd, &src)
	return cmd
}

// sourceFlags are the flags of every verb that reads rules and configuration.
func sourceFlags(cmd *cobra.Command, src *sources) {
	cmd.Flags().StringVar(&src.Profile, "profile", "", "profile to use (default: the configuration's, else "+config.DefaultProfile+")")
	cmd.Flags().StringVar(&src.Config, "config", "", "configuration `file` (default "+config.DefaultFile+")")
	cmd.Flags().StringVar(&src.Rules, "rules", "", "`folder` with rules of your own, besides "+rulesFolder)
}

// lint returns everything that is wrong with what check would use, or with the
// given files.
func lint(src sources, files []string) strictyaml.Errors {
	var errs strictyaml.Errors
	if len(files) > 0 {
		return lintFiles(rules.Embedded(), src.Profile, files)
	}
	set, err := loadRules(src.Rules)
	errs.Add(strictyaml.Node{}, err)
	if set != nil {
		errs = append(errs, validate(set, all.Families)...)
	}
	cfg, err := config.Load(src.Config)
	errs.Add(strictyaml.Node{}, err)
	if len(errs) == 0 {
		errs = bindErrors(set, cfg, src.Profile)
	}
	return errs
}

func lintFiles(set *rules.Set, profile string, files []string) strictyaml.Errors {
	var errs strictyaml.Errors
	var configs []*config.Config
	for _, file := range files {
		at := strictyaml.Node{File: file}
		data, err := readAny(file)
		if err != nil {
			errs.Add(at, err)
			continue
		}
		root, err := strictyaml.Parse(file, data)
		switch {
		case err != nil:
			errs.Add(at, err)
		case root.Kind == strictyaml.List:
			if abs, err := filepath.Abs(file); err == nil {
				set.Forget(abs)
			}
			errs.Add(at, set.Add(file, data))
		default:
			cfg, err := config.Parse(file, data)
			errs.Add(at, err)
			if err == nil {
				configs = append(configs, cfg)
			}
		}
	}
	errs = append(errs, validate(set, all.Families)...)
	if len(errs) == 0 {
		for _, cfg := range configs {
			errs = append(errs, bindErrors(set, cfg, profile)...)
		}
	}
	return errs
}

func bindErrors(set *rules.Set, cfg *config.Config, name string) strictyaml.Errors {
	var errs strictyaml.Errors
	profile, err := chooseProfile(set, cfg, name)
	if err == nil {
		_, err = bind(set, profile, all.Families, cfg)
	}
	errs.Add(strictyaml.Node{}, err)
	return errs
}

// readAny reads a file that is only looked at: bounded, never waiting.
func readAny(file string) ([]byte, error) {
	name, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	data, err := host.New(host.Options{}).ReadFile(name)
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner // the place says the name already
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the file: %w", err)
	}
	return data, nil
}
