package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

// call is one method with arguments that the state of [fixture.ready] allows.
type call struct {
	name string
	make func(ctx context.Context) error
}

// ready makes a deleted version 1 with its copy, under a held lease of epoch 1.
func (f fixture) ready(t *testing.T) {
	t.Helper()
	f.acquire(t, heldLease(1, fence(1).LeaseID))
	f.raise(t, 1)
	require.NoError(t, f.commit(t, fullVersion(1, 1, "c1")))
	f.copy(t, fullCopy(1, 1, "c1"))
	e := expectation
	require.NoError(t, f.Expect(t.Context(), f.key, nil, &e))
}

// reads are the methods that change nothing.
func (f fixture) reads() []call {
	return []call{
		{"Look", func(ctx context.Context) error { _, err := f.Look(ctx, f.key); return err }},
		{"Version", func(ctx context.Context) error { _, err := f.Version(ctx, f.key, 1); return err }},
		{"Versions", func(ctx context.Context) error {
			for _, err := range f.Versions(ctx, f.key, 1, 1) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
		{"Names", func(ctx context.Context) error {
			for _, err := range f.Names(ctx, f.key.Namespace, "", "") {
				if err != nil {
					return err
				}
			}
			return nil
		}},
		{"Peek", func(ctx context.Context) error { _, err := f.Peek(ctx, []store.Key{f.key}); return err }},
	}
}

func (f fixture) leaseWrites() []call {
	observed := heldLease(1, fence(1).LeaseID)
	return []call{
		{"Renew", func(ctx context.Context) error {
			_, _, err := f.Renew(ctx, f.key, store.Renewal{Fence: fence(1), Beat: 5})
			return err
		}},
		{"Want", func(ctx context.Context) error { return f.Want(ctx, f.key, fence(1), store.Wanted{By: "w"}) }},
		{"Release", func(ctx context.Context) error { return f.Release(ctx, f.key, fence(1), 1) }},
		{"Acquire", func(ctx context.Context) error {
			_, err := f.Acquire(ctx, f.key, &observed, heldLease(2, "l2"))
			return err
		}},
		{"Steal", func(ctx context.Context) error {
			_, err := f.Steal(ctx, f.key, &observed, heldLease(2, "l2"))
			return err
		}},
	}
}

func (f fixture) headWrites() []call {
	return []call{
		{"Commit", func(ctx context.Context) error {
			_, err := f.Commit(ctx, f.key, store.Commit{Fence: fence(1), Base: 1, Next: bare(2, 1, "c2")})
			return err
		}},
		{"Unlist", func(ctx context.Context) error { return f.Unlist(ctx, f.key, "c1") }},
		{"Raise", func(ctx context.Context) error {
			_, _, err := f.Raise(ctx, f.key, fence(2), us, true)
			return err
		}},
		{"Raise without create", func(ctx context.Context) error {
			_, _, err := f.Raise(ctx, f.key, fence(3), us, false)
			return err
		}},
	}
}

func (f fixture) copyWrites() []call {
	label := "savepoint"
	return []call{
		{"Copy", func(ctx context.Context) error { return f.Copy(ctx, f.key, bareCopy(1, 2, "c2")) }},
		{"KeepBase", func(ctx context.Context) error { return f.KeepBase(ctx, f.key, bare(1, 1, "c1")) }},
		{"KeepBase of a later line", func(ctx context.Context) error { return f.KeepBase(ctx, f.key, bare(1, 2, "c2")) }},
		{"Amend", func(ctx context.Context) error {
			return f.Amend(ctx, f.key, fullCopy(1, 1, "c1"), store.Amendment{Label: &label})
		}},
		{"Remove", func(ctx context.Context) error { return f.Remove(ctx, f.key, fullCopy(1, 1, "c1")) }},
	}
}

var everyMethodRules = []rule{
	{"ends with its context", func(t *testing.T, f fixture) {
		f.ready(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		calls := append(f.reads(), f.leaseWrites()...)
		calls = append(calls, f.headWrites()...)
		calls = append(calls, f.copyWrites()...)
		calls = append(calls, call{"Expect", func(ctx context.Context) error { return f.Expect(ctx, f.key, &expectation, nil) }})
		for _, c := range calls {
			before := f.everything(t)
			err := c.make(ctx)
			require.ErrorIs(t, err, context.Canceled, c.name)
			if errors.Is(err, store.ErrNotApplied) {
				require.Equal(t, before, f.everything(t), "%s said that it was not applied", c.name)
			}
		}
	}},
	{"shares no memory with its caller", func(t *testing.T, f fixture) {
		f.acquire(t, heldLease(1, fence(1).LeaseID))
		l := f.fullLease(2, "l2")
		_, err := f.Steal(t.Context(), f.key, f.look(t).Lease, l)
		require.NoError(t, err)
		f.raise(t, 1)
		v, c, e := fullVersion(1, 1, "c1"), fullCopy(1, 1, "c1"), expectation
		require.NoError(t, f.commit(t, v))
		f.copy(t, c)
		require.NoError(t, f.Expect(t.Context(), f.key, nil, &e))
		kept := fullVersion(2, 1, "c2")
		require.NoError(t, f.KeepBase(t.Context(), f.key, kept))

		l.Wanted.By = "spoilt"
		e.SetBy = "spoilt"
		for _, given := range []store.Version{v, c.Version, kept} {
			spoil(given)
		}
		for range 2 { // what was handed in first, then what was handed out
			r := f.look(t)
			equalLease(t, f.fullLease(2, "l2"), r.Lease)
			equalVersion(t, fullVersion(1, 1, "c1"), r.Head.Version)
			f.expect(t, &expectation)
			first, second := f.copied(t, 1), f.copied(t, 2)
			equalCopy(t, fullCopy(1, 1, "c1"), first)
			equalVersion(t, fullVersion(2, 1, "c2"), second.Version)
			refused := conflict(t, f.commit(t, bare(1, 1, "again")))
			equalVersion(t, fullVersion(1, 1, "c1"), refused.Head.Version)

			r.Lease.Wanted.By = "spoilt"
			r.Expect.SetBy = "spoilt"
			for _, got := range []store.Version{r.Head.Version, first.Version, second.Version, refused.Head.Version} {
				spoil(got)
			}
		}
	}},
}

// spoil writes over all that v points to.
func spoil(v store.Version) {
	clear(v.State.Data)
	clear(v.State.SHA256)
	clear(v.Finished)
	clear(v.Starts)
}

// everything returns all records of the fixture's checkpoint, without the time.
func (f fixture) everything(t *testing.T) []any {
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
