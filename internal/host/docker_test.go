package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/internal/lab"
)

// fakeDocker answers at a socket: a ping as docker does, everything else by
// the handler.
func fakeDocker(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	lab.Need(t, lab.Root)
	socket := filepath.Join(t.TempDir(), "docker.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			fmt.Fprint(w, "OK")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		answer(w, r)
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return socket
}

// askAll asks a fake for all that there is to ask.
func askAll(t *testing.T, socket string) []error {
	t.Helper()
	ctx := t.Context()
	api, err := New(Options{}).dialDocker(ctx, socket)
	if err != nil {
		t.Fatal(err)
	}
	_, engineErr := api.engine(ctx)
	_, listErr := api.list(ctx)
	_, volumesErr := api.volumes(ctx)
	_, detailsErr := api.details(ctx, []string{"a", "b", "c", "d", "e"})
	_, networksErr := api.networks(ctx)
	return []error{engineErr, listErr, volumesErr, detailsErr, networksErr}
}

// TestDockerAnswersBadly: whatever a daemon answers, the look fails in bounded
// time and memory, with a message of bounded length.
func TestDockerAnswersBadly(t *testing.T) {
	lab.Need(t, lab.Root)
	repeat := func(w io.Writer, text string, times int) {
		for range times {
			if _, err := io.WriteString(w, text); err != nil {
				return
			}
		}
	}
	for name, answer := range map[string]func(w http.ResponseWriter){
		"garbage": func(w http.ResponseWriter) { fmt.Fprint(w, "\x1b[2J\x00garbage") },
		"nothing": func(http.ResponseWriter) {},
		"null and strange": func(w http.ResponseWriter) {
			fmt.Fprint(w, `{"Volumes":[null],"DockerRootDir":"relative","State":null}`)
		},
		"half":        func(w http.ResponseWriter) { fmt.Fprint(w, `[{"Id":"a","Names":["/x"`) },
		"50 MB":       func(w http.ResponseWriter) { repeat(w, strings.Repeat(" ", 1<<20), 50) },
		"50 MB label": func(w http.ResponseWriter) { fmt.Fprint(w, `[{"Id":"`); repeat(w, strings.Repeat("x", 1<<20), 50) },
		"empty containers": func(w http.ResponseWriter) {
			fmt.Fprint(w, "[{}")
			repeat(w, strings.Repeat(",{}", 1000), 2000)
			fmt.Fprint(w, "]")
		},
		"deep":      func(w http.ResponseWriter) { repeat(w, strings.Repeat("[", 1000), 5000) },
		"long fail": func(w http.ResponseWriter) { w.WriteHeader(500); repeat(w, strings.Repeat("e", 1000), 900) },
		"redirect":  func(w http.ResponseWriter) { w.Header().Set("Location", "http://192.0.2.1/"); w.WriteHeader(302) },
	} {
		t.Run(name, func(t *testing.T) {
			socket := fakeDocker(t, func(w http.ResponseWriter, _ *http.Request) { answer(w) })
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			start := time.Now()
			for i, err := range askAll(t, socket) {
				if err == nil {
					t.Errorf("question %d: no error", i)
				} else if len(err.Error()) > 500 {
					t.Errorf("question %d: the message is %d bytes long", i, len(err.Error()))
				}
			}
			runtime.ReadMemStats(&after)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if grown := after.HeapSys - before.HeapSys; int64(grown) > 100<<20 {
				t.Errorf("the heap grew by %d MiB", grown>>20)
			}
		})
	}
}

// TestDockerDetailsBadly: what is said of single containers is bounded
// together, named without its content, and a container that is gone is none.
func TestDockerDetailsBadly(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Root)
	const fine = `"Created":"2026-01-02T03:04:05.6Z","Config":{"Env":["A=s3cret"]},"State":{"StartedAt":"0001-01-01T00:00:00Z"},"HostConfig":{}`
	for name, c := range map[string]struct{ body, want string }{
		"fine":               {`{"Id":"a",` + fine + `}`, ""},
		"10 MB of labels":    {`{"Id":"a","Config":{"Labels":{"x":"` + strings.Repeat("x", 10<<20) + `"}}}`, "too large"},
		"no state":           {`{"Id":"a","Config":{},"HostConfig":{}}`, "without its state"},
		"no id":              {`{` + fine + `}`, "without its state"},
		"no time":            {`{"Id":"a","Config":{},"HostConfig":{},"State":{}}`, "when a container was made"},
		"a list for a text":  {`{"Id":"a","Config":{"Env":"s3cret"}}`, "is no"},
		"a port of text":     {`{"Id":"a","Name":"/\u001b[2J",` + strings.Replace(fine, `"HostConfig":{}`, `"HostConfig":{"PortBindings":{"x/tcp":[{}]}}`, 1) + `}`, "its number is none"},
		"an address of text": {`{"Id":"a",` + strings.Replace(fine, `"HostConfig":{}`, `"HostConfig":{"PortBindings":{"1/tcp":[{"HostIp":"x"}]}}`, 1) + `}`, "address is none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket := fakeDocker(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/gone/") {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				fmt.Fprint(w, c.body)
			})
			api, err := New(Options{}).dialDocker(t.Context(), socket)
			must(t, err)
			got, err := api.details(t.Context(), []string{"a", "gone", "../x"})
			switch {
			case c.want == "" && (err != nil || len(got) != 2 || got["a"].Env[0].Value.Reveal() != "s3cret" || !got["a"].Started.IsZero()):
				t.Errorf("%+v, error %v", got, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 500 || strings.Contains(err.Error(), "s3cret")):
				t.Errorf("error %v, want %q", err, c.want)
			}
			if strings.Contains(fmt.Sprintf("%v %+v %#v", got, got, got), "s3cret") {
				t.Error("a value of the environment shows")
			}
		})
	}
	large := []byte(`{"Id":"a","Name":"` + strings.Repeat("x", 1<<20) + `",` + fine + `}`)
	api, err := New(Options{}).dialDocker(t.Context(), fakeDocker(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(large) }))
	must(t, err)
	if _, err := api.details(t.Context(), strings.Fields(strings.Repeat("a ", maxInspectBytes/len(large)+1))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("more than %d bytes of containers: %v", maxInspectBytes, err)
	}
	if _, err := api.details(t.Context(), make([]string, maxInspected+1)); err == nil {
		t.Error("too many containers were asked for")
	}
}

