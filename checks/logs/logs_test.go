package logs

import (
	"io/fs"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/lab/checktest"
	"github.com/hostguard/hostguard/internal/posixacl"
	"github.com/hostguard/hostguard/internal/quantity"
	"github.com/hostguard/hostguard/internal/rotatedlogs"
)

func TestMain(m *testing.M) { checktest.Main(m, Checks) }

var now = time.Date(2026, 2, 3, 12, 0, 0, 0, time.Local)

// info is a file's description.
type info struct {
	fs.FileInfo
	mode fs.FileMode
	size int64
	time time.Time
}

func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return i.time }

func TestJudgeFresh(t *testing.T) {
	t.Parallel()
	ago := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	log := func(day string, rotated time.Time) rotatedlogs.Log {
		return rotatedlogs.Log{Path: "a-" + day + ".gz", Day: day, Size: 7, ModTime: rotated}
	}
	volume := func(logs ...rotatedlogs.Log) []host.LogVolume {
		return []host.LogVolume{{Owner: "ecc", Path: "/v", Logs: logs}}
	}
	at := func(name string, i info) copied {
		return copied{map[string]fs.FileInfo{name: i}, map[content]int{}}
	}
	for name, c := range map[string]struct {
		volumes []host.LogVolume
		there   copied
		keep    int
		want    string
	}{
		"copied":                            {volume(log("2026-02-01", ago(40))), at("ecc+a-2026-02-01.gz", info{size: 7, time: ago(40)}), 0, "pass"},
		"not copied":                        {volume(log("2026-02-01", ago(40))), copied{}, 0, "fail: 1 rotated logs"},
		"rotated tonight":                   {volume(log("2026-02-02", ago(12))), copied{}, 0, "pass"},
		"rotated late":                      {volume(log("2026-02-01", ago(3))), copied{}, 0, "pass"},
		"of today":                          {volume(log("2026-02-03", ago(1))), copied{}, 0, "pass"},
		"of long ago, with a time to come":  {volume(log("2026-01-20", now.Add(1000*time.Hour))), copied{}, 0, "fail: 1 rotated logs"},
		"older than copies are kept":        {volume(log("2026-01-20", ago(300))), copied{}, 10, "pass"},
		"another content":                   {volume(log("2026-02-01", ago(40))), at("ecc+a-2026-02-01.gz", info{size: 8, time: ago(40)}), 0, "fail: changed"},
		"another time":                      {volume(log("2026-02-01", ago(40))), at("ecc+a-2026-02-01.gz", info{size: 7, time: ago(41)}), 0, "fail: changed"},
		"a link for a copy":                 {volume(log("2026-02-01", ago(40))), at("ecc+a-2026-02-01.gz", info{mode: fs.ModeSymlink, size: 7, time: ago(40)}), 0, "fail: changed"},
		"copied under another name":         {volume(log("2026-02-01", ago(40))), copied{others: map[content]int{{"2026-02-01", 7}: 1}}, 0, "pass"},
		"two logs, one of another's copies": {volume(log("2026-02-01", ago(40)), rotatedlogs.Log{Path: "b-2026-02-01.gz", Day: "2026-02-01", Size: 7, ModTime: ago(40)}), copied{others: map[content]int{{"2026-02-01", 7}: 1}}, 0, "fail: 1 rotated logs"},
		"planted":                           {[]host.LogVolume{{Owner: "ecc", Path: "/v", Refused: []rotatedlogs.Refused{{Path: "x", Why: "a link"}}}}, copied{}, 0, "fail: planted"},
		"not seen":                          {[]host.LogVolume{{Owner: "ecc", Volume: host.VolumeRef{Name: "d"}, Err: fs.ErrPermission}}, copied{}, 0, "error: volume d"},
		"not seen, and one lacking":         {append(volume(log("2026-02-01", ago(40))), host.LogVolume{Err: fs.ErrPermission}), copied{}, 0, "fail: 1 rotated logs"},
		"not made yet":                      {[]host.LogVolume{{Owner: "ecc", Volume: host.VolumeRef{Name: "d"}}}, copied{}, 0, "pass"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.there.others == nil {
				c.there.others = map[content]int{}
			}
			p := freshParams{Dir: "/srv/tc_logs", Within: 25 * 3600e9}
			p.Keep = quantity.Duration(time.Duration(c.keep) * 24 * time.Hour)
			v, err := judgeFresh(c.volumes, c.there, p, now)
			checktest.Judged(t, v, err, c.want)
		})
	}
	if v, err := judgeFresh(nil, copied{}, freshParams{}, now); err != nil || v.Status != checks.NotApplicable {
		t.Errorf("no volume: %v, %v", v, err)
	}
}

