package storagewatch

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hostguard/hostguard/internal/notify"
	"github.com/hostguard/hostguard/internal/quantity"
)

const gib = 1 << 30

var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

var (
	warn     = Limits{Free: 10, FreeBytes: gib, FreeInodes: 10, FullWithin: quantity.Duration(24 * time.Hour)}
	critical = Limits{Free: 5, FreeBytes: gib / 2, FreeInodes: 5, FullWithin: quantity.Duration(2 * time.Hour)}
)

// disk is one of 100 GiB and 1000 inodes.
func disk(free float64, inodes uint64) FileSystem {
	return FileSystem{Point: "/var", Type: "ext4", Source: "/dev/x", Free: uint64(free * gib), Total: 100 * gib, FreeInodes: inodes, Inodes: 1000, Warn: warn, Critical: critical}
}

func TestLevels(t *testing.T) {
	t.Parallel()
	change := func(f func(*FileSystem)) FileSystem {
		fs := disk(50, 500)
		f(&fs)
		return fs
	}
	for name, tt := range map[string]struct {
		fs     FileSystem
		before notify.Level
		want   string
	}{
		"room":                            {disk(50, 500), notify.OK, "ok: "},
		"little room":                     {disk(9.9, 500), notify.OK, "warning: 9.9% free, 9.9 GiB of 100 GiB"},
		"no room":                         {disk(0, 500), notify.OK, "critical: 0.0% free"},
		"few inodes":                      {disk(50, 99), 0, "warning: 9.9% of the inodes free, 99 of 1000"},
		"hardly any inode":                {disk(50, 1), 0, "critical: 0.1% of the inodes"},
		"both":                            {disk(9, 99), 0, "warning: 9.0% free, 9 GiB of 100 GiB; 9.9% of the inodes free"},
		"the worse counts":                {disk(9, 10), 0, "critical: 1.0% of the inodes free"},
		"too few bytes, though a share":   {change(func(f *FileSystem) { f.Total, f.Free = 2*gib, gib-1 }), 0, "warning: 50.0% free, 1024 MiB of 2 GiB"},
		"btrfs has no number of inodes":   {change(func(f *FileSystem) { f.Inodes, f.FreeInodes = 0, 0 }), 0, "ok: "},
		"no capacity at all":              {change(func(f *FileSystem) { f.Total, f.Free = 0, 0 }), 0, "critical: 0.0% free"},
		"an image is always full":         {change(func(f *FileSystem) { f.Image, f.Free = true, 0 }), 0, "ok: "},
		"cannot be seen":                  {FileSystem{Point: "/nfs", Unseen: "it does not answer"}, notify.OK, "unknown: it does not answer"},
		"at the edge, from above":         {disk(10.5, 500), notify.OK, "ok: "},
		"at the edge, from below":         {disk(10.5, 500), notify.Warning, "warning: "},
		"clear of the edge":               {disk(11.1, 500), notify.Warning, "ok: "},
		"at the edge of critical":         {disk(5.2, 500), notify.Critical, "critical: "},
		"clear of critical":               {disk(5.6, 500), notify.Critical, "warning: "},
		"seen again":                      {disk(10.5, 500), notify.Unknown, "ok: "},
		"limits that are off say nothing": {change(func(f *FileSystem) { f.Free, f.FreeInodes, f.Warn, f.Critical = 0, 0, Limits{}, Limits{} }), 0, "ok: "},
	} {
		j := History{}.Judge(tt.fs, tt.before, start)
		if got := fmt.Sprintf("%v: %s", j.Level, strings.Join(j.Why, "; ")); !strings.HasPrefix(got, tt.want) || tt.want == "ok: " && got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// watch measures every ten minutes what free says, and returns the last judgement.
func watch(h History, hours float64, free func(hour float64) float64) Judgement {
	var j Judgement
	at := start
	for ; at.Sub(start).Hours() <= hours; at = at.Add(10 * time.Minute) {
		fs := disk(free(at.Sub(start).Hours()), 500)
		h.Add([]FileSystem{fs}, at)
		j = h.Judge(fs, j.Level, at)
	}
	return j
}

func TestForecast(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for name, tt := range map[string]struct {
		hours  float64
		free   func(hour float64) float64
		full   float64 // hours; 0: not to be expected
		want   notify.Level
		within float64
	}{
		"nothing changes":            {24, func(float64) float64 { return 50 }, 0, notify.OK, 0},
		"it empties":                 {24, func(h float64) float64 { return 20 + h }, 0, notify.OK, 0},
		"a gigabyte an hour":         {10, func(h float64) float64 { return 50 - h }, 40, notify.OK, 1},
		"three gigabytes an hour":    {10, func(h float64) float64 { return 80 - 3*h }, 16.6, notify.Warning, 1},
		"thirty gigabytes an hour":   {1, func(h float64) float64 { return 80 - 30*h }, 1.66, notify.Critical, 0.2},
		"it began just now":          {5, func(h float64) float64 { return 80 - 60*max(0, h-4.2) }, 0.5, notify.Critical, 0.3},
		"too early to tell":          {0.2, func(h float64) float64 { return 80 - 30*h }, 0, notify.OK, 0},
		"one large file in an hour":  {1, func(h float64) float64 { return 80 - 40*float64(int(h+0.5)) }, 0, notify.OK, 0},
		"one large file in a day":    {23, func(h float64) float64 { return 80 - 40*float64(int(h/12)) }, 0, notify.OK, 0},
		"a file that comes and goes": {24, func(h float64) float64 { return 50 + 20*float64(int(h*2)%2) }, 0, notify.OK, 0},
		"noise":                      {24, func(float64) float64 { return 50 + r.Float64() }, 0, notify.OK, 0},
		"two in a day, below noise":  {24, func(h float64) float64 { return 50 - h/12 + r.Float64()/5 }, 576, notify.OK, 300},
	} {
		j := watch(History{}, tt.hours, tt.free)
		got := j.FullIn.Hours()
		if tt.full == 0 && got != 0 && got < 24 || tt.full != 0 && (got < tt.full-tt.within || got > tt.full+tt.within) || j.Level != tt.want {
			t.Errorf("%s: full in %.1f hours, %v %q; want %.1f, %v", name, got, j.Level, j.Why, tt.full, tt.want)
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	h := History{}
	at := start
	for range 3000 {
		at = at.Add(10 * time.Second)
		h.Add([]FileSystem{disk(50, 500)}, at)
	}
	if n := len(h[key()]); n > maxSamples || n < 100 {
		t.Errorf("%d samples", n)
	}
	// The clock is set back: what lies in the future is forgotten.
	h.Add([]FileSystem{disk(50, 500)}, start.Add(-time.Hour))
	if n := len(h[key()]); n != 1 {
		t.Errorf("%d samples, one is not of the future", n)
	}
	// What cannot be measured for a while keeps its samples, what is gone does not.
	h.Add([]FileSystem{{Point: "/var", Unseen: "x"}}, start)
	if len(h[key()]) != 1 {
		t.Error("forgotten at once")
	}
	var many []FileSystem
	for i := range 1000 {
		fs := disk(1, 1)
		fs.Point = fmt.Sprint("/", i)
		many = append(many, fs)
	}
	h.Add(many, start)
	if len(h) > maxSystems {
		t.Errorf("%d file systems", len(h))
	}
}

func key() string {
	fs := disk(0, 0)
	return fs.key()
}

// Whatever stands in a file of samples: no panic, no estimate out of bounds.
func FuzzForecast(f *testing.F) {
	f.Add(int64(0), uint64(5), int64(600), uint64(4), int64(-5), uint64(1<<63))
	f.Fuzz(func(t *testing.T, t1 int64, b1 uint64, t2 int64, b2 uint64, t3 int64, b3 uint64) {
		fs := disk(50, 500)
		h := History{fs.key(): {{t1, b1, b2}, {t2, b2, b3}, {t3, b3, b1}, {t1 + t2, b1 / 2, b3}, {start.Unix() - 60, b1, b2}}}
		if j := h.Judge(fs, 0, start); j.FullIn < 0 || j.FullIn > horizon {
			t.Errorf("full in %v", j.FullIn)
		}
		h.Add([]FileSystem{fs}, start)
		j := h.Judge(fs, 0, start)
		if j.FullIn < 0 || j.InodesFullIn < 0 || j.Level == 0 {
			t.Errorf("%+v", j)
		}
	})
}

// One file at any moment never alarms, whenever the measurements are taken.
func TestOneFileIsNoGrowth(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		h, at, written := History{}, start, start.Add(time.Duration(r.IntN(7200))*time.Second)
		for at.Sub(start) < 2*time.Hour {
			at = at.Add(time.Duration(120+r.IntN(900)) * time.Second)
			free := 80.0
			if at.After(written) {
				free = 30
			}
			fs := disk(free, 500)
			h.Add([]FileSystem{fs}, at)
			if j := h.Judge(fs, 0, at); j.Level != notify.OK {
				t.Fatalf("%v %q after %v, written after %v, of %v", j.Level, j.Why, at.Sub(start), written.Sub(start), h)
			}
		}
	}
}
