package storetest

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

// farAway is the expiry of copies here. Engines remove copies by the wall clock, so it is years
// ahead, and no engine removes one while the suite runs.
var farAway = time.Date(2090, 1, 2, 3, 4, 5, 0, time.UTC)

func fullCopy(version, epoch int64, commitID string) store.Copy {
	return store.Copy{Version: fullVersion(version, epoch, commitID), ExpiresAt: farAway, Label: "label " + hostile}
}

func bareCopy(version, epoch int64, commitID string) store.Copy {
	return store.Copy{Version: bare(version, epoch, commitID)}
}

func (f fixture) copy(t *testing.T, c store.Copy) {
	t.Helper()
	require.NoError(t, f.Copy(t.Context(), f.key, c))
}

var copyRules = []rule{
	{"creates the copy with expiry and label", func(t *testing.T, f fixture) {
		for _, want := range []store.Copy{fullCopy(1, 1, "c1"), bareCopy(2, 1<<53+1, hostile)} {
			f.copy(t, want)
			equalCopy(t, want, f.copied(t, want.Number))
		}
	}},
	{"changes nothing where that commit's copy exists", func(t *testing.T, f fixture) {
		want := fullCopy(1, 1, "c1")
		f.copy(t, want)
		f.copy(t, bareCopy(1, 1, "c1"))
		equalCopy(t, want, f.copied(t, 1))
	}},
	{"replaces the whole copy of a dead line, one of a lower commit epoch", func(t *testing.T, f fixture) {
		f.copy(t, fullCopy(1, 1, "dead"))
		f.copy(t, bareCopy(1, 2, "c1"))
		equalCopy(t, bareCopy(1, 2, "c1"), f.copied(t, 1))
	}},
	{"sent late never replaces the copy of a later line", func(t *testing.T, f fixture) {
		want := fullCopy(1, 5, "c1")
		f.copy(t, want)
		for _, epoch := range []int64{1, 4, 5} {
			c := conflict(t, f.Copy(t.Context(), f.key, bareCopy(1, epoch, "late")))
			require.NotNil(t, c.Copy)
			equalCopy(t, want, *c.Copy)
		}
		equalCopy(t, want, f.copied(t, 1))
	}},
	{"goes by the commit epoch of the version copied, whatever the fence on HEAD", func(t *testing.T, f fixture) {
		f.raise(t, 9)
		f.copy(t, bareCopy(1, 5, "c1"))
		_ = conflict(t, f.Copy(t.Context(), f.key, bareCopy(1, 4, "late")))
		equalCopy(t, bareCopy(1, 5, "c1"), f.copied(t, 1))
	}},
	{"leaves HEAD alone", func(t *testing.T, f fixture) {
		f.copy(t, bareCopy(1, 1, "c1"))
		assert.Nil(t, f.look(t).Head)
		f.names(t, "", "")
	}},
}

var keepBaseRules = []rule{
	{"creates a copy that was never written, without expiry", func(t *testing.T, f fixture) {
		want := fullVersion(3, 1, "c3")
		require.NoError(t, f.KeepBase(t.Context(), f.key, want))
		equalCopy(t, store.Copy{Version: want}, f.copied(t, 3))
	}},
	{"removes the expiry of that commit's copy, and a label stays", func(t *testing.T, f fixture) {
		want := fullCopy(3, 1, "c3")
		f.copy(t, want)
		for range 2 {
			require.NoError(t, f.KeepBase(t.Context(), f.key, want.Version))
			want.ExpiresAt = time.Time{}
			equalCopy(t, want, f.copied(t, 3))
		}
	}},
	{"sets the whole content of that commit's copy again", func(t *testing.T, f fixture) {
		f.copy(t, bareCopy(3, 1, "c3"))
		want := fullVersion(3, 1, "c3")
		require.NoError(t, f.KeepBase(t.Context(), f.key, want))
		equalCopy(t, store.Copy{Version: want}, f.copied(t, 3))
	}},
	{"replaces a dead line's copy, and leaves nothing of its content", func(t *testing.T, f fixture) {
		dead := fullCopy(3, 1, "dead")
		f.copy(t, dead)
		want := bare(3, 2, "c3")
		want.By = store.Holder{}
		require.NoError(t, f.KeepBase(t.Context(), f.key, want))
		equalCopy(t, store.Copy{Version: want, Label: dead.Label}, f.copied(t, 3))
	}},
	{"sent late never replaces the copy of a later line", func(t *testing.T, f fixture) {
		want := fullCopy(3, 5, "c3")
		f.copy(t, want)
		for _, epoch := range []int64{1, 4, 5} {
			c := conflict(t, f.KeepBase(t.Context(), f.key, bare(3, epoch, "late")))
			require.NotNil(t, c.Copy)
			equalCopy(t, want, *c.Copy)
		}
		equalCopy(t, want, f.copied(t, 3))
	}},
	{"goes by the commit epoch of the version copied, whatever the fence on HEAD", func(t *testing.T, f fixture) {
		f.raise(t, 9)
		f.copy(t, bareCopy(3, 5, "c3"))
		_ = conflict(t, f.KeepBase(t.Context(), f.key, bare(3, 4, "late")))
		equalCopy(t, bareCopy(3, 5, "c3"), f.copied(t, 3))
	}},
}

