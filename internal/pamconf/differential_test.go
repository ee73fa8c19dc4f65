package pamconf

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// errorTexts are pam_strerror(3) of what the generated modules return.
var errorTexts = map[string]string{
	"Authentication failure":                                     AuthError,
	"Permission denied":                                          Denied,
	"User account has expired":                                   AccountExpired,
	"Authentication token expired":                               TokenExpired,
	"Authentication service cannot retrieve authentication info": NoInfo,
	"User not known to the underlying authentication module":     "user_unknown",
	"Authentication token is no longer valid; new one required":  NewPassword,
	"The return value should be ignored by PAM dispatch":         Ignore,
	"Initialization failure":                                     Denied, // libpam gives the service up
}

// stack writes a stack of modules that return what they are told.
func stack(r *rand.Rand, files []string) string {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	result := func() string {
		return pick(Success, Success, Success, Success, Success, Success, Success, Success, Success, Ignore, AuthError, Denied, AccountExpired, NewPassword, TokenExpired, NoInfo, "user_unknown")
	}
	var b strings.Builder
	for range 1 + r.IntN(5) {
		if len(files) > 0 && r.IntN(4) == 0 {
			file := files[r.IntN(len(files))]
			if r.IntN(3) == 0 {
				fmt.Fprintf(&b, "@include %s\n", file)
			} else {
				fmt.Fprintf(&b, "account\t%s %s\n", pick("include", "substack"), file)
			}
			continue
		}
		control := pick("required", "requisite", "sufficient", "optional", "Required")
		if r.IntN(2) == 0 {
			var pairs []string
			for range 1 + r.IntN(3) {
				pairs = append(pairs, result()+"="+pick("ok", "ok", "ok", "done", "bad", "die", "ignore", "reset", "1", "2"))
			}
			if r.IntN(3) > 0 {
				pairs = append(pairs, "default="+pick("ok", "bad", "die", "ignore", "reset", "1"))
			}
			control = "[" + strings.Join(pairs, " ") + "]"
		}
		fmt.Fprintf(&b, "%saccount %s pam_debug.so %sacct=%s%s\n", pick("", "", "-"), control, pick("", "", "\\\n  "), result(), pick("", "", " # comment"))
	}
	return b.String()
}

// What a stack ends with is what the real libpam makes of it: generated stacks
// with includes, substacks, jumps and resets.
func TestEndsAreThoseOfLibpam(t *testing.T) {
	lab.Need(t, lab.Root, lab.PAM)
	cases := 300
	if n, err := strconv.Atoi(os.Getenv("HOSTGUARD_CASES")); err == nil { // make proof
		cases = n
	}
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(36, uint64(cases)))
	inside := filepath.Join(dir, "pam.d")
	if err := os.Mkdir(inside, 0o755); err != nil {
		t.Fatal(err)
	}
	written := files{}
	write := func(name, text string) {
		written[name] = text
		if err := os.WriteFile(filepath.Join(inside, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("other", "account required pam_deny.so\n")
	var shared []string
	for i := range 12 {
		name := fmt.Sprintf("shared%d", i)
		write(name, stack(r, shared))
		shared = append(shared, name)
	}
	shared = append(shared, "not-there")
	for i := range cases {
		write(fmt.Sprintf("case%d", i), stack(r, shared))
	}
	script := `mount --bind "$1" /etc/pam.d
i=0
while [ $i -lt $2 ]; do
	said=$(pamtester case$i root acct_mgmt 2>&1 >/dev/null) && echo done || echo "$said" | tail -n 1
	i=$((i + 1))
done`
	run := lab.Exec(t, "unshare", "--mount", "sh", "-uc", script, "sh", inside, strconv.Itoa(cases))
	answers := strings.Split(strings.TrimSpace(run.Stdout), "\n")
	if len(answers) != cases {
		t.Fatalf("%d answers for %d cases: %s", len(answers), cases, run.Stderr)
	}
	succeeded := 0
	for i, answer := range answers {
		want, ok := errorTexts[strings.TrimPrefix(answer, "pamtester: ")]
		if answer == "done" {
			want, ok = Success, true
			succeeded++
		}
		if !ok {
			t.Errorf("libpam says %q of\n%s", answer, written[fmt.Sprintf("case%d", i)])
			continue
		}
		name := fmt.Sprintf("case%d", i)
		s, err := Read(written.read, name, Account)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, written[name])
			continue
		}
		got := s.Ends(func(e Entry) []string {
			result, _ := strings.CutPrefix(e.Args[0], "acct=")
			return []string{result}
		})
		if !slices.Equal(got, []string{want}) {
			t.Errorf("%s ends with %q, for libpam with %s:\n%s", name, got, want, written[name])
		}
	}
	if succeeded < cases/10 || succeeded > cases*9/10 {
		t.Errorf("%d of %d succeed: the cases show little", succeeded, cases)
	}
}
