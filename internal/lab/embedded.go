package lab

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// copyFiles lays the files below dir of an embedded tree over the tree at root.
func copyFiles(files embed.FS, dir, root string) error {
	return fs.WalkDir(files, dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(root, strings.TrimPrefix(path, dir))
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		content, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
}

// filesRecipe lists the names and contents of an embedded tree.
func filesRecipe(files embed.FS, dir string) []string {
	var recipe []string
	_ = fs.WalkDir(files, dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := files.ReadFile(path)
		recipe = append(recipe, path, string(content))
		return err
	})
	return recipe
}
