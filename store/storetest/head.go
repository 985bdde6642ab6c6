package storetest

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

var raiseRules = []rule{
	{"makes version 0 where no HEAD is, and does not list it", func(t *testing.T, f fixture) {
		h, _, err := f.Raise(t.Context(), f.key, fence(1<<53+1), them, true)
		require.NoError(t, err)
		assert.Zero(t, h.Number)
		assert.Equal(t, fence(1<<53+1), h.Fence)
		assert.Equal(t, them.WithoutProcess(), h.Holder.WithoutProcess())
		assert.False(t, h.Listed)
		assert.Equal(t, h, f.head(t))
		f.names(t, "", "")
	}},
	{"does not make a HEAD unless told to", func(t *testing.T, f fixture) {
		_, _, err := f.Raise(t.Context(), f.key, fence(1), us, false)
		assert.Nil(t, conflict(t, err).Head)
		assert.Nil(t, f.look(t).Head)
	}},
	{"returns HEAD as it is from then on, and changes only the fence and its holder", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		want := fullVersion(1, 1, "c1")
		require.NoError(t, f.commit(t, want))
		for i, create := range []bool{false, true} {
			epoch := int64(i + 2)
			h, _, err := f.Raise(t.Context(), f.key, fence(epoch), them, create)
			require.NoError(t, err)
			for _, h := range []store.Head{h, f.head(t)} {
				equalVersion(t, want, h.Version)
				assert.Equal(t, fence(epoch), h.Fence)
				assert.Equal(t, them.WithoutProcess(), h.Holder.WithoutProcess())
				assert.True(t, h.Listed)
			}
		}
	}},
	{"never lowers the fence", func(t *testing.T, f fixture) {
		f.raise(t, 5)
		require.NoError(t, f.commit(t, bare(1, 5, "c1")))
		for _, lower := range []store.Fence{fence(1), fence(4), {Epoch: 5, LeaseID: "another"}, fence(5)} {
			for _, create := range []bool{false, true} {
				_, _, err := f.Raise(t.Context(), f.key, lower, them, create)
				require.Error(t, err, lower)
				c := conflict(t, err)
				require.NotNil(t, c.Head)
				assert.Equal(t, fence(5), c.Head.Fence)
				equalVersion(t, bare(1, 5, "c1"), c.Head.Version)
			}
		}
		assert.Equal(t, fence(5), f.head(t).Fence)
	}},
	{"compares epochs as numbers", func(t *testing.T, f fixture) {
		f.raise(t, 9)
		f.raise(t, 10)
		f.raise(t, 1000)
		_, _, err := f.Raise(t.Context(), f.key, fence(999), us, true)
		assert.Equal(t, fence(1000), conflict(t, err).Head.Fence)
	}},
	{"keeps a version 0 at version 0", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		h := f.raise(t, 2)
		assert.Zero(t, h.Number)
		assert.False(t, h.Listed)
	}},
}

