package main

import "testing"

// What check spends before it looks: rules, configuration, binding, digest.
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		a, err := load(sources{})
		if err != nil {
			b.Fatal(err)
		}
		a.Rules.Digest(a.Profile)
	}
}
