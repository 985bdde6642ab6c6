// Package s3archive is an archive in an S3 bucket, or in one of anything that
// speaks its protocol and honours If-None-Match and If-Match; [Archive.Check]
// proves that it does.
package s3archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// Limits of S3's.
const (
	MinPartSize     = 5 << 20 // bytes
	DefaultPartSize = 8 << 20
	maxParts        = 10_000
)

// Options set how objects are sent. Nil stands for the zero value.
type Options struct {
	// PartSize is the most bytes of an object that are sent in one request, at least
	// [MinPartSize]; 0 is [DefaultPartSize]. A call needs four times as much memory, and an object has
	// at most 10,000 parts: 80 GiB by default.
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

// New returns the archive below prefix in bucket, which exists. Prefix may be
// empty, and has no '/' at its ends. The client is used as it is, with its
// retries for requests without a condition, but for checksums: they are sent to
// AWS, unless the client says otherwise, and not to other endpoints, some of which
// refuse them.
// Path style is the client's UsePathStyle.
func New(client *s3.Client, bucket, prefix string, opts *Options) (*Archive, error) {
	if opts == nil {
		opts = &Options{}
	}
	fail := func(err error) (*Archive, error) {
		return nil, fmt.Errorf("archive s3://%s/%s: %w", bucket, prefix, err)
	}
	a := &Archive{client: client, bucket: bucket, partSize: opts.PartSize}
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

// checksums returns what is set for every call, and which checksum parts have;
// those of one upload must agree, and the SDK does not see to it.
func checksums(client s3.Options) (func(*s3.Options), types.ChecksumAlgorithm) {
	custom := client.BaseEndpoint != nil && !strings.Contains(*client.BaseEndpoint, ".amazonaws.com")
	calculation, parts := aws.RequestChecksumCalculationWhenSupported, types.ChecksumAlgorithmCrc32
	if custom || client.RequestChecksumCalculation == aws.RequestChecksumCalculationWhenRequired {
		calculation, parts = aws.RequestChecksumCalculationWhenRequired, ""
	}
	return func(o *s3.Options) {
		o.RequestChecksumCalculation = calculation
		// What is read is checked against a sha256 of ours; and the SDK prints a
		// warning for each object that came in parts.
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	}, parts
}

// Create is that of [archive.Archive].
func (a *Archive) Create(ctx context.Context, key string, body io.Reader) (archive.Object, error) {
	if err := a.validate(key); err != nil {
		return archive.Object{}, err
	}
	body = &source{ctx: ctx, r: body}
	// ReadAll grows with what there is: most objects are far smaller than a part.
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

// Replace is that of [archive.Archive].
func (a *Archive) Replace(ctx context.Context, key, etag string, data []byte) (archive.Object, error) {
	if err := a.validate(key); err != nil {
		return archive.Object{}, err
	}
	if len(data) > archive.MaxReplace {
		return archive.Object{}, fmt.Errorf("replace %s: %w: %d bytes, and %d are the limit",
			a.name(key), store.ErrTooLarge, len(data), archive.MaxReplace)
	}
	w := &write{archive: a, what: "replace", key: key, id: rand.Text()}
	object, err := w.atOnce(ctx, data, etag)
	if errors.Is(err, archive.ErrExists) {
		err = fmt.Errorf("replace %s: %w", a.name(key), archive.ErrPrecondition)
	}
	return object, err
}

// Delete is that of [archive.Archive].
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

// Check is that of [archive.Archive].
func (a *Archive) Check(ctx context.Context) (err error) {
	key := "check/" + strings.ToLower(rand.Text())
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if deleteErr := a.Delete(ctx, key); err == nil && deleteErr != nil {
			err = fmt.Errorf("check archive %s: delete an object: %w", a.name(""), deleteErr)
		}
	}()
	if err := archive.CheckConditions(ctx, a, key); err != nil {
		return fmt.Errorf("check archive %s: %w", a.name(""), err)
	}
	w := &write{archive: a, what: "create", key: key, id: rand.Text()}
	_, err = w.inParts(ctx, []byte("in parts"), bytes.NewReader(nil))
	switch {
	case err == nil:
		return fmt.Errorf("check archive %s: it does not honour If-None-Match on CompleteMultipartUpload: "+
			"an object was written over; large states are not safe there", a.name(""))
	case !errors.Is(err, archive.ErrExists):
		return fmt.Errorf("check archive %s: create an object in parts: %w", a.name(""), err)
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

// name is an object's as people write it.
func (a *Archive) name(key string) string { return "s3://" + a.bucket + "/" + a.prefix + key }

// source ends the reading of a body when ctx does.
type source struct {
	ctx context.Context
	r   io.Reader
}

func (s *source) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(p)
}
