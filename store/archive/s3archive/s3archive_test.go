package s3archive_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
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

// As with AWS, whose endpoint is not the client's to name.
func TestObjectsWithChecksumsAreTakenAtOnceAndInParts(t *testing.T) {
	seen := &checksumsSeen{}
	bucket, prefix := s3test.Place(t)
	client := s3test.ClientOver(t, seen)
	if endpoint := s3test.Endpoint(t); endpoint != "" {
		client = s3.New(client.Options(), func(o *s3.Options) {
			o.BaseEndpoint, o.EndpointResolverV2 = nil, fixed(endpoint)
		})
	}
	a, err := s3archive.New(client, bucket, prefix, &s3archive.Options{PartSize: s3archive.MinPartSize})
	require.NoError(t, err)
	for key, data := range map[string][]byte{"small": []byte("small"), "large": large(3)} {
		_, err := a.Create(t.Context(), key, bytes.NewReader(data))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(data, content(t, a, key)), key)
		_, err = a.Create(t.Context(), key, bytes.NewReader(data))
		assert.ErrorIs(t, err, archive.ErrExists)
	}
	assert.GreaterOrEqual(t, seen.n.Load(), int64(4), "requests with a checksum")
}

// fixed resolves to one endpoint, path style.
type fixed string

func (f fixed) ResolveEndpoint(_ context.Context, params s3.EndpointParameters) (smithyendpoints.Endpoint, error) {
	u, err := url.Parse(string(f))
	if err == nil && params.Bucket != nil {
		u = u.JoinPath(*params.Bucket)
	}
	if err != nil {
		return smithyendpoints.Endpoint{}, err
	}
	return smithyendpoints.Endpoint{URI: *u}, nil
}

type checksumsSeen struct{ n atomic.Int64 }

func (c *checksumsSeen) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("X-Amz-Checksum-Crc32") != "" || req.Header.Get("X-Amz-Trailer") != "" {
		c.n.Add(1)
	}
	return http.DefaultTransport.RoundTrip(req)
}

func (c *checksumsSeen) CloseIdleConnections() {
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
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
