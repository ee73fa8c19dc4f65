package main

// jobsBreakages break what is wanted of hostguard's own jobs.
func jobsBreakages() []breakage {
	apply, undo := edited("/etc/hostguard/hostguard.yaml", "storage: {watch: {unit: df-watch.timer}}\n", "")
	return []breakage{{"nobody watches the file systems", apply, undo,
		map[string]want{"STO-003": fails("/etc/cron.d/hostguard", "neither")}}}
}