var amendRules = []rule{
	{"changes label and expiry and leaves the content", func(t *testing.T, f fixture) {
		want := fullCopy(1, 1, "c1")
		f.copy(t, want)
		label, none, later, never := "savepoint "+hostile, "", farAway.Add(time.Second), time.Time{}
		for _, a := range []store.Amendment{
			{},
			{Label: &label},
			{ExpiresAt: &later},
			{Label: &none},
			{ExpiresAt: &never},
			{Label: &label, ExpiresAt: &later},
			{Label: &none, ExpiresAt: &never},
		} {
			require.NoError(t, f.Amend(t.Context(), f.key, 1, "c1", a))
			if a.Label != nil {
				want.Label = *a.Label
			}
			if a.ExpiresAt != nil {
				want.ExpiresAt = *a.ExpiresAt
			}
			equalCopy(t, want, f.copied(t, 1))
		}
	}},
	{"does not bring a removed copy back as an empty one", func(t *testing.T, f fixture) {
		f.copy(t, bareCopy(1, 1, "c1"))
		require.NoError(t, f.Remove(t.Context(), f.key, 1, "c1"))
		label, never := "savepoint", time.Time{}
		for _, a := range []store.Amendment{{Label: &label}, {ExpiresAt: &never}, {Label: &label, ExpiresAt: &farAway}, {}} {
			assert.Nil(t, conflict(t, f.Amend(t.Context(), f.key, 1, "c1", a)).Copy)
			f.notCopied(t, 1)
		}
	}},
	{"is refused by another commit's copy", func(t *testing.T, f fixture) {
		want := fullCopy(1, 1, "c1")
		f.copy(t, want)
		label := "savepoint"
		c := conflict(t, f.Amend(t.Context(), f.key, 1, "another", store.Amendment{Label: &label}))
		require.NotNil(t, c.Copy)
		equalCopy(t, want, *c.Copy)
		equalCopy(t, want, f.copied(t, 1))
	}},
	{"leaves a savepoint alone where it is to", func(t *testing.T, f fixture) {
		want := bareCopy(1, 1, "c1")
		f.copy(t, want)
		expire := store.Amendment{ExpiresAt: &farAway, IfUnlabelled: true}
		require.NoError(t, f.Amend(t.Context(), f.key, 1, "c1", expire))
		label, never := "savepoint", time.Time{}
		require.NoError(t, f.Amend(t.Context(), f.key, 1, "c1", store.Amendment{Label: &label, ExpiresAt: &never}))
		want.Label = label
		c := conflict(t, f.Amend(t.Context(), f.key, 1, "c1", expire))
		require.NotNil(t, c.Copy)
		equalCopy(t, want, *c.Copy)
		equalCopy(t, want, f.copied(t, 1))
	}},
}

