package docker

// AnswersRepair is what a failing docker-answers tells a remediator: see
// checks.Verdict.Repair.
type AnswersRepair struct {
	Kind string // of the installation: "package", "snap", "rootless"; empty: there is none
}