func TestJudgeCopies(t *testing.T) {
	t.Parallel()
	who := person{name: "tclogs", uid: 2000, groups: map[uint32]bool{2000: true}}
	group := &host.Group{Name: "tclogs", GID: 2000}
	acl := func(entries ...posixacl.Entry) posixacl.List { return entries }
	named := acl(posixacl.Entry{Tag: posixacl.UserObj, Perm: 6}, posixacl.Entry{Tag: posixacl.User, ID: 7, Perm: 4}, posixacl.Entry{Tag: posixacl.GroupObj, Perm: 4}, posixacl.Entry{Tag: posixacl.Mask, Perm: 4}, posixacl.Entry{Tag: posixacl.Other})
	none := acl(posixacl.Entry{Tag: posixacl.UserObj, Perm: 4}, posixacl.Entry{Tag: posixacl.User, ID: 2000}, posixacl.Entry{Tag: posixacl.GroupObj, Perm: 4}, posixacl.Entry{Tag: posixacl.Mask, Perm: 4}, posixacl.Entry{Tag: posixacl.Other})
	file := func(perm, uid, gid uint32) host.FileMode {
		return host.FileMode{Path: "/srv/l/c", Type: unix.S_IFREG, Perm: perm, UID: uid, GID: gid}
	}
	for name, c := range map[string]struct {
		change func(*copiesFacts)
		want   string
	}{
		"as logs copy makes it":    {func(*copiesFacts) {}, "pass"},
		"everybody's to read":      {func(f *copiesFacts) { f.dir.Perm = 0o755 }, "fail: everybody can read"},
		"the group's to write":     {func(f *copiesFacts) { f.dir.Perm = 0o770 }, "fail: others than root can write"},
		"another group's":          {func(f *copiesFacts) { f.dir.GID = 5 }, "fail: tclogs cannot read"},
		"the reader's own":         {func(f *copiesFacts) { f.dir.UID = 2000 }, "fail: does not belong to root"},
		"root's alone":             {func(f *copiesFacts) { f.dir.Perm = 0o700 }, "fail: cannot read"},
		"a link":                   {func(f *copiesFacts) { f.dir.Type = unix.S_IFLNK }, "fail: is no folder"},
		"a link above":             {func(f *copiesFacts) { f.above[0].Type = unix.S_IFLNK }, "fail: is a link"},
		"others write above":       {func(f *copiesFacts) { f.above[0].Perm = 0o1777 }, "fail: another folder in the place"},
		"no way through":           {func(f *copiesFacts) { f.above[0].Perm = 0o750 }, "fail: does not get through"},
		"a default list":           {func(f *copiesFacts) { f.dir.Default = named }, "fail: access list"},
		"a copy that others read":  {func(f *copiesFacts) { f.files = append(f.files, file(0o444, 0, 2000)) }, "fail: everybody can read"},
		"a copy that is written":   {func(f *copiesFacts) { f.files = append(f.files, file(0o460, 0, 2000)) }, "fail: others than root can write"},
		"a copy of root alone":     {func(f *copiesFacts) { f.files = append(f.files, file(0o400, 0, 0)) }, "fail: cannot read"},
		"a copy of the reader":     {func(f *copiesFacts) { f.files = append(f.files, file(0o440, 2000, 2000)) }, "fail: does not belong to root"},
		"a copy with a list":       {func(f *copiesFacts) { m := file(0o440, 0, 2000); m.ACL = named; f.files = append(f.files, m) }, "fail: access list"},
		"a copy kept from him":     {func(f *copiesFacts) { m := file(0o440, 0, 2000); m.ACL = none; f.files = append(f.files, m) }, "fail: cannot read"},
		"a copy begun":             {func(f *copiesFacts) { m := file(0o600, 0, 0); m.Path = "/srv/l/.x"; f.files = append(f.files, m) }, "pass"},
		"a copy begun, to read":    {func(f *copiesFacts) { m := file(0o644, 0, 0); m.Path = "/srv/l/.x"; f.files = append(f.files, m) }, "fail: read or write"},
		"a folder among copies":    {func(f *copiesFacts) { m := file(0o750, 0, 2000); m.Type = unix.S_IFDIR; f.files = append(f.files, m) }, "fail: is none"},
		"a link among the copies":  {func(f *copiesFacts) { m := file(0o777, 0, 0); m.Type = unix.S_IFLNK; f.files = append(f.files, m) }, "fail: is none"},
		"two faults, the first is": {func(f *copiesFacts) { f.dir.Perm = 0o755; f.above[0].Perm = 0o777 }, "fail: and 1 more"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := copiesFacts{
				above: []host.FileMode{{Path: "/srv", Type: unix.S_IFDIR, Perm: 0o755}, {Path: "/", Type: unix.S_IFDIR, Perm: 0o755}},
				dir:   host.FileMode{Path: "/srv/l", Type: unix.S_IFDIR, Perm: 0o750, GID: 2000},
				files: []host.FileMode{file(0o440, 0, 2000)},
			}
			c.change(&f)
			checktest.Judged(t, judgeCopies(f, who, group), nil, c.want)
		})
	}
}
