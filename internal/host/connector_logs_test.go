package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOwnersOfLogsAreToldApart(t *testing.T) {
	t.Parallel()
	for want, owners := range map[string][][2]string{ // owner and volume
		"ecc be":    {{"ecc", "p_a"}, {"be", "p_b"}},
		"p_a p_b":   {{"ecc", "p_a"}, {"ecc", "p_b"}},
		"p_a p_b x": {{"ecc", "p_a"}, {"ecc", "p_b"}, {"p_a", "x"}},
	} {
		var volumes []LogVolume
		for _, o := range owners {
			volumes = append(volumes, LogVolume{Owner: o[0], Volume: VolumeRef{Name: o[1]}})
		}
		tellApart(volumes)
		var got []string
		for _, v := range volumes {
			got = append(got, v.Owner)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%v: %q, want %q", owners, got, want)
		}
	}
}

// Links of the administrator lead to docker's data; no link leads from there to
// a volume, nor to a folder that a volume binds.
func TestOpenVolume(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(root, name) }
	must(os.MkdirAll(at("data/docker/volumes/v/_data"), 0o755))
	must(os.MkdirAll(at("data/docker/volumes/planted"), 0o755))
	must(os.MkdirAll(at("var/lib"), 0o755))
	must(os.MkdirAll(at("home/u/logs"), 0o755))
	must(os.MkdirAll(at("usr/sbin"), 0o755))
	must(os.MkdirAll(at("etc/docker"), 0o755))
	must(os.WriteFile(at("usr/sbin/dockerd"), []byte("\x7fELF"), 0o755))
	must(os.Symlink("/data/docker", at("var/lib/docker")))
	must(os.Symlink("/home/u", at("data/docker/volumes/planted/_data")))
	must(os.Symlink("/etc", at("home/u/link")))
	h := New(Options{Root: root})
	for path, want := range map[string]string{
		"/data/docker/volumes/v/_data":       "/data/docker/volumes/v/_data",
		"/home/u/logs":                       "/home/u/logs",
		"/data/docker/volumes/planted/_data": "a symbolic link is on the way",
		"/home/u/link":                       "a symbolic link is on the way",
		"/home/u/link/docker":                "a symbolic link is on the way",
		"/home/u/none":                       fs.ErrNotExist.Error(),
		"":                                   "cannot tell where",
	} {
		f, err := h.OpenVolume(context.Background(), VolumeRef{Name: "v", Path: path})
		got := ""
		if err == nil {
			got = f.Name()
			f.Close()
		} else if got = err.Error(); errors.Is(err, fs.ErrNotExist) {
			got = fs.ErrNotExist.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", path, fmt.Sprint(got), want)
		}
	}
}
