package stack

import (
	"sync"
	"testing"
)

func TestReserve(t *testing.T) {
	if n := testing.AllocsPerRun(10, Reserve); n != 0 { // which may not run beside others
		t.Errorf("%v allocations on the heap", n)
	}
	if reserve(true) != 0 {
		t.Error("the space is not empty")
	}
}

// deep needs about 5 KiB of stack, in frames such as parsers have.
//
//go:noinline
func deep(n int) (total int) {
	var frame [30]int
	for i := range frame {
		frame[i] = n + i
	}
	if n > 0 {
		total = deep(n - 1)
	}
	return total + frame[n]
}

func BenchmarkGoroutines(b *testing.B) {
	for name, begin := range map[string]func(){"reserved": Reserve, "grown": func() {}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var wg sync.WaitGroup
				for range 200 {
					wg.Go(func() {
						begin()
						deep(18)
					})
				}
				wg.Wait()
			}
		})
	}
}
