package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/s3archive"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
	"github.com/milepost-dev/milepost/test/faulthttp"
	"github.com/milepost-dev/milepost/test/s3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestThePageIsWrittenFromThePrices(t *testing.T) {
	var want bytes.Buffer
	require.NoError(t, write(&want))
	have, err := os.ReadFile("../../docs/costs.md")
	require.NoError(t, err)
	assert.Equal(t, want.String(), string(have), "go run ./test/costs > docs/costs.md")
}

func TestASaveSendsWhatThePageSays(t *testing.T) {
	for _, size := range sizes {
		for name, archived := range map[string]struct {
			archive bool
			mirror  checkpoint.MirrorPolicy
		}{
			"no archive": {}, "sessions": {true, checkpoint.MirrorSessions}, "every": {true, checkpoint.MirrorEvery},
		} {
			if !archived.archive && size > mostInline {
				continue
			}
			t.Run(fmt.Sprintf("%d bytes, %s", size, name), func(t *testing.T) {
				measure(t, size, archived.archive, archived.mirror)
			})
		}
	}
}

// measure compares a save's cost with the page. It makes several saves, each mirrored before the
// next, and subtracts the cost of a session without saves.
func measure(t *testing.T, size int64, archived bool, policy checkpoint.MirrorPolicy) {
	table := dynamotest.Table(t)
	client := dynamotest.Client(t)
	require.NoError(t, dynamostore.CreateTable(t.Context(), client, table, &dynamostore.CreateOptions{NoDeletionProtection: true}))
	st := dynamostore.New(client, table)
	orders := checkpoint.Namespace{Store: st, Mirror: policy}
	sent := faulthttp.New(nil)
	if archived {
		bucket, prefix := s3test.Place(t)
		a, err := s3archive.New(s3test.ClientOver(t, sent), bucket, prefix, nil)
		require.NoError(t, err)
		orders.Archive = a
	}
	puts := func() int64 {
		var n int64
		for _, r := range sent.Requests() {
			if r.Method == "PUT" {
				n++
			}
		}
		return n
	}
	state := make([]byte, size) // it does not compress
	_, _ = rand.Read(state)
	written := func() float64 { return st.Costs()["Commit"].WriteUnits + st.Costs()["Copy"].WriteUnits }
	session := func(saves int) (units float64, put int64) {
		unitsBefore, putBefore := written(), puts()
		s, err := checkpoint.Open[[]byte](t.Context(), orders, "orders/eu/shard-03", nil)
		require.NoError(t, err)
		for n := range saves {
			require.NoError(t, s.Save(t.Context(), fmt.Sprintf("ord-%08d", n), state))
			require.Eventually(t, func() bool {
				if !archived || policy == checkpoint.MirrorSessions {
					return true
				}
				ids, err := archive.IDs(t.Context(), orders.Archive, store.Key{Namespace: store.DefaultNamespace, Name: "orders/eu/shard-03"})
				require.NoError(t, err)
				return int64(len(ids)) >= s.Version()
			}, time.Minute, time.Millisecond)
		}
		require.NoError(t, s.Close(t.Context(), nil))
		return written() - unitsBefore, puts() - putBefore
	}
	session(1)
	fewUnits, fewPuts := session(1)
	moreUnits, morePuts := session(4)

	want := saveOf(size, archived, archived && policy == checkpoint.MirrorEvery)
	assert.InDelta(t, 3*want.writeUnits, moreUnits-fewUnits, 0, "write units of three saves")
	assert.Equal(t, 3*want.puts, morePuts-fewPuts, "PUTs of three saves")
}
