package connector

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/secret"
	"github.com/hostguard/hostguard/internal/springconf"
)

type secretParams struct {
	Roles     []string `yaml:"roles" doc:"The services that need the secret: execution core, data app, usage control, PIP."`
	Variables []string `yaml:"variables" doc:"The names under which a container may be given it; the first that is set counts."`
	MinLength int      `yaml:"min_length" doc:"How many characters it must have."`
	MinBits   int      `yaml:"min_bits" doc:"How hard it must be to guess: bits, by an estimate that errs to the low side."`
}

// secretDefaults are for the secret that encrypts the connector's data.
var secretDefaults = secretParams{
	Roles:     []string{string(host.RoleCore), string(host.RoleUsageControl)},
	Variables: []string{"AES256-SECRET-KEY", "AES256_SECRET_KEY"},
	MinLength: 16, MinBits: 80,
}

// Validate wants roles and names.
func (p secretParams) Validate() error {
	switch {
	case len(p.Roles) == 0:
		return errors.New("roles is empty")
	case len(p.Variables) == 0:
		return errors.New("variables is empty")
	case p.MinLength < 1 || p.MinBits < 0:
		return errors.New("min_length and min_bits must be positive")
	}
	return nil
}

func appSecret(ctx context.Context, h *host.Host, p secretParams) (checks.Verdict, error) {
	all, err := appsOf(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	launch := func(name string) ([]host.LaunchVariable, error) { return h.LaunchVariables(ctx, name) }
	return judgeSecret(all, p, launch, h.TargetMode)
}

// judgeSecret wants the secret in each application that needs it. launch tells
// where the host sets a variable for whoever starts compose; mode looks at a file.
func judgeSecret(all []host.ConnectorApps, p secretParams, launch func(string) ([]host.LaunchVariable, error), mode func(string) (host.FileMode, error)) (checks.Verdict, error) {
	s := secretJudge{p: p, launch: launch, mode: mode, looked: map[string]bool{}}
	for _, c := range all {
		if c.Err != nil {
			s.unknown = append(s.unknown, c.Err)
			continue
		}
		made := map[string]bool{} // services whose containers tell
		for _, app := range c.Of(roles(p.Roles)...) {
			if app.Container != "" {
				made[app.Service.Name] = true
			}
		}
		for _, app := range c.Of(roles(p.Roles)...) {
			s.judge(app, made[app.Service.Name])
		}
	}
	return s.verdict("The secret that encrypts the connector's data is missing, weak, or can be read by everybody.", "No service of the connector needs this secret.")
}

type secretJudge struct {
	outcome
	p      secretParams
	launch func(string) ([]host.LaunchVariable, error)
	mode   func(string) (host.FileMode, error)
	looked map[string]bool // places whose readers were looked at
}

func (s *secretJudge) judge(app host.ConnectorApp, containerTells bool) {
	v, given := app.Variable(s.p.Variables...)
	key := subject(app) + ": " + v.Name
	switch {
	case !given && app.Container == "" && containerTells:
		return // what is written now is seen as drift; the container is judged
	case !given:
		source, line := app.Service.File, app.Service.Line
		if app.Container != "" {
			source, line = "container "+app.Container, 0
		}
		s.bad = append(s.bad, checks.Evidence{Source: source, Line: line, Key: subject(app) + ": " + s.p.Variables[0], Want: "set", Got: "not given to the container"})
		return
	case v.Missing == "":
		if app.Container == "" {
			s.readers(key, v.Origin.Source, v.Origin, false)
		}
		s.strength(key, v.Origin, v.Value)
		return
	}
	// The shell of whoever starts compose knows it. Where it may have it from is
	// seen even if a container shows the value.
	found, err := s.launch(v.Missing)
	if err != nil {
		s.unknown = append(s.unknown, err)
	}
	for _, l := range found {
		s.readers(subject(app)+": "+v.Missing, l.File, l.Origin, l.Public)
		if !containerTells {
			s.strength(subject(app)+": "+v.Missing, l.Origin, l.Value)
		}
	}
	if len(found) == 0 && !containerTells && err == nil {
		s.unknownf("cannot tell the secret %s of %s: %v leaves it to the variable %.64q of whoever starts compose; it is in no container yet, neither in /etc/environment nor in a unit that runs compose",
			v.Name, app.Name(), v.Origin, v.Missing)
	}
}

func (s *secretJudge) strength(key string, at springconf.Place, value secret.Text) {
	want := fmt.Sprintf("%d characters or more, hard to guess", s.p.MinLength)
	e := checks.Evidence{Source: at.Source, Line: at.Line, Key: key, Want: want}
	switch {
	case value.Empty():
		e.Got = "nothing"
	case isPublished("secret", value.Reveal()):
		e.Got = gotPublished
	case value.Length() < s.p.MinLength:
		e.Got = fmt.Sprintf("%d characters", value.Length())
	case value.Bits() < float64(s.p.MinBits):
		e.Got = fmt.Sprintf("%d characters that are easy to guess", value.Length())
	default:
		e.Want, e.Got = "", fmt.Sprintf("%d characters, hard to guess", value.Length())
		s.good = append(s.good, e)
		return
	}
	s.bad = append(s.bad, e)
}

// readers sees who can read the file that holds the value.
func (s *secretJudge) readers(key, file string, at springconf.Place, public bool) {
	if !strings.HasPrefix(file, "/") || s.looked[at.String()] {
		return
	}
	s.looked[at.String()] = true
	if public {
		s.bad = append(s.bad, checks.Evidence{Source: at.Source, Line: at.Line, Key: key, Want: "EnvironmentFile= with a file that only root reads", Got: "Environment=, which systemd tells every user"})
		return
	}
	m, err := s.mode(file)
	switch {
	case err != nil:
		s.unknownf("cannot tell who reads the secret: %w", err)
	case m.Perm&0o007 != 0:
		s.bad = append(s.bad, checks.Evidence{Source: file, Line: at.Line, Key: key, Want: "a file that others cannot read", Got: fmt.Sprintf("mode %04o", m.Perm)})
	}
}
