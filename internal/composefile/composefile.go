// Package composefile reads from a docker compose project what hostguard
// needs: services with their images, limits and mounts, and volumes. It is not
// the whole of compose: include, extends from another file, !reset and
// !override are refused by name, never passed over. See the Compose
// Specification (https://github.com/compose-spec/compose-spec).
//
// The files may be anybody's: what they expand to is bounded. They hold
// secrets: errors name file and line, never what stands there.
package composefile

import (
	"path"
	"strings"

	"github.com/hostguard/hostguard/internal/secret"
)

// Names that docker compose looks for in a project's folder, best first, and
// the overrides that it merges onto what it found.
var (
	FileNames     = []string{"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"}
	OverrideNames = []string{"compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"}
)

// A File is one compose file as it was read.
type File struct {
	Name string // absolute
	Data []byte
}

// A Project is a set of compose files, merged.
type Project struct {
	Name     string
	Services []Service // sorted by name
	Volumes  []Volume  // those that a service mounts, sorted by name
	EnvFiles []EnvFile // what env_file names, sorted
	Files    []string  // configs and secrets that lie in files, absolute, sorted
	Secrets  []string  // those of Files that are secrets, sorted

	vars Variables
}

// A Service is one service of a project. Texts whose variables are set in no
// file keep the reference as it stands: "${CPUS}".
type Service struct {
	Name      string
	Container string // container_name
	Image     string
	File      string // where it is declared last
	Line      int
	Replicas  string // how many containers; empty: one
	Profiles  []string

	CPUs      string // limits; empty: none
	Memory    string
	LogDriver string
	LogSize   string

	Ports   []Port   // in the files' order
	Binds   []string // host paths, absolute, sorted
	Volumes []string // keys of named volumes, sorted
	Mounts  []Mount  // what is mounted where, the last of several at one target
	Sources []Mount  // configs and secrets; without Bind: what is in no file of the host

	Environment []EnvVar      // what environment: says, sorted by name; see Project.EnvironmentOf
	EnvFiles    []EnvFile     // in the order in which they are read
	Command     []secret.Text // the words of entrypoint: and command:

	Rights Rights
}

// A Mount is what a service mounts at a path of its container.
type Mount struct {
	Target string // in the container, cleaned
	Bind   string // host path, absolute; empty: none
	Volume string // key of a named volume; both empty: an anonymous volume, tmpfs …

	ReadOnly bool
}

// A Volume is a named volume.
type Volume struct {
	Key      string // in the files
	Name     string // for the engine
	External bool   // compose does not make it
	Device   string // folder that the local driver binds; empty: none
}

// An EnvFile is a file whose variables a service gets.
type EnvFile struct {
	Path     string // absolute
	Optional bool
	Raw      bool // in another format than .env
}

// ProjectName is the project name that compose makes of a folder's name.
func ProjectName(dir string) string {
	name := strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(path.Base(dir)))
	return strings.TrimLeft(name, "_-")
}
