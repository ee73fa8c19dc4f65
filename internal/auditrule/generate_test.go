package auditrule

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// generator makes lines of rules files. What it makes never records or
// suppresses anything of this machine's real work: rules without a path below
// dir ask for an account that nobody has.
type generator struct {
	*rand.Rand
	dir string // of files that may be named
	tag string // begins every key
	n   int
}

func (g *generator) pick(words ...string) string { return words[g.IntN(len(words))] }

func (g *generator) some(most int, one func() string) string {
	var parts []string
	for range 1 + g.IntN(most) {
		parts = append(parts, one())
	}
	return strings.Join(parts, ",")
}

func (g *generator) key() string {
	g.n++
	return fmt.Sprintf("%s-%d%s", g.tag, g.n, g.pick("", "", "_x", ".y", "é"))
}

func (g *generator) path() string {
	return g.dir + g.pick("/a", "/a/b", "/a/file", "/a/file", "/link", "/linked/file", "/with\\ space", "/back\\\\slash", "/sock", "/new")
}

func (g *generator) perms() string {
	return g.pick("r", "w", "x", "a", "wa", "aw", "rwxa", "WA", "rw", "xa")
}

func (g *generator) syscalls() string {
	return g.some(4, func() string {
		return g.pick("open", "openat", "rename", "unlink", "connect", "chmod", "execve", "ptrace", "17", "333", "mount", "bind", "clone3")
	})
}

// conditions that hold for nobody come first.
func (g *generator) nobody() string {
	return g.pick("-F auid=54321", "-F uid=54321", "-F auid=54322 -F uid!=0", "-F uid=54321 -F auid!=unset")
}

func (g *generator) condition() string {
	op := g.pick("=", "!=", "<", ">", "<=", ">=")
	eq := g.pick("=", "!=")
	return g.pick(
		"-F auid"+op+"1000", "-F auid!=-1", "-F auid!=4294967295", "-F uid"+op+"0", "-F euid=root", "-F gid"+eq+"54", "-F egid=root",
		"-F success=1", "-F success=0", "-F exit=-EACCES", "-F exit"+op+"-13", "-F exit=2", "-F pid"+op+"4194000", "-F ppid=4194001",
		"-F a0=0x10", "-F a1&=2", "-F a2&0100", "-F a3"+op+"7", "-F devmajor=254", "-F devminor"+op+"3",
		"-F filetype=file", "-F filetype=dir", "-F sessionid"+eq+"99", "-F pers=8", "-F obj_uid"+op+"33", "-F obj_gid=44",
		"-F exe=/usr/bin/true", "-F exe!=/usr/bin/false", "-F saddr_fam=2", "-F subj_type=unconfined_t", "-F obj_type=x",
		"-C auid!=uid", "-C uid=obj_uid", "-C egid!=gid", "-C fsuid=auid", "-F AUID=77", "-F loginuid=12abc",
	)
}

// valid makes a line that auditctl is expected to take.
func (g *generator) valid() string {
	key := g.pick("-k "+g.key(), "-F key="+g.key(), "-k "+g.key()+" -k second")
	switch g.IntN(8) {
	case 0:
		return "-w " + g.path() + g.pick("", "/") + " -p " + g.perms() + " " + key
	case 1:
		return "-w " + g.path() + " " + key
	case 2:
		return "-a " + g.pick("always,exit", "exit,always") + " " + g.pick("", "-F arch=b64 ", "-F arch=b32 ") +
			g.pick("", "-S "+g.syscalls()+" ", "-S all ") + "-F " + g.pick("path=", "dir=") + g.path() + g.pick("", " -F perm="+g.perms()) + " " + key
	case 3:
		return "-a never,exit -F arch=b64 -S " + g.syscalls() + " " + g.nobody() + " -F " + g.pick("path=", "dir=") + g.path() + " " + key
	case 4:
		return "-a task," + g.pick("always", "never") + " " + g.nobody()
	case 5:
		return "-a " + g.pick("always", "never") + ",exclude " + g.nobody() + " " + g.pick("", "-F msgtype=CWD", "-F msgtype>=1300", "-F msgtype=1305")
	case 6:
		return g.pick("-A", "-a") + " always,exit -F arch=" + g.pick("b64", "b32", "x86_64", "i686") + " -S " + g.syscalls() + " " + g.nobody() + " " +
			strings.ReplaceAll(g.some(3, g.condition), ",", " ") + " " + key
	default:
		return "-a always," + g.pick("user", "exit") + " " + g.nobody() + g.pick("", " -F pid>4000000")
	}
}

// any makes a line that may be right or wrong.
func (g *generator) any() string {
	line := g.valid()
	switch g.IntN(14) {
	case 0:
		return "\t" + line
	case 1:
		return "   " + line + "  "
	case 2:
		return line + " # why"
	case 3:
		return strings.Replace(line, "always", g.pick("possible", "allways", ""), 1)
	case 4:
		return strings.Replace(line, "exit", g.pick("entry", "exclude", "task", "filesystem", "user"), 1)
	case 5:
		words := strings.Split(line, " ")
		g.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
		return strings.Join(words, " ")
	case 6:
		words := strings.Split(line, " ")
		at := g.IntN(len(words))
		return strings.Join(append(words[:at:at], words[at+1:]...), " ")
	case 7:
		return line + " " + g.condition()
	case 8:
		return strings.Replace(line, "=", g.pick("", "!=", "==", "&", "<"), 1)
	case 9:
		return g.pick("-e 3", "-f 3", "-b x", "-q "+g.dir, "-k x", "-p wa", "-S open", "-F uid=0", "-W "+g.path(), "-w relative", "-w "+g.path()+" -p wz",
			"-a always,exit -F dir="+g.dir+"/a -F path="+g.dir+"/a/file", "-w "+g.path()+"x/y/z -p wa", "-a always,exit -F path="+g.dir+"/a/",
			"-R /etc/x", "--bogus", "-w", "word", "-w "+g.dir+"/a -p wa -k "+strings.Repeat("k", 257), "-a always,exit -S open -F arch=b64 -F uid=54321",
			"-a always,exit -F uid=54321 -F nofield=1", "-a always,exit -S nosuchcall -F uid=54321", "-a always,exit -F auid=nosuchuser",
			"-a always,filesystem -F uid=54321", "-a never,filesystem -F fstype=0x12345678", "-a always,exit -F perm=wa -F uid=54321",
			"-w "+g.dir+"/"+strings.Repeat("n", 256)+" -p w", "-w /"+strings.Repeat("a/", 2050)+" -p w", "-a always,exit -F dir="+g.dir+"/nodir")
	default:
		return line
	}
}
