package s3test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEachTestHasASeparatePlaceThatIsClearedAfterIt(t *testing.T) {
	client := Client(t)
	put := func(t *testing.T, bucket, key string) {
		_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader("x")})
		require.NoError(t, err)
	}
	otherBucket, otherPrefix := Place(t)
	put(t, otherBucket, otherPrefix+"/stays")
	var bucket, prefix string
	t.Run("a test that leaves an object and an upload", func(t *testing.T) {
		bucket, prefix = Place(t)
		assert.NotEqual(t, otherPrefix, prefix)
		put(t, bucket, prefix+"/left")
		_, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{
			Bucket: &bucket, Key: aws.String(prefix + "/upload"),
		})
		require.NoError(t, err)
		uploads, err := Uploads(t.Context(), client, bucket, prefix)
		require.NoError(t, err)
		assert.Len(t, uploads, 1)
	})
	_, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: aws.String(prefix + "/left")})
	assert.Error(t, err, "the object of the test before is gone")
	_, err = client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &otherBucket, Key: aws.String(otherPrefix + "/stays")})
	assert.NoError(t, err, "the object of a test that still runs stays")
}

func TestARunningEndpointThatIsNamedIsUsedAsItIs(t *testing.T) {
	running := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "not S3")
	}))
	defer running.Close()
	t.Setenv("MILEPOST_TEST_S3", running.URL+"/")
	s, err := Start(t.Context())
	require.NoError(t, err)
	defer s.Stop()
	assert.Equal(t, running.URL, s.URL)
	assert.Equal(t, []string{"MILEPOST_TEST_S3=" + running.URL}, s.Env(), "credentials are the environment's own")

	t.Setenv("MILEPOST_TEST_S3", "aws")
	s, err = Start(t.Context())
	require.NoError(t, err)
	assert.Empty(t, s.URL)
	assert.Equal(t, []string{"MILEPOST_TEST_S3=aws"}, s.Env())
}

func TestANamedEndpointThatCannotBeUsedIsAnErrorAndNothingElseIsTried(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for _, test := range []struct{ named, want string }{
		{"127.0.0.1:9000", `neither "aws" nor an URL`},
		{"s3://bucket", `neither "aws" nor an URL`},
		{closed.URL, "does not answer"},
	} {
		t.Setenv("MILEPOST_TEST_S3", test.named)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := Start(ctx)
		cancel()
		assert.ErrorContains(t, err, test.want, "MILEPOST_TEST_S3=%s", test.named)
	}
}

func TestWithoutAnEndpointTheErrorSaysWhatToInstall(t *testing.T) {
	t.Setenv("MILEPOST_TEST_S3", "")
	t.Setenv("MILEPOST_CACHE", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	_, err := Start(t.Context())
	require.ErrorContains(t, err, "Any one of these will do")
	assert.ErrorContains(t, err, `"go": executable file not found`)
}
