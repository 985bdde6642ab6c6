package storetest

import (
	"bytes"
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
	return store.Copy{Version: fullVersion(version, epoch, commitID), ExpiresAt: farAway, Label: "label " + hostile, Kept: true}
}

func bareCopy(version, epoch int64, commitID string) store.Copy {
	return store.Copy{Version: bare(version, epoch, commitID)}
}

func (f fixture) copy(t *testing.T, c store.Copy) {
	t.Helper()
	require.NoError(t, f.Copy(t.Context(), f.key, c))
}

var copyRules = []rule{
	{"creates the copy with expiry and label, and kept or not", func(t *testing.T, f fixture) {
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
		equalCopy(t, store.Copy{Version: want, Kept: true}, f.copied(t, 3))
	}},
	{"removes the expiry of that commit's copy, and a label stays", func(t *testing.T, f fixture) {
		want := fullCopy(3, 1, "c3")
		f.copy(t, want)
		for range 2 {
			require.NoError(t, f.KeepBase(t.Context(), f.key, want.Version))
			want.ExpiresAt, want.Kept = time.Time{}, true
			equalCopy(t, want, f.copied(t, 3))
		}
	}},
	{"sets the whole content of that commit's copy again", func(t *testing.T, f fixture) {
		f.copy(t, bareCopy(3, 1, "c3"))
		want := fullVersion(3, 1, "c3")
		require.NoError(t, f.KeepBase(t.Context(), f.key, want))
		equalCopy(t, store.Copy{Version: want, Kept: true}, f.copied(t, 3))
	}},
	{"replaces a dead line's copy, and leaves nothing of its content", func(t *testing.T, f fixture) {
		dead := fullCopy(3, 1, "dead")
		f.copy(t, dead)
		want := bare(3, 2, "c3")
		want.By = store.Holder{}
		require.NoError(t, f.KeepBase(t.Context(), f.key, want))
		equalCopy(t, store.Copy{Version: want, Label: dead.Label, Kept: true}, f.copied(t, 3))
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

// variants are copies that differ from c in one thing that an amendment is conditional on.
func variants(c store.Copy) map[string]store.Copy {
	all := map[string]store.Copy{}
	vary := func(what string, change func(*store.Copy)) {
		v := c.Clone()
		change(&v)
		all[what] = v
	}
	vary("the commit", func(v *store.Copy) { v.CommitID = "another" })
	vary("kept", func(v *store.Copy) { v.Kept = !c.Kept })
	vary("another label", func(v *store.Copy) { v.Label = c.Label + " again" })
	vary("another expiry", func(v *store.Copy) { v.ExpiresAt = farAway.Add(time.Second) })
	if c.Label != "" {
		vary("no label", func(v *store.Copy) { v.Label = "" })
	}
	if !c.ExpiresAt.IsZero() {
		vary("no expiry", func(v *store.Copy) { v.ExpiresAt = time.Time{} })
	}
	return all
}

var amendRules = []rule{
	{"changes label, expiry and kept, and leaves the content", func(t *testing.T, f fixture) {
		want := fullCopy(1, 1, "c1")
		f.copy(t, want)
		label, none, later, never, yes, no := "savepoint "+hostile, "", farAway.Add(time.Second), time.Time{}, true, false
		for _, a := range []store.Amendment{
			{},
			{Label: &label},
			{ExpiresAt: &later},
			{Kept: &no},
			{Label: &none},
			{ExpiresAt: &never},
			{Label: &label, ExpiresAt: &later, Kept: &yes},
			{Label: &none, ExpiresAt: &never, Kept: &no},
		} {
			require.NoError(t, f.Amend(t.Context(), f.key, want, a))
			a.Apply(&want)
			equalCopy(t, want, f.copied(t, 1))
		}
	}},
	{"does not bring a removed copy back as an empty one", func(t *testing.T, f fixture) {
		removed := bareCopy(1, 1, "c1")
		f.copy(t, removed)
		require.NoError(t, f.Remove(t.Context(), f.key, removed))
		label, never := "savepoint", time.Time{}
		for _, a := range []store.Amendment{{Label: &label}, {ExpiresAt: &never}, {Label: &label, ExpiresAt: &farAway}, {}} {
			assert.Nil(t, conflict(t, f.Amend(t.Context(), f.key, removed, a)).Copy)
			f.notCopied(t, 1)
		}
	}},
	{"is refused by a copy that is not exactly as observed", func(t *testing.T, f fixture) {
		label := "savepoint"
		for _, want := range []store.Copy{fullCopy(1, 1, "c1"), bareCopy(2, 1, "c2")} {
			f.copy(t, want)
			for what, observed := range variants(want) {
				c := conflict(t, f.Amend(t.Context(), f.key, observed, store.Amendment{Label: &label}))
				require.NotNil(t, c.Copy, what)
				equalCopy(t, want, *c.Copy)
				equalCopy(t, want, f.copied(t, want.Number))
			}
		}
	}},
	{"that comes late does not make expire what a session started from meanwhile", func(t *testing.T, f fixture) {
		seen := bareCopy(1, 1, "c1")
		seen.Label = "savepoint"
		f.copy(t, seen)
		require.NoError(t, f.KeepBase(t.Context(), f.key, seen.Version))
		none := ""
		c := conflict(t, f.Amend(t.Context(), f.key, seen, store.Amendment{Label: &none, ExpiresAt: &farAway}))
		require.NotNil(t, c.Copy)
		seen.Kept = true
		equalCopy(t, seen, *c.Copy)
		equalCopy(t, seen, f.copied(t, 1))
	}},
}

var removeRules = []rule{
	{"removes that copy and no other", func(t *testing.T, f fixture) {
		f.copy(t, fullCopy(1, 1, "c"))
		f.copy(t, fullCopy(2, 1, "c"))
		require.NoError(t, f.Remove(t.Context(), f.key, fullCopy(1, 1, "c")))
		f.notCopied(t, 1)
		equalCopy(t, fullCopy(2, 1, "c"), f.copied(t, 2))
	}},
	{"finds an absent copy no error", func(t *testing.T, f fixture) {
		require.NoError(t, f.Remove(t.Context(), f.key, fullCopy(1, 1, "c1")))
		f.notCopied(t, 1)
	}},
	{"is refused by a copy that is not exactly as observed", func(t *testing.T, f fixture) {
		for _, want := range []store.Copy{fullCopy(1, 1, "c1"), bareCopy(2, 1, "c2")} {
			f.copy(t, want)
			for what, observed := range variants(want) {
				c := conflict(t, f.Remove(t.Context(), f.key, observed))
				require.NotNil(t, c.Copy, what)
				equalCopy(t, want, *c.Copy)
				equalCopy(t, want, f.copied(t, want.Number))
			}
			require.NoError(t, f.Remove(t.Context(), f.key, want))
			f.notCopied(t, want.Number)
		}
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
		for _, n := range []int64{1, 9, 10, 1 << 40, store.MaxNumber} {
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
		f.versions(t, store.MaxNumber, 0, 1<<40, 1000, 100, 99, 10, 9, 2, 1)
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
