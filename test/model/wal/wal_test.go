package wal

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNoAcknowledgedSaveIsLostInAnyState(t *testing.T) {
	for what, o := range map[string]Options{
		"one name":         {},
		"a second name":    {Linked: true},
		"a log is removed": {Removal: true},
	} {
		t.Run(what, func(t *testing.T) {
			found := o.Model().Run()
			t.Log(found)
			assert.Empty(t, found.Broken, "%v", found)
			assert.True(t, found.Whole)
		})
	}
}

func TestEachRuleIsNeeded(t *testing.T) {
	for what, c := range map[string]struct {
		Options
		finds string
	}{
		"a file has one name": {Options{Linked: true, Without: oneName}, "two jobs hold the lease"},
		"a removed log is noticed before a write": {
			Options{Removal: true, Without: watchingTheLog}, "a job begins on less than was acknowledged",
		},
		"a removed log is not checkpointed": {
			Options{Removal: true, Without: closingInSilence}, "closing a connection takes back what was acknowledged",
		},
	} {
		t.Run(what, func(t *testing.T) {
			found := c.Model().Run()
			t.Log(found)
			require.Equal(t, c.finds, found.Broken, "%v", found)
		})
	}
}
