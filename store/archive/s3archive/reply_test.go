package s3archive_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/s3archive"
	"github.com/milepost-dev/milepost/test/faulthttp"
	"github.com/milepost-dev/milepost/test/s3test"
)

// What answers in S3's place.
var foreign = map[string]faulthttp.Fault{
	"200 without a body":      faulthttp.Page(200, ""),
	"200 with a page":         faulthttp.Page(200, "<html><body>Welcome to this hotel</body></html>"),
	"200 with a page, no XML": faulthttp.Page(200, "<html><br>Welcome"),
	"200 of another service":  faulthttp.Page(200, `{"status":"ok"}`),
	"302":                     faulthttp.Page(302, ""),
	"400 without a body":      faulthttp.Page(400, ""),
	"400 with a page":         faulthttp.Page(400, "<html><body>Bad request</body></html>"),
	"403 with a page":         faulthttp.Page(403, "<html><body>Forbidden</body></html>"),
	"404 with a page":         faulthttp.Page(404, "<html><body>Not found</body></html>"),
	"412 with a page":         faulthttp.Page(412, "<html><body>Precondition failed</body></html>"),
	"502 with a page":         faulthttp.Page(502, "<html><body>Bad gateway</body></html>"),
}

// impatient is an archive whose SDK sends each request once.
func impatient(t *testing.T, faults *faulthttp.Transport, p place) *s3archive.Archive {
	t.Helper()
	client := s3.New(s3test.ClientOver(t, faults).Options(), func(o *s3.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = 1 })
	})
	a, err := s3archive.New(client, p.bucket, p.prefix, &s3archive.Options{PartSize: s3archive.MinPartSize})
	require.NoError(t, err)
	return a
}

func TestOnlyS3sOwnReplyIsAnAnswer(t *testing.T) {
	plain, p := over(t, nil)
	_, err := plain.Create(t.Context(), "there", strings.NewReader("x"))
	require.NoError(t, err)
	ambiguous := func(t *testing.T, err error) {
		t.Helper()
		assert.ErrorIs(t, err, archive.ErrWriteUnknown)
		assert.NotErrorIs(t, err, archive.ErrExists)
	}
	unanswered := func(t *testing.T, err error) {
		t.Helper()
		assert.ErrorIs(t, err, store.ErrUnavailable)
		assert.NotErrorIs(t, err, store.ErrNotFound)
		assert.NotErrorIs(t, err, store.ErrCredentials)
	}
	calls := map[string]func(*testing.T, archive.Archive){
		"create": func(t *testing.T, a archive.Archive) {
			_, err := a.Create(t.Context(), "new", strings.NewReader("x"))
			ambiguous(t, err)
			unanswered(t, err)
		},
		"replace": func(t *testing.T, a archive.Archive) {
			_, err := a.Replace(t.Context(), "new", "", []byte("x"))
			ambiguous(t, err)
			unanswered(t, err)
			assert.NotErrorIs(t, err, archive.ErrPrecondition)
		},
		"create in parts": func(t *testing.T, a archive.Archive) {
			_, err := a.Create(t.Context(), "new", bytes.NewReader(large(1)))
			unanswered(t, err)
		},
		"open": func(t *testing.T, a archive.Archive) {
			_, _, err := a.Open(t.Context(), "there")
			unanswered(t, err)
		},
		"delete": func(t *testing.T, a archive.Archive) { unanswered(t, a.Delete(t.Context(), "there")) },
		"list": func(t *testing.T, a archive.Archive) {
			n := 0
			for _, err := range a.List(t.Context(), "", nil) {
				n++
				unanswered(t, err)
			}
			assert.Equal(t, 1, n, "an error, and not an empty listing")
		},
	}
	t.Run("answers", func(t *testing.T) {
		for what, fault := range foreign {
			for name, call := range calls {
				t.Run(name+", "+what, func(t *testing.T) {
					t.Parallel()
					faults := faulthttp.New(nil)
					rule := faults.On(faulthttp.Any, faulthttp.Each, fault)
					call(t, impatient(t, faults, p))
					assert.Positive(t, rule.Hits())
				})
			}
		}
	})
	for object, err := range plain.List(t.Context(), "", nil) {
		require.NoError(t, err)
		assert.Equal(t, "there", object.Key, "nothing was written, and nothing deleted")
	}
	p.assertNoUploads(t)
}

