package checkpoint_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/faultstore"
)

func (r *rig) stream(a archive.Archive) *checkpoint.Session[checkpoint.StreamedState] {
	r.Helper()
	s, err := checkpoint.Open[checkpoint.StreamedState](r.Context(), r.in(r.Store, a), name, nil)
	require.NoError(r, err)
	return s
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.Copy(w, strings.NewReader(s))
		return err
	}
}

type opener interface {
	OpenState(ctx context.Context) (io.ReadCloser, error)
}

func (r *rig) streamed(s opener) string {
	r.Helper()
	state, err := s.OpenState(r.Context())
	require.NoError(r, err)
	defer state.Close()
	data, err := io.ReadAll(state)
	require.NoError(r, err)
	return string(data)
}

func TestAStateIsStreamedInAndOut(t *testing.T) {
	for what, size := range map[string]int{"empty": 0, "small": 100, "at the limit": 4 << 10, "large": 1 << 20} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				a := newMemory()
				s := r.stream(a)
				_, err := s.OpenState(r.Context())
				require.ErrorIs(r, err, store.ErrNotFound)
				want := noise(size)
				require.NoError(r, checkpoint.SaveStream(r.Context(), s, "1", text(want)))
				assert.Equal(r, want, r.streamed(s))
				assert.Equal(r, "1", s.Cursor())
				assert.Equal(r, size > 4<<10, len(a.keys("body/")) == 1)
				r.closed(s)

				s = r.stream(a)
				assert.Equal(r, want, r.streamed(s))
				r.closed(s)
				cp := r.get()
				assert.Equal(r, int64(size), cp.StateSize)
				state, err := cp.OpenState(r.Context(), a)
				require.NoError(r, err)
				data, err := io.ReadAll(state)
				require.NoError(r, err)
				require.NoError(r, state.Close())
				assert.Equal(r, want, string(data))

				// A job with a []byte goes on from it.
				b, err := checkpoint.Open[[]byte](r.Context(), both(r.Store, a), name, nil)
				require.NoError(r, err)
				assert.Equal(r, want, string(b.State()))
				r.closed(b)
			})
		})
	}
}

func TestSavesThatBringNoStateTakeItOver(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.stream(a)
		want := noise(10 << 10)
		require.NoError(r, checkpoint.SaveStream(r.Context(), s, "1", text(want)))
		s.Mark("2", nil)
		require.NoError(r, s.Flush(r.Context()))
		assert.Equal(r, want, r.streamed(s))
		require.NoError(r, s.SaveStep(r.Context(), checkpoint.Step[checkpoint.StreamedState]{Cursor: "3"}))
		assert.Equal(r, want, r.streamed(s))
		r.closed(s)
		assert.Len(r, a.keys("body/"), 4, "one of each version's own")
		s = r.stream(a)
		assert.Equal(r, "3", s.Cursor())
		assert.Equal(r, want, r.streamed(s))
		r.closed(s)
	})
}

func TestAStreamThatFailsLeavesNothing(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.stream(a)
		require.NoError(r, checkpoint.SaveStream(r.Context(), s, "1", text("first")))
		broken := errors.New("the source broke")
		err := checkpoint.SaveStream(r.Context(), s, "2", func(w io.Writer) error {
			_, err := io.WriteString(w, noise(1<<20))
			return errors.Join(err, broken)
		})
		require.ErrorIs(r, err, broken)
		require.ErrorIs(r, err, store.ErrNotApplied)
		assert.Equal(r, "1", s.Cursor())
		assert.Empty(r, a.keys("body/"))

		a.on(down)
		err = checkpoint.SaveStream(r.Context(), s, "2", text(noise(1<<20)))
		require.ErrorIs(r, err, store.ErrUnavailable)
		a.on(nil)
		require.Panics(r, func() {
			_ = checkpoint.SaveStream(r.Context(), s, "2", func(w io.Writer) error {
				_, _ = io.WriteString(w, noise(1<<20))
				panic("no")
			})
		})
		s.Mark("1b", nil)
		assert.Equal(r, "1b", s.Cursor())
		r.closed(s)
		assert.Empty(r, a.keys("body/"))
		s = r.stream(a)
		assert.Equal(r, "first", r.streamed(s))
		r.closed(s)
	})
}

func TestAStreamWhoseOutcomeIsUnknownIsReportedByTheNextSave(t *testing.T) {
	for what, fault := range map[string]faultstore.Fault{"landed": faultstore.LoseReply, "sent again": faultstore.LoseRequest} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				a := newMemory()
				s := r.stream(a)
				require.NoError(r, checkpoint.SaveStream(r.Context(), s, "1", text(noise(9000))))
				r.On("Commit", 0, fault)
				r.On("Look", 0, faultstore.Hang)
				err := checkpoint.SaveStream(r.seconds(3), s, "2", text(noise(9999)))
				require.ErrorIs(r, err, checkpoint.ErrOutcomeUnknown)
				assert.Len(r, r.streamed(s), 9000)
				r.Clear()
				var settled *checkpoint.SettledError
				require.ErrorAs(r, s.Flush(r.seconds(10)), &settled)
				assert.True(r, settled.Landed)
				assert.Equal(r, "2", s.Cursor())
				assert.Len(r, r.streamed(s), 9999)
				r.closed(s)
			})
		})
	}
}

func TestADamagedStreamIsAnErrorAtItsEnd(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.stream(a)
		require.NoError(r, checkpoint.SaveStream(r.Context(), s, "1", text(noise(1<<20))))
		a.change(r, r.head().State.Body, flipped)
		state, err := s.OpenState(r.Context())
		require.NoError(r, err)
		_, err = io.Copy(io.Discard, state)
		require.ErrorIs(r, err, archive.ErrBodyMissing)
		require.NoError(r, state.Close())
		a.change(r, r.head().State.Body, gone)
		_, err = s.OpenState(r.Context())
		require.ErrorIs(r, err, archive.ErrBodyMissing)
		require.NotErrorIs(r, err, store.ErrNotFound)
		require.ErrorIs(r, s.Close(r.Context(), nil), archive.ErrBodyMissing, "the closing version has no state to take over")
	})
}

func TestAStreamedStateOfAnotherSchemaIsRefused(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		s := r.stream(a)
		require.NoError(r, checkpoint.SaveStream(r.Context(), s, "1", text(noise(1<<20))))
		r.closed(s)
		_, err := checkpoint.Open[checkpoint.StreamedState](r.Context(), both(r.Store, a), name, &checkpoint.Options{
			Schema: 1, Migrate: func(_ int64, state []byte) ([]byte, error) { return state, nil },
		})
		require.ErrorIs(r, err, checkpoint.ErrRefused)
	})
}