var removeRules = []rule{
	{"removes that commit's copy and no other", func(t *testing.T, f fixture) {
		f.copy(t, fullCopy(1, 1, "c"))
		f.copy(t, fullCopy(2, 1, "c"))
		require.NoError(t, f.Remove(t.Context(), f.key, 1, "c"))
		f.notCopied(t, 1)
		equalCopy(t, fullCopy(2, 1, "c"), f.copied(t, 2))
	}},
	{"finds an absent copy no error", func(t *testing.T, f fixture) {
		require.NoError(t, f.Remove(t.Context(), f.key, 1, "c1"))
		f.notCopied(t, 1)
	}},
	{"is refused by another commit's copy", func(t *testing.T, f fixture) {
		f.copy(t, fullCopy(1, 1, "c1"))
		c := conflict(t, f.Remove(t.Context(), f.key, 1, "another"))
		require.NotNil(t, c.Copy)
		equalCopy(t, fullCopy(1, 1, "c1"), *c.Copy)
		equalCopy(t, fullCopy(1, 1, "c1"), f.copied(t, 1))
	}},
}

var versionRules = []rule{
	{"finds no version that was never copied", func(t *testing.T, f fixture) {
		f.raise(t, 1)
		require.NoError(t, f.commit(t, bare(1, 1, "c1")))
		f.notCopied(t, 1)
		f.notCopied(t, 2)
	}},
	{"reads an expired copy that was not removed yet", func(t *testing.T, f fixture) {
		want := fullCopy(1, 1, "c1")
		want.ExpiresAt = time.Now().Truncate(time.Second)
		f.copy(t, want)
		equalCopy(t, want, f.copied(t, 1))
	}},
	{"reads copies whatever their version", func(t *testing.T, f fixture) {
		for _, n := range []int64{1, 9, 10, 1 << 40, math.MaxInt64} {
			f.copy(t, fullCopy(n, 1, "c"))
			equalCopy(t, fullCopy(n, 1, "c"), f.copied(t, n))
		}
	}},
}

// versions reads a range, and requires that it has the wanted versions in order.
func (f fixture) versions(t *testing.T, from, to int64, want ...int64) {
	t.Helper()
	var got []int64
	for c, err := range f.Versions(t.Context(), f.key, from, to) {
		require.NoError(t, err)
		got = append(got, c.Number)
	}
	assert.Equal(t, want, got, "versions from %d to %d", from, to)
}

var versionsRules = []rule{
	{"reads a range newest first, both ends included, by number", func(t *testing.T, f fixture) {
		for _, n := range []int64{1, 2, 9, 10, 99, 100, 1000, 1 << 40} {
			f.copy(t, bareCopy(n, 1, "c"))
		}
		f.versions(t, 1000, 2, 1000, 100, 99, 10, 9, 2)
		f.versions(t, math.MaxInt64, 0, 1<<40, 1000, 100, 99, 10, 9, 2, 1)
		f.versions(t, 98, 11)
		f.versions(t, 10, 10, 10)
		f.versions(t, 1, 2)
	}},
	{"reads each copy whole, expired or not", func(t *testing.T, f fixture) {
		want := []store.Copy{fullCopy(2, 1, "c2"), bareCopy(1, 1, "c1")}
		want[1].ExpiresAt = time.Now().Truncate(time.Second)
		for _, c := range want {
			f.copy(t, c)
		}
		i := 0
		for c, err := range f.Versions(t.Context(), f.key, 2, 1) {
			require.NoError(t, err)
			equalCopy(t, want[i], c)
			i++
		}
		assert.Equal(t, len(want), i)
	}},
	{"reads past the end of a page", func(t *testing.T, f fixture) {
		const n = 60 // of 40 KiB each, over 2 MiB
		var want []int64
		for v := int64(n); v >= 1; v-- {
			c := bareCopy(v, 1, "c")
			c.State = state(bytes.Repeat([]byte{byte(v)}, 40<<10))
			f.copy(t, c)
			want = append(want, v)
		}
		f.versions(t, n, 1, want...)
	}},
	{"stops where the reader does", func(t *testing.T, f fixture) {
		for v := range int64(3) {
			f.copy(t, bareCopy(v+1, 1, "c"))
		}
		read := 0
		for _, err := range f.Versions(t.Context(), f.key, 3, 1) {
			require.NoError(t, err)
			read++
			break
		}
		assert.Equal(t, 1, read)
	}},
	{"reads no other checkpoint's", func(t *testing.T, f fixture) {
		f.copy(t, bareCopy(1, 1, "c"))
		other := f
		other.key.Name += "/a"
		other.copy(t, bareCopy(2, 1, "c"))
		f.versions(t, 9, 0, 1)
	}},
}
