//go:build !race

package large_test

const (
	largeState = 1 << 30   // bytes
	mostMemory = 200 << 20 // bytes
)
