//go:build linux

package kill_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestASecondRunReportsTheHolderAtOnce(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		j := someFlights(t, e, "twice")
		j.shut()
		first := j.start("--holder", "nightly@etl-7")
		j.halfway(j.started(first, 0, 1))

		second := j.start()
		require.Equal(t, 5, second.exit(), second.said())
		pid := first.cmd.Process.Pid
		assert.Contains(t, second.said(), `"twice" is held by nightly@etl-7`)
		assert.Contains(t, second.said(), fmt.Sprintf("pid %d", pid))
		assert.Contains(t, second.said(), ", until ")

		begun := time.Now()
		third := j.start("-o", "json")
		require.Equal(t, 5, third.exit(), third.said())
		says := third.failure()
		assert.Equal(t, "lease_held", says.Kind)
		assert.Equal(t, "nightly@etl-7", says.Holder.ID)
		assert.Equal(t, pid, says.Holder.PID)
		assert.WithinDuration(t, time.Now(), says.Until, 32*time.Second)
		assert.True(t, says.Until.After(begun.Add(-2*time.Second)), says.Until)

		assert.False(t, first.ended(), "neither waited for the end of the first run")
		j.open()
		require.Zero(t, first.exit(), first.said())
		assert.Zero(t, j.checkDone(), "records processed by both")
	})
}
