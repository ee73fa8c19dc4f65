package files

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
)

type auditLogParams struct {
	Group   []string `yaml:"group" doc:"Groups that the log may have besides that of log_group."`
	Mode    Octal    `yaml:"mode" doc:"The most that a log's mode may allow."`
	DirMode Octal    `yaml:"dir_mode" doc:"The same for their folder."`
}

func auditLog(ctx context.Context, h *host.Host, p auditLogParams) (checks.Verdict, error) {
	conf, err := h.AuditdConf(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	if !conf.Exists {
		return checks.Inapplicable(fmt.Sprintf("auditd is not set up: there is no %s.", conf.File)), nil
	}
	accounts, err := h.Accounts(ctx)
	if err != nil {
		return checks.Verdict{}, err
	}
	log, group := conf.Get("log_file"), conf.Get("log_group")
	dir := path.Dir(log.Value)
	q := modeParams{Paths: []string{dir}, Recursive: true, access: access{
		Owner: []string{"root"}, Group: auditGroups(p.Group, group.Value, accounts), Mode: p.Mode, DirMode: p.DirMode,
	}}
	if dir == "/var/log" || dir == "/" { // others log there too
		q = modeParams{Paths: []string{globEscape(log.Value) + "*"}, access: q.access}
	}
	found, err := look(ctx, h, q)
	if err == nil && len(found) == 0 {
		return checks.Inapplicable(fmt.Sprintf("auditd has not logged yet: there is no %s.", log.Value)), nil
	}
	v, err := judge(found, accounts, q.access, err)
	if group.Value != "" {
		v.Evidence = append(v.Evidence, checks.Evidence{Source: conf.File, Line: group.Pos.Line, Key: "log_group", Got: group.Value + ": " + whoLogsIn(accounts, group.Value)})
	}
	return v, err
}

// whoLogsIn says which members of a group can log in, root left out.
func whoLogsIn(a *host.Accounts, group string) string {
	who := slices.DeleteFunc(a.Members(group), func(m string) bool { u := a.User(m); return u.UID == 0 || !logsIn(u, host.Today()) })
	if len(who) == 0 {
		return "nobody in it can log in"
	}
	return "its members who can log in are " + strings.Join(who, ", ")
}

// auditGroups adds the group of log_group to the wanted ones, but for one that
// accounts have as their primary group: with it everybody could be meant.
func auditGroups(wanted []string, group string, a *host.Accounts) []string {
	g := a.Group(group)
	if g == nil || slices.ContainsFunc(a.Users, func(u host.User) bool { return u.GID == g.GID && u.UID != 0 }) {
		return wanted
	}
	return append(slices.Clone(wanted), group)
}

// globEscape makes a pattern that matches a path and nothing else.
func globEscape(name string) string {
	var b []byte
	for i := range len(name) {
		if c := name[i]; c == '*' || c == '?' || c == '[' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, name[i])
	}
	return string(b)
}
