// Stopwatch runs commands in turn, as whole processes, and prints for each what
// the kernel accounted, as a line of JSON: of all runs the one at the lower
// quartile. Other work of the machine makes runs slower and never faster, so
// that is nearer to the truth than the median.
//
//	stopwatch -n 20 -- sshd -T -- hostguard check
//
// It runs inside the host that is measured, so that nothing but the commands
// is timed. The exit codes of the commands do not matter.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// Figures are lower quartiles over the runs of one command.
type Figures struct {
	Command []string
	WallMS  float64
	CPUMS   float64 // user and system, descendants that were waited for included
	PeakKiB float64 // largest resident set of one process, at least stopwatch's own
}

type run struct{ wall, cpu, peak float64 }

func main() {
	n := flag.Int("n", 20, "counted runs of each command, after two that are not counted")
	flag.Parse()
	var commands [][]string
	for _, arg := range append([]string{"--"}, flag.Args()...) {
		if arg == "--" {
			commands = append(commands, nil)
			continue
		}
		commands[len(commands)-1] = append(commands[len(commands)-1], arg)
	}
	runs := make([][]run, len(commands))
	for i := range *n + 2 {
		for c, command := range commands {
			r, err := measure(command)
			if err != nil {
				fmt.Fprintf(os.Stderr, "stopwatch: cannot run %q: %v\n", command, err)
				os.Exit(1)
			}
			if i >= 2 {
				runs[c] = append(runs[c], r)
			}
		}
	}
	out := json.NewEncoder(os.Stdout)
	for c, command := range commands {
		out.Encode(Figures{
			Command: command,
			WallMS:  quartile(runs[c], func(r run) float64 { return r.wall }),
			CPUMS:   quartile(runs[c], func(r run) float64 { return r.cpu }),
			PeakKiB: quartile(runs[c], func(r run) float64 { return r.peak }),
		})
	}
}

func measure(command []string) (run, error) {
	cmd := exec.Command(command[0], command[1:]...)
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	if cmd.ProcessState == nil {
		return run{}, err
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return run{milliseconds(wall), milliseconds(cpu), float64(usage.Maxrss)}, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func quartile(runs []run, of func(run) float64) float64 {
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = of(r)
	}
	slices.Sort(values)
	return values[len(values)/4]
}
