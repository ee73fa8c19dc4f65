package authorizedkeys

import (
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/sshdconf"
)

const (
	key  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFZGVIFFPqfYkhdKOF8wMgj/uX5wL0sDbmvQLqbbTyVo"
	dsa  = "ssh-dss AAAAB3NzaC1kc3MAAAABAwAAAAEDAAAAAQMAAAABAw=="
	ssh1 = "1024 35 148039847829347829374892 me@old"
)

func TestParse(t *testing.T) {
	t.Parallel()
	v92, v84, v10 := sshdconf.V9_2, sshdconf.V8_4, sshdconf.V10_0
	for name, c := range map[string]struct {
		version sshdconf.Version
		text    string
		line    int    // of the entry; 0: none
		usable  bool   // of the entry
		problem string // part of its text; "": none
	}{
		"a key":                        {v92, key, 1, true, ""},
		"a comment":                    {v92, "#" + key, 0, false, ""},
		"blank lines, leading blanks":  {v92, "\n \t\n\t " + key + "\n", 3, true, ""},
		"CRLF":                         {v92, "\r\n" + key + " me\r\n", 2, true, ""},
		"a byte order mark":            {v92, "\xef\xbb\xbf" + key, 0, false, "byte order mark"},
		"a NUL byte before the key":    {v92, "\x00" + key, 0, false, "NUL"},
		"a NUL byte after it":          {v92, key + " a\x00b", 1, true, "NUL"},
		"options with quotes, commas":  {v92, `command="echo \"a, b\"",from="10.0.0.0/8,!10.1.0.0/16",no-pty ` + key, 1, true, ""},
		"an unknown option":            {v92, "no-such-thing " + key, 1, false, "an option is unknown: no-such-thing"},
		"an unknown one with a secret": {v92, `password="hunter2" ` + key, 1, false, "an option is unknown: password"},
		"an open quote":                {v92, `command="x ` + key, 0, false, "quote"},
		"two commands":                 {v92, `command="a",command="b" ` + key, 1, false, "two command options"},
		"a network with host bits":     {v92, `from="10.0.0.1/8" ` + key, 1, false, "malformed"},
		"an expiry-time":               {v92, `expiry-time="20200101" ` + key, 1, false, ""},
		"in UTC":                       {v92, `expiry-time="20990101Z" ` + key, 1, true, ""},
		"in UTC, to 8.4":               {v84, `expiry-time="20990101Z" ` + key, 1, false, "knows no Z"},
		"more than a time":             {v92, `expiry-time="2099011x" ` + key, 1, false, "malformed"},
		"more than a time, to 8.4":     {v84, `expiry-time="2099011x" ` + key, 1, true, ""},
		"38: DSA to 9.2":               {v92, dsa, 1, true, ""},
		"38: DSA to 10.0":              {v10, dsa, 0, false, "does not know DSA"},
		"38: an unknown type":          {v92, "ssh-kyber AAAA", 0, false, "neither its first word"},
		"protocol 1":                   {v92, ssh1, 0, false, "protocol 1"},
		"cut base64":                   {v92, key[:len(key)-2], 0, false, "base64"},
		"the type of another":          {v92, strings.Replace(key, "ssh-ed25519", "ssh-rsa", 1), 0, false, "another one's"},
		"principals without authority": {v92, `principals="a" ` + key, 1, false, "certificate authority"},
		"an authority":                 {v92, `cert-authority,principals="a" ` + key, 1, true, ""},
		"a private key":                {v92, "-----BEGIN OPENSSH PRIVATE KEY-----", 0, false, "no key"},
		"a line of 1 MiB":              {v92, `command="` + strings.Repeat("x", 1<<20) + `" ` + key, 1, true, ""},
		"bytes that are no text":       {v92, key + " \xff\x1b[2J\u202e", 1, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entries, problems := Reader{Version: c.version}.Parse("f", []byte(c.text))
			if (c.line == 0) != (len(entries) == 0) || len(entries) > 1 {
				t.Fatalf("%d entries, problems %v", len(entries), problems)
			}
			if c.line > 0 {
				e := entries[0]
				if usable, why := e.Usable(Conn{Addr: "10.2.3.4", Time: time.Now()}); e.Line != c.line || usable != c.usable {
					t.Errorf("line %d, usable %v (%s)", e.Line, usable, why)
				}
			}
			if c.problem == "" && len(problems) > 0 || c.problem != "" && (len(problems) == 0 || !strings.Contains(problems[0].Text, c.problem)) {
				t.Errorf("problems %v, want %q", problems, c.problem)
			}
			for _, p := range problems {
				if strings.Contains(p.Text, "hunter2") {
					t.Errorf("the value of an option is told: %s", p.Text)
				}
			}
		})
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	entries, problems := Reader{}.Parse("f", []byte(`Restrict,pty,command="a \"b\"",from="h",environment="A=1",environment="A=2",permitopen="x:1",permitlisten="22",tunnel="0",no-touch-required,verify-required,expiry-time="20400101",expiry-time="20300101" `+key+"  two words \t"))
	if len(entries) != 1 || len(problems) != 0 {
		t.Fatal(entries, problems)
	}
	e, o := entries[0], entries[0].Options
	if !o.Restrict || !o.PTY || o.AgentForwarding || *o.Command != `a "b"` || *o.From != "h" || len(o.Environment) != 1 || o.PermitListen[0] != "*:22" ||
		o.PermitOpen[0] != "x:1" || o.Tunnel != "0" || !o.NoTouch || !o.VerifyRequired || o.Expires.Year() != 2030 || e.Comment != "two words" {
		t.Errorf("%+v %q", o, e.Comment)
	}
}

// A file of 10 MiB is read in linear time.
func TestParseLarge(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{"keys": key + "\n", "quotes": strings.Repeat(`"`, 4095) + "\n", "commas": strings.Repeat(",", 4095) + "\n", "one line": `command="` + strings.Repeat(`\"`, 2000), "problems": "x\n"} {
		start := time.Now()
		entries, problems := Reader{}.Parse("f", []byte(strings.Repeat(line, 10<<20/len(line))))
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: %v", name, took)
		}
		if len(problems) > maxProblems || name == "keys" && len(entries) != 10<<20/len(line) {
			t.Errorf("%s: %d entries, %d problems", name, len(entries), len(problems))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{key, dsa, ssh1, `from="10.0.0.0/8",expiry-time="20300101Z",command="a\"b" ` + key + " c\r\n", "cert-authority " + key, "permitopen=\"[::1]:22\",tunnel=\"any\" " + key} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, v := range sshdconf.Known {
			entries, problems := Reader{Version: v}.Parse("f", []byte(text))
			for i := range entries {
				e := &entries[i]
				if e.Line < 1 || e.Line > strings.Count(text, "\n")+1 || e.Bits == 0 && e.Kind != "dsa" {
					t.Errorf("%+v", e)
				}
				usable, why := e.Usable(Conn{Addr: "192.0.2.1", Time: time.Unix(1e9, 0)})
				if usable != (why == "") {
					t.Errorf("usable %v, %q", usable, why)
				}
			}
			for _, p := range problems {
				if p.Text == "" {
					t.Error("a problem without words")
				}
			}
		}
	})
}
