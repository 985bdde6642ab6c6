//go:build race

package archive

const raced = true
