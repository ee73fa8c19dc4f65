package host

import "testing"

// The file system on /run is there before anything is started, and so before
// rules are loaded; what is mounted below it comes when it comes.
func TestRunIsMountedBeforeRulesAreLoaded(t *testing.T) {
	t.Parallel()
	h := New(Options{Root: tree(t, "etc/")})
	early := h.mountedEarly(t.Context(), []Mount{{Point: "/run", Type: "tmpfs"}, {Point: "/run/user/1000", Type: "tmpfs"}, {Point: "/srv", Type: "ext4"}})
	for point, want := range map[string]bool{"/": true, "/run": true, "/run/user/1000": false, "/srv": false} {
		if early[point] != want {
			t.Errorf("%s is early: %v", point, early[point])
		}
	}
}
