//go:build race

package large_test

// The race detector needs many times the memory and the time: under it the round trip is for races alone, and the
// measure is taken without.
const (
	largeState = 64 << 20 // bytes
	mostMemory = 4 << 30  // bytes
)