// TestDockerNeverAnswers: a daemon that is silent, or drips, costs no more
// than the deadline.
func TestDockerNeverAnswers(t *testing.T) {
	lab.Need(t, lab.Root)
	for name, answer := range map[string]http.HandlerFunc{
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"drip": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				fmt.Fprint(w, " ")
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(10 * time.Millisecond):
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket := fakeDocker(t, answer)
			api, err := New(Options{}).dialDocker(t.Context(), socket)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if _, err := api.list(ctx); err == nil || !strings.Contains(err.Error(), "no answer") {
				t.Errorf("error %v", err)
			}
			if ctx.Err() == nil {
				t.Error("it gave up before the deadline")
			}
		})
	}
}

// TestDockerSocket: only a socket that root owns and serves is asked.
func TestDockerSocket(t *testing.T) {
	lab.Need(t, lab.Root)
	t.Parallel()
	dir := t.TempDir()
	listen := func(name string) net.Listener {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	listen("foreign")
	if err := os.Chown(filepath.Join(dir, "foreign"), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	// Never listened on: a listener can live on for a moment in a process that
	// another test is just starting.
	closed, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, errors.Join(unix.Bind(closed, &unix.SockaddrUnix{Name: filepath.Join(dir, "closed")}), unix.Close(closed)))
	for name, c := range map[string]struct {
		want string
		down bool
	}{
		"absent":  {"no such file", true},
		"closed":  {"connection refused", true},
		"file":    {"not a socket", false},
		"foreign": {"belongs to uid 65534", false},
	} {
		_, err := New(Options{}).dialDocker(t.Context(), filepath.Join(dir, name))
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrDockerDown) != c.down {
			t.Errorf("%s: error %v (down: %v), want %q", name, err, errors.Is(err, ErrDockerDown), c.want)
		}
	}
	other := listen("other") // a server that speaks something else
	go func() {
		for {
			c, err := other.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "SSH-2.0-x\r\n")
			c.Close()
		}
	}()
	if _, err := New(Options{}).dialDocker(t.Context(), filepath.Join(dir, "other")); err == nil || errors.Is(err, ErrDockerDown) {
		t.Errorf("error %v of a server that is not docker", err)
	}
}

// TestDockerServedByAnother: a socket that was made to look like root's is
// told by who listens on it.
func TestDockerServedByAnother(t *testing.T) {
	lab.Need(t, lab.Root)
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "hgd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its goroutine
		const keep = ^uintptr(0)
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, 65534, keep); errno != 0 {
			done <- errno
			return
		}
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrUnix{Name: socket})
		}
		if err == nil {
			err = unix.Listen(fd, 1)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(socket, 0, 0); err != nil {
		t.Fatal(err)
	}
	_, err = New(Options{}).dialDocker(t.Context(), socket)
	if err == nil || !strings.Contains(err.Error(), "a process of uid 65534 listens there") {
		t.Errorf("error %v", err)
	}
}

