//go:build linux

package archive_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/test/faulthttp"
)

func TestAnUnreachableBucketBlocksNoJobAndIsCaughtUpLater(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]faulthttp.Fault{"refuses": faulthttp.LoseRequest(), "answers nothing": faulthttp.Hang()} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			down := p.bucketFaults.On(faulthttp.Any, faulthttp.Each, fault)
			if name == "refuses" { // otherwise it takes the timeout of a request
				first := milepost(t, p.slowly, "set", "flights", "--cursor", "0", "--execute")
				assert.Equal(t, 8, first.exit(), "if the store has nothing, only the archive can tell whether the checkpoint was lost: %s", first.stderr())
			}
			must(t, p.env, "set", "flights", "--cursor", "0", "--execute")

			j := newJob(t)
			run := start(t, append(p.slowly[:len(p.slowly):len(p.slowly)], "LEDGER="+j.ledger, "GATE="+j.gate, "GATE_FROM=1001"),
				"batch", "flights", j.input, "--every", "100", "--", "sh", "-c", worker)
			require.Zero(t, run.exit(), run.stderr())
			require.Len(t, j.processed(t), 1000)
			assert.Contains(t, run.stderr(), "not all is mirrored; the next session or sync goes on from there")
			assert.Less(t, len(keys(t, p.archive, "v/default/flights/")), 11)

			down.Remove()
			must(t, p.slowly, "set", "flights", "--cursor", "1000", "--execute")
			assert.Len(t, keys(t, p.archive, "v/default/flights/"), 13, "mirrored without help: 12 versions and latest.json")
			assert.Zero(t, milepost(t, p.env, "archive", "verify").exit())
			assert.Contains(t, must(t, p.env, "archive", "sync"), fmt.Sprintf("flights: 0 versions mirrored now, %d before", 12))
		})
	}
}
