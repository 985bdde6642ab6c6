package s3test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// shared is the one server of this process. It is never stopped, and dies with the process.
var shared = sync.OnceValues(func() (*Server, error) { return Start(context.Background()) })

func server(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatalf("no S3 endpoint to test against: %v", err)
	}
	return s
}

// Endpoint returns the endpoint's URL, without a slash at its end. It is empty
// for AWS itself, where the AWS SDK knows it. The first call on a machine may
// take as long as the build of the server, some minutes.
func Endpoint(t testing.TB) string {
	t.Helper()
	return server(t).URL
}

// Env returns the variables ("NAME=value") with which another process reaches
// the endpoint: credentials, region, and MILEPOST_TEST_S3. Append them to the
// environment that it inherits.
func Env(t testing.TB) []string {
	t.Helper()
	return server(t).Env()
}

// Client returns a client of the endpoint, set up as the AWS SDK does by
// itself: its retries are on. Its connections are closed when the test ends.
func Client(t testing.TB) *s3.Client {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 100
	return ClientOver(t, transport)
}

// ClientOver is [Client] over the caller's transport, such as one that injects faults.
func ClientOver(t testing.TB, transport http.RoundTripper) *s3.Client {
	t.Helper()
	s := server(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	httpClient := &http.Client{Transport: transport}
	client, err := s.client(ctx, httpClient)
	if err != nil {
		t.Fatalf("client of %s: %v", s.Name, err)
	}
	t.Cleanup(httpClient.CloseIdleConnections)
	return client
}

// Place returns a bucket and a prefix in it, without slashes at its ends, that no other test has.
// When the test ends, its objects and incomplete uploads are removed, and the bucket too unless a
// variable names it.
func Place(t testing.TB) (bucket, prefix string) {
	t.Helper()
	client := Client(t)
	bucket = os.Getenv("MILEPOST_TEST_S3_BUCKET")
	named := bucket != ""
	if !named {
		bucket = "milepost-" + strings.ToLower(rand.Text())
		if _, err := client.CreateBucket(t.Context(), createBucket(client, bucket)); err != nil {
			t.Fatalf("create bucket %s: %v", bucket, err)
		}
	}
	prefix = "milepost-test-" + strings.ToLower(rand.Text())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err := clear(ctx, client, bucket, prefix)
		if !named {
			_, bucketErr := client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &bucket})
			err = errors.Join(err, bucketErr)
		}
		if err != nil {
			t.Errorf("clear bucket %s after the test: %v", bucket, err)
		}
	})
	return bucket, prefix
}

func createBucket(client *s3.Client, name string) *s3.CreateBucketInput {
	input := &s3.CreateBucketInput{Bucket: &name}
	if region := client.Options().Region; region != localRegion { // which is the one that must not be named
		input.CreateBucketConfiguration = &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(region),
		}
	}
	return input
}

// clear removes the objects and uploads below a prefix.
func clear(ctx context.Context, client *s3.Client, bucket, prefix string) error {
	objects := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	for objects.HasMorePages() {
		page, err := objects.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, object := range page.Contents {
			if _, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: object.Key}); err != nil {
				return err
			}
		}
	}
	uploads, err := Uploads(ctx, client, bucket, prefix)
	if err != nil {
		return err
	}
	for _, upload := range uploads {
		_, err := client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
			Bucket: &bucket, Key: upload.Key, UploadId: upload.UploadId,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Uploads returns the multipart uploads below a prefix that are neither
// completed nor aborted: at most 1,000.
func Uploads(ctx context.Context, client *s3.Client, bucket, prefix string) ([]types.MultipartUpload, error) {
	out, err := client.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: aws.String(bucket), Prefix: aws.String(prefix)})
	if err != nil {
		return nil, err
	}
	return out.Uploads, nil
}
