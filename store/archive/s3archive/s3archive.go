// Package s3archive is an archive in an S3 bucket, or in a bucket of any server that speaks S3's
// protocol and honours If-None-Match and If-Match. [Archive.Check] proves that the server does.
package s3archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// Limits of S3.
const (
	MinPartSize     = 5 << 20 // bytes
	DefaultPartSize = 8 << 20
	maxParts        = 10_000
)

// Options say how objects are sent. Nil is the zero value.
type Options struct {
	// PartSize is the most bytes of an object that one request sends, at least [MinPartSize]; 0 is
	// [DefaultPartSize]. A call needs four times as much memory. An object has at most 10,000
	// parts: 80 GiB by default.
	PartSize int
}

// Archive is an [archive.Archive] in a bucket.
type Archive struct {
	client   *s3.Client
	bucket   string
	prefix   string // with '/' at its end, or empty
	partSize int
	settings func(*s3.Options) // of every call
	checksum types.ChecksumAlgorithm
}

var _ archive.Archive = (*Archive)(nil)

// New returns the archive below prefix in bucket, which must exist. Prefix may be empty, and
// neither begins nor ends with '/'. The client is used as it is, with its retries for requests
// without a condition, and its UsePathStyle. Only checksums are decided here: they are sent to AWS,
// unless the client says otherwise, and not to other endpoints, because some of them refuse
// checksums. An HTTP client that is not the SDK's own should have a method CloseIdleConnections.
func New(client *s3.Client, bucket, prefix string, opts *Options) (*Archive, error) {
	if opts == nil {
		opts = &Options{}
	}
	fail := func(err error) (*Archive, error) {
		return nil, fmt.Errorf("archive s3://%s/%s: %w", bucket, prefix, err)
	}
	a := &Archive{client: ours(client), bucket: bucket, partSize: opts.PartSize}
	a.settings, a.checksum = checksums(client.Options())
	if a.partSize == 0 {
		a.partSize = DefaultPartSize
	}
	if a.partSize < MinPartSize {
		return fail(fmt.Errorf("parts of %d bytes: S3 takes none below %d", a.partSize, MinPartSize))
	}
	if bucket == "" {
		return fail(errors.New("the bucket's name is missing"))
	}
	if prefix != "" {
		if err := archive.ValidateKey(prefix); err != nil {
			return fail(err)
		}
		a.prefix = prefix + "/"
	}
	if room := archive.MaxKey - archive.LongestKey; len(a.prefix) > room {
		return fail(fmt.Errorf("%w: a prefix has at most %d bytes, so that every checkpoint's name fits behind it",
			archive.ErrKey, room-1))
	}
	return a, nil
}

// checksums returns what is set for every call, and which checksum parts have. Those of one upload
// must agree, and the SDK does not ensure it.
func checksums(client s3.Options) (func(*s3.Options), types.ChecksumAlgorithm) {
	custom := client.BaseEndpoint != nil && !strings.Contains(*client.BaseEndpoint, ".amazonaws.com")
	calculation, parts := aws.RequestChecksumCalculationWhenSupported, types.ChecksumAlgorithmCrc32
	if custom || client.RequestChecksumCalculation == aws.RequestChecksumCalculationWhenRequired {
		calculation, parts = aws.RequestChecksumCalculationWhenRequired, ""
	}
	return func(o *s3.Options) {
		o.RequestChecksumCalculation = calculation
		// Milepost checks what it reads against its own sha256. The SDK would print a warning for
		// each object that came in parts.
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	}, parts
}

// Create implements [archive.Archive].
func (a *Archive) Create(ctx context.Context, key string, body io.Reader) (archive.Object, error) {
	if err := a.validate(key); err != nil {
		return archive.Object{}, err
	}
	body = archive.Source(ctx, body)
	// ReadAll allocates as it reads: most objects are far smaller than a part.
	first, err := io.ReadAll(io.LimitReader(body, int64(a.partSize)))
	if err != nil {
		return archive.Object{}, fmt.Errorf("create %s: %w", a.name(key), err)
	}
	w := &write{archive: a, what: "create", key: key, id: rand.Text()}
	if len(first) == a.partSize {
		return w.inParts(ctx, first, body)
	}
	return w.atOnce(ctx, first, "")
}

// Replace implements [archive.Archive].
func (a *Archive) Replace(ctx context.Context, key, etag string, data []byte) (archive.Object, error) {
	if err := a.validate(key); err != nil {
		return archive.Object{}, err
	}
	if err := archive.ValidateReplace(data); err != nil {
		return archive.Object{}, fmt.Errorf("replace %s: %w", a.name(key), err)
	}
	w := &write{archive: a, what: "replace", key: key, id: rand.Text()}
	object, err := w.atOnce(ctx, data, etag)
	if errors.Is(err, archive.ErrExists) {
		err = fmt.Errorf("replace %s: %w", a.name(key), archive.ErrPrecondition)
	}
	return object, err
}

// Delete implements [archive.Archive].
func (a *Archive) Delete(ctx context.Context, key string) error {
	if err := a.validate(key); err != nil {
		return err
	}
	_, err := a.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &a.bucket, Key: a.key(key)}, a.settings)
	if err = a.failed(ctx, "delete", key, err); errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// Check implements [archive.Archive].
func (a *Archive) Check(ctx context.Context) error {
	err := archive.CheckConditions(ctx, a, func(key string) error {
		w := &write{archive: a, what: "create", key: key, id: rand.Text()}
		_, err := w.inParts(ctx, []byte("in parts"), bytes.NewReader(nil))
		switch {
		case err == nil:
			return errors.New("it does not honour If-None-Match on CompleteMultipartUpload: " +
				"an object was overwritten; large states are not safe there")
		case !errors.Is(err, archive.ErrExists):
			return fmt.Errorf("create an object in parts: %w", err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("check archive %s: %w", a.name(""), err)
	}
	return nil
}

func (a *Archive) validate(key string) error {
	if err := archive.ValidateKey(key); err != nil {
		return err
	}
	return archive.ValidateKey(a.prefix + key)
}

func (a *Archive) key(key string) *string { return aws.String(a.prefix + key) }

// name is the name of an object as people write it.
func (a *Archive) name(key string) string { return "s3://" + a.bucket + "/" + a.prefix + key }
