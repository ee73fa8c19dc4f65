package lab

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// TestAFolderIsKeptWhileItsProcessLives: the folder of Binary was removed by
// other test processes as soon as this one had collected its garbage.
func TestAFolderIsKeptWhileItsProcessLives(t *testing.T) {
	t.Parallel()
	path := func() string {
		work, err := newWorkdir("kept")
		if err != nil {
			t.Fatal(err)
		}
		return work.path
	}()
	t.Cleanup(func() {
		if err := removeWork(path); err != nil {
			t.Error(err)
		}
	})
	for range 3 {
		runtime.GC()
		time.Sleep(time.Millisecond) // for what the collector closes
	}
	sweep() // as another process would
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the folder is gone: %v", err)
	}
}
