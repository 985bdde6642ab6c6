package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAVariableIsFoundAsTheSystemWouldFindIt(t *testing.T) {
	env := []string{"=C:=C:\\state", "Milepost_Store=sqlite:a", "MILEPOST_STORE_OLD=no", "nonsense", "MILEPOST_ARCHIVE=1", "MILEPOST_ARCHIVE=2="}
	assert.Empty(t, lookUp("linux", env, "MILEPOST_STORE"))
	assert.Equal(t, "sqlite:a", lookUp("windows", env, "MILEPOST_STORE"))
	for _, goos := range []string{"linux", "darwin", "windows"} {
		assert.Equal(t, "2=", lookUp(goos, env, "MILEPOST_ARCHIVE"), goos)
		assert.Empty(t, lookUp(goos, env, "nonsense"), goos)
	}
}
