// Package stack makes room on a goroutine's stack.
package stack

const room = 6 << 10

// Reserve makes the stack of the calling goroutine large enough for what most
// looks need, 8 KiB. It begins with 2 KiB otherwise, and is copied each time that
// it doubles: with some hundred goroutines that live for a moment, a twentieth
// of a run's processor time. The memory is not touched.
func Reserve() { reserve(false) }

// reserve has a large frame, for which room is made when it is called.
//
//go:noinline
func reserve(touch bool) byte {
	if !touch {
		return 0
	}
	var space [room]byte
	return sum(&space)
}

// sum keeps the compiler from leaving the space out.
//
//go:noinline
func sum(space *[room]byte) (total byte) {
	for _, b := range space {
		total += b
	}
	return total
}
