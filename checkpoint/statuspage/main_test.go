package statuspage_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/checkpoint/statuspage"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pageOf returns the page over a store.
func pageOf(t testing.TB, st store.Store, opts *statuspage.Options) http.Handler {
	t.Helper()
	return pageIn(t, checkpoint.Namespace{Store: st}, opts)
}

func pageIn(t testing.TB, ns checkpoint.Namespace, opts *statuspage.Options) http.Handler {
	t.Helper()
	page, err := statuspage.Handler(ns, opts)
	require.NoError(t, err)
	return page
}

// reply is the page's answer.
type reply struct {
	*http.Response
	body string
}

// ask sends a request to the page, with headers as name and value.
func ask(t testing.TB, page http.Handler, method, target string, headers ...string) reply {
	t.Helper()
	return send(t, page, httptest.NewRequestWithContext(t.Context(), method, target, nil), headers...)
}

func send(t testing.TB, page http.Handler, r *http.Request, headers ...string) reply {
	t.Helper()
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	page.ServeHTTP(w, r)
	return reply{w.Result(), w.Body.String()}
}

// get requests a page, which must answer with 200.
func get(t testing.TB, page http.Handler, target string) string {
	t.Helper()
	r := ask(t, page, http.MethodGet, target)
	require.Equal(t, http.StatusOK, r.StatusCode, "%s: %s", target, r.body)
	return r.body
}

// state is the state that the tests' jobs save.
type state struct {
	Sum  int64  `json:"sum"`
	Note string `json:"note"`
}

// savedOf saves versions of a checkpoint in one run, which ends with err.
func savedOf(t testing.TB, st store.Store, name string, versions int, err error) {
	t.Helper()
	s, failed := checkpoint.Open[state](t.Context(), checkpoint.Namespace{Store: st}, name, &checkpoint.Options{Lease: lease.Options{Holder: store.Holder{ID: "nightly@etl-7", Host: "etl-7", PID: 4121, RunID: "run-1"}}})
	require.NoError(t, failed)
	for i := range versions - 1 {
		s.MarkBatch(fmt.Sprint((i+1)*100), 100, 0, func(st *state) { st.Sum += 100; st.Note = "at " + fmt.Sprint(i+1) })
		require.NoError(t, s.Flush(t.Context()))
	}
	require.NoError(t, ignored(s.Close(t.Context(), err), err))
}

// ignored returns the error of a close, except for the error that the job ended with.
func ignored(err, job error) error {
	if job != nil && err != nil && strings.Contains(err.Error(), job.Error()) {
		return nil
	}
	return err
}

// filled returns a store with n checkpoints of one version each.
func filled(t testing.TB, n int) *memstore.Store {
	t.Helper()
	st := memstore.New(nil)
	for i := range n {
		commit(t, st, fmt.Sprintf("jobs/%06d", i), store.Version{Content: store.Content{Cursor: fmt.Sprint(i), Processed: int64(i)}})
	}
	return st
}

// commit makes version 1 of a checkpoint without a session: for many checkpoints, or for content
// that no session would save.
func commit(t testing.TB, st store.Store, name string, v store.Version) {
	t.Helper()
	key := store.Key{Namespace: store.DefaultNamespace, Name: name}
	fence := store.Fence{Epoch: 1, LeaseID: "l"}
	ctx := context.WithoutCancel(t.Context())
	_, _, err := st.Raise(ctx, key, fence, store.Holder{ID: "loader"}, true)
	require.NoError(t, err)
	v.Number, v.CommitID, v.CommitEpoch, v.Born, v.SavedAt = 1, "c", 1, 1, time.Now()
	_, err = st.Commit(ctx, key, store.Commit{Fence: fence, Next: v})
	require.NoError(t, err)
}

func rawState(content string) *store.State {
	sum := sha256.Sum256([]byte(content))
	contentType := ""
	if !json.Valid([]byte(content)) {
		contentType = "application/octet-stream"
	}
	return &store.State{Data: []byte(content), Size: int64(len(content)), SHA256: sum[:], ContentType: contentType}
}

// escapedPath returns a name escaped for a URL's path, with its slashes as they are.
func escapedPath(name string) string {
	return strings.ReplaceAll(url.PathEscape(name), "%2F", "/")
}
