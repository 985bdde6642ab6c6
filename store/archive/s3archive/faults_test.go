package s3archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/archivetest"
	"github.com/milepost-dev/milepost/store/archive/s3archive"
	"github.com/milepost-dev/milepost/test/faulthttp"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// noLimit lets the SDK retry as often as its attempts allow.
type noLimit struct{}

func (noLimit) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (noLimit) AddTokens(uint) error { return nil }

func credentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "milepost", SecretAccessKey: "secret"}, nil
}

// answer does not send the request and answers with an error of S3's.
func answer(status int, code string) faulthttp.Fault {
	return func(req *http.Request, _ faulthttp.Send) (*http.Response, error) {
		body := fmt.Sprintf("<Error><Code>%s</Code><Message>by fault injection</Message></Error>", code)
		return &http.Response{
			StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
			Header: http.Header{"Content-Type": {"application/xml"}},
			Body:   io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}, nil
	}
}

// The requests that decide.
func puts(r faulthttp.Request) bool      { return r.Method == http.MethodPut && conditional(r) }
func completes(r faulthttp.Request) bool { return r.Method == http.MethodPost && conditional(r) }
func conditional(r faulthttp.Request) bool {
	return r.Header.Get("If-None-Match") != "" || r.Header.Get("If-Match") != ""
}
func uploadsPart(r faulthttp.Request) bool { return r.Method == http.MethodPut && !conditional(r) }

// unless lets a request pass if its query has that text.
func unless(query string, fault faulthttp.Fault) faulthttp.Fault {
	return func(req *http.Request, send faulthttp.Send) (*http.Response, error) {
		if strings.Contains(req.URL.RawQuery, query) {
			return send(req.Context())
		}
		return fault(req, send)
	}
}

// first n of those.
func first(n int, match func(faulthttp.Request) bool) func(faulthttp.Request) bool {
	return func(r faulthttp.Request) bool {
		if !match(r) {
			return false
		}
		n--
		return n >= 0
	}
}

func large(seed byte) []byte { return bytes.Repeat([]byte{seed, 1, 2, 3, 5, 8, 13}, 2<<20) }

func content(t *testing.T, a archive.Archive, key string) []byte {
	t.Helper()
	data, _, err := archive.ReadAll(t.Context(), a, key, 100<<20)
	require.NoError(t, err)
	return data
}

// All that the suite asks for, while every fifth request fails in one of the ways
// in which they do.
func TestConformanceWhileRequestsFail(t *testing.T) {
	opts := options(t)
	opts.LostReplies = true
	archivetest.Run(t, func(t *testing.T) archive.Archive {
		faults := faulthttp.New(nil)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		chance := rand.New(rand.NewPCG(seed, 3))
		for _, fault := range []faulthttp.Fault{
			faulthttp.LoseReply(), faulthttp.LoseRequest(), answer(503, "SlowDown"), faulthttp.AfterSending(answer(500, "InternalError")),
			faulthttp.Page(200, ""), faulthttp.AfterSending(faulthttp.Page(200, "<html>Welcome</html>")), faulthttp.Page(404, "<html>Not found</html>"),
		} {
			// A lost reply to the begin of an upload leaves one that nobody can know of.
			faults.When(func(faulthttp.Request) bool { return chance.IntN(35) == 0 }, unless("uploads", fault))
		}
		a, p := over(t, faults)
		t.Cleanup(func() { p.assertNoUploads(t) })
		return a
	}, opts)
}

func TestALostReplyIsSettledByTheWriterItself(t *testing.T) {
	for _, test := range []struct {
		name  string
		match func(faulthttp.Request) bool
		write func(context.Context, archive.Archive) (archive.Object, error)
		want  []byte
	}{
		{"create at once", puts, func(ctx context.Context, a archive.Archive) (archive.Object, error) {
			return a.Create(ctx, "key", strings.NewReader("mine"))
		}, []byte("mine")},
		{"create in parts", completes, func(ctx context.Context, a archive.Archive) (archive.Object, error) {
			return a.Create(ctx, "key", bytes.NewReader(large(1)))
		}, large(1)},
		{"replace", puts, func(ctx context.Context, a archive.Archive) (archive.Object, error) {
			return a.Replace(ctx, "key", "", []byte("mine"))
		}, []byte("mine")},
	} {
		for _, lost := range []int{1, 2, 100} {
			t.Run(fmt.Sprintf("%s, %d times", test.name, lost), func(t *testing.T) {
				faults := faulthttp.New(nil)
				a, p := over(t, faults)
				faults.When(first(lost, test.match), faulthttp.LoseReply())
				made, err := test.write(t.Context(), a)
				require.NoError(t, err)
				_, there, err := archive.ReadAll(t.Context(), a, "key", 100<<20)
				require.NoError(t, err)
				assert.Equal(t, made.ETag, there.ETag)
				assert.True(t, bytes.Equal(test.want, content(t, a, "key")))
				p.assertNoUploads(t)
			})
		}
	}
}

