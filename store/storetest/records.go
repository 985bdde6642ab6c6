package storetest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

// Engines keep times to the millisecond at least, and expiries to the second.
var someTime = time.Date(2026, 3, 1, 12, 30, 15, 123_000_000, time.UTC)

const hostile = "a\x00b \"'`%_*?[]\\ \n\r\t\u2028 é e\u0301 🚂 \U0010FFFF"

var (
	us   = store.Holder{ID: "nightly", Host: "etl-7", PID: 4121, RunID: "2026-03-01T02:00:01Z", Boot: "b1", PIDSpace: "4026531836", PIDStart: "8231", TimeSpace: "4026531834"}
	them = store.Holder{ID: "other " + hostile, Host: "etl-8", PID: 1, RunID: "r2"}
)

func heldLease(epoch int64, id string) store.Lease {
	return store.Lease{Epoch: epoch, LeaseID: id, Status: store.Held, Holder: us, Duration: 30 * time.Second}
}

// fullLease has every field set.
func (f fixture) fullLease(epoch int64, id string) store.Lease {
	l := heldLease(epoch, id)
	l.Beat = 7
	l.Duration = 12345 * time.Millisecond
	l.Until = f.reading(time.Hour)
	l.AcquiredAt = someTime
	l.RenewedAt = someTime.Add(time.Minute)
	l.Reason = "stuck since noon"
	l.Wanted = &store.Wanted{By: "waiter", Count: 3}
	l.Version = 41
	return l
}

// reading is a reading of the kind that the store's own clock gives, that far ahead. An engine need
// not keep another kind.
func (f fixture) reading(ahead time.Duration) store.Clock {
	r := f.clock.Add(ahead)
	if !r.Wall.IsZero() {
		r.Wall = someTime.Add(ahead)
	}
	r.Uptime = r.Uptime.Truncate(time.Millisecond)
	return r
}

func bare(version, epoch int64, commitID string) store.Version {
	return store.Version{Number: version, CommitID: commitID, CommitEpoch: epoch, Born: 1, SavedAt: someTime, By: us}
}

// fullVersion has every field set.
func fullVersion(version, epoch int64, commitID string) store.Version {
	v := bare(version, epoch, commitID)
	v.Cursor = "cursor " + hostile
	v.Finished = []store.Range{{First: "a", Last: "b"}, {First: hostile, Last: ""}}
	v.Processed = math.MaxInt64
	v.Failed = 1<<53 + 1
	v.LastError = "error " + hostile
	v.State = state(allBytes())
	v.Identity = "identity " + hostile
	v.Schema = 3
	v.Ended = store.EndedError
	v.Deleted = true
	v.RestoredFrom = 1
	v.Reason = "reason " + hostile
	v.Starts = []int64{1, 1<<53 + 1}
	v.ArchivedThrough = version
	return v
}

// withBody is fullVersion with a state in an archive.
func withBody(version, epoch int64, commitID string) store.Version {
	v := fullVersion(version, epoch, commitID)
	v.State.Data, v.State.Body = nil, "body/default/"+hostile
	return v
}

func state(data []byte) *store.State {
	sum := sha256.Sum256(data)
	return &store.State{Data: data, ContentType: "application/x-test", Encoding: "zstd", Size: 1 << 40, SHA256: sum[:]}
}

func allBytes() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

// A record that is read again may differ from what was written: in the zone of a time, in an empty
// slice for nil, and in the part of a holder that only LEASE keeps. These functions remove the
// difference.

func plainVersion(v store.Version) store.Version {
	v.By = v.By.WithoutProcess()
	v.SavedAt = v.SavedAt.UTC().Round(0)
	if len(v.Finished) == 0 {
		v.Finished = nil
	}
	if len(v.Starts) == 0 {
		v.Starts = nil
	}
	if v.State != nil {
		s := *v.State
		if len(s.Data) == 0 {
			s.Data = nil
		}
		v.State = &s
	}
	return v
}

func plainLease(l store.Lease) store.Lease {
	l.Until.Wall = l.Until.Wall.UTC().Round(0)
	l.AcquiredAt = l.AcquiredAt.UTC().Round(0)
	l.RenewedAt = l.RenewedAt.UTC().Round(0)
	return l
}

func equalVersion(t testing.TB, want, got store.Version) {
	t.Helper()
	assert.Equal(t, plainVersion(want), plainVersion(got))
}

func equalLease(t testing.TB, want store.Lease, got *store.Lease) {
	t.Helper()
	require.NotNil(t, got, "there is no LEASE")
	assert.Equal(t, plainLease(want), plainLease(*got))
}

func equalCopy(t testing.TB, want, got store.Copy) {
	t.Helper()
	equalVersion(t, want.Version, got.Version)
	assert.Equal(t, want.Label, got.Label, "label")
	assert.Equal(t, want.Kept, got.Kept, "kept")
	assert.True(t, want.ExpiresAt.Equal(got.ExpiresAt), "expiry: want %v, got %v", want.ExpiresAt, got.ExpiresAt)
}

// conflict requires that err is a conflict, and returns it.
func conflict(t testing.TB, err error) *store.ConflictError {
	t.Helper()
	var c *store.ConflictError
	require.ErrorAs(t, err, &c)
	require.ErrorIs(t, err, store.ErrNotApplied)
	return c
}

// Short ways to write and read the fixture's checkpoint.

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

func (f fixture) acquire(t testing.TB, l store.Lease) {
	t.Helper()
	_, err := f.Acquire(t.Context(), f.key, f.look(t).Lease, l)
	require.NoError(t, err)
}

func fence(epoch int64) store.Fence {
	return store.Fence{Epoch: epoch, LeaseID: fmt.Sprint("lease-", epoch)}
}

func (f fixture) raise(t testing.TB, epoch int64) store.Head {
	t.Helper()
	h, _, err := f.Raise(t.Context(), f.key, fence(epoch), us, true)
	require.NoError(t, err)
	return h
}

// commit commits v on the version before it under v's epoch.
func (f fixture) commit(t testing.TB, v store.Version, writes ...store.Write) error {
	t.Helper()
	_, err := f.Commit(t.Context(), f.key, store.Commit{Fence: fence(v.CommitEpoch), Base: v.Number - 1, Next: v, Writes: writes})
	return err
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

// names waits until Names, which may lag, yields the wanted names.
func (f fixture) names(t testing.TB, prefix, after string, want ...string) {
	t.Helper()
	if len(want) == 0 {
		want = nil
	}
	var got []string
	eventually(t, func() bool {
		got = nil
		for name, err := range f.Names(t.Context(), f.key.Namespace, prefix, after) {
			require.NoError(t, err)
			got = append(got, name)
		}
		return assert.ObjectsAreEqual(want, got)
	}, func() string {
		return fmt.Sprintf("names with prefix %q after %q: want %q, got %q", prefix, after, want, got)
	})
}

// eventually waits until holds returns true, for methods that may lag.
func eventually(t testing.TB, holds func() bool, message func() string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			require.FailNow(t, message())
		}
	}
}

func isThrottled(err error) bool {
	return errors.Is(err, store.ErrThrottled) && errors.Is(err, store.ErrNotApplied)
}
