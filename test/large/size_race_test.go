//go:build race

package large_test

// The race detector needs many times the memory and time. With it the round trip only looks for
// races; the memory is measured without it.
const (
	largeState = 64 << 20 // bytes
	mostMemory = 4 << 30  // bytes
)
