package springconf

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/secret"
)

func env(pairs ...string) []Variable {
	var vars []Variable
	for i, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		v := Variable{Name: name, Value: secret.New(value), Place: Place{"c.yml", i + 1, name}, Origin: Place{".env", i + 1, name}}
		if value == "?" {
			v.Value, v.Missing = secret.Text{}, "FROM_SHELL"
		}
		vars = append(vars, v)
	}
	return vars
}

func file(name, text string) File { return File{Name: "/cfg/" + name, Data: []byte(text)} }

func TestProperty(t *testing.T) {
	t.Parallel()
	const app, docker = "application.properties", "application-docker.properties"
	secretWord := "s3cret"
	for name, c := range map[string]struct {
		env   []Variable
		args  []secret.Text
		files []File
		want  string // "value place origin", "unset" or an error
	}{
		"in the file":                       {nil, nil, []File{file(app, "x=1\nk=v")}, "v /cfg/application.properties:2 /cfg/application.properties:2"},
		"the profile wins":                  {env("SPRING_PROFILES_ACTIVE=docker"), nil, []File{file(app, "k=v"), file(docker, "k=w")}, "w /cfg/application-docker.properties:1 /cfg/application-docker.properties:1"},
		"another profile's file":            {env("SPRING_PROFILES_ACTIVE=prod"), nil, []File{file(app, "k=v"), file(docker, "k=w")}, "v /cfg/application.properties:1 /cfg/application.properties:1"},
		"the last profile wins":             {env("SPRING_PROFILES_ACTIVE=docker, b"), nil, []File{file(docker, "k=w"), file("application-b.yml", "k: y")}, "y /cfg/application-b.yml:1 /cfg/application-b.yml:1"},
		"the profile named in a file":       {nil, nil, []File{file(app, "k=v\nspring.profiles.active=docker"), file(docker, "k=w")}, "w /cfg/application-docker.properties:1 /cfg/application-docker.properties:1"},
		"the default profile":               {nil, nil, []File{file(app, "k=v"), file("application-default.properties", "k=w")}, "w /cfg/application-default.properties:1 /cfg/application-default.properties:1"},
		"properties win over YAML":          {nil, nil, []File{file("application.yml", "k: y"), file(app, "k=v")}, "v /cfg/application.properties:1 /cfg/application.properties:1"},
		"a variable by reference":           {env("V=v"), nil, []File{file(app, "k=${V}")}, "v /cfg/application.properties:1 .env:1"},
		"a reference to a reference":        {env("V=v"), nil, []File{file(app, "k=${j}\nj=${V:d}")}, "v /cfg/application.properties:1 .env:1"},
		"a default":                         {nil, nil, []File{file(app, "k=${V:d}")}, "d /cfg/application.properties:1 /cfg/application.properties:1"},
		"a longer text":                     {env("V=v"), nil, []File{file(app, "k=a${V}b")}, "avb /cfg/application.properties:1 /cfg/application.properties:1"},
		"overridden by the environment":     {env("K=v"), nil, []File{file(app, "k=w")}, "v c.yml:1 .env:1"},
		"the application's key otherwise":   {nil, nil, []File{file(app, "K=w")}, "w /cfg/application.properties:1 /cfg/application.properties:1"},
		"set nowhere":                       {nil, nil, []File{file(app, "j=w")}, "unset"},
		"a variable that only a shell has":  {env("V=?"), nil, []File{file(app, "k=${V}")}, `depends on the variable "FROM_SHELL"`},
		"it does not matter here":           {env("V=?"), nil, []File{file(app, "k=v")}, "v /cfg/application.properties:1 /cfg/application.properties:1"},
		"a variable without value":          {nil, nil, []File{file(app, "k=${V}")}, "a variable in it has no value"},
		"a circle":                          {nil, nil, []File{file(app, "k=${j}\nj=${k}")}, "cannot be replaced"},
		"a default is not shown":            {nil, nil, []File{file(app, "k=${j:"+secretWord+"${l}}")}, "has no value"},
		"another file of the code":          {nil, nil, []File{file("users.properties", "k=v")}, "v /cfg/users.properties:1 /cfg/users.properties:1"},
		"which application.properties beat": {nil, nil, []File{file("users.properties", "k=v"), file(app, "k=w")}, "w /cfg/application.properties:1 /cfg/application.properties:1"},
		"the command line":                  {nil, []secret.Text{secret.New("--k=" + secretWord)}, []File{file(app, "k=v")}, "the container's command sets it"},
		"a shell's command line":            {nil, []secret.Text{secret.New("sh"), secret.New("-c"), secret.New("exec java '-Dk=" + secretWord + "' -jar x")}, []File{file(app, "k=v")}, "the container's command sets it"},
		"another folder by the command":     {nil, []secret.Text{secret.New("--spring.config.additional-location=/x/")}, []File{file(app, "k=v")}, "command sets \"spring.config.additional-location\""},
		"another folder by Java's options":  {env("JAVA_TOOL_OPTIONS=-Dspring.config.location=/x/"), nil, []File{file(app, "k=v")}, "JAVA_TOOL_OPTIONS (c.yml:1) sets \"spring.config.location\""},
		"a profile by Java's options":       {env("JDK_JAVA_OPTIONS=-Dspring.profiles.include=x"), nil, []File{file(app, "k=v")}, "does not follow"},
		"an import, spelt otherwise":        {nil, nil, []File{file(app, "k=v\nSpring.Config.IMPORT=x")}, "application.properties:2 sets Spring.Config.IMPORT"},
		"profiles included, otherwise":      {nil, nil, []File{file(app, "k=v\nspring.profiles.in-clude=x")}, "does not follow"},
		"a list of profiles":                {nil, nil, []File{file("application.yml", "k: v\nspring: {profiles: {active: [docker]}}"), file(docker, "k=w")}, "does not follow"},
		"numbered profiles":                 {env("SPRING_PROFILES_ACTIVE_0=docker"), nil, []File{file(app, "k=v"), file(docker, "k=w")}, "does not follow"},
		"a system property":                 {env("JDK_JAVA_OPTIONS=-Xmx1g -Dk=" + secretWord), nil, []File{file(app, "k=v")}, "JDK_JAVA_OPTIONS (c.yml:1) sets it, too"},
		"options in a file":                 {env("JDK_JAVA_OPTIONS=@/x"), nil, []File{file(app, "k=v")}, "names a file of options"},
		"JSON in the environment":           {env("SPRING_APPLICATION_JSON={}"), nil, []File{file(app, "k=v")}, "does not follow"},
		"another folder":                    {env("SPRING_CONFIG_LOCATION=/x"), nil, []File{file(app, "k=v")}, "does not follow"},
		"an import":                         {nil, nil, []File{file(app, "k=v\nspring.config.import=x")}, "application.properties:2 sets spring.config.import"},
		"a document for one profile":        {nil, nil, []File{file("application.yml", "k: v\n---\nspring: {config: {activate: {on-profile: x}}}\nk: w\n")}, "application.yml:3 sets spring.config.activate.on-profile"},
		"unreadable":                        {nil, nil, []File{{Name: "/cfg/" + app, Err: errors.New("it is a FIFO")}}, "it is a FIFO"},
		"unreadable, of another profile":    {nil, nil, []File{{Name: "/cfg/" + docker, Err: errors.New("it is a FIFO")}, file(app, "k=v")}, "v /cfg/application.properties:1 /cfg/application.properties:1"},
		"a bad escape":                      {nil, nil, []File{file(app, "k="+secretWord+`\u12`)}, "application.properties:1"},
		"not YAML":                          {nil, nil, []File{file("application.yml", "k: ["+secretWord)}, "application.yml: it is not YAML"},
		"XML":                               {nil, nil, []File{file("application.xml", "<x/>")}, "in XML"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := New(c.env, c.args, c.files).Property("k", "users.properties")
			got := "unset"
			switch {
			case err != nil:
				got = err.Error()
			case v.Set:
				got = fmt.Sprintf("%s %v %v", v.Text.Reveal(), v.Place, v.Origin)
			}
			if err != nil && !strings.Contains(got, c.want) || err == nil && got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if strings.Contains(got, secretWord) {
				t.Errorf("it quotes the file: %s", got)
			}
		})
	}
}

