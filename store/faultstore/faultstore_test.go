package faultstore_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

var (
	key   = store.Key{Namespace: store.DefaultNamespace, Name: "orders/eu"}
	fence = store.Fence{Epoch: 1, LeaseID: "l1"}
)

func raised(t *testing.T) *faultstore.Store {
	s := faultstore.New(memstore.New(nil))
	_, _, err := s.Raise(t.Context(), key, fence, store.Holder{}, true)
	require.NoError(t, err)
	return s
}

func commit(base int64) store.Commit {
	return store.Commit{Fence: fence, Base: base, Next: store.Version{
		Number: base + 1, CommitID: "c", CommitEpoch: 1, Born: 1, Content: store.Content{State: &store.State{Data: []byte("saved")}},
	}}
}

func headVersion(t *testing.T, s store.Store) int64 {
	r, err := s.Look(t.Context(), key)
	require.NoError(t, err)
	return r.Head.Number
}

func TestWhatEachFaultAppliesAndSays(t *testing.T) {
	for name, want := range map[string]struct {
		fault    faultstore.Fault
		applied  bool
		definite bool
	}{
		"lost reply":   {fault: faultstore.LoseReply, applied: true},
		"lost request": {fault: faultstore.LoseRequest},
		"held":         {fault: faultstore.Hold},
		"throttled":    {fault: faultstore.Throttle, definite: true},
		"fails":        {fault: faultstore.Fail(store.ErrUnavailable)},
		"hangs":        {fault: faultstore.Hang},
		"hangs after":  {fault: faultstore.HangAfter, applied: true},
		"too slow":     {fault: faultstore.Delay(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := raised(t)
				s.On("Commit", 1, want.fault)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, err := s.Commit(ctx, key, commit(0))
				require.Error(t, err)
				assert.Equal(t, want.definite, errors.Is(err, store.ErrNotApplied))
				assert.Equal(t, want.applied, headVersion(t, s) == 1)
			})
		})
	}
}

func TestARuleStrikesTheCallItNames(t *testing.T) {
	s := raised(t)
	s.On("Commit", 2, faultstore.Throttle)
	_, err := s.Commit(t.Context(), key, commit(0))
	require.NoError(t, err)
	_, err = s.Commit(t.Context(), key, commit(1))
	require.ErrorIs(t, err, store.ErrThrottled)
	_, err = s.Commit(t.Context(), key, commit(1))
	require.NoError(t, err)

	var methods []string
	for _, c := range s.Calls("") {
		methods = append(methods, c.Method)
	}
	assert.Equal(t, []string{"Raise", "Commit", "Commit", "Commit"}, methods)
	assert.Equal(t, int64(1), s.Calls("Commit")[2].Arg.(store.Commit).Base)
}

func TestAHeldCallIsDeliveredWithWhatItWasGiven(t *testing.T) {
	s := raised(t)
	s.On("Commit", 1, faultstore.Hold)
	c := commit(0)
	_, err := s.Commit(t.Context(), key, c)
	require.ErrorIs(t, err, store.ErrUnavailable)
	copy(c.Next.State.Data, "wrong")

	require.Len(t, s.Held(), 1)
	require.NoError(t, s.Held()[0].Deliver(t.Context()))
	require.ErrorIs(t, s.Held()[0].Deliver(t.Context()), store.ErrNotApplied, "the second delivery finds version 1")
	r, err := s.Look(t.Context(), key)
	require.NoError(t, err)
	assert.Equal(t, "saved", string(r.Head.State.Data))
}

func TestADuplicateIsAppliedAtOnceAndAgainLater(t *testing.T) {
	s := raised(t)
	s.On("Release", 0, faultstore.Duplicate)
	_, err := s.Acquire(t.Context(), key, nil, store.Lease{Epoch: 1, LeaseID: "l1", Status: store.Held})
	require.NoError(t, err)
	require.NoError(t, s.Release(t.Context(), key, fence, 0))
	require.NoError(t, s.Held()[0].Deliver(t.Context()))
}

func TestAnotherStoreMayTakeOverInTheMiddle(t *testing.T) {
	s := raised(t)
	s.On("Commit", 1, faultstore.Before(func() { s.Use(memstore.New(nil)) }))
	_, err := s.Commit(t.Context(), key, commit(0))
	var conflict *store.ConflictError
	require.ErrorAs(t, err, &conflict)
	assert.Nil(t, conflict.Head)
}

func TestAFaultStrikesAListingWhereItBegins(t *testing.T) {
	s := raised(t)
	s.On("Names", 1, faultstore.Throttle)
	for range 2 {
		var errs []error
		for _, err := range s.Names(t.Context(), store.DefaultNamespace, "", "") {
			errs = append(errs, err)
		}
		if len(s.Calls("Names")) == 1 {
			require.Len(t, errs, 1)
			require.ErrorIs(t, errs[0], store.ErrThrottled)
		} else {
			require.Empty(t, errs)
		}
	}
}
