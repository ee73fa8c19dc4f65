package remediate

import udiff "github.com/aymanbagabas/go-udiff"

// Diff is the unified diff of a file's content; empty when nothing differs. Of
// an absent file the content is empty and the name /dev/null.
func Diff(oldName, newName string, from, to []byte) string {
	return udiff.Unified(oldName, newName, string(from), string(to))
}
