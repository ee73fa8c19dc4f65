package ssh

import (
	"errors"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/authorizedkeys"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/sshdconf"
	"github.com/hostguard/hostguard/internal/sshkeys"
)

const (
	keyOne   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFZGVIFFPqfYkhdKOF8wMgj/uX5wL0sDbmvQLqbbTyVo"
	keyTwo   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC8HmoqiSkivdM+Eo1yEXQXA6UzYzCxHqzPWNMBnV+mW"
	fprTwo   = "SHA256:7SUkDDrBqjtmk377hrjfoXse7rlpPCuHWLbdEhh4gU8"
	dsaKey   = "ssh-dss AAAAB3NzaC1kc3MAAAABAwAAAAEDAAAAAQMAAAABAw=="
	someCA   = "/etc/ssh/ca.pub"
	someTool = "/usr/bin/tool"
)

// keyFile is a file of keys of an account; its uid is 1000 and the first
// letter's place after a.
func keyFile(account, text string) accountFile {
	u := &host.User{Name: account, UID: 1000 + uint32(account[0]-'a')}
	f := &host.KeyFile{Path: "/home/" + account + "/k", Real: "/home/" + account + "/k"}
	f.Entries, f.Problems = authorizedkeys.Reader{Version: sshdconf.V9_2}.Parse(f.Path, []byte(text))
	return accountFile{u, f}
}