// TestDockerLists: ports, mounts and labels arrive as the daemon says them.
func TestDockerLists(t *testing.T) {
	socket := fakeDocker(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `[{"Id":"b","Names":["/other/alias","/zz\u001b[2J"],"Labels":{"a":"\u202e"},
			"Ports":[{"IP":"::","PrivatePort":8449,"PublicPort":8090,"Type":"tcp"},{"PrivatePort":9000,"Type":"tcp"}],
			"Mounts":[{"Type":"bind","Source":"/srv","Destination":"/d","RW":true}]},
			{"Id":"a","Names":["/aa"]}]`)
	})
	api, err := New(Options{}).dialDocker(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	containers, err := api.list(t.Context())
	if err != nil || len(containers) != 2 {
		t.Fatalf("%v, error %v", containers, err)
	}
	c := containers[1]
	if containers[0].Name != "aa" || c.Name != "zz\x1b[2J" || c.Labels["a"] != "\u202e" {
		t.Errorf("names %q, %q, label %q", containers[0].Name, c.Name, c.Labels["a"])
	}
	want := []ContainerPort{{netip.IPv6Unspecified(), 8090, 8449, "tcp"}, {netip.Addr{}, 0, 9000, "tcp"}}
	if len(c.Ports) != 2 || c.Ports[0] != want[0] || c.Ports[1] != want[1] {
		t.Errorf("ports %v, want %v", c.Ports, want)
	}
	if len(c.Mounts) != 1 || c.Mounts[0] != (ContainerMount{Type: "bind", Source: "/srv", Destination: "/d", ReadWrite: true}) {
		t.Errorf("mounts %v", c.Mounts)
	}
}

// TestDockerHostIsNotFollowed: root's environment may name another machine.
// Labels that a container has from its image say nothing about who made it.
func TestLabelsOfImages(t *testing.T) {
	t.Parallel()
	socket := fakeDocker(t, func(w http.ResponseWriter, r *http.Request) {
		switch at := r.URL.Path[strings.Index(r.URL.Path[1:], "/")+1:]; at {
		case "/containers/json":
			list := []string{}
			for _, name := range []string{"pulled", "built", "posing", "gone"} {
				list = append(list, fmt.Sprintf(`{"Id":"%s","Names":["/%s"],"ImageID":"%s","Labels":{"com.docker.compose.project.working_dir":"/opt/tc","com.docker.compose.service":"ecc","x":"y"}}`, name, name, name))
			}
			fmt.Fprintf(w, `[%s,{"Id":"plain","ImageID":"plain"}]`, strings.Join(list, ","))
		case "/images/pulled/json":
			fmt.Fprint(w, `{"Config":{"Labels":null}}`)
		case "/images/built/json":
			fmt.Fprint(w, `{"Config":{"Labels":{"com.docker.compose.project":"tc","com.docker.compose.service":"ecc"}}}`)
		case "/images/posing/json":
			fmt.Fprint(w, `{"Config":{"Labels":{"com.docker.compose.project.working_dir":"/opt/tc"}}}`)
		case "/images/gone/json":
			w.WriteHeader(http.StatusNotFound)
		default:
			t.Errorf("asked for %s", at)
		}
	})
	api, err := New(Options{}).dialDocker(t.Context(), socket)
	must(t, err)
	containers, err := api.list(t.Context())
	must(t, err)
	got := ""
	for _, c := range containers {
		got += fmt.Sprintf("%s %q %d; ", c.Name, c.Labels[labelDir], len(c.Labels))
	}
	if want := `built "/opt/tc" 3; gone "" 1; plain "" 0; posing "" 1; pulled "/opt/tc" 3; `; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDockerHostIsNotFollowed(t *testing.T) {
	t.Setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
	t.Setenv("DOCKER_API_VERSION", "1.12")
	socket := fakeDocker(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"ServerVersion":"1","DockerRootDir":"/d"}`)
	})
	api, err := New(Options{}).dialDocker(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := api.engine(t.Context()); err != nil || e.APIVersion != "1.41" || e.DataRoot != "/d" {
		t.Errorf("engine %+v, error %v", e, err)
	}
}

func TestBoundDevice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		driver  string
		options map[string]string
		want    string
	}{
		{"local", map[string]string{"type": "none", "o": "bind", "device": "/mnt/x/"}, "/mnt/x"},
		{"", map[string]string{"o": "ro,rbind", "device": "/mnt"}, "/mnt"},
		{"local", map[string]string{"type": "tmpfs", "device": "tmpfs"}, ""},
		{"nfs", map[string]string{"o": "bind", "device": "/mnt"}, ""},
		{"local", nil, ""},
	} {
		if got := boundDevice(c.driver, c.options); got != c.want {
			t.Errorf("%s %v: %q, want %q", c.driver, c.options, got, c.want)
		}
	}
}
