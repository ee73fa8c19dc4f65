package unitfile_test

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab"
	"github.com/hostguard/hostguard/internal/unitfile"
)

// TestOffersAsSystemctl enables units of generated trees with systemctl: the
// links that it makes are those that are offered.
func TestOffersAsSystemctl(t *testing.T) {
	t.Parallel()
	lab.Need(t, lab.Systemd)
	compared, made := 0, 0
	for seed := range offerTrees() {
		root := t.TempDir()
		log := writeRandomTree(t, root, rand.New(rand.NewPCG(uint64(seed), 7)))
		for _, name := range []string{"a.service", "b.service", "c.service", "d.socket", "e.target", "t@.service", "t@x.service", "s@y.service", "long-dash-name.service"} {
			tree, err := unitfile.Open(host.New(host.Options{Root: root}))
			if err != nil {
				t.Fatal(err)
			}
			offers, err := tree.Offers(name)
			if err != nil {
				continue // systemctl does more, and less, with what is broken
			}
			before := linksOf(t, root)
			if err := exec.Command("/usr/bin/systemctl", "--root="+root, "enable", name).Run(); err != nil {
				continue // it refuses what clashes with what is there
			}
			after := linksOf(t, root)
			var want []string
			for _, o := range offers {
				for _, l := range o.Links {
					if want = append(want, l.Path); after[l.Path] == "" {
						t.Errorf("seed %d: enable %s does not make %s", seed, name, l.Path)
					}
				}
			}
			for link := range after {
				if before[link] == "" && !slices.Contains(want, link) {
					t.Errorf("seed %d: enable %s makes %s, which is not among %q", seed, name, link, want)
				}
				if before[link] == "" {
					made++
				}
			}
			compared++
		}
		if t.Failed() {
			t.Logf("the tree of seed %d:\n%s", seed, strings.Join(log, "\n"))
			break
		}
	}
	t.Logf("%d units enabled, %d links made", compared, made)
	if made < 30 {
		t.Errorf("only %d links were made", made)
	}
}

// linksOf returns the links below /etc/systemd/system with their texts.
func linksOf(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(filepath.Join(root, "/etc/systemd/system"), func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type()&fs.ModeSymlink != 0 {
			found[strings.TrimPrefix(name, root)], err = os.Readlink(name)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return found
}

// offerTrees is how many trees are tried; HOSTGUARD_UNIT_TREES sets another number.
func offerTrees() int {
	if n, err := strconv.Atoi(os.Getenv("HOSTGUARD_UNIT_TREES")); err == nil {
		return n
	}
	return 60
}
