package checkpoint_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store/archive"
)

func TestASessionWithoutAStateOverACheckpointThatHasOneIsRefused(t *testing.T) {
	for what, a := range map[string]archive.Archive{"in the store": nil, "in the archive": newMemory()} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				ns := r.in(r.Store, a)
				if a != nil {
					ns.InlineLimit = 1
				}
				s, err := checkpoint.Open[sum](r.Context(), ns, name, nil)
				require.NoError(r, err)
				require.NoError(r, s.Save(r.Context(), "a", sum{7}))
				require.NoError(r, s.Close(r.Context(), nil))
				before := r.get()

				_, err = checkpoint.Open[struct{}](r.Context(), ns, name, nil)
				refused, ok := errors.AsType[*checkpoint.RefusedError](err)
				require.True(r, ok, "got %v", err)
				assert.Equal(r, "state", refused.What)
				assert.ErrorContains(r, err, "KeepState")
				assert.Equal(r, before.CommitID, r.get().CommitID, "nothing was saved")

				kept, err := checkpoint.Open[struct{}](r.Context(), ns, name, &checkpoint.Options{KeepState: true})
				require.NoError(r, err)
				kept.Mark("b", nil)
				require.NoError(r, kept.Flush(r.Context()))
				require.NoError(r, kept.Save(r.Context(), "c", struct{}{}))
				require.NoError(r, kept.SaveStep(r.Context(), checkpoint.Step[struct{}]{Cursor: "d"}))
				require.NoError(r, kept.Close(r.Context(), nil))
				cp, err := ns.Get(r.Context(), name, nil)
				require.NoError(r, err)
				assert.Equal(r, "d", cp.Cursor)
				state, err := checkpoint.Decode[sum](cp)
				require.NoError(r, err)
				assert.Equal(r, sum{7}, state)
			})
		})
	}
}

func TestAForkWithoutAStateFromACheckpointThatHasOneIsRefused(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(&checkpoint.Options{Identity: "one"})
		require.NoError(r, s.Save(r.Context(), "a", sum{7}))
		r.done(s)
		_, err := checkpoint.Open[struct{}](r.Context(), in(r.Store), name,
			&checkpoint.Options{Identity: "two", OnIdentity: checkpoint.IdentityFork})
		require.ErrorIs(r, err, checkpoint.ErrRefused)
		fresh, err := checkpoint.Open[struct{}](r.Context(), in(r.Store), name,
			&checkpoint.Options{Identity: "two", OnIdentity: checkpoint.IdentityRestart})
		require.NoError(r, err, "a restart has neither cursor nor state")
		require.NoError(r, fresh.Close(r.Context(), nil))
	})
}