func TestAnotherThatWasFasterIsNotTakenForOneself(t *testing.T) {
	for name, data := range map[string][]byte{"at once": []byte("mine"), "in parts": large(1)} {
		t.Run(name, func(t *testing.T) {
			faults := faulthttp.New(nil)
			a, p := over(t, faults)
			other, err := s3archive.New(p.plain, p.bucket, p.prefix, nil)
			require.NoError(t, err)
			faults.When(first(1, func(r faulthttp.Request) bool { return puts(r) || completes(r) }),
				func(req *http.Request, _ faulthttp.Send) (*http.Response, error) { // lost on its way, and meanwhile:
					_, err := other.Create(req.Context(), "key", bytes.NewReader(data))
					return nil, errors.Join(errors.New("connection reset"), err)
				})
			_, err = a.Create(t.Context(), "key", bytes.NewReader(data))
			require.ErrorIs(t, err, archive.ErrExists)
			var exists *archive.ExistsError
			require.ErrorAs(t, err, &exists)
			assert.Equal(t, int64(len(data)), exists.Object.Size)
			p.assertNoUploads(t)
		})
	}
}

// A replace whose outcome is open stays so when another has replaced what may have been its own.
func TestAReplaceThatMayHaveBeenReplacedInTurnIsNotReportedAsRefused(t *testing.T) {
	faults := faulthttp.New(nil)
	a, p := over(t, faults)
	other, err := s3archive.New(p.plain, p.bucket, p.prefix, nil)
	require.NoError(t, err)
	faults.When(first(1, puts), func(req *http.Request, send faulthttp.Send) (*http.Response, error) {
		res, err := send(req.Context())
		if err != nil {
			return nil, err
		}
		_, err = other.Replace(req.Context(), "key", res.Header.Get("Etag"), []byte("another's"))
		return nil, errors.Join(errors.New("connection reset"), err)
	})
	_, err = a.Replace(t.Context(), "key", "", []byte("mine"))
	require.Error(t, err)
	assert.NotErrorIs(t, err, archive.ErrPrecondition)
	assert.ErrorIs(t, err, archive.ErrWriteUnknown)
	assert.Equal(t, "another's", string(content(t, a, "key")))
}

func TestAConflictAndASlowDownAreTriedAgainAndThenReported(t *testing.T) {
	for _, code := range []struct {
		status int
		name   string
	}{{409, "ConditionalRequestConflict"}, {503, "SlowDown"}} {
		for name, data := range map[string][]byte{"at once": []byte("mine"), "in parts": large(1)} {
			t.Run(code.name+" "+name, func(t *testing.T) {
				faults := faulthttp.New(nil)
				a, p := over(t, faults)
				decides := func(r faulthttp.Request) bool { return puts(r) || completes(r) }
				some := faults.When(first(2, decides), answer(code.status, code.name))
				_, err := a.Create(t.Context(), "passes", bytes.NewReader(data))
				require.NoError(t, err)
				some.Remove()
				faults.When(decides, answer(code.status, code.name))
				_, err = a.Create(t.Context(), "does not", bytes.NewReader(data))
				assert.ErrorIs(t, err, store.ErrThrottled)
				assert.NotErrorIs(t, err, archive.ErrWriteUnknown)
				p.assertNoUploads(t)
			})
		}
	}
}

// A write that was under way for a long time comes when another is there already, and changes
// nothing.
func TestALateWriteDoesNotOverwrite(t *testing.T) {
	faults := faulthttp.New(nil)
	a, p := over(t, faults)
	var late faulthttp.Late
	held := faults.When(puts, late.Hold())
	_, err := a.Create(t.Context(), "key", strings.NewReader("late"))
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorIs(t, err, archive.ErrWriteUnknown, "it may come yet")
	held.Remove()
	_, _, err = a.Open(t.Context(), "key")
	require.ErrorIs(t, err, store.ErrNotFound, "the one that was held is no answer to this")

	_, err = a.Create(t.Context(), "key", strings.NewReader("in time"))
	require.NoError(t, err)
	statuses, err := late.Deliver(t.Context())
	require.NoError(t, err)
	for _, status := range statuses {
		assert.Equal(t, http.StatusPreconditionFailed, status)
	}
	assert.NotEmpty(t, statuses)
	assert.Equal(t, "in time", string(content(t, a, "key")))
	p.assertNoUploads(t)
}

