package checkpoint_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const name = "orders/eu"

var key = store.Key{Namespace: store.DefaultNamespace, Name: name}

// sum is the state of most tests' jobs.
type sum struct{ Sum int64 }

func add(n int64) func(*sum) { return func(v *sum) { v.Sum += n } }

// in is the default namespace of a store that has no archive.
func in(st store.Store) checkpoint.Namespace { return checkpoint.Namespace{Store: st} }

// both is the default namespace of a store and an archive.
func both(st store.Store, a archive.Archive) checkpoint.Namespace {
	return checkpoint.Namespace{Store: st, Archive: a}
}

// rig is a store that fails on purpose, before one that does not.
type rig struct {
	*testing.T
	*faultstore.Store
	inner *memstore.Store
	rules checkpoint.Namespace // of its sessions
}

// in is the namespace of the rig's sessions.
func (r *rig) in(st store.Store, a archive.Archive) checkpoint.Namespace {
	n := r.rules
	n.Store, n.Archive = st, a
	return n
}

// mirroring is the rig with another mirror policy.
func (r *rig) mirroring(policy checkpoint.MirrorPolicy) *rig {
	other := *r
	other.rules.Mirror = policy
	return &other
}

// retaining is the rig with sessions that keep so many starts.
func (r *rig) retaining(starts int) *rig {
	other := *r
	other.rules.RetainStarts = starts
	return &other
}

// over runs a test in a bubble of virtual time.
func over(t *testing.T, test func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		inner := memstore.New(nil)
		test(&rig{T: t, Store: faultstore.New(inner), inner: inner})
	})
}

func (r *rig) open(opts *checkpoint.Options) *checkpoint.Session[sum] {
	r.Helper()
	s, err := checkpoint.Open[sum](r.Context(), r.in(r.Store, nil), name, opts)
	require.NoError(r, err)
	return s
}

// done closes a session that nothing went wrong with.
func (r *rig) done(s *checkpoint.Session[sum]) {
	r.Helper()
	require.NoError(r, s.Close(r.Context(), nil))
}

// seconds is a context that ends then.
func (r *rig) seconds(n int) context.Context {
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(n)*time.Second)
	r.Cleanup(cancel)
	return ctx
}

// breakLease ends the lease behind the session's back, as an operator does.
func (r *rig) breakLease() {
	r.Helper()
	_, err := lease.Break(r.Context(), r.inner, key, &lease.BreakOptions{Reason: "stuck", By: store.Holder{ID: "operator"}, Now: true})
	require.NoError(r, err)
}

// another run saves so many versions, and ends.
func (r *rig) another(saves int) {
	r.Helper()
	s, err := checkpoint.Open[sum](r.Context(), in(r.inner), name, &checkpoint.Options{Lease: lease.Options{Holder: store.Holder{ID: "another"}}})
	require.NoError(r, err)
	for range saves - 1 {
		require.NoError(r, s.Save(r.Context(), "another's", sum{}))
	}
	require.NoError(r, s.Close(r.Context(), nil))
}

func (r *rig) get() *checkpoint.Checkpoint {
	r.Helper()
	cp, err := in(r.inner).Get(r.Context(), name, nil)
	require.NoError(r, err)
	return cp
}

func (r *rig) sum() int64 {
	r.Helper()
	state, err := checkpoint.Decode[sum](r.get())
	require.NoError(r, err)
	return state.Sum
}

func (r *rig) head() store.Head {
	r.Helper()
	found, err := r.inner.Look(r.Context(), key)
	require.NoError(r, err)
	require.NotNil(r, found.Head)
	return *found.Head
}

func (r *rig) copy(version int64) store.Copy {
	r.Helper()
	c, err := r.inner.Version(r.Context(), key, version)
	require.NoError(r, err)
	return c
}

// methods are the calls made since the number of them that is given.
func (r *rig) methods(since int) []string {
	var names []string
	for _, c := range r.Calls("")[since:] {
		names = append(names, c.Method)
	}
	return names
}

func (r *rig) assertHistory(want ...int64) {
	r.Helper()
	var versions []int64
	for cp, err := range in(r.inner).History(r.Context(), name, nil) {
		require.NoError(r, err)
		versions = append(versions, cp.Number)
	}
	assert.Equal(r, want, versions)
}
