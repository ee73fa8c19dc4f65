package clock

import "github.com/hostguard/hostguard/internal/host"

// DaemonRepair is what a failing clock-daemon tells a remediator: see
// checks.Verdict.Repair.
type DaemonRepair struct {
	Daemons []host.TimeDaemon // installed, and not masked
	Masked  []host.TimeDaemon
	Strays  []host.Process // time daemons that run outside such units
	Accept  []string       // kinds of which one may keep the clock
}

// ServersRepair is what a failing clock-servers tells a remediator.
type ServersRepair struct {
	Lacking    *host.TimeSources // the daemon without servers, and what it has; nil: there is no daemon
	MinSources int
}
