package protocoltest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
)

// fixture is a store, and a checkpoint in it that no other subtest uses.
type fixture struct {
	store.Store
	suite suite
	key   store.Key

	keeping checkpoint.Namespace // has the retention of the sessions here
}

var keys atomic.Int64

func newFixture(s suite, about string) fixture {
	return fixture{suite: s, key: store.Key{
		Namespace: fmt.Sprintf("protocoltest-%d", keys.Add(1)), Name: strings.ReplaceAll(about, "/", " or "),
	}}
}

// Records that no session wrote.

var someTime = time.Date(2026, 3, 1, 12, 30, 15, 0, time.UTC)

var us = store.Holder{ID: "nightly", Host: "etl-7", PID: 4121, RunID: "2026-03-01T02:00:01Z"}

func bare(version, epoch int64, commitID string) store.Version {
	return store.Version{Number: version, CommitID: commitID, CommitEpoch: epoch, Born: 1, SavedAt: someTime, By: us}
}

func fence(epoch int64) store.Fence {
	return store.Fence{Epoch: epoch, LeaseID: fmt.Sprint("lease-", epoch)}
}

// idleLease is a free lease that knows a version.
func idleLease(epoch, version int64) store.Lease {
	return store.Lease{Epoch: epoch, LeaseID: "l", Status: store.Free, Holder: us, Duration: 30 * time.Second, Version: version}
}

// Short ways to write such records, and to read the fixture's checkpoint.

func (f fixture) acquire(t testing.TB, l store.Lease) {
	t.Helper()
	_, err := f.Acquire(t.Context(), f.key, f.look(t).Lease, l)
	require.NoError(t, err)
}

func (f fixture) raise(t testing.TB, epoch int64) {
	t.Helper()
	_, _, err := f.Raise(t.Context(), f.key, fence(epoch), us, true)
	require.NoError(t, err)
}

// commit commits v on the version before it under v's epoch.
func (f fixture) commit(t testing.TB, v store.Version) error {
	t.Helper()
	_, err := f.Commit(t.Context(), f.key, store.Commit{Fence: fence(v.CommitEpoch), Base: v.Number - 1, Next: v})
	return err
}

func (f fixture) copy(t testing.TB, c store.Copy) {
	t.Helper()
	require.NoError(t, f.Copy(t.Context(), f.key, c))
}

func (f fixture) look(t testing.TB) store.Records {
	t.Helper()
	r, err := f.Look(t.Context(), f.key)
	require.NoError(t, err)
	return r
}

func (f fixture) head(t testing.TB) store.Head {
	t.Helper()
	r := f.look(t)
	require.NotNil(t, r.Head, "there is no HEAD")
	return *r.Head
}

func (f fixture) copied(t testing.TB, version int64) store.Copy {
	t.Helper()
	c, err := f.Version(t.Context(), f.key, version)
	require.NoError(t, err)
	return c
}

func (f fixture) notCopied(t testing.TB, version int64) {
	t.Helper()
	_, err := f.Version(t.Context(), f.key, version)
	require.ErrorIs(t, err, store.ErrNotFound)
}

// everything returns what the store has of the fixture's checkpoint, without the time.
func (f fixture) everything(t testing.TB) []any {
	t.Helper()
	r := f.look(t)
	r.Clock = store.Clock{}
	all := []any{r}
	for c, err := range f.Versions(t.Context(), f.key, 100, 0) {
		require.NoError(t, err)
		all = append(all, c)
	}
	return all
}

// names requires that the namespace comes to list these names.
func (f fixture) names(t testing.TB, want ...string) {
	t.Helper()
	f.until(t, fmt.Sprintf("the names are %q", want), func() bool {
		var got []string
		for name, err := range f.Names(t.Context(), f.key.Namespace, "", "") {
			require.NoError(t, err)
			got = append(got, name)
		}
		return assert.ObjectsAreEqual(want, got)
	})
}