func TestAPartOrACompletionThatAnotherHasAnsweredIsNoObject(t *testing.T) {
	for what, fault := range map[string]faulthttp.Fault{
		"without a body": faulthttp.Page(200, ""), "with a page": faulthttp.Page(200, "<html><body>Welcome</body></html>"),
	} {
		for name, match := range map[string]func(faulthttp.Request) bool{"a part": uploadsPart, "the completion": completes} {
			t.Run(name+" "+what, func(t *testing.T) {
				faults := faulthttp.New(nil)
				a, p := over(t, faults)
				faults.When(first(1, match), fault)
				made, err := a.Create(t.Context(), "key", bytes.NewReader(large(1)))
				require.NoError(t, err, "another attempt is made")
				_, there, err := archive.ReadAll(t.Context(), a, "key", 100<<20)
				require.NoError(t, err)
				assert.Equal(t, made.ETag, there.ETag)
				p.assertNoUploads(t)
			})
		}
	}
}

// The completion is lost, and what a proxy says of a HEAD is no proof that it was not applied.
func TestAProxysWordThatNothingIsThereSettlesNoWrite(t *testing.T) {
	faults := faulthttp.New(nil)
	a, p := over(t, faults)
	faults.When(completes, faulthttp.LoseReply())
	faults.On("HEAD", faulthttp.Each, faulthttp.Page(404, ""))
	_, err := a.Create(t.Context(), "key", bytes.NewReader(large(1)))
	require.ErrorIs(t, err, archive.ErrWriteUnknown)
	assert.True(t, bytes.Equal(large(1), content(t, a, "key")), "it was applied")
	p.assertNoUploads(t)
}

func TestADeniedActionIsNamed(t *testing.T) {
	faults := faulthttp.New(nil)
	a, _ := over(t, faults)
	faults.On(faulthttp.Any, faulthttp.Each, answer(403, "AccessDenied"))
	_, err := a.Create(t.Context(), "key", strings.NewReader("x"))
	assert.ErrorContains(t, err, "the policy must allow s3:PutObject on the prefix")
	_, err = a.Create(t.Context(), "key", bytes.NewReader(large(1)))
	assert.ErrorContains(t, err, "s3:PutObject")
	_, _, err = a.Open(t.Context(), "key")
	assert.ErrorContains(t, err, "s3:GetObject")
	assert.ErrorContains(t, a.Delete(t.Context(), "key"), "s3:DeleteObject")
	for _, err := range a.List(t.Context(), "", nil) {
		assert.ErrorContains(t, err, "s3:ListBucket on the bucket")
	}
}

// A server that says that a body exists, once or always, though it does not.
func TestABodyThatIsRefusedAsIfItWereThereIsWrittenAgainOrUnavailable(t *testing.T) {
	key := store.Key{Namespace: store.DefaultNamespace, Name: "orders/eu"}
	version := func() *store.Version {
		return &store.Version{Number: 1, CommitID: "c", Content: store.Content{State: &store.State{Data: bytes.Repeat([]byte("s"), 100)}}}
	}
	faults := faulthttp.New(nil)
	a, _ := over(t, faults)
	w := archive.Writer{Archive: a, Key: key, Inline: 10, Timeout: 10e9, Patience: 1}
	faults.When(puts, answer(http.StatusPreconditionFailed, "PreconditionFailed"))
	_, err := w.PlaceState(t.Context(), version())
	require.ErrorIs(t, err, store.ErrUnavailable)
	assert.NotErrorIs(t, err, store.ErrNotFound, "a body is no checkpoint")
	_, err = archive.PutVersion(t.Context(), a, archive.NewMirrored(key, &store.Version{
		Number: 1, CommitID: "c", CommitEpoch: 1, Born: 1, By: store.Holder{ID: "h"},
	}))
	require.ErrorIs(t, err, store.ErrUnavailable)
	assert.NotErrorIs(t, err, store.ErrNotFound)

	faults = faulthttp.New(nil)
	a, _ = over(t, faults)
	w = archive.Writer{Archive: a, Key: key, Inline: 10, Timeout: 10e9}
	faults.When(first(1, puts), answer(http.StatusPreconditionFailed, "PreconditionFailed"))
	_, err = w.PlaceState(t.Context(), version())
	require.NoError(t, err)
}

func TestAnArchiveThatNeverAnswersEndsAWriterWithPatience(t *testing.T) {
	faults := faulthttp.New(nil)
	a, _ := over(t, faults)
	faults.On(faulthttp.Any, faulthttp.Each, answer(503, "ServiceUnavailable"))
	w := archive.Writer{Archive: a, Key: store.Key{Namespace: "default", Name: "a"}, Inline: 10, Timeout: 10e9, Patience: 1}
	_, err := w.PlaceState(t.Context(), &store.Version{
		Number: 1, CommitID: "c", Content: store.Content{State: &store.State{Data: bytes.Repeat([]byte("s"), 100)}},
	})
	require.ErrorIs(t, err, store.ErrUnavailable)
	assert.ErrorContains(t, err, "503")
}
