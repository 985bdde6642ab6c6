package statuspage_test

import (
	"bytes"
	"context"
	"iter"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/checkpoint/statuspage"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive/dirarchive"
	"github.com/milepost-dev/milepost/store/memstore"
)

// counting counts reads of histories.
type counting struct {
	store.Store
	versions atomic.Int64
}

func (c *counting) Versions(ctx context.Context, key store.Key, from, to int64) iter.Seq2[store.Copy, error] {
	return func(yield func(store.Copy, error) bool) {
		for v, err := range c.Store.Versions(ctx, key, from, to) {
			c.versions.Add(1)
			if !yield(v, err) {
				return
			}
		}
	}
}

func TestNoRequestReadsAWholeHistory(t *testing.T) {
	st := &counting{Store: memstore.New(nil)}
	savedOf(t, st, "orders/eu", 1500, nil)
	page := pageOf(t, st, nil)
	for path, most := range map[string]int64{
		"/checkpoints/orders/eu": 200, "/versions/orders/eu": 100, "/api/v1/versions/orders/eu?limit=500": 500, "/api/v1/runs/orders/eu": 500, "/api/v1/versions/orders/eu?limit=3": 3,
	} {
		st.versions.Store(0)
		get(t, page, path)
		assert.Less(t, st.versions.Load(), most, path)
		assert.Greater(t, st.versions.Load(), most/2, path)
	}
	for _, path := range []string{"/", "/version/orders/eu?version=3", "/diff/orders/eu?from=1&to=1000", "/api/v1/checkpoints/orders/eu", "/api/v1/status"} {
		st.versions.Store(0)
		get(t, page, path)
		assert.Zero(t, st.versions.Load(), "%s must only read single versions", path)
	}
}

func TestAHistoryOfLargeStatesIsReadInParts(t *testing.T) {
	st := &counting{Store: memstore.New(nil)}
	s, err := checkpoint.Open[[]byte](t.Context(), checkpoint.Namespace{Store: st}, "large", nil)
	require.NoError(t, err)
	noise := make([]byte, 300<<10)
	random := rand.NewChaCha8([32]byte{})
	for range 130 {
		_, _ = random.Read(noise)
		require.NoError(t, s.Save(t.Context(), "1", noise))
	}
	require.NoError(t, s.Close(t.Context(), nil))
	page := pageOf(t, st, nil)
	body := get(t, page, "/versions/large?limit=500")
	assert.Contains(t, body, `href="/versions/large?before=`, "the rest is on the next page")
	assert.LessOrEqual(t, st.versions.Load(), int64(32<<20/(300<<10)+1))
}

func TestMoreThanTwentyThousandCheckpointsAreListedByName(t *testing.T) {
	page := pageOf(t, filled(t, 20_001), nil)
	body := get(t, page, "/")
	assert.Contains(t, body, "There are too many checkpoints")
	assert.Contains(t, body, "jobs/000049")
	assert.NotContains(t, body, "jobs/000050")
	assert.Contains(t, body, `href="/?after=jobs%2F000049"`)
	assert.Contains(t, get(t, page, "/?q=jobs/02"), "jobs/020000")
	r := ask(t, page, "GET", "/api/v1/status")
	assert.Equal(t, http.StatusUnprocessableEntity, r.StatusCode)
	assert.Contains(t, r.body, `"kind":"refused"`)
	get(t, page, "/api/v1/checkpoints")
}

func TestStatesInTheArchiveAreReadOnlyWhereShown(t *testing.T) {
	st := memstore.New(nil)
	bodies, err := dirarchive.Open(t.TempDir())
	require.NoError(t, err)
	defer bodies.Close()
	ns := checkpoint.Namespace{Store: st, Archive: bodies}
	s, err := checkpoint.Open[[]string](t.Context(), ns, "orders/eu", nil)
	require.NoError(t, err)
	large := func(last string) []string {
		return append(strings.Split(strings.Repeat("row,", 3000), ","), noiseText(), last)
	}
	require.NoError(t, s.Save(t.Context(), "1", large("first")))
	require.NoError(t, s.Save(t.Context(), "2", large("second")))
	require.NoError(t, s.Close(t.Context(), nil))

	page := pageIn(t, ns, &statuspage.Options{ShowState: true})
	assert.Contains(t, get(t, page, "/checkpoints/orders/eu"), "in the archive")
	assert.Contains(t, get(t, page, "/version/orders/eu?version=1"), "&#34;first&#34;")
	diff := get(t, page, "/diff/orders/eu?from=1&to=2")
	assert.Contains(t, diff, "<del>-   &#34;first&#34;</del>")
	assert.Contains(t, diff, "<ins>+   &#34;second&#34;</ins>")

	for info, err := range bodies.List(t.Context(), "body/", nil) {
		require.NoError(t, err)
		require.NoError(t, bodies.Delete(t.Context(), info.Key))
	}
	r := ask(t, page, "GET", "/api/v1/version/orders/eu?version=1")
	assert.Equal(t, http.StatusInternalServerError, r.StatusCode)
	assert.Contains(t, r.body, `"kind":"body_missing"`)
	get(t, page, "/checkpoints/orders/eu")
	get(t, pageIn(t, ns, nil), "/version/orders/eu?version=1")
	without := ask(t, pageOf(t, st, &statuspage.Options{ShowState: true}), "GET", "/version/orders/eu?version=1")
	assert.Equal(t, http.StatusConflict, without.StatusCode, "no archive is configured")
}

// noiseText returns a text that stays too large for the store even when compressed.
func noiseText() string {
	b := make([]byte, 12<<10)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(b)
	return strings.Map(func(r rune) rune { return 'a' + r%26 }, string(bytes.Runes(b)))
}

func TestVersionsThatOnlyTheArchiveHasAreShown(t *testing.T) {
	st := memstore.New(nil)
	mirror, err := dirarchive.Open(t.TempDir())
	require.NoError(t, err)
	defer mirror.Close()
	ns := checkpoint.Namespace{Store: st, Archive: mirror}
	s, err := checkpoint.Open[state](t.Context(), ns, "orders/eu", nil)
	require.NoError(t, err)
	for i := range 6 {
		require.NoError(t, s.Save(t.Context(), "c", state{Sum: int64(i + 1)}))
	}
	require.NoError(t, s.Close(t.Context(), nil))
	for version := int64(1); version <= 3; version++ {
		c, err := st.Version(t.Context(), store.Key{Namespace: "default", Name: "orders/eu"}, version)
		require.NoError(t, err)
		require.NoError(t, st.Remove(t.Context(), store.Key{Namespace: "default", Name: "orders/eu"}, c))
	}
	page := pageIn(t, ns, &statuspage.Options{ShowState: true})
	assert.Contains(t, get(t, page, "/versions/orders/eu"), "in the archive")
	assert.Contains(t, get(t, page, "/version/orders/eu?version=2"), "&#34;sum&#34;: 2")
	assert.Contains(t, get(t, page, "/diff/orders/eu?from=1&to=5"), "<ins>+   &#34;sum&#34;: 5,</ins>")
	assert.Equal(t, http.StatusNotFound, ask(t, page, "GET", "/version/orders/eu?version=99").StatusCode)
	assert.Equal(t, http.StatusNotFound, ask(t, pageOf(t, st, nil), "GET", "/version/orders/eu?version=2").StatusCode)
}
