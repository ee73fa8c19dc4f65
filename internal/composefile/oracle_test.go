package composefile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
	composeloader "github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	units "github.com/docker/go-units"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/sirupsen/logrus"

	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/secret"
)

var equateEmpty = cmpopts.EquateEmpty()

func TestMain(m *testing.M) {
	logrus.SetLevel(logrus.PanicLevel) // the oracle warns of what the cases are about
	os.Exit(m.Run())
}

// cases is how many generated cases the comparisons run.
func cases(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("HOSTGUARD_COMPOSE_CASES"))
	if err != nil {
		n = 200
	}
	return n
}

// TestLoadAsComposeGo compares generated projects with compose-go's own
// loader: names, limits, mounts and volumes are the same.
func TestLoadAsComposeGo(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(lab.Seed(t), 0))
	compared := 0
	for range cases(t) {
		g := generator{r, t.TempDir()}
		for i := range 2 {
			if err := os.WriteFile(fmt.Sprintf("%s/%d.env", g.dir, i), []byte(g.environmentFile()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		env := g.environment()
		files := []string{g.file()}
		if r.IntN(2) == 0 {
			files = append(files, g.file())
		}
		vars := Variables{}
		if err := ReadEnvironment(".env", []byte(env), vars); err != nil {
			t.Fatalf("%v\n%s", err, env)
		}
		got, err := Load("/srv/tc", "", asFiles(files), vars)
		want, oracleErr := oracle(env, files)
		switch {
		case oracleErr != nil:
			continue // compose would not start it
		case err != nil:
			t.Fatalf("%v\n%s\n---\n%s", err, env, strings.Join(files, "\n---\n"))
		}
		compared++
		ours := comparable(t, got)
		for i := range want.Services { // without those that only the shell knows
			want.Services[i].Environment = slices.DeleteFunc(want.Services[i].Environment, func(v EnvVar) bool {
				return i < len(ours.Services) && v.Value.Empty() && !slices.ContainsFunc(ours.Services[i].Environment, func(o EnvVar) bool { return o.Name == v.Name })
			})
		}
		if diff := cmp.Diff(want, ours, equateEmpty, cmpopts.IgnoreUnexported(Project{})); diff != "" {
			t.Fatalf("compose-go (-) and this package (+) differ:\n%s\n.env:\n%s\n---\n%s\nenvironment files:\n%s", diff, env, strings.Join(files, "\n---\n"), g.environmentFiles())
		}
	}
	t.Logf("%d of %d projects were valid and equal", compared, cases(t))
	if compared < cases(t)/2 {
		t.Errorf("only %d generated projects were valid", compared)
	}
}

func asFiles(texts []string) []File {
	var files []File
	for i, text := range texts {
		files = append(files, File{fmt.Sprintf("/srv/tc/%d.yml", i), []byte(text)})
	}
	return files
}

// comparable drops what compose-go does not keep, and puts limits as numbers.
func comparable(t *testing.T, p Project) Project {
	for i := range p.Services {
		s := &p.Services[i]
		sortRights(&s.Rights)
		env, err := p.EnvironmentOf(*s, func(f EnvFile) ([]byte, error) {
			data, err := os.ReadFile(f.Path)
			if f.Optional && errors.Is(err, fs.ErrNotExist) {
				return nil, nil
			}
			return data, err
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Environment = nil
		for _, v := range env {
			if v.File == "" || v.Line == 0 || v.Origin.File == "" {
				t.Fatalf("variable %s is nowhere: %+v", v.Name, v)
			}
			if !v.Known { // the shell's, which has none: compose leaves it out, or makes it empty
				if v.Missing == "" {
					t.Fatalf("nobody knows why %s is not known", v.Name)
				}
				if v.Value.Empty() {
					continue
				}
			}
			s.Environment = append(s.Environment, EnvVar{Name: v.Name, Value: v.Value})
		}
		s.EnvFiles = nil
		sortMounts(s.Mounts)
		s.File, s.Line = "", 0
		s.CPUs, s.Memory = asCPUs(s.CPUs), asBytes(s.Memory)
		if s.Replicas == "" {
			s.Replicas = "1"
		}
		slices.Sort(s.Profiles)
		s.Profiles = slices.Compact(s.Profiles)
		for j := range s.Ports {
			s.Ports[j].Place = Place{} // compose-go does not tell
			if s.Ports[j].Protocol == "" {
				s.Ports[j].Protocol = "tcp"
			}
		}
		slices.SortFunc(s.Ports, func(a, b Port) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		s.Ports = slices.Compact(s.Ports) // an override that says the same again
	}
	p.EnvFiles = nil // compose-go reads them
	return p
}

func asCPUs(s string) string {
	n, _ := strconv.ParseFloat(s, 32)
	return fmt.Sprint(float32(n))
}

func asBytes(s string) string {
	n, _ := units.RAMInBytes(s)
	return fmt.Sprint(max(n, 0))
}

// oracle loads with compose-go.
func oracle(env string, files []string) (Project, error) {
	vars, err := dotenv.Parse(strings.NewReader(env))
	if err != nil {
		return Project{}, err
	}
	details := types.ConfigDetails{WorkingDir: "/srv/tc", Environment: vars}
	for i, f := range files {
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: fmt.Sprintf("/srv/tc/%d.yml", i), Content: []byte(f)})
	}
	// Every profile, so that every service is compared.
	project, err := composeloader.LoadWithContext(context.Background(), details, func(o *composeloader.Options) {
		name := vars["COMPOSE_PROJECT_NAME"]
		if name == "" {
			name = "tc"
		}
		o.SetProjectName(name, vars["COMPOSE_PROJECT_NAME"] != "")
		o.Profiles = []string{"*"}
	})
	if err != nil {
		return Project{}, err
	}
	p := Project{Name: project.Name}
	used := map[string]bool{}
	for name, s := range project.Services {
		out := Service{
			Name: name, Container: s.ContainerName, Image: s.Image, Replicas: fmt.Sprint(s.GetScale()),
			Profiles: s.Profiles, CPUs: "0", Memory: "0",
		}
		out.CPUs, out.Memory = fmt.Sprint(s.CPUS), fmt.Sprint(int64(s.MemLimit))
		if s.Deploy != nil && s.Deploy.Resources.Limits != nil {
			if n := s.Deploy.Resources.Limits.NanoCPUs; n != 0 {
				out.CPUs = fmt.Sprint(float32(n))
			}
			if b := s.Deploy.Resources.Limits.MemoryBytes; b != 0 {
				out.Memory = fmt.Sprint(int64(b))
			}
		}
		if s.Logging != nil {
			out.LogDriver, out.LogSize = s.Logging.Driver, s.Logging.Options["max-size"]
		}
		for _, v := range s.Ports {
			out.Ports = append(out.Ports, Port{Address: v.HostIP, Published: v.Published, Target: fmt.Sprint(v.Target), Protocol: v.Protocol})
		}
		for name, v := range s.Environment {
			if v != nil {
				out.Environment = append(out.Environment, EnvVar{Name: name, Value: secret.New(*v)})
			}
		}
		slices.SortFunc(out.Environment, func(a, b EnvVar) int { return strings.Compare(a.Name, b.Name) })
		for _, word := range append(slices.Clone(s.Entrypoint), s.Command...) {
			out.Command = append(out.Command, secret.New(word))
		}
		for _, v := range s.Volumes {
			m := Mount{Target: path.Clean(v.Target), ReadOnly: v.ReadOnly}
			switch v.Type {
			case "bind":
				m.Bind = path.Clean(v.Source)
			case "volume":
				m.Volume = v.Source
			}
			out.Mounts = append(out.Mounts, m)
			switch {
			case v.Type == "bind":
				out.Binds = append(out.Binds, path.Clean(v.Source))
			case v.Type == "volume" && v.Source != "":
				out.Volumes = append(out.Volumes, v.Source)
				used[v.Source] = true
			}
		}
		out.Rights = rightsOf(s)
		slices.SortFunc(out.Ports, func(a, b Port) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		slices.Sort(out.Profiles)
		sortMounts(out.Mounts)
		slices.Sort(out.Binds)
		slices.Sort(out.Volumes)
		out.Binds, out.Volumes = slices.Compact(out.Binds), slices.Compact(out.Volumes)
		p.Services = append(p.Services, out)
	}
	slices.SortFunc(p.Services, func(a, b Service) int { return strings.Compare(a.Name, b.Name) })
	for key, v := range project.Volumes {
		if used[key] {
			device := ""
			if v.DriverOpts["o"] == "bind" {
				device = v.DriverOpts["device"]
			}
			p.Volumes = append(p.Volumes, Volume{Key: key, Name: v.Name, External: bool(v.External), Device: device})
		}
	}
	slices.SortFunc(p.Volumes, func(a, b Volume) int { return strings.Compare(a.Name, b.Name) })
	return p, nil
}

// generator makes projects of which most are valid.
type generator struct {
	*rand.Rand
	dir string // of environment files
}

func sortMounts(mounts []Mount) {
	slices.SortFunc(mounts, func(a, b Mount) int { return strings.Compare(a.Target, b.Target) })
}

// environmentFile makes an env_file. Names that begin with SHELL are set
// nowhere: only the shell of whoever runs compose could set them.
func (g generator) environmentFile() string {
	var b strings.Builder
	for range 1 + g.IntN(5) {
		name := pick(g, "A", "B", "C", "DIR", "E")
		b.WriteString(name + pick(g, "=1", "='two words'", "=\"q$A\"", "=${B}", "=$DIR", "=${C:-d}", "=", "=${A}${B}", "= x # c", "") + "\n")
	}
	return b.String()
}

func (g generator) environmentFiles() string {
	a, _ := os.ReadFile(g.dir + "/0.env")
	b, _ := os.ReadFile(g.dir + "/1.env")
	return string(a) + "---\n" + string(b)
}

func (g generator) environmentKey() string {
	var b strings.Builder
	if g.IntN(2) == 0 {
		b.WriteString("    environment:\n")
		for _, i := range g.Perm(6)[:1+g.IntN(5)] {
			name := []string{"A", "B", "DIR", "F", "SHELL_1", "AES256-SECRET-KEY"}[i]
			fmt.Fprintf(&b, "      %s:%s\n", name, pick(g, " 1", " text", "", " ${DIR}", " '${MEM:-x}$$y'", " 1.50", " true", " \"a=b\"", " 0x10"))
		}
	} else {
		b.WriteString("    environment:\n")
		for _, i := range g.Perm(6)[:1+g.IntN(5)] {
			name := []string{"A", "B", "DIR", "F", "SHELL_1", "AES256-SECRET-KEY"}[i]
			fmt.Fprintf(&b, "      - %q\n", name+pick(g, "=1", "", "=${DIR}", "=${MEM:-x}$$y", "=a=b", "= blank", "=", "='q'"))
		}
	}
	return b.String()
}

func pick[T any](g generator, of ...T) T { return of[g.IntN(len(of))] }

func (g generator) environment() string {
	var b strings.Builder
	if g.IntN(3) == 0 {
		b.WriteString("COMPOSE_PROJECT_NAME=" + pick(g, "trueconnector", `"quoted"`, "'single' # comment") + "\n")
	}
	fmt.Fprintf(&b, "DIR=%s\n", pick(g, "/data", `"/da ta"`, "'/single'", "./rel", "/with#hash", "/cut # comment"))
	fmt.Fprintf(&b, "%sMEM%s%s\n", pick(g, "", "export "), pick(g, "=", " = "), pick(g, "512M", "1g", `"1024M"`))
	fmt.Fprintf(&b, "NESTED=${DIR}/n%s\n", pick(g, "", "$$x", "${MEM:+y}", "${UNSET:-z}"))
	b.WriteString(pick(g, "", "# comment\n", "\n\n", "EMPTY=\r\n", "EMPTY=\n"))
	return b.String()
}

func (g generator) text(plain ...string) string {
	switch g.IntN(6) {
	case 0:
		return "${UNSET:-" + pick(g, plain...) + "}"
	case 1:
		return "${UNSET-" + pick(g, plain...) + "}"
	case 2:
		return "${DIR:+" + pick(g, plain...) + "}"
	}
	return pick(g, plain...)
}

func (g generator) file() string {
	var b strings.Builder
	if g.IntN(4) == 0 {
		fmt.Fprintf(&b, "name: %s\n", pick(g, "named", "named2"))
	}
	b.WriteString("x-shared: &shared\n  restart: always\n  volumes: ['./shared:/shared', 'v0:/v0']\n")
	b.WriteString("services:\n")
	for i := range 1 + g.IntN(3) {
		fmt.Fprintf(&b, "  s%d:\n", i)
		if g.IntN(4) == 0 {
			b.WriteString("    <<: *shared\n")
		} else if g.IntN(2) == 0 {
			b.WriteString("    volumes:\n")
			for range 1 + g.IntN(3) {
				b.WriteString("      - " + g.mount() + "\n")
			}
		}
		fmt.Fprintf(&b, "    image: %q\n", g.text("a", "b:1", "host:5000/c@sha256:"+strings.Repeat("0", 64)))
		if g.IntN(2) == 0 {
			b.WriteString(g.environmentKey())
		}
		if g.IntN(3) == 0 {
			fmt.Fprintf(&b, "    env_file: %s\n", pick(g, "["+g.dir+"/0.env, "+g.dir+"/1.env]", g.dir+"/1.env", "["+g.dir+"/1.env, {path: "+g.dir+"/none.env, required: false}]"))
		}
		if g.IntN(6) == 0 {
			b.WriteString(pick(g, "    command: [a, --b=$DIR]\n", "    entrypoint: [java, -jar]\n", "    command: ls -l\n"))
		}
		if g.IntN(3) == 0 {
			fmt.Fprintf(&b, "    container_name: c%d\n", i)
		} else if g.IntN(3) == 0 {
			fmt.Fprintf(&b, "    scale: %d\n", g.IntN(4))
		}
		if g.IntN(2) == 0 {
			b.WriteString("    ports:\n")
			for k := range 1 + g.IntN(3) {
				fmt.Fprintf(&b, "      - %s\n", pick(g, fmt.Sprintf("%q", fmt.Sprintf("%d:8449", 8090+10*i+k)), fmt.Sprintf("'127.0.0.1:%d:80/tcp'", 7000+10*i+k), fmt.Sprintf("'[::1]:%d:53/udp'", 6000+10*i+k),
					fmt.Sprintf("%d", 9000+k), fmt.Sprintf("'10.0.0.5::%d'", 5000+k), fmt.Sprintf("{target: %d, published: '%d', host_ip: 10.0.0.1, protocol: udp}", 4000+k, 4100+10*i+k), fmt.Sprintf("{target: %d}", 3000+k),
					fmt.Sprintf("'${P:-%d}:8449'", 2000+10*i+k)))
			}
		}
		switch g.IntN(3) {
		case 0:
			fmt.Fprintf(&b, "    deploy: {resources: {limits: {cpus: %q, memory: %q}}}\n", g.text("1", "0.5"), g.text("512M", "${MEM}", "1gb"))
		case 1:
			fmt.Fprintf(&b, "    cpus: %s\n    mem_limit: %s\n", pick(g, "1", "1.5"), pick(g, "512m", `"${MEM}"`))
		}
		if g.IntN(3) == 0 {
			fmt.Fprintf(&b, "    logging: {%soptions: {max-size: %q}}\n", pick(g, "", "driver: local, ", "driver: json-file, "), g.text("10m", "200M"))
		}
		b.WriteString(g.rights())
		if i > 0 && g.IntN(4) == 0 {
			b.WriteString("    extends: " + pick(g, "s0", "{service: s0}") + "\n")
		}
		if g.IntN(6) == 0 {
			b.WriteString("    profiles: [p]\n")
		}
	}
	b.WriteString("volumes:\n  v0:\n  v1: " + pick(g, "{}", "{name: renamed}", "{external: true}", "{external: true, name: ext}") +
		"\n  v2: {driver_opts: {type: none, o: bind, device: /mnt/x}}\n")
	return b.String()
}

func (g generator) mount() string {
	target := pick(g, "/a", "/b", "/c/", "/d/../e")
	switch g.IntN(8) {
	case 0:
		return target
	case 1:
		return fmt.Sprintf("{type: bind, source: %q, target: %s}", g.text("./x", "/abs/x", "../up"), target)
	case 2:
		return fmt.Sprintf("{type: volume, source: %s, target: %s, read_only: true}", pick(g, "v0", "v1", "v2"), target)
	case 3:
		return fmt.Sprintf("{type: tmpfs, target: %s}", target)
	}
	return strconv.Quote(g.text("./x", "/abs//x/", "../up", ".", "v0", "v1", "v2", "${DIR}/d", "$DIR", "${NESTED}") + ":" + target + pick(g, "", ":ro", ":rw,z"))
}

// TestEnvironmentAsComposeGo compares generated environment files with
// compose-go's reader.
func TestEnvironmentAsComposeGo(t *testing.T) {
	t.Parallel()
	g := generator{rand.New(rand.NewPCG(lab.Seed(t), 1)), ""}
	parts := []string{"A", "B", "C_1", "d.e", "=", "=", "=", ": ", "'", `"`, "\\", `\n`, `\$`, `\t`, `\101`, `\0101`, "$A", "${B}", "${A:-x}", "${B-${A}}",
		"${C_1:+y}", "$$", "$1", " ", " #", "#", "\n", "\n", "\n", "\t", "export ", "x", "é", "\r\n"}
	valid := 0
	for range cases(t) * 10 {
		var b strings.Builder
		for range 1 + g.IntN(16) {
			b.WriteString(pick(g, parts...))
		}
		compareEnvironment(t, b.String(), &valid)
	}
	t.Logf("%d valid files were equal", valid)
}

func compareEnvironment(t *testing.T, text string, valid *int) {
	t.Helper()
	want, oracleErr := dotenv.Parse(strings.NewReader(text))
	vars := Variables{}
	err := ReadEnvironment(".env", []byte(text), vars)
	if _, odd := want[""]; odd {
		return // a last line without a line feed makes a variable without a name
	}
	if oracleErr != nil || err != nil {
		if oracleErr == nil && !strings.Contains(err.Error(), "expand") {
			t.Fatalf("%q: %v, but compose-go reads %q", text, err, want)
		}
		return
	}
	*valid++
	for key, v := range vars {
		if value, ok := want[key]; v.Known && (!ok || value != v.Value) {
			t.Fatalf("%q: variable %q is %q, compose-go says %q", text, key, v.Value, value)
		}
	}
	for key := range want {
		if _, ok := vars[key]; !ok {
			t.Fatalf("%q: variable %q is missed", text, key)
		}
	}
}

func FuzzReadEnvironment(f *testing.F) {
	f.Add("A=1\nB=\"${A}\" # c\nexport C='x'\nD\n")
	f.Add("A=${B:-${C}}\n\\")
	f.Fuzz(func(t *testing.T, text string) {
		vars := Variables{}
		if ReadEnvironment(".env", []byte(text), vars) != nil {
			return
		}
		for key, v := range vars {
			if len(v.Value) > maxText {
				t.Errorf("%q holds %d bytes", key, len(v.Value))
			}
		}
	})
}

func FuzzLoad(f *testing.F) {
	f.Add("A=1", "services: {a: {image: x, volumes: ['./a:/b']}}")
	f.Add("", "services:\n  a: &a\n    <<: *a\nvolumes: {v: {external: true}}\n")
	f.Add("", "x: &x {deploy: {resources: {limits: {cpus: 1}}}}\nservices: {a: *x}\n---\nservices: {a: {extends: a}}")
	f.Fuzz(func(t *testing.T, env, file string) {
		vars := Variables{}
		if ReadEnvironment(".env", []byte(env), vars) != nil {
			return
		}
		p, err := Load("/srv/tc", "", []File{{"/srv/tc/compose.yaml", []byte(file)}}, vars)
		if err != nil {
			return
		}
		for _, s := range p.Services {
			for _, b := range s.Binds {
				if !strings.HasPrefix(b, "/") {
					t.Errorf("bind %q is not absolute", b)
				}
			}
		}
	})
}
