package checkpoint_test

import (
	"bytes"
	"cmp"
	"errors"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

// saved leaves a checkpoint of that identity and schema, at cursor "a" with a sum of 1.
func (r *rig) saved(opts *checkpoint.Options) {
	r.Helper()
	s := r.open(opts)
	s.Mark("a", add(1))
	r.done(s)
}

func TestAnotherIdentityIsRefusedNamingBoth(t *testing.T) {
	over(t, func(r *rig) {
		r.saved(&checkpoint.Options{Identity: "orders-2025.csv"})
		_, err := checkpoint.Open[sum](r.Context(), in(r.Store), name, &checkpoint.Options{Identity: "orders-2026.csv"})
		var refused *checkpoint.RefusedError
		require.ErrorAs(r, err, &refused)
		require.ErrorIs(r, err, checkpoint.ErrRefused)
		assert.Equal(r, "orders-2025.csv", refused.Have)
		assert.Equal(r, "orders-2026.csv", refused.Want)
		r.assertHistory(1)
		r.done(r.open(nil)) // the lease was given back; who declares none resumes
		assert.Equal(r, "orders-2025.csv", r.get().Identity, "and what it carries stays")
	})
}

func TestAnotherIdentityMayBeWarnedOf(t *testing.T) {
	over(t, func(r *rig) {
		r.saved(&checkpoint.Options{Identity: "one"})
		var log bytes.Buffer
		s := r.open(&checkpoint.Options{Identity: "two", OnIdentity: checkpoint.IdentityWarn, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		assert.Equal(r, "a", s.Cursor())
		r.done(s)
		assert.Contains(r, log.String(), "have=one want=two")
		assert.Equal(r, "two", r.get().Identity)
	})
}

func TestAnotherIdentityMayStartAfresh(t *testing.T) {
	over(t, func(r *rig) {
		r.saved(&checkpoint.Options{Identity: "one"})
		s := r.open(&checkpoint.Options{Identity: "two", OnIdentity: checkpoint.IdentityRestart, Order: cmp.Compare[string]})
		assert.Empty(r, s.Cursor())
		assert.Zero(r, s.State())
		assert.Nil(r, s.Resumed())
		require.NoError(r, s.Save(r.Context(), "0", sum{10}), "the order begins afresh, too")
		require.ErrorIs(r, s.Save(r.Context(), "/", sum{11}), checkpoint.ErrRefused)
		require.NoError(r, s.Save(r.Context(), "1", sum{10}))
		r.done(s)
		assert.Zero(r, r.get().Processed)
		assert.Equal(r, int64(10), r.sum())
		r.assertHistory(4, 3, 2, 1)
	})
}

func TestAnotherIdentityMayForkUnderANameOfItsOwn(t *testing.T) {
	over(t, func(r *rig) {
		r.saved(&checkpoint.Options{Identity: "one"})
		fork := &checkpoint.Options{Identity: "two", OnIdentity: checkpoint.IdentityFork}
		s := r.open(fork)
		assert.Equal(r, "orders/eu@3fc4ccfe7458", s.Name())
		assert.Equal(r, "a", s.Cursor())
		assert.Equal(r, sum{1}, s.State())
		s.Mark("b", add(10))
		r.done(s)

		s = r.open(fork)
		assert.Equal(r, "b", s.Cursor(), "the fork is resumed")
		r.done(s)
		assert.Equal(r, "a", r.get().Cursor, "and the trunk is as it was")
		cp, err := in(r.inner).Get(r.Context(), s.Name(), nil)
		require.NoError(r, err)
		assert.Equal(r, "two", cp.Identity)
		assert.Equal(r, int64(2), cp.Processed)

		s = r.open(&checkpoint.Options{Identity: "one", OnIdentity: checkpoint.IdentityFork})
		assert.Equal(r, name, s.Name())
		r.done(s)
	})
}

func TestAnOlderSchemaIsMigratedAndANewerOneRefused(t *testing.T) {
	over(t, func(r *rig) {
		r.saved(&checkpoint.Options{Schema: 1})
		_, err := checkpoint.Open[sum](r.Context(), in(r.Store), name, &checkpoint.Options{Schema: 2})
		require.ErrorIs(r, err, checkpoint.ErrRefused, "there is no migration")

		broken := errors.New("no such field")
		migrate := &checkpoint.Options{Schema: 2, Migrate: func(int64, []byte) ([]byte, error) { return nil, broken }}
		_, err = checkpoint.Open[sum](r.Context(), in(r.Store), name, migrate)
		require.ErrorIs(r, err, broken)

		migrate.Migrate = func(from int64, state []byte) ([]byte, error) {
			assert.Equal(r, int64(1), from)
			assert.JSONEq(r, `{"Sum":1}`, string(state))
			return []byte(`{"Sum":100}`), nil
		}
		s := r.open(migrate)
		assert.Equal(r, sum{100}, s.State())
		r.done(s)
		assert.Equal(r, int64(2), r.get().Schema)
		assert.Equal(r, int64(100), r.sum())

		_, err = checkpoint.Open[sum](r.Context(), in(r.Store), name, &checkpoint.Options{Schema: 1})
		var refused *checkpoint.RefusedError
		require.ErrorAs(r, err, &refused)
		assert.Equal(r, "schema", refused.What)
	})
}

func TestACursorThatGoesBackwardFailsTheSave(t *testing.T) {
	over(t, func(r *rig) {
		numbers := func(a, b string) int {
			x, errA := strconv.Atoi(a)
			y, errB := strconv.Atoi(b)
			assert.NoError(r, errors.Join(errA, errB))
			return cmp.Compare(x, y)
		}
		s := r.open(&checkpoint.Options{Order: numbers})
		require.NoError(r, s.Save(r.Context(), "999", sum{}))
		require.NoError(r, s.Save(r.Context(), "1000", sum{}), "not as strings")
		err := s.Save(r.Context(), "998", sum{})
		require.ErrorIs(r, err, checkpoint.ErrRefused)
		require.ErrorIs(r, err, store.ErrNotApplied)
		require.ErrorIs(r, s.SaveStep(r.Context(), at("7")), checkpoint.ErrRefused)
		require.NoError(r, s.Save(r.Context(), "1000", sum{}))
		r.done(s)
		assert.Equal(r, "1000", r.get().Cursor)
	})
}

func TestAResumeFromAVeryOldCheckpointSaysSo(t *testing.T) {
	over(t, func(r *rig) {
		r.saved(nil)
		time.Sleep(48 * time.Hour)
		var age time.Duration
		opts := &checkpoint.Options{MaxAge: 72 * time.Hour, OnOld: func(cp *checkpoint.Checkpoint, a time.Duration) {
			assert.Equal(r, "a", cp.Cursor)
			age = a
		}}
		abandoned := r.open(opts)
		assert.Zero(r, age)
		require.NoError(r, abandoned.Close(r.Context(), nil))
		time.Sleep(80 * time.Hour)
		r.done(r.open(opts))
		assert.InDelta(r, 80*time.Hour, age, float64(time.Minute))
		var log bytes.Buffer
		time.Sleep(80 * time.Hour)
		r.done(r.open(&checkpoint.Options{MaxAge: time.Hour, Logger: slog.New(slog.NewTextHandler(&log, nil))}))
		assert.Contains(r, log.String(), "old checkpoint")
	})
}

func TestALoadThatFailsIsNeverAStartFromZero(t *testing.T) {
	for what, c := range map[string]struct {
		mishap func(*rig)
		want   error
	}{
		"damaged HEAD":   {func(r *rig) { r.inner.Damage(key, "HEAD", errors.New("processed is a string")) }, store.ErrBadRecord},
		"newer HEAD":     {func(r *rig) { r.inner.Damage(key, "HEAD", store.ErrNewerFormat) }, store.ErrNewerFormat},
		"HEAD gone":      {func(r *rig) { r.inner.Drop(key, "HEAD") }, lease.ErrStoreRegressed},
		"store away":     {func(r *rig) { r.On("", 0, faultstore.Fail(store.ErrUnavailable)) }, store.ErrUnavailable},
		"state damaged":  {func(r *rig) { r.rot(func(s *store.State) { s.Data[0] ^= 1 }) }, store.ErrBadRecord},
		"unknown coding": {func(r *rig) { r.rot(func(s *store.State) { s.Encoding = "br" }) }, store.ErrBadRecord},
		"wrong size":     {func(r *rig) { r.rot(func(s *store.State) { s.Size++ }) }, store.ErrBadRecord},
		"another codec":  {func(r *rig) { r.rot(func(s *store.State) { s.ContentType = "application/cbor" }) }, checkpoint.ErrRefused},
	} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				r.saved(nil)
				c.mishap(r)
				_, err := checkpoint.Open[sum](r.Context(), in(r.Store), name, nil)
				require.ErrorIs(r, err, c.want)
				require.ErrorContains(r, err, name)
			})
		})
	}
}

