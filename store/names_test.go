package store

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTheNameOfACopyTellsItsVersion(t *testing.T) {
	assert.Equal(t, "V#00000000000000000041", CopyRecord(41))
	for _, version := range []int64{1, 41, math.MaxInt64} {
		got, ok := CopyVersion(CopyRecord(version))
		assert.True(t, ok)
		assert.Equal(t, version, got)
	}
	for _, other := range []string{
		"", RecordHead, RecordLease, "V#", "V#41", "V#0000000000000000004x", "V#99999999999999999999", "v/default/orders/00000000000000000041",
	} {
		got, ok := CopyVersion(other)
		assert.False(t, ok, other)
		assert.Zero(t, got, other)
	}
}