var commitRules = []rule{
	{"replaces the whole of HEAD under the same fence", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		want := fullVersion(1, 1, "c1")
		require.NoError(t, f.commit(t, want))
		h := f.head(t)
		equalVersion(t, want, h.Version)
		assert.Equal(t, fence(1), h.Fence)
		assert.Equal(t, us.WithoutProcess(), h.Holder.WithoutProcess())
		assert.True(t, h.Listed)
	}},
	{"leaves nothing of the version before", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		require.NoError(t, f.commit(t, fullVersion(1, 1, "c1")))
		want := bare(2, 1, "c2")
		want.By = store.Holder{}
		require.NoError(t, f.commit(t, want))
		equalVersion(t, want, f.head(t).Version)
	}},
	{"keeps a state byte for byte, whatever its size", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		for i, data := range [][]byte{{}, {0}, []byte("null"), []byte("0"), allBytes(), bytes.Repeat(allBytes(), 400)} {
			v := bare(int64(i+1), 1, "c")
			v.State = state(data)
			require.NoError(t, f.commit(t, v))
			equalVersion(t, v, f.head(t).Version)
			require.NoError(t, f.Copy(t.Context(), f.key, store.Copy{Version: v}))
			equalVersion(t, v, f.copied(t, v.Number).Version)
		}
	}},
	{"is refused under another epoch, another lease or on another version", func(t *testing.T, f fixture) {
		f.raise(t, 5)
		require.NoError(t, f.commit(t, bare(1, 5, "c1")))
		want := fullVersion(2, 5, "c2")
		require.NoError(t, f.commit(t, want))
		for what, c := range map[string]store.Commit{
			"a lower epoch":       {Fence: store.Fence{Epoch: 4, LeaseID: fence(5).LeaseID}, Base: 2, Next: bare(3, 4, "x")},
			"a higher epoch":      {Fence: store.Fence{Epoch: 6, LeaseID: fence(5).LeaseID}, Base: 2, Next: bare(3, 6, "x")},
			"another lease id":    {Fence: store.Fence{Epoch: 5, LeaseID: "another"}, Base: 2, Next: bare(3, 5, "x")},
			"the version before":  {Fence: fence(5), Base: 1, Next: bare(2, 5, "x")},
			"a version to come":   {Fence: fence(5), Base: 3, Next: bare(4, 5, "x")},
			"no version":          {Fence: fence(5), Base: 0, Next: bare(1, 5, "x")},
			"the same once again": {Fence: fence(5), Base: 1, Next: want},
		} {
			_, err := f.Commit(t.Context(), f.key, c)
			require.Error(t, err, what)
			got := conflict(t, err)
			require.NotNil(t, got.Head, what)
			equalVersion(t, want, got.Head.Version)
			assert.Equal(t, fence(5), got.Head.Fence)
		}
		equalVersion(t, want, f.head(t).Version)
	}},
	{"by an epoch that was overtaken is refused forever", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		require.NoError(t, f.commit(t, bare(1, 1, "c1")))
		f.raise(t, 2)
		got := conflict(t, f.commit(t, bare(2, 1, "late")))
		assert.Equal(t, fence(2), got.Head.Fence)
		require.NoError(t, f.commit(t, bare(2, 2, "c2")))
		_ = conflict(t, f.commit(t, bare(3, 1, "later")))
		assert.Equal(t, "c2", f.head(t).CommitID)
	}},
	{"does not bring a HEAD into being", func(t *testing.T, f fixture) {
		assert.Nil(t, conflict(t, f.commit(t, bare(1, 1, "c1"))).Head)
		assert.Nil(t, f.look(t).Head)
	}},
	{"takes no account of LEASE", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		f.acquire(t, heldLease(9, "another's"))
		require.NoError(t, f.commit(t, bare(1, 1, "c1")))
		equalLease(t, heldLease(9, "another's"), f.look(t).Lease)
	}},
	{"leaves other checkpoints alone", func(t *testing.T, f fixture) {
		others := []store.Key{
			{Namespace: f.key.Namespace, Name: f.key.Name + "/a"},
			{Namespace: f.key.Namespace + "-b", Name: f.key.Name},
		}
		for _, other := range others {
			_, _, err := f.Raise(t.Context(), other, fence(1), us, true)
			require.NoError(t, err)
		}
		f.raise(t, 1)
		require.NoError(t, f.commit(t, bare(1, 1, "c1")))
		for _, other := range others {
			r, err := f.Look(t.Context(), other)
			require.NoError(t, err)
			assert.Zero(t, r.Head.Number)
		}
	}},
	{"past the record limit says the size and changes nothing", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		if f.engine.Limit == 0 { // then a large state is simply kept
			v := bare(1, 1, "c1")
			v.State = state(bytes.Repeat([]byte{7}, 1<<20))
			require.NoError(t, f.commit(t, v))
			equalVersion(t, v, f.head(t).Version)
			return
		}
		v := bare(1, 1, "c1")
		v.State = state(bytes.Repeat([]byte{7}, int(f.engine.Limit)))
		err := f.commit(t, v)
		var size *store.SizeError
		require.ErrorAs(t, err, &size)
		require.ErrorIs(t, err, store.ErrTooLarge)
		require.ErrorIs(t, err, store.ErrNotApplied)
		assert.Greater(t, size.Size, f.engine.Limit)
		assert.LessOrEqual(t, size.Limit, size.Size)
		assert.Zero(t, f.head(t).Number)
	}},
}

// foreign is a write that no engine made.
type foreign struct{}

