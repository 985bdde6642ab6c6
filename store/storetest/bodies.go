package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

// bodyRules are about what a record says of an archive: where the state is, and how far the mirror
// is complete.
var bodyRules = []rule{
	{"HEAD and its copy say where it lies, and how far the mirror is", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		for i, v := range []store.Version{withBody(1, 1, "c1"), fullVersion(2, 1, "c2"), withBody(3, 1, "c3")} {
			require.NoError(t, f.commit(t, v))
			equalVersion(t, v, f.head(t).Version)
			require.NoError(t, f.Copy(t.Context(), f.key, store.Copy{Version: v}))
			require.NoError(t, f.KeepBase(t.Context(), f.key, v))
			equalVersion(t, v, f.copied(t, int64(i+1)).Version)
		}
	}},
	{"the next version, with a state of its own or none, leaves nothing of it", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		for n, next := range []func(store.Version) store.Version{
			func(v store.Version) store.Version { return v },
			func(v store.Version) store.Version { v.State = state([]byte("{}")); return v },
		} {
			at := int64(2*n + 1)
			require.NoError(t, f.commit(t, withBody(at, 1, "c")))
			want := next(bare(at+1, 1, "c"))
			require.NoError(t, f.commit(t, want))
			equalVersion(t, want, f.head(t).Version)
		}
	}},
	{"the version of a restored line may be far above the one before", func(t *testing.T, f fixture) {
		h, _, err := f.Raise(t.Context(), f.key, fence(1_000_057), us, true)
		require.NoError(t, err)
		require.Zero(t, h.Number)
		want := withBody(1204, 1_000_057, "c")
		commit := store.Commit{Fence: fence(1_000_057), Base: 0, Next: want}
		_, err = f.Commit(t.Context(), f.key, commit)
		require.NoError(t, err)
		equalVersion(t, want, f.head(t).Version)
		_, err = f.Commit(t.Context(), f.key, commit)
		equalVersion(t, want, conflict(t, err).Head.Version)
	}},
}
