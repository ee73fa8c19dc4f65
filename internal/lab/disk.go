package lab

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// machineFiles are the files of a virtual machine, laid over a good host's.
//
//go:embed all:vm
var machineFiles embed.FS

//go:embed vm.sh
var machineScript string

// diskSize is what the machine sees; the file is sparse.
const diskSize = "6G"

// disk returns the folder with what a virtual machine boots from: disk.raw,
// vmlinuz and initrd.img.
func disk() (string, error) {
	key, err := operatorKey()
	if err != nil {
		return "", err
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		return "", fmt.Errorf("cannot make a disk: %w", err)
	}
	names := packages("vm")
	month := time.Now().UTC().Format("2006-01") // a good host holds days that pass
	recipe := append([]string{machineScript, diskSize, string(public), month}, names...)
	recipe = append(recipe, treeProduct().recipe...)
	recipe = append(recipe, filesRecipe(goodFiles, "good")...)
	recipe = append(recipe, goodScript)
	recipe = append(recipe, filesRecipe(machineFiles, "vm")...)
	return product{kind: "disk", recipe: recipe, produce: makeDisk}.get()
}

// makeDisk fills the folder without mounting anything but the tree's overlay.
func makeDisk(dir string) (err error) {
	work, root, err := copyTree("disk")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, work.remove()) }()
	if err := makeGood(root); err != nil {
		return err
	}
	if err := copyFiles(machineFiles, "vm", root); err != nil {
		return err
	}
	if err := runScript(machineScript, append([]string{root}, packages("vm")...)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for link, name := range map[string]string{"vmlinuz-*": "vmlinuz", "initrd.img-*": "initrd.img"} {
		found, _ := filepath.Glob(filepath.Join(root, "boot", link))
		if len(found) != 1 {
			return fmt.Errorf("the tree holds %d files /boot/%s, want one", len(found), link)
		}
		if _, err := (Command{Args: []string{"cp", found[0], filepath.Join(dir, name)}}).must(); err != nil {
			return err
		}
	}
	_, err = Command{Args: []string{"mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=1", "-L", "lab", "-d", root,
		filepath.Join(dir, "disk.raw"), diskSize}, Timeout: 10 * time.Minute}.must()
	return err
}