func TestJudgeKeyFiles(t *testing.T) {
	t.Parallel()
	list, err := sshkeys.ParseList([]byte(dsaKey))
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := sshkeys.ParseRevoked([]byte(keyTwo))
	if err != nil {
		t.Fatal(err)
	}
	setting := func(keyword, text string) sshdconf.Setting {
		return sshdconf.Setting{Keyword: keyword, Values: []sshdconf.Value{{Text: text, At: sshdconf.Place{File: "/etc/ssh/sshd_config", Line: 7}}}}
	}
	broken := func(change func(*host.KeyFile)) accountFile {
		f := keyFile("a", keyOne)
		change(f.KeyFile)
		return f
	}
	tooLarge := broken(func(f *host.KeyFile) { f.Err, f.Entries = host.ErrTooLarge, nil })
	strong := keyStrengthParams{Kinds: strongKinds, MinRSA: 4096}
	strength := func(p keyStrengthParams) func(keyView) (checks.Verdict, error) {
		return func(v keyView) (checks.Verdict, error) { return judgeStrength(v, p) }
	}
	repeated := func(p keyRepeatedParams) func(keyView) (checks.Verdict, error) {
		return func(v keyView) (checks.Verdict, error) { return judgeRepeated(v, p) }
	}
	sources := func(accept ...string) func(keyView) (checks.Verdict, error) {
		return func(v keyView) (checks.Verdict, error) { return judgeSources(v, keySourcesParams{accept}) }
	}
	plain := func(judge func(keyView, struct{}) (checks.Verdict, error)) func(keyView) (checks.Verdict, error) {
		return func(v keyView) (checks.Verdict, error) { return judge(v, struct{}{}) }
	}
	files := func(f ...accountFile) keyView { return keyView{files: f} }
	command := func(f ...accountFile) keyView {
		return keyView{files: f, others: []sshdconf.Setting{setting("authorizedkeyscommand", `"`+someTool+`" %u`)}}
	}
	authority := func(f ...accountFile) keyView {
		return keyView{files: f, others: []sshdconf.Setting{setting("trustedusercakeys", someCA)},
			authorities: []*host.KeyList{{Path: someCA, Keys: list}}}
	}
	for name, c := range map[string]struct {
		judge func(keyView) (checks.Verdict, error)
		view  keyView
		want  checks.Status // 0: an error
		says  string
	}{
		"strength: none":                       {strength(strong), files(), checks.NotApplicable, ""},
		"strength: strong":                     {strength(strong), files(keyFile("a", keyOne)), checks.Pass, "ED25519 256"},
		"strength: 38, DSA":                    {strength(strong), files(keyFile("a", keyOne), keyFile("b", dsaKey)), checks.Fail, "b has a weak key"},
		"strength: a parameter":                {strength(keyStrengthParams{Kinds: []string{"rsa"}, MinRSA: 2048}), files(keyFile("a", keyOne)), checks.Fail, "RSA of at least 2048 bits"},
		"strength: an authority's":             {strength(keyStrengthParams{Kinds: strongKinds, Sources: []string{someCA}}), authority(), checks.Fail, "DSA"},
		"strength: a program":                  {strength(strong), command(keyFile("a", keyOne)), 0, someTool},
		"strength: an accepted one":            {strength(keyStrengthParams{Kinds: strongKinds, Sources: []string{someTool}}), command(keyFile("a", keyOne)), checks.Pass, ""},
		"strength: weak, and a program":        {strength(strong), command(keyFile("a", dsaKey)), checks.Fail, "weak"},
		"strength: a file not read":            {strength(strong), keyView{files: []accountFile{keyFile("b", keyOne)}, unread: []error{host.ErrTooLarge}}, 0, "too large"},
		"strength: other accounts":             {strength(strong), keyView{unseen: []error{errors.New("cannot see LDAP")}}, 0, "LDAP"},
		"format: fine":                         {plain(judgeFormat), files(keyFile("a", "# x\n"+keyOne)), checks.Pass, "1 key"},
		"format: 38, an unknown type":          {plain(judgeFormat), files(keyFile("a", keyOne+"\nssh-x AAAA")), checks.Fail, ":2"},
		"format: an unknown option":            {plain(judgeFormat), files(keyFile("a", "x "+keyOne)), checks.Fail, "unknown: x"},
		"format: a FIFO":                       {plain(judgeFormat), files(broken(func(f *host.KeyFile) { f.Refused = "it is no regular file" })), checks.Fail, "regular"},
		"format: no such file of authorities":  {plain(judgeFormat), keyView{authorities: []*host.KeyList{{Path: someCA, Missing: true}}}, checks.Fail, someCA},
		"format: authorities with junk":        {plain(judgeFormat), keyView{authorities: []*host.KeyList{{Path: someCA, Problem: "line 3"}}}, checks.Fail, "line 3"},
		"modes: fine":                          {plain(judgeModes), files(keyFile("a", keyOne)), checks.Pass, ""},
		"modes: unsafe":                        {plain(judgeModes), files(broken(func(f *host.KeyFile) { f.UnsafeAt, f.Unsafe = "/home/a", "everybody may write to it" })), checks.Fail, "/home/a"},
		"modes: of a file not read":            {plain(judgeModes), keyView{files: []accountFile{tooLarge}, unread: []error{host.ErrTooLarge}}, checks.Pass, ""},
		"modes: of a file not found":           {plain(judgeModes), files(broken(func(f *host.KeyFile) { f.Err, f.Real = errors.New("cannot go there"), "" })), 0, "cannot go there"},
		"repeated: none":                       {repeated(keyRepeatedParams{Within: inAccounts}), files(keyFile("a", keyOne), keyFile("b", keyTwo)), checks.Pass, ""},
		"repeated: 38, two accounts":           {repeated(keyRepeatedParams{Within: inAccounts}), files(keyFile("a", keyOne), keyFile("b", "restrict "+keyOne)), checks.Fail, "a and b"},
		"repeated: in one account":             {repeated(keyRepeatedParams{Within: inAccounts}), files(keyFile("a", keyOne+"\n"+keyOne)), checks.Pass, ""},
		"repeated: twice":                      {repeated(keyRepeatedParams{Within: inAccount}), files(keyFile("a", keyOne+"\nrestrict "+keyOne)), checks.Fail, "/home/a/k:1"},
		"repeated: by two accounts, not twice": {repeated(keyRepeatedParams{Within: inAccount}), files(keyFile("a", keyOne), keyFile("b", keyOne)), checks.Pass, ""},
		"repeated: one uid, one file":          {repeated(keyRepeatedParams{Within: inAccounts}), files(keyFile("a", keyOne), keyFile("a", keyOne)), checks.Pass, ""},
		"revoked: not set":                     {plain(judgeRevoked), files(keyFile("a", keyOne)), checks.NotApplicable, "not set"},
		"revoked: another":                     {plain(judgeRevoked), keyView{files: []accountFile{keyFile("a", keyOne)}, revocations: []*host.Revocations{{Path: "/r", Revoked: revoked}}}, checks.Pass, "/r"},
		"revoked: listed":                      {plain(judgeRevoked), keyView{files: []accountFile{keyFile("a", keyTwo)}, revocations: []*host.Revocations{{Path: "/r", Revoked: revoked}}}, checks.Fail, "/r:1"},
		"revoked: not readable by sshd":        {plain(judgeRevoked), keyView{revocations: []*host.Revocations{{Path: "/r", RefusesAll: "there is no such file"}}}, checks.Fail, "refuses every key"},
		"revoked: not readable here":           {plain(judgeRevoked), keyView{files: []accountFile{keyFile("a", keyOne)}, revocations: []*host.Revocations{{Path: "/r", Err: host.ErrTooLarge}}}, 0, "revoked"},
		"sources: files":                       {sources(), files(keyFile("a", keyOne)), checks.Pass, ""},
		"sources: no keys at all":              {sources(), files(), checks.Pass, ""},
		"sources: a program":                   {sources(), command(), checks.Fail, "/etc/ssh/sshd_config"},
		"sources: an accepted one":             {sources(someTool), command(), checks.Pass, "accepted"},
		"sources: authorities":                 {sources(someTool), authority(), checks.Fail, someCA},
		"sources: an authority's line":         {sources(), files(keyFile("a", "cert-authority "+keyTwo)), checks.Fail, "without principals"},
		"sources: an accepted line":            {sources(fprTwo), files(keyFile("a", "cert-authority "+keyTwo)), checks.Pass, "accepted"},
		"sources: a line that sshd ignores":    {sources(), files(keyFile("a", "cert-authority,x "+keyTwo)), checks.Pass, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := c.judge(c.view)
			said := v.Reason
			for _, e := range v.Evidence {
				said += "\n" + e.Source + ":" + string(rune('0'+e.Line)) + " " + e.Key + " " + e.Want + " " + e.Got
			}
			if c.want == 0 {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v %v, want an error about %q", v, err, c.says)
				}
				return
			}
			if err != nil || v.Status != c.want || !strings.Contains(said, c.says) {
				t.Errorf("%v %v, want %v that says %q\n%s", v.Status, err, c.want, c.says, said)
			}
			for _, secret := range []string{keyOne[20:], keyTwo[20:]} {
				if strings.Contains(said, secret) {
					t.Error("the key itself is told")
				}
			}
		})
	}
}

func TestKeyParameters(t *testing.T) {
	t.Parallel()
	for _, p := range []keyStrengthParams{{}, {Kinds: []string{"RSA"}}, {Kinds: []string{"ed25519", "x"}}} {
		if p.Validate() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	if (keyRepeatedParams{Within: "x"}).Validate() == nil || (keyRepeatedParams{Within: inAccount}).Validate() != nil {
		t.Error("within")
	}
}
