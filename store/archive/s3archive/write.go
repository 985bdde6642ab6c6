package s3archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/cenkalti/backoff/v5"

	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// writeID is the object metadata that names the write that made the object. So a writer whose reply
// was lost recognizes its own object.
const writeID = "milepost-write"

// write is one conditional write. It makes every attempt itself, and the SDK makes none: if a
// condition is refused, write must know whether an earlier attempt is the reason.
type write struct {
	archive *Archive
	what    string // create or replace
	key     string
	id      string // fresh and random
	open    error  // of an attempt that may have been applied, or may be applied later
}

// atOnce sends an object in one request. It replaces the object with that ETag, or, for the empty
// ETag, creates one.
func (w *write) atOnce(ctx context.Context, data []byte, etag string) (archive.Object, error) {
	input := &s3.PutObjectInput{
		Bucket: &w.archive.bucket, Key: w.archive.key(w.key),
		ContentLength: aws.Int64(int64(len(data))), ContentType: contentType(w.key),
		Metadata: map[string]string{writeID: w.id},
	}
	if etag == "" {
		input.IfNoneMatch = aws.String("*")
	} else {
		input.IfMatch = &etag
	}
	return w.settled(ctx, int64(len(data)), func(once func(*s3.Options)) (*string, error) {
		input.Body = bytes.NewReader(data)
		out, err := w.archive.client.PutObject(ctx, input, w.archive.settings, once)
		if err != nil {
			return nil, err
		}
		return out.ETag, nil
	})
}

func contentType(key string) *string {
	if strings.HasSuffix(key, ".json") {
		return aws.String("application/json")
	}
	return aws.String("application/octet-stream")
}

// settled sends a conditional request until it is answered, and decides what the answer means for
// the whole write.
func (w *write) settled(ctx context.Context, size int64, send func(once func(*s3.Options)) (etag *string, err error)) (archive.Object, error) {
	once := func(o *s3.Options) { o.RetryMaxAttempts = 1 }
	object, err := backoff.Retry(ctx, func() (archive.Object, error) {
		etag, err := send(once)
		if err == nil {
			return w.object(size, aws.ToString(etag)), nil
		}
		switch kind := kindOf(err); {
		case (kind.unmet || kind.gone) && w.open != nil:
			return w.find(ctx, size)
		case kind.unmet || kind.gone && w.what == "replace":
			return archive.Object{}, backoff.Permanent(error(&archive.ExistsError{Object: archive.Object{Key: w.key}}))
		case kind.again:
			return archive.Object{}, w.failed(ctx, err)
		case kind.definite:
			return archive.Object{}, backoff.Permanent(w.failed(ctx, err))
		}
		w.open = w.failed(ctx, err)
		return archive.Object{}, w.open
	}, patience()...)
	switch {
	case err == nil || errors.Is(err, archive.ErrExists):
		return object, err
	case w.open == nil && ctx.Err() != nil: // err is only the cause, from backoff
		return object, fmt.Errorf("%s %s: %w", w.what, w.archive.name(w.key), err)
	case w.open == nil:
		return object, err
	case ctx.Err() == nil:
		if found, findErr := w.find(ctx, size); findErr == nil {
			return found, nil
		}
	}
	return object, fmt.Errorf("%w: %w", archive.ErrWriteUnknown, w.open)
}

// patience is how often and how fast a request is sent again: for about a second. A caller that can
// wait longer calls again.
func patience() []backoff.RetryOption {
	return []backoff.RetryOption{backoff.WithBackOff(retries.Pace()), backoff.WithMaxTries(7), backoff.WithMaxElapsedTime(0)}
}

// find reads which write made the object that is there, after an attempt of this write that may
// have been applied. If it was another write, that is [archive.ErrExists] for a create. For a
// replace the outcome stays unknown: another write may have replaced this one's object.
func (w *write) find(ctx context.Context, size int64) (archive.Object, error) {
	out, err := w.archive.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &w.archive.bucket, Key: w.archive.key(w.key),
	}, w.archive.settings)
	switch {
	case err != nil:
		return archive.Object{}, backoff.Permanent(w.failed(ctx, err))
	case out.Metadata[writeID] == w.id:
		return w.object(size, aws.ToString(out.ETag)), nil
	case w.what == "replace":
		return archive.Object{}, backoff.Permanent(w.open)
	}
	return archive.Object{}, backoff.Permanent(error(&archive.ExistsError{Object: archive.Object{
		Key: w.key, Size: aws.ToInt64(out.ContentLength), ETag: aws.ToString(out.ETag), ModifiedAt: aws.ToTime(out.LastModified),
	}}))
}

func (w *write) object(size int64, etag string) archive.Object {
	return archive.Object{Key: w.key, Size: size, ETag: etag, ModifiedAt: time.Now()}
}

func (w *write) failed(ctx context.Context, err error) error {
	failed := w.archive.failed(ctx, w.what, w.key, err)
	if errors.Is(failed, store.ErrNotFound) { // it is our object or upload that is not there, and no checkpoint
		return fmt.Errorf("%s %s: %w: %w", w.what, w.archive.name(w.key), store.ErrUnavailable, err)
	}
	return failed
}
