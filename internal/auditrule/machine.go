package auditrule

import "runtime"

// thisMachine is the name that uname(2) gives the machine this program is
// built for.
var thisMachine = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]

// ThisMachine is the architecture that this program is built for.
func ThisMachine() (m Machine, ok bool) { return MachineOf(thisMachine) }