func writesRules(e Engine) []rule {
	rules := []rule{
		{"refuses a write that is not its own", func(t *testing.T, f fixture) {
			f.raise(t, 1)
			for _, w := range []store.Write{foreign{}, nil, "INSERT"} {
				require.ErrorIs(t, f.commit(t, bare(1, 1, "c1"), w), store.ErrWrite)
			}
			assert.Zero(t, f.head(t).Number)
		}},
	}
	if e.Writes == nil {
		return rules
	}
	return append(rules, []rule{
		{"applies them and HEAD together", func(t *testing.T, f fixture) {
			w := e.Writes(t, f.Store)
			f.raise(t, 1)
			require.NoError(t, f.commit(t, fullVersion(1, 1, "c1"), w.Make("a"), w.Make("b")))
			equalVersion(t, fullVersion(1, 1, "c1"), f.head(t).Version)
			assert.True(t, w.Made("a"))
			assert.True(t, w.Made("b"))
		}},
		{"applies none of them where the fence is lost", func(t *testing.T, f fixture) {
			w := e.Writes(t, f.Store)
			f.raise(t, 1)
			f.raise(t, 2)
			c := conflict(t, f.commit(t, bare(1, 1, "c1"), w.Make("a")))
			require.NotNil(t, c.Head)
			assert.Equal(t, fence(2), c.Head.Fence)
			assert.False(t, w.Made("a"))
		}},
		{"leaves HEAD alone where one of them is refused, and says which", func(t *testing.T, f fixture) {
			w := e.Writes(t, f.Store)
			f.raise(t, 1)
			err := f.commit(t, bare(1, 1, "c1"), w.Refused)
			var refused *store.WriteError
			require.ErrorAs(t, err, &refused)
			require.ErrorIs(t, err, store.ErrNotApplied)
			assert.Equal(t, 0, refused.Index)
			assert.Zero(t, f.head(t).Number)
		}},
		{"sent again after it was applied changes nothing", func(t *testing.T, f fixture) {
			w := e.Writes(t, f.Store)
			f.raise(t, 1)
			writes := []store.Write{w.Make("a")}
			require.NoError(t, f.commit(t, bare(1, 1, "c1"), writes...))
			if err := f.commit(t, bare(1, 1, "c1"), writes...); err != nil { // an engine may know it again
				require.ErrorIs(t, err, store.ErrNotApplied)
			}
			equalVersion(t, bare(1, 1, "c1"), f.head(t).Version)
			assert.True(t, w.Made("a"))
		}},
		{"refuses more of them than the limit", func(t *testing.T, f fixture) {
			w := e.Writes(t, f.Store)
			f.raise(t, 1)
			many := make([]store.Write, store.MaxWrites+1)
			for i := range many {
				many[i] = w.Make("many")
			}
			require.ErrorIs(t, f.commit(t, bare(1, 1, "c1"), many...), store.ErrWrite)
			assert.Zero(t, f.head(t).Number)
			assert.False(t, w.Made("many"))
		}},
	}...)
}

var unlistRules = []rule{
	{"takes a deleted checkpoint out of the index and leaves the rest of HEAD", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		want := fullVersion(1, 1, "c1")
		require.NoError(t, f.commit(t, want))
		f.names(t, "", "", f.key.Name)
		for range 2 { // it may come again
			require.NoError(t, f.Unlist(t.Context(), f.key, "c1"))
		}
		h := f.head(t)
		assert.False(t, h.Listed)
		equalVersion(t, want, h.Version)
		assert.Equal(t, fence(1), h.Fence)
		f.names(t, "", "")
	}},
	{"is refused once another commit has come", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		require.NoError(t, f.commit(t, fullVersion(1, 1, "c1")))
		require.NoError(t, f.commit(t, bare(2, 1, "c2")))
		assert.Equal(t, "c2", conflict(t, f.Unlist(t.Context(), f.key, "c1")).Head.CommitID)
		assert.True(t, f.head(t).Listed)
	}},
	{"is refused where nothing was deleted", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		require.NoError(t, f.commit(t, bare(1, 1, "c1")))
		require.NotNil(t, conflict(t, f.Unlist(t.Context(), f.key, "c1")).Head)
		assert.True(t, f.head(t).Listed)
	}},
	{"does not bring a HEAD into being", func(t *testing.T, f fixture) {
		assert.Nil(t, conflict(t, f.Unlist(t.Context(), f.key, "c1")).Head)
		assert.Nil(t, f.look(t).Head)
	}},
	{"ends with the next commit", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		require.NoError(t, f.commit(t, fullVersion(1, 1, "c1")))
		require.NoError(t, f.Unlist(t.Context(), f.key, "c1"))
		assert.False(t, f.raise(t, 2).Listed, "a raise must not list it again")
		require.NoError(t, f.commit(t, bare(2, 2, "c2")))
		assert.True(t, f.head(t).Listed)
		f.names(t, "", "", f.key.Name)
	}},
}
