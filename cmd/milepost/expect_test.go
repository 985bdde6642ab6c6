package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestALongDurationIsPrintedInAFormThatAFlagTakes(t *testing.T) {
	for typed, written := range map[string]string{
		"0s": "0s", "90s": "1m30s", "10m": "10m", "90m": "1h30m", "2h": "2h", "24h": "1d", "1w": "7d", "1d6h": "1d6h", "1d10m30s": "1d10m30s", "100ms": "100ms",
	} {
		var d, again longDuration
		require.NoError(t, d.Set(typed))
		assert.Equal(t, written, d.String(), typed)
		require.NoError(t, again.Set(d.String()))
		assert.Equal(t, d, again)
	}
}
