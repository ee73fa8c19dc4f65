package auditrule

import (
	"fmt"
	"strings"
	"testing"
)

// A rule is shadowed when an earlier one matches all that it matches.
func TestShadows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rules []string
		want  string // "rule<by", by positions
	}{
		"19 a parent's watch":             {[]string{"-w /etc -p wa", "-w /etc/docker -p wa -k d"}, "1<0"},
		"fewer permissions first":         {[]string{"-w /etc -p w", "-w /etc/docker -p wa"}, ""},
		"19 more permissions first":       {[]string{"-w /etc/docker -p rwxa", "-w /etc/docker -p aw -k d"}, "1<0"},
		"19 a prefix of a name":           {[]string{"-w /etc/docker -p wa", "-w /etc/docker-x -p wa"}, ""},
		"the parent comes later":          {[]string{"-w /etc/docker -p wa", "-w /etc -p wa"}, ""},
		"a file in a watched folder":      {[]string{"-w /etc/docker -p wa", "-w /etc/docker/daemon.json -p wa"}, "1<0"},
		"a folder is not what is in it":   {[]string{"-a always,exit -F path=/etc/docker -F perm=wa", "-w /etc/docker -p wa"}, ""},
		"23 never before":                 {[]string{"-a never,exit -F dir=/etc", "-w /etc/docker -p wa"}, "1<0"},
		"a condition":                     {[]string{"-a always,exit -F dir=/etc -F perm=wa -F auid=1000", "-w /etc/docker -p wa"}, ""},
		"the same condition":              {[]string{"-a always,exit -F dir=/etc -F auid=1000", "-a always,exit -F dir=/etc/docker -F auid=1000 -F success=0"}, "1<0"},
		"syscalls":                        {[]string{"-a always,exit -F arch=b64 -S openat -F dir=/etc", "-a always,exit -F arch=b64 -S open,openat -F dir=/etc"}, ""},
		"fewer syscalls":                  {[]string{"-a always,exit -F arch=b64 -S open,openat -F dir=/etc", "-a always,exit -F arch=b64 -S openat -F dir=/etc"}, "1<0"},
		"the other architecture":          {[]string{"-a always,exit -F arch=b64 -S all -F dir=/etc", "-a always,exit -F arch=b32 -S all -F dir=/etc"}, ""},
		"a rule without a path":           {[]string{"-a always,exit -S all", "-w /etc -p wa", "-a always,exit -F arch=b64 -S execve"}, "1<0 2<0"},
		"21 a watched link":               {[]string{"-w /var/run -p wa", "-w /run -p wa"}, ""},
		"21 linked parents":               {[]string{"-w /run -p wa", "-w /var/run/docker.sock -p wa"}, "1<0"},
		"20 a mount that may come later":  {[]string{"-w /srv -p wa", "-w /srv/data -p wa"}, ""},
		"the first of several is told":    {[]string{"-w / -p wa", "-w /etc -p wa", "-w /etc/docker -p wa"}, "1<0 2<0"},
		"other lists have no such shadow": {[]string{"-a always,exclude -F msgtype=CWD", "-a always,exclude -F msgtype=CWD -F uid=0"}, ""},
	} {
		w := dockerHost()
		w.mounts = append(w.mounts, Mount{Point: "/srv/data", Type: "ext4"})
		w.mounts[1].Early = true
		rules := w.load(t, c.rules...)
		m, _ := w.Machine()
		v, err := NewView(rules, m, w)
		if err != nil {
			t.Fatal(err)
		}
		shadows := v.Shadows()
		var got []string
		for i := range rules {
			for j := range rules {
				if by := shadows[&rules[i]]; by == &rules[j] {
					got = append(got, fmt.Sprintf("%d<%d", i, j))
				}
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %q", name, got, c.want)
		}
	}
}

// A wanted path stands for each link on the way and for what they lead to.
func TestParts(t *testing.T) {
	t.Parallel()
	w := dockerHost()
	m, _ := w.Machine()
	v, err := NewView(nil, m, w)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want Want
		text string
	}{
		{Want{Path: "/etc/docker", Perms: wa}, "/etc/docker wa tree"},
		{Want{Path: "/usr/bin/dockerd", Perms: wa}, "/usr/bin/dockerd w|/usr/sbin/dockerd wa"},
		{Want{Path: "/usr/bin/dockerd", Perms: Exec}, "/usr/bin/dockerd |/usr/sbin/dockerd x"},
		{Want{Path: "/var/run/docker.sock", Use: true}, "/run/docker.sock use"},
		{Want{Path: "/var/data", Perms: wa}, "/var/data w|/srv/data wa tree"},
		{Want{Path: "/srv/new", Perms: wa, Folder: true}, "/srv/new wa tree"},
	} {
		parts, err := v.Parts(c.want)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range parts {
			text := p.Path + " " + p.Perms.String()
			if p.Use {
				text += "use"
			}
			if p.Tree {
				text += " tree"
			}
			got = append(got, text)
		}
		if strings.Join(got, "|") != c.text {
			t.Errorf("%+v: %q, want %q", c.want, got, c.text)
		}
	}
}
