package checkpoint_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store/memstore"
)

func TestAnUpdateMayReadItsSession(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		require.NoError(r, s.Save(r.Context(), "a", sum{1}))
		record, ok := s.Start("b")
		require.True(r, ok)
		reads := func(v *sum) {
			cursor, _ := s.Holding()
			assert.Equal(r, "b", cursor)
			assert.Equal(r, "a", s.Cursor())
			assert.Equal(r, int64(1), s.Version())
			assert.Zero(r, s.Processed()+s.Failed())
			assert.Equal(r, sum{}, s.State(), "as it was loaded")
			assert.Nil(r, s.Resumed())
			assert.NoError(r, s.Context().Err())
			assert.Equal(r, name, s.Name())
			state, err := s.OpenState(r.Context())
			require.NoError(r, err)
			assert.NoError(r, state.Close())
			_ = s.Mirror()
			v.Sum++
		}
		record.Done(reads)
		assert.Equal(r, "b", s.Cursor())
		r.done(s)
		assert.Equal(r, int64(2), r.sum())
	})
}

func TestAnUpdateThatChangesItsSessionPanicsWithTheRule(t *testing.T) {
	for method, call := range map[string]func(ctx context.Context, s *checkpoint.Session[sum]){
		"Mark":     func(_ context.Context, s *checkpoint.Session[sum]) { s.Mark("b", nil) },
		"Start":    func(_ context.Context, s *checkpoint.Session[sum]) { s.Start("b") },
		"Save":     func(ctx context.Context, s *checkpoint.Session[sum]) { _ = s.Save(ctx, "b", sum{}) },
		"Flush":    func(ctx context.Context, s *checkpoint.Session[sum]) { _ = s.Flush(ctx) },
		"SaveStep": func(ctx context.Context, s *checkpoint.Session[sum]) { _ = s.SaveStep(ctx, at("b")) },
		"Close":    func(ctx context.Context, s *checkpoint.Session[sum]) { _ = s.Close(ctx, nil) },
	} {
		t.Run(method, func(t *testing.T) {
			over(t, func(r *rig) {
				s := r.open(nil)
				require.NoError(r, s.Save(r.Context(), "a", sum{1}))
				says := ""
				func() {
					defer func() { says, _ = recover().(string) }()
					s.Mark("b", func(*sum) { call(r.Context(), s) })
				}()
				assert.Contains(r, says, "an update of a mark")
				assert.Contains(r, says, key.String())
				require.NoError(r, s.Close(r.Context(), errors.New("a bug")))
				assert.Equal(r, "a", r.get().Cursor)
				assert.Equal(r, int64(1), r.sum(), "the mark was not made")
			})
		})
	}
}

func TestACodecThatChangesItsSessionPanicsWithTheRule(t *testing.T) {
	over(t, func(r *rig) {
		codec := &calling{}
		s := r.open(&checkpoint.Options{Codec: codec})
		s.Mark("a", add(1))
		codec.call = func() { s.Mark("b", nil) }
		assert.Panics(r, func() { _ = s.Flush(r.Context()) })
		codec.call = func() { assert.Equal(r, "a", s.Cursor()) }
		r.done(s)
		assert.Equal(r, "a", r.get().Cursor)
	})
}

// calling is a codec that calls the caller's code.
type calling struct{ call func() }

func (*calling) ContentType() string { return checkpoint.JSON.ContentType() }
func (c *calling) Marshal(v any) ([]byte, error) {
	if c.call != nil {
		c.call()
	}
	return checkpoint.JSON.Marshal(v)
}
func (*calling) Unmarshal(data []byte, v any) error { return checkpoint.JSON.Unmarshal(data, v) }

func TestACallOfAnotherGoroutineWaitsForAnUpdate(t *testing.T) {
	s, err := checkpoint.Open[sum](t.Context(), in(memstore.New(nil)), name, nil)
	require.NoError(t, err)
	called, proceed, marked := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(marked)
		<-called
		close(proceed)
		s.Mark("b", add(1))
		assert.NoError(t, s.Flush(t.Context()))
	}()
	s.Mark("a", func(v *sum) {
		close(called)
		<-proceed
		time.Sleep(50 * time.Millisecond) // the other is likely to wait by now, and needs not
		v.Sum++
	})
	<-marked
	require.NoError(t, s.Close(t.Context(), nil))
	assert.EqualValues(t, 2, s.Processed())
}

func TestAnUpdateMayMarkAnotherSession(t *testing.T) {
	st := memstore.New(nil)
	a, err := checkpoint.Open[sum](t.Context(), in(st), "a", nil)
	require.NoError(t, err)
	b, err := checkpoint.Open[sum](t.Context(), in(st), "b", nil)
	require.NoError(t, err)
	called, proceed, marked := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(marked)
		b.Mark("1", func(*sum) {
			close(called)
			<-proceed
			time.Sleep(50 * time.Millisecond) // the other is likely to wait by now, and needs not
		})
	}()
	<-called
	a.Mark("1", func(*sum) {
		close(proceed)
		b.Mark("2", nil)
	})
	<-marked
	require.NoError(t, a.Close(t.Context(), nil))
	require.NoError(t, b.Close(t.Context(), nil))
	assert.Equal(t, "2", b.Cursor())
}

func TestNoMarkCountsOnceACallHasReturnedTheLoss(t *testing.T) {
	for range 20 {
		over(t, func(r *rig) {
			s := r.open(nil)
			require.NoError(r, s.Save(r.Context(), "a", sum{}))
			r.breakLease()
			require.ErrorIs(r, s.Save(r.Context(), "b", sum{}), lease.ErrLost)
			s.Mark("c", func(*sum) { assert.Fail(r, "the update ran after the loss was known") })
			assert.Equal(r, "b", s.Cursor())
			require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
		})
	}
}