// rot puts a state on HEAD that has gone bad.
func (r *rig) rot(change func(*store.State)) {
	h := r.head()
	change(h.State)
	h.Number++
	_, err := r.inner.Commit(r.Context(), key, store.Commit{Fence: h.Fence, Base: h.Number - 1, Next: h.Version})
	require.NoError(r, err)
}

func TestAnIdleJobNeverStartsFromZero(t *testing.T) {
	over(t, func(r *rig) {
		r.saved(nil)
		time.Sleep(400 * 24 * time.Hour)
		r.inner.Sweep()
		s := r.open(nil)
		assert.Equal(r, "a", s.Cursor())
		r.done(s)
		r.assertHistory(2, 1)
	})
}

func TestOptionsThatContradictThemselvesAreRefused(t *testing.T) {
	for _, ns := range []checkpoint.Namespace{
		{RetainAge: time.Minute}, {Name: "a#b"}, {RetainStarts: -1}, {InlineLimit: -1}, {Mirror: 9},
	} {
		ns.Store = memstore.New(nil)
		_, err := checkpoint.Open[sum](t.Context(), ns, name, nil)
		assert.Error(t, err, "%+v", ns)
	}
	for _, opts := range []checkpoint.Options{
		{Every: -1}, {Lease: lease.Options{Duration: time.Nanosecond}}, {OnIdentity: 9},
	} {
		_, err := checkpoint.Open[sum](t.Context(), in(memstore.New(nil)), name, &opts)
		assert.Error(t, err, "%+v", opts)
	}
	_, err := checkpoint.Open[sum](t.Context(), in(memstore.New(nil)), "a/../b", nil)
	assert.ErrorIs(t, err, store.ErrName)
}
