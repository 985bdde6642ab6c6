package s3archive_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/archivetest"
	"github.com/milepost-dev/milepost/store/archive/s3archive"
	"github.com/milepost-dev/milepost/test/s3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// place is where a test's archive lies, for tests that look behind it.
type place struct {
	bucket, prefix string
	plain          *s3.Client
}

// over returns an archive of the test's own, over a transport or nil.
func over(t *testing.T, transport http.RoundTripper) (*s3archive.Archive, place) {
	t.Helper()
	p := place{plain: s3test.Client(t)}
	p.bucket, p.prefix = s3test.Place(t)
	client := p.plain
	if transport != nil {
		client = quick(s3test.ClientOver(t, transport))
	}
	a, err := s3archive.New(client, p.bucket, p.prefix, &s3archive.Options{PartSize: s3archive.MinPartSize})
	require.NoError(t, err)
	return a, p
}

// quick makes the SDK's own retries not wait.
func quick(client *s3.Client) *s3.Client {
	return s3.New(client.Options(), func(o *s3.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff = 10, time.Millisecond
			o.RateLimiter = noLimit{}
		})
	})
}

func TestConformance(t *testing.T) {
	archivetest.Run(t, func(t *testing.T) archive.Archive {
		a, p := over(t, nil)
		t.Cleanup(func() { p.assertNoUploads(t) })
		return a
	}, options(t))
}

func options(t *testing.T) *archivetest.Options {
	return &archivetest.Options{NotEveryKey: s3test.Endpoint(t) != ""}
}

func (p place) assertNoUploads(t *testing.T) {
	t.Helper()
	uploads, err := s3test.Uploads(context.WithoutCancel(t.Context()), p.plain, p.bucket, p.prefix)
	require.NoError(t, err)
	assert.Empty(t, uploads, "uploads that were neither completed nor aborted")
}

func TestAPrefixThatLeavesNoRoomForALongNameIsRefused(t *testing.T) {
	client := s3test.Client(t)
	for _, prefix := range []string{strings.Repeat("p", 1024), strings.Repeat("p", 1024-archive.LongestKey), "/p", "p/", "a//b"} {
		_, err := s3archive.New(client, "bucket", prefix, nil)
		assert.ErrorIs(t, err, archive.ErrKey, "prefix %.20q of %d bytes", prefix, len(prefix))
	}
	_, err := s3archive.New(client, "bucket", strings.Repeat("p", 1024-archive.LongestKey-1), nil)
	assert.NoError(t, err)
	_, err = s3archive.New(client, "", "p", nil)
	assert.Error(t, err)
	_, err = s3archive.New(client, "bucket", "p", &s3archive.Options{PartSize: 1})
	assert.Error(t, err)
}

// Checksums go to AWS, and not to other endpoints, some of which refuse them.
func TestChecksumsAreSentToAWSOnly(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(*s3.Options)
		want bool
	}{
		{"AWS", func(*s3.Options) {}, true},
		{"an endpoint of AWS", func(o *s3.Options) { o.BaseEndpoint = aws.String("https://s3.eu-west-1.amazonaws.com") }, true},
		{"another", func(o *s3.Options) { o.BaseEndpoint = aws.String("http://127.0.0.1:9000") }, false},
		{"another, where the SDK would send them", func(o *s3.Options) {
			o.BaseEndpoint = aws.String("http://127.0.0.1:9000")
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
		}, false},
	} {
		var sent http.Header
		client := s3.New(s3.Options{
			Region:      "eu-west-1",
			Credentials: aws.CredentialsProviderFunc(credentials),
			HTTPClient: &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
				sent = req.Header.Clone()
				if _, err := io.Copy(io.Discard, req.Body); err != nil {
					return nil, err
				}
				return &http.Response{StatusCode: 200, Header: http.Header{"Etag": {`"1"`}}, Body: http.NoBody, Request: req}, nil
			})},
		}, test.set)
		a, err := s3archive.New(client, "bucket", "", nil)
		require.NoError(t, err)
		_, err = a.Create(t.Context(), "key", strings.NewReader("x"))
		require.NoError(t, err)
		assert.Equal(t, test.want, sent.Get("X-Amz-Trailer") == "x-amz-checksum-crc32", "%s: %v", test.name, sent)
		assert.Equal(t, "*", sent.Get("If-None-Match"))
	}
}