func TestWhatFailsInPartsLeavesNoParts(t *testing.T) {
	t.Run("a part is refused", func(t *testing.T) {
		faults := faulthttp.New(nil)
		a, p := over(t, faults)
		faults.When(uploadsPart, unless("partNumber=1&", answer(403, "AccessDenied")))
		_, err := a.Create(t.Context(), "key", bytes.NewReader(large(1)))
		require.ErrorIs(t, err, store.ErrCredentials)
		p.assertNoUploads(t)
	})
	t.Run("a part's connection is cut now and then", func(t *testing.T) {
		faults := faulthttp.New(nil)
		a, p := over(t, faults)
		faults.When(first(2, uploadsPart), faulthttp.LoseRequest())
		_, err := a.Create(t.Context(), "key", bytes.NewReader(large(1)))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(large(1), content(t, a, "key")))
		p.assertNoUploads(t)
	})
	t.Run("the context ends while S3 is silent", func(t *testing.T) {
		faults := faulthttp.New(nil)
		a, p := over(t, faults)
		ctx, cancel := context.WithCancelCause(t.Context())
		lost := errors.New("the lease is lost")
		faults.When(first(1, uploadsPart), func(req *http.Request, send faulthttp.Send) (*http.Response, error) {
			cancel(lost)
			return faulthttp.Hang()(req, send)
		})
		_, err := a.Create(ctx, "key", bytes.NewReader(large(1)))
		require.ErrorIs(t, err, lost)
		_, _, err = a.Open(t.Context(), "key")
		require.ErrorIs(t, err, store.ErrNotFound)
		p.assertNoUploads(t)
	})
}

func TestS3ThatNeverAnswersIsLeftWhenTheContextEnds(t *testing.T) {
	faults := faulthttp.New(nil)
	a, _ := over(t, faults)
	faults.On(faulthttp.Any, faulthttp.Each, faulthttp.Hang())
	for name, call := range map[string]func(context.Context) error{
		"create":  func(ctx context.Context) error { _, err := a.Create(ctx, "key", strings.NewReader("x")); return err },
		"replace": func(ctx context.Context) error { _, err := a.Replace(ctx, "key", "", []byte("x")); return err },
		"open":    func(ctx context.Context) error { _, _, err := a.Open(ctx, "key"); return err },
		"delete":  func(ctx context.Context) error { return a.Delete(ctx, "key") },
		"list": func(ctx context.Context) error {
			for _, err := range a.List(ctx, "", nil) {
				return err
			}
			return nil
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := call(ctx)
		cancel()
		assert.ErrorIs(t, err, context.DeadlineExceeded, name)
	}
}

// as returns a client of the same endpoint for somebody else.
func as(client *s3.Client, who aws.CredentialsProviderFunc) *s3.Client {
	same := client.Options()
	return s3.New(s3.Options{
		BaseEndpoint: same.BaseEndpoint, UsePathStyle: same.UsePathStyle, Region: same.Region,
		HTTPClient: same.HTTPClient, Credentials: who,
	})
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	a, p := over(t, nil)
	elsewhere, err := s3archive.New(p.plain, p.bucket+"-none", "", nil)
	require.NoError(t, err)
	stranger, err := s3archive.New(as(p.plain, credentials), p.bucket, p.prefix, nil)
	require.NoError(t, err)
	nobody, err := s3archive.New(as(p.plain, func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no one to ask")
	}), p.bucket, p.prefix, nil)
	require.NoError(t, err)
	nowhere, err := s3archive.New(quick(s3.New(p.plain.Options(), func(o *s3.Options) {
		o.BaseEndpoint = aws.String("http://127.0.0.1:1")
	})), p.bucket, p.prefix, nil)
	require.NoError(t, err)
	_, err = a.Create(t.Context(), "key", strings.NewReader("x"))
	require.NoError(t, err)
	for _, test := range []struct {
		name    string
		archive *s3archive.Archive
		want    error
	}{
		{"no such bucket", elsewhere, archive.ErrNoArchive},
		{"wrong secret", stranger, store.ErrCredentials},
		{"no credentials", nobody, store.ErrCredentials},
		{"unreachable", nowhere, store.ErrUnavailable},
	} {
		_, err := test.archive.Create(t.Context(), "new", strings.NewReader("x"))
		assert.ErrorIs(t, err, test.want, "create: %s", test.name)
		assert.NotErrorIs(t, err, archive.ErrExists)
		_, err = test.archive.Create(t.Context(), "new", bytes.NewReader(large(1)))
		assert.ErrorIs(t, err, test.want, "create in parts: %s", test.name)
		_, _, err = test.archive.Open(t.Context(), "key")
		assert.ErrorIs(t, err, test.want, "open: %s", test.name)
		assert.NotErrorIs(t, err, store.ErrNotFound, "open: %s: an archive that is not there is not an empty one", test.name)
		for _, err = range test.archive.List(t.Context(), "", nil) {
			break
		}
		assert.ErrorIs(t, err, test.want, "list: %s", test.name)
		assert.ErrorIs(t, test.archive.Check(t.Context()), test.want, "check: %s", test.name)
	}
}

