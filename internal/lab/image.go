package lab

import (
	"archive/tar"
	"bytes"
	"os"
)

// ImportBusybox gives the host's docker an image of one busybox with its usual
// names: nothing can be pulled in a test host.
func (h *Host) ImportBusybox(image string) {
	h.t.Helper()
	archive, err := busyboxArchive(h.Path("/bin/busybox"))
	if err != nil {
		h.t.Fatalf("cannot make a docker image: %v", err)
	}
	result := h.RunInput(archive, "docker", "import", "-", image)
	if result.Code != 0 {
		h.t.Fatalf("cannot import a docker image: %s", result.Stderr)
	}
}

// busyboxArchive is a tar of a root file system that holds only busybox.
func busyboxArchive(path string) (string, error) {
	busybox, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var buf bytes.Buffer
	out := tar.NewWriter(&buf)
	err = out.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(busybox))})
	if err == nil {
		_, err = out.Write(busybox)
	}
	for _, name := range []string{"sh", "sleep", "httpd", "cat", "touch", "true"} {
		if err == nil {
			err = out.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"})
		}
	}
	if err == nil {
		err = out.Close()
	}
	return buf.String(), err
}
