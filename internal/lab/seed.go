package lab

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Seed is what a test that generates its cases starts from, and logs it:
// HOSTGUARD_SEED, a number or "random". Without it the cases are always the
// same, so that whether a change passes does not hang on chance.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(1)
	switch text := os.Getenv("HOSTGUARD_SEED"); text {
	case "":
	case "random":
		seed = rand.Uint64()
	default:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("cannot use HOSTGUARD_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("HOSTGUARD_SEED=%d", seed)
	return seed
}
