package transport_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// truth is the store's content in the end, read raw.
type truth struct {
	head     *store.Head
	lease    *store.Lease
	versions []store.Copy // from 1
	rows     []string
	told     []told
}

func readTruth(tt *testing.T, t *tale) truth {
	found, err := t.clean.Look(tt.Context(), t.key)
	require.NoError(tt, err)
	require.NotNil(tt, found.Head)
	require.NotNil(tt, found.Lease)
	r := truth{head: found.Head, lease: found.Lease, told: t.told}
	for c, err := range t.clean.Versions(tt.Context(), t.key, found.Head.Number+100, 0) {
		require.NoError(tt, err)
		r.versions = append(r.versions, c)
	}
	slices.Reverse(r.versions)
	r.rows, err = t.rows()
	require.NoError(tt, err)
	return r
}

func (r truth) String() string {
	var b strings.Builder
	for _, c := range r.told {
		fmt.Fprintf(&b, "\n\tcall %s, row %v: %v", c.cursor, c.row, c.err)
	}
	for _, v := range r.versions {
		fmt.Fprintf(&b, "\n\tversion %d, epoch %d, commit %s, cursor %s", v.Number, v.CommitEpoch, v.CommitID, v.Cursor)
	}
	fmt.Fprintf(&b, "\n\tHEAD %d under epoch %d, LEASE %s, epoch %d; rows %v",
		r.head.Number, r.head.Fence.Epoch, r.lease.Status, r.lease.Epoch, r.rows)
	return b.String()
}

// checkHistory requires versions 1 … n without a hole, each of one commit, with HEAD the last. Each
// state must belong to its cursor, the counts to the steps that landed, and the lease must be free.
func (r truth) checkHistory(tt *testing.T, when string) {
	ids := map[string]bool{}
	var processed, epoch int64
	for i, v := range r.versions {
		assert.EqualValues(tt, i+1, v.Number, "%s: the history has a hole", when)
		assert.EqualValues(tt, 1, v.Born, "%s: version %d", when, i+1)
		assert.False(tt, ids[v.CommitID], "%s: commit %s made two versions", when, v.CommitID)
		ids[v.CommitID] = true
		assert.GreaterOrEqual(tt, v.CommitEpoch, epoch, "%s: version %d was committed by an epoch that had been overtaken", when, i+1)
		epoch = v.CommitEpoch
		if at := slices.IndexFunc(r.told, func(c told) bool { return c.cursor == v.Cursor }); at >= 0 && r.told[at].row && v.Ended == "" {
			processed++
		}
		assert.Equal(tt, processed, v.Processed, "%s: version %d", when, i+1)
		assert.Equal(tt, v.Cursor, stateOf(tt, v).At, "%s: version %d has the state of another cursor", when, i+1)
	}
	require.Len(tt, r.versions, int(r.head.Number), "%s: history and HEAD", when)
	last := r.versions[len(r.versions)-1]
	assert.Equal(tt, last.CommitID, r.head.CommitID, "%s: the newest copy is not HEAD's", when)
	assert.Equal(tt, store.EndedDone, r.head.Ended, "%s", when)
	assert.Equal(tt, store.Free, r.lease.Status, "%s: the lease was left held", when)
	assert.Equal(tt, r.head.Number, r.lease.Version, "%s: the version that LEASE knows", when)
}

func stateOf(tt *testing.T, v store.Copy) state {
	var s state
	if assert.NotNil(tt, v.State, "version %d", v.Number) {
		assert.NoError(tt, json.Unmarshal(v.State.Data, &s))
	}
	return s
}

// checkFences requires that epochs rise from session to session, and that no older epoch commits
// after a fence.
func (r truth) checkFences(tt *testing.T, when string, opened []*session) {
	// An opening that is overtaken returns later than the one that overtook it.
	opened = slices.SortedFunc(slices.Values(opened), func(a, b *session) int { return cmp.Compare(a.Epoch(), b.Epoch()) })
	var before int64
	for _, s := range opened {
		assert.Greater(tt, s.Epoch(), before, "%s: the epoch of the %s session", when, s.by)
		before = s.Epoch()
		for _, v := range r.versions {
			if v.Number > s.base {
				assert.GreaterOrEqual(tt, v.CommitEpoch, s.Epoch(), "%s: version %d was committed behind the fence of the %s session", when, v.Number, s.by)
			} else {
				assert.Less(tt, v.CommitEpoch, s.Epoch(), "%s: version %d, and the %s session started from %d", when, v.Number, s.by, s.base)
			}
			if v.Number == s.base {
				assert.Zero(tt, v.ExpiresAt, "%s: version %d expires, and the %s session started from it", when, s.base, s.by)
			}
		}
	}
	assert.Equal(tt, before, r.head.Fence.Epoch, "%s", when)
	assert.Equal(tt, before, r.lease.Epoch, "%s", when)
}

// landed returns how many versions a call has made. A closing commit repeats the cursor of the call
// before.
func (r truth) landed(cursor string) int {
	n := 0
	for _, v := range r.versions {
		if v.Cursor == cursor && v.Ended == "" {
			n++
		}
	}
	return n
}

func (r truth) carries(version int64, commitID string) bool {
	return version <= int64(len(r.versions)) && r.versions[version-1].CommitID == commitID
}

// checkCall requires that a save reported as done is there once, and that a save reported as failed
// is not there and never will be. One fault does not stop the holder from saving. An overtaken
// holder gets an error that says so.
func (r truth) checkCall(tt *testing.T, when string, c told, t *tale) {
	landed := r.landed(c.cursor)
	unknown, isUnknown := errors.AsType[*checkpoint.OutcomeUnknownError](c.err)
	switch {
	case c.err == nil:
		assert.Equal(tt, 1, landed, "%s: %s was said to be saved", when, c.cursor)
	case isUnknown && !r.isFirstTold(c, unknown.CommitID): // an earlier call's is still open, and this one was not begun
		assert.Equal(tt, 0, landed, "%s: %s: %v", when, c.cursor, c.err)
	case isUnknown:
		assert.Equal(tt, landed == 1, r.carries(unknown.Version, unknown.CommitID), "%s: %s: %v", when, c.cursor, c.err)
	default:
		assert.Equal(tt, 0, landed, "%s: %s was said to have failed: %v", when, c.cursor, c.err)
	}
	switch {
	case c.last && c.fenced && !t.cut:
		assert.ErrorIs(tt, c.err, lease.ErrLost, "%s: %s came after the lease had been overtaken", when, c.cursor)
	case c.fenced:
		assert.Error(tt, c.err, "%s: %s came after the lease had been overtaken", when, c.cursor)
	case c.last && c.rightful:
		assert.NoError(tt, c.err, "%s: %s", when, c.cursor)
	case !t.impatient:
		assert.False(tt, isUnknown, "%s: %s: %v", when, c.cursor, c.err)
	}
}

// isFirstTold reports whether the call was the first to be told that the outcome of that commit is
// unknown.
func (r truth) isFirstTold(c told, commitID string) bool {
	for _, other := range r.told {
		if unknown, ok := errors.AsType[*checkpoint.OutcomeUnknownError](other.err); ok && unknown.CommitID == commitID {
			return other.cursor == c.cursor
		}
	}
	return false
}

// checkRows requires that the caller's row is there exactly if its version is.
func (r truth) checkRows(tt *testing.T, when string, calls []told) {
	var want []string
	for _, c := range calls {
		if c.row && r.landed(c.cursor) == 1 {
			want = append(want, c.cursor)
		}
	}
	assert.ElementsMatch(tt, want, r.rows, "%s: rows and versions", when)
}
