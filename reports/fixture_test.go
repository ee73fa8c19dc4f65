package reports

import (
	"errors"
	"fmt"
	"time"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/rules"
)

// fixture is a run on a host that is not ready, with a finding of every kind.
func fixture() Input {
	return Input{
		Version:  "0.1.0",
		Commit:   "0123abc",
		Started:  time.Date(2026, 3, 14, 23, 1, 2, 345_678_901, time.FixedZone("CET", 3600)),
		Duration: 38400 * time.Microsecond,
		Host: host.Identity{
			Hostname: "edge-01", Machine: "0123456789abcdef0123456789abcdef", Kernel: "6.1.0-25-amd64", Arch: "x86_64",
			OS: host.OSRelease{ID: "debian", Version: "12", Name: "Debian GNU/Linux 12 (bookworm)"},
		},
		Profile: Profile{Name: "true-connector", Title: "TRUE Connector 1.0.8", Digest: "sha256:00", Open: []string{"TC-12", "TC-25"}},
		Ledger:  &Ledger{Path: "/var/lib/hostguard/keys/ledger.jsonl", Sequence: 12, Head: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Signed: true},
		Outcomes: []Outcome{
			outcome("CLK-001", rules.High, rules.Required, "One time daemon keeps the clock",
				checks.Passed(checks.Evidence{Source: "unit chrony.service", Key: "state", Want: "active", Got: "active"})),
			undetermined("CLK-003", rules.High, "The clock is within 500 ms of the time servers",
				errors.New("cannot ask any time server: ntp1.example.org: no answer within 2s; ntp2.example.org: connection refused")),
			outcome("SSH-001", rules.Critical, rules.Required, "Nobody logs in over SSH with a password",
				checks.Failed("Password login is on for every user from every address.",
					checks.Evidence{Source: "/etc/ssh/sshd_config.d/50-cloud-init.conf", Line: 3, Key: "PasswordAuthentication", Want: "no", Got: "yes"},
					checks.Evidence{Source: "/etc/ssh/sshd_config.d/99-hardening.conf", Line: 12, Key: "PasswordAuthentication", Got: "no, shadowed by the line above"})),
			outcome("SSH-002", rules.High, rules.Required, "Root cannot log in with a password over SSH",
				checks.Passed(checks.Evidence{Source: "/etc/ssh/sshd_config", Line: 33, Key: "PermitRootLogin", Want: "no, prohibit-password", Got: "no"})),
			outcome("SSH-009", rules.Medium, rules.Advice, "PAM is off in sshd",
				checks.Failed("UsePAM is on: the connector's document asks for no.",
					checks.Evidence{Source: "/etc/ssh/sshd_config", Line: 85, Key: "UsePAM", Want: "no", Got: "yes"})),
			outcome("AUD-004", rules.Medium, rules.Required, "Docker's socket use is audited",
				checks.Failed("No rule of the kernel records connections to the socket.",
					checks.Evidence{Source: "kernel audit rules", Key: "/run/docker.sock", Want: "-a always,exit -F arch=b64 -S connect -F path=/run/docker.sock"})),
			outcome("SVC-001", rules.High, rules.Required, "No stray server listens",
				checks.Failed("2 listeners are not on the allow-list.",
					checks.Evidence{Source: "tcp 0.0.0.0:80", Key: "process", Want: "no listener", Got: "nginx (nginx.service)"},
					checks.Evidence{Source: "tcp [::]:5432", Key: "process", Want: "no listener", Got: "postgres (postgresql@15-main.service)"})),
			outcome("STO-002", rules.Medium, rules.Required, "btrfs volumes have free metadata",
				checks.Inapplicable("no btrfs file system is mounted")),
			{Rule: rule("DKR-003", rules.Low, "Compose is available"), Level: rules.Advice,
				Finding: checks.Finding{Rule: "DKR-003", Verdict: checks.Verdict{Status: checks.Pass}, Duration: 1500 * time.Microsecond}},
		},
	}
}

func rule(id string, severity rules.Severity, title string) *rules.Rule {
	family := map[string]string{"CLK": "time", "SSH": "ssh", "AUD": "audit", "SVC": "services", "STO": "storage", "DKR": "docker"}[id[:3]]
	return &rules.Rule{
		ID: id, Title: title, Severity: severity, Check: "some-check", Source: []string{"TC-14"}, Tags: []string{family},
		References: []rules.Reference{{Framework: "man", ID: "sshd_config(5)"}},
		Remediation: rules.Remediation{
			Hint: "Write this into a drop-in that sorts first, then reload; the session you sit in stays open, so try a second one before you leave it:\n  printf 'PasswordAuthentication no\\n' > /etc/ssh/sshd_config.d/00-hostguard.conf\n  systemctl reload ssh\n",
		},
	}
}

func outcome(id string, severity rules.Severity, level rules.Level, title string, v checks.Verdict) Outcome {
	return Outcome{Rule: rule(id, severity, title), Level: level, Finding: checks.Finding{Rule: id, Verdict: v, Duration: time.Millisecond}}
}

func undetermined(id string, severity rules.Severity, title string, err error) Outcome {
	o := outcome(id, severity, rules.Required, title, checks.Verdict{Status: checks.Error})
	o.Finding.Err = err
	return o
}

// many is a run with n findings that are short but not all equal.
func many(n int) Input {
	in := fixture()
	in.Outcomes = make([]Outcome, n)
	for i := range in.Outcomes {
		id := fmt.Sprintf("BIG-%03d", i%1000)
		v := checks.Passed(checks.Evidence{Source: fmt.Sprintf("/srv/%d", i), Key: "mode", Got: "0600"})
		if i%2 == 0 {
			v = checks.Failed("It is open to all.", checks.Evidence{Source: fmt.Sprintf("/srv/%d", i), Key: "mode", Want: "0600", Got: "0666"})
		}
		in.Outcomes[i] = outcome(id, rules.Low, rules.Required, "Files are private", v)
	}
	return in
}

// ready is the fixture with everything in order.
func ready() Input {
	in := fixture()
	for i, o := range in.Outcomes {
		if o.Finding.Status != checks.NotApplicable {
			in.Outcomes[i].Finding.Verdict = checks.Passed(checks.Evidence{Source: "/etc/x", Key: "k", Got: "v"})
			in.Outcomes[i].Finding.Err = nil
		}
	}
	return in
}