// TestVariables: by which variables the environment overrides a property.
func TestVariables(t *testing.T) {
	t.Parallel()
	for key, names := range map[string][]string{
		"application.isEnabledDapsInteraction": {"application.isEnabledDapsInteraction", "application_isEnabledDapsInteraction", "APPLICATION_ISENABLEDDAPSINTERACTION"},
		"server.ssl.key-store":                 {"SERVER_SSL_KEYSTORE", "SERVER_SSL_KEY_STORE", "server_ssl_key-store"},
	} {
		for _, name := range names {
			v, err := New(env(name+"=v"), nil, []File{file("application.properties", key+"=w")}).Property(key)
			if err != nil || v.Text.Reveal() != "v" {
				t.Errorf("%s is not set by %s: %v", key, name, err)
			}
		}
	}
}

func TestYAMLIsBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := range 8 {
		fmt.Fprintf(&b, "a%d: &a%d [%s*a%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d,", i), 9), i)
	}
	for name, text := range map[string]string{"aliases": b.String(), "deep": strings.Repeat("{a: ", 100) + strings.Repeat("}", 100), "itself": "a: &a [*a]"} {
		if _, err := New(nil, nil, []File{file("application.yml", text)}).Property("k"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	v, err := New(nil, nil, []File{file("application.yml", "a: {b: [{c: 1}, {c: ~}]}\nd.e: x")}).Property("a.b[0].c")
	if err != nil || v.Text.Reveal() != "1" {
		t.Errorf("%v %v", v, err)
	}
}

func FuzzProperty(f *testing.F) {
	f.Add("k=${j}\nj=1", "k: {a: [1]}", "J=2")
	f.Add("k=${${k}:${j:}}", "spring: {profiles: {active: x}}", "SPRING_PROFILES_ACTIVE=${k}")
	f.Fuzz(func(t *testing.T, props, yml, variable string) {
		a := New(env(variable), nil, []File{file("application.properties", props), file("application.yml", yml)})
		for _, key := range []string{"k", "k.a[0]", "j"} {
			if v, err := a.Property(key); err == nil && v.Set && v.Place.Source == "" {
				t.Errorf("%s is set nowhere", key)
			}
		}
	})
}

// TestBoundKeys: what Spring Boot binds itself may be spelt in several ways.
func TestBoundKeys(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{
		"server.ssl.key-store": "v", "server.ssl.keyStore": "v", "server.ssl.KEY_STORE": "v", "Server.SSL.key_store": "v",
		"server.sslkeystore": "", "server.ssl.key-store-type": "", "server.ssl.key-stor": "",
	} {
		a := New(nil, nil, []File{{Name: "/cfg/application.properties", Data: []byte(written + "=v\n")}})
		v, err := a.Property("server.ssl.key-store")
		if err != nil || v.Text.Reveal() != want || v.Set != (want != "") {
			t.Errorf("%s: %q, %v", written, v.Text.Reveal(), err)
		}
	}
}

// TestCanonicalKeys: what is asked for in canonical form is found in other
// spellings, in a file and in the environment; what is not, in its own alone.
func TestCanonicalKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		key   string
		env   []Variable
		text  string
		found bool
	}{
		{"application.connectorid", nil, "application.connectorId=v", true},
		{"application.connectorid", env("Application_ConnectorId=v"), "", true},
		{"spring.h2.console.enabled", env("Spring_H2_Console_Enabled=v"), "", true},
		{"application.isEnabledDapsInteraction", nil, "application.isenableddapsinteraction=v", false},
		{"application.isEnabledDapsInteraction", env("Application_isEnabledDapsInteraction=v"), "", false},
	} {
		v, err := New(c.env, nil, []File{file("application.properties", c.text)}).Property(c.key)
		if err != nil || v.Set != c.found {
			t.Errorf("%s: found %v, %v", c.key, v.Set, err)
		}
	}
}
