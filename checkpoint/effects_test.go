package checkpoint_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
)

func TestAKeyIsTheRecordsWhoeverProcessesIt(t *testing.T) {
	over(t, func(r *rig) {
		keys := func(ns checkpoint.Namespace, n string) map[string]string {
			s, err := checkpoint.Open[sum](r.Context(), ns, n, nil)
			require.NoError(r, err)
			defer r.done(s)
			all := map[string]string{}
			for _, cursor := range []string{"", "1", "11", "2"} {
				all[s.Key(cursor)] = cursor
				if cursor != "" { // which is before all records
					require.NoError(r, s.Save(r.Context(), cursor, sum{}))
				}
				assert.Equal(r, cursor, all[s.Key(cursor)], "a save changes no key")
			}
			assert.Len(r, all, 4)
			return all
		}
		s := r.open(nil)
		never := s.Key("1")
		assert.Len(r, never, 32)
		r.breakLease() // before anything was saved
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)

		first := keys(in(r.inner), name)
		assert.Equal(r, "1", first[never])
		assert.Equal(r, first, keys(in(r.inner), name))
		_, err := in(r.inner).Reset(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Equal(r, first, keys(in(r.inner), name))

		others := []map[string]string{keys(in(r.inner), name+"1"), keys(checkpoint.Namespace{Store: r.inner, Name: "other"}, name)}
		_, err = in(r.inner).Delete(r.Context(), name, nil)
		require.NoError(r, err)
		next := keys(in(r.inner), name)
		assert.Equal(r, next, keys(in(r.inner), name))
		for _, other := range append(others, next) {
			for key := range other {
				assert.NotContains(r, first, key)
			}
		}
	})
}

func TestARestoredCheckpointHasItsKeys(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.saves(a, 2, nil)
		_, err := both(r.inner, a).Delete(r.Context(), name, nil)
		require.NoError(r, err)
		s := r.bigger(a, nil)
		before := s.Key("7")
		r.closed(s)
		r.lose()
		_, err = both(r.inner, a).Restore(r.Context(), name, nil)
		require.NoError(r, err)
		s = r.bigger(a, nil)
		assert.Equal(r, before, s.Key("7"))
		r.closed(s)
	})
}

func TestAnOutputHasANameThatNoOtherSessionGives(t *testing.T) {
	over(t, func(r *rig) {
		s := r.open(nil)
		assert.Equal(r, "part-e1-v1.parquet", s.Output("part.parquet"))
		require.NoError(r, s.Save(r.Context(), "1", sum{}))
		assert.Equal(r, "out.d/part-e1-v2", s.Output("out.d/part"))
		r.breakLease()
		require.ErrorIs(r, s.Close(r.Context(), nil), lease.ErrLost)
		s = r.open(nil)
		assert.Equal(r, "part-e3-v2.parquet", s.Output("part.parquet"), "of the same version, and of another session")
		r.done(s)
	})
}
