package units

// Repair is what a failing unit-state tells a remediator: see
// checks.Verdict.Repair.
type Repair struct {
	Unit            string // the first of the units that is installed
	Enabled, Active bool   // what is wanted of it
}