func TestARefusedWriteOfWhichOnlyTheStatusCameIsUnderstood(t *testing.T) {
	create := func(a *s3archive.Archive) error {
		_, err := a.Create(t.Context(), "key", strings.NewReader("mine"))
		return err
	}
	for _, status := range []int{400, 403, 404, 409} {
		t.Run(fmt.Sprint("another try brings the reason of ", status), func(t *testing.T) {
			a, faults := overStatuses(t)
			faults.When(first(1, puts), answer(status, ""))
			require.NoError(t, create(a), "and there was none")
		})
	}
	t.Run("forbidden each time", func(t *testing.T) {
		a, faults := overStatuses(t)
		faults.When(puts, answer(403, ""))
		err := create(a)
		require.ErrorIs(t, err, store.ErrCredentials)
		assert.NotErrorIs(t, err, archive.ErrWriteUnknown)
	})
	t.Run("another was there before", func(t *testing.T) {
		a, _ := overStatuses(t)
		require.NoError(t, create(a))
		require.ErrorIs(t, create(a), archive.ErrExists)
	})
	t.Run("the one before was oneself", func(t *testing.T) {
		a, faults := overStatuses(t)
		faults.When(first(1, puts), faulthttp.LoseReply())
		require.NoError(t, create(a))
		assert.Equal(t, "mine", string(content(t, a, "key")))
	})
}

// overStatuses is an archive to which nothing gets through of a refused write but the status.
func overStatuses(t *testing.T) (*s3archive.Archive, *faulthttp.Transport) {
	faults := faulthttp.New(nil)
	t.Cleanup(faults.CloseIdleConnections)
	a, _ := over(t, roundTrip(func(req *http.Request) (*http.Response, error) {
		res, err := faults.RoundTrip(req)
		if err == nil && req.Method == http.MethodPut && res.StatusCode >= 400 {
			res.Body = io.NopCloser(iotest.ErrReader(net.ErrClosed))
		}
		return res, err
	}))
	return a, faults
}

// ignoring makes a server that pays no heed to the conditions of some requests:
// what it would refuse it says to have done.
func ignoring(match func(faulthttp.Request) bool) *faulthttp.Transport {
	faults := faulthttp.New(nil)
	faults.When(match, func(req *http.Request, send faulthttp.Send) (*http.Response, error) {
		res, err := send(req.Context())
		if err != nil || res.StatusCode != http.StatusPreconditionFailed {
			return res, err
		}
		body := "<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>"
		return &http.Response{
			StatusCode: 200, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
			Header: http.Header{"Etag": {`"1"`}, "Content-Type": {"application/xml"}},
			Body:   io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}, nil
	})
	return faults
}

func TestCheckTellsAServerThatIgnoresAConditionFromOneThatHonoursIt(t *testing.T) {
	for _, test := range []struct {
		ignores string
		match   func(faulthttp.Request) bool
		want    string
	}{
		{"If-None-Match", func(r faulthttp.Request) bool {
			return r.Method == http.MethodPut && r.Header.Get("If-None-Match") != ""
		}, "does not honour If-None-Match: "},
		{"If-None-Match in parts", completes, "does not honour If-None-Match on CompleteMultipartUpload"},
		{"If-Match", func(r faulthttp.Request) bool { return r.Header.Get("If-Match") != "" }, "does not honour If-Match"},
	} {
		a, _ := over(t, ignoring(test.match))
		assert.ErrorContains(t, a.Check(t.Context()), test.want, "a server that ignores %s", test.ignores)
		for object, err := range a.List(t.Context(), "", nil) {
			require.NoError(t, err)
			t.Errorf("check has left %s", object.Key)
		}
	}
}
