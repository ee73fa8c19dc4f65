package sshkeys

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hostguard/hostguard/internal/lab"
)

// keygen runs ssh-keygen; a wrong exit code is not an error here.
func keygen(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("ssh-keygen", args...)
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput()
	return string(out)
}

func readKey(t testing.TB, file string) *Key {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := ParseText(string(data))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return key
}

// TestRevocationLists makes lists of every kind with ssh-keygen -k and compares
// what is revoked with ssh-keygen -Q.
func TestRevocationLists(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.SSHD)
	dir := t.TempDir()
	var public []string // keys and certificates
	for _, ca := range []string{"ca1", "ca2"} {
		keygen(t, dir, "-q", "-t", "ed25519", "-N", "", "-f", ca)
	}
	for i, kind := range []string{"ed25519", "ed25519", "ecdsa", "rsa"} {
		name := fmt.Sprintf("k%d", i)
		keygen(t, dir, "-q", "-t", kind, "-N", "", "-f", name)
		public = append(public, name+".pub")
	}
	serials := []uint64{0, 1, 2, 3, 4, 7, 8, 63, 64, 65, 99, 100, 1000, 1 << 40, 1<<64 - 1}
	for i, serial := range serials {
		name := fmt.Sprintf("c%d", i)
		data, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("k%d.pub", i%2)))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".pub"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		keygen(t, dir, "-q", "-s", fmt.Sprintf("ca%d", 1+i%2), "-I", fmt.Sprintf("id %d", i%5), "-n", "u,v", "-z", fmt.Sprint(serial), name+".pub")
		public = append(public, name+"-cert.pub")
	}
	keys := map[string]*Key{}
	for _, name := range public {
		keys[name] = readKey(t, filepath.Join(dir, name))
	}
	r := rand.New(rand.NewPCG(5, 5))
	var wg sync.WaitGroup
	limit := make(chan bool, 4)
	revoked := 0
	var mu sync.Mutex
	for n := range 60 {
		var spec strings.Builder
		for range 1 + r.IntN(6) {
			key := readText(t, filepath.Join(dir, fmt.Sprintf("k%d.pub", r.IntN(4))))
			switch r.IntN(8) {
			case 0:
				fmt.Fprintf(&spec, "serial: %d\n", 1+r.IntN(100))
			case 1:
				low := 1 + r.IntN(90)
				fmt.Fprintf(&spec, "serial: %d-%d\n", low, low+r.IntN(20))
			case 2: // many near each other become a bitmap
				for range 20 {
					fmt.Fprintf(&spec, "serial: %d\n", 1+2*r.IntN(60))
				}
			case 3:
				fmt.Fprintf(&spec, "id: id %d\n", r.IntN(5))
			case 4:
				fmt.Fprintf(&spec, "key: %s\n", key)
			case 5:
				fmt.Fprintf(&spec, "sha1: %s\n", key)
			case 6:
				fmt.Fprintf(&spec, "sha256: %s\n", key)
			case 7:
				k, _, _ := ParseText(key)
				fmt.Fprintf(&spec, "hash: %s\n", k.Fingerprint())
			}
		}
		list := fmt.Sprintf("krl%d", n)
		if err := os.WriteFile(filepath.Join(dir, list+".spec"), []byte(spec.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"-q", "-k", "-f", list, "-z", fmt.Sprint(n)}
		if ca := r.IntN(3); ca > 0 {
			args = append(args, "-s", fmt.Sprintf("ca%d.pub", ca))
		}
		wg.Go(func() {
			limit <- true
			defer func() { <-limit }()
			said := keygen(t, dir, append(args, list+".spec")...)
			data, err := os.ReadFile(filepath.Join(dir, list))
			if err != nil {
				if !strings.Contains(spec.String(), ":") || said == "" {
					t.Errorf("%v: %s", err, said)
				}
				return
			}
			l, err := ParseRevoked(data)
			if err != nil || !l.Binary {
				t.Errorf("%v\n%s", err, spec.String())
				return
			}
			out := keygen(t, dir, append([]string{"-Q", "-f", list}, public...)...)
			for _, name := range public {
				_, ours := l.Contains(keys[name])
				theirs := strings.Contains(out, name) && strings.Contains(lineOf(out, name), "REVOKED")
				if ours != theirs {
					t.Errorf("%s: ssh-keygen says revoked %v, here %v\n%q\n%s\n%s", name, theirs, ours, args, spec.String(), out)
				}
				mu.Lock()
				if theirs {
					revoked++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if revoked == 0 {
		t.Error("nothing was revoked")
	}
	t.Logf("%d of %d revoked", revoked, 60*len(public))
}

func lineOf(out, name string) string {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, name+" ") {
			return line
		}
	}
	return ""
}

func readText(t testing.TB, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

const (
	plain = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFZGVIFFPqfYkhdKOF8wMgj/uX5wL0sDbmvQLqbbTyVo"
	other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC8HmoqiSkivdM+Eo1yEXQXA6UzYzCxHqzPWNMBnV+mW"
)

func TestRevokedText(t *testing.T) {
	t.Parallel()
	key, _, err := ParseText(plain)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text    string
		line    int
		revoked bool
		err     bool
	}{
		"empty":               {"", 0, false, false},
		"listed":              {"# lost\n\n  " + plain + " a@b\n", 3, true, false},
		"another":             {other + "\n", 0, false, false},
		"malformed after it":  {plain + "\nx\n", 1, true, true},
		"malformed before it": {"x\n" + plain + "\n", 0, false, true},
		"with options":        {"restrict " + plain + "\n", 0, false, true},
		"too short an RSA":    {"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAwEAAQ==\n" + plain, 2, true, false},
	} {
		r, err := ParseRevoked([]byte(c.text))
		if (err != nil) != c.err {
			t.Errorf("%s: %v", name, err)
		}
		if line, revoked := r.Contains(key); revoked != c.revoked || line != c.line {
			t.Errorf("%s: line %d, %v", name, line, revoked)
		}
	}
}

// TestKeysAreNormal: a key is the same in whatever encoding it comes.
func TestKeysAreNormal(t *testing.T) {
	t.Parallel()
	n := append([]byte{0}, bytes.Repeat([]byte{0xc1}, 128)...)
	encode := func(name string, e, n []byte) []byte {
		return appendString(appendString(appendString(nil, name), e), n)
	}
	normal, err := Parse(encode("ssh-rsa", []byte{1, 0, 1}, n))
	if err != nil || normal.Bits != 1024 {
		t.Fatal(normal, err)
	}
	for name, blob := range map[string][]byte{
		"leading zeros":          encode("ssh-rsa", []byte{0, 0, 1, 0, 1}, append([]byte{0, 0}, n...)),
		"the name of signatures": encode("rsa-sha2-512", []byte{1, 0, 1}, n),
		"the short name":         encode("rsa", []byte{1, 0, 1}, n),
	} {
		if k, err := Parse(blob); err != nil || !bytes.Equal(k.Blob, normal.Blob) || k.Fingerprint() != normal.Fingerprint() {
			t.Errorf("%s: %v %v", name, k, err)
		}
	}
	for name, blob := range map[string][]byte{
		"negative":   encode("ssh-rsa", []byte{1, 0, 1}, n[1:]),
		"cut":        encode("ssh-rsa", []byte{1, 0, 1}, n)[:40],
		"longer":     append(encode("ssh-rsa", []byte{1, 0, 1}, n), 0),
		"too short":  encode("ssh-rsa", []byte{1, 0, 1}, n[:100]),
		"no type":    encode("ssh-xmss@openssh.com", nil, nil),
		"a NUL byte": encode("ssh-\x00rsa", []byte{1, 0, 1}, n),
		"no point":   appendString(appendString(appendString(nil, "ecdsa-sha2-nistp256"), "nistp256"), append([]byte{4}, make([]byte, 64)...)),
		"the point of another curve": appendString(appendString(appendString(nil, "ecdsa-sha2-nistp384"), "nistp256"),
			append([]byte{4}, make([]byte, 64)...)),
	} {
		if k, err := Parse(blob); err == nil {
			t.Errorf("%s: %v", name, k)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{plain, other} {
		_, encoded, _ := strings.Cut(text, " ")
		blob, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(blob)
	}
	f.Add(appendString(appendString(appendString(nil, "ssh-rsa"), []byte{1, 0, 1}), bytes.Repeat([]byte{0x41}, 128)))
	f.Fuzz(func(t *testing.T, blob []byte) {
		k, err := Parse(blob)
		if err != nil {
			return
		}
		again, err := Parse(k.Blob)
		if err != nil || !bytes.Equal(again.Blob, k.Blob) || again.Kind != k.Kind || again.Bits != k.Bits {
			t.Errorf("%v reads again as %v, %v", k, again, err)
		}
	})
}

func FuzzRevoked(f *testing.F) {
	f.Add([]byte(plain + "\n"))
	header := append([]byte(krlMagic), 0, 0, 0, 1)
	header = append(header, make([]byte, 24+4+4)...)
	f.Add(header)
	section := func(kind byte, body []byte) []byte { return appendString(append(bytes.Clone(header), kind), body) }
	f.Add(section(5, appendString(nil, make([]byte, 32))))
	f.Add(section(3, appendString(nil, make([]byte, 20))))
	inner := func(kind byte, body []byte) []byte {
		return section(1, appendString(append(make([]byte, 8), kind), body))
	}
	f.Add(inner(0x20, []byte{0, 0, 0, 0, 0, 0, 0, 9}))
	f.Add(inner(0x21, append([]byte{0, 0, 0, 0, 0, 0, 0, 1}, 0, 0, 0, 0, 0, 0, 0, 9)))
	f.Add(inner(0x22, append([]byte{0, 0, 0, 0, 0, 0, 0, 1}, appendString(nil, []byte{0x7f, 1})...)))
	f.Add(inner(0x23, appendString(nil, "id")))
	key, _, err := ParseText(plain)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRevoked(data)
		if r == nil {
			t.Fatal(err)
		}
		k := *key
		k.Certificate = &Certificate{Serial: 5, KeyID: "id", CA: key}
		r.Contains(&k)
	})
}
