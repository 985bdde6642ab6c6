package s3archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// Open implements [archive.Archive]. If a connection is cut, the reader
// asks for the rest of the same object, a few times.
func (a *Archive) Open(ctx context.Context, key string) (io.ReadCloser, archive.Object, error) {
	if err := a.validate(key); err != nil {
		return nil, archive.Object{}, err
	}
	out, err := a.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &a.bucket, Key: a.key(key)}, a.settings)
	if err != nil {
		return nil, archive.Object{}, a.failed(ctx, "open", key, err)
	}
	if out.ContentLength == nil || *out.ContentLength < 0 {
		return nil, archive.Object{}, errors.Join(fmt.Errorf("open %s: %w: the reply does not say how long it is",
			a.name(key), store.ErrUnavailable), out.Body.Close())
	}
	object := archive.Object{
		Key: key, Size: aws.ToInt64(out.ContentLength), ETag: aws.ToString(out.ETag), ModifiedAt: aws.ToTime(out.LastModified),
	}
	return &reader{archive: a, ctx: ctx, object: object, body: out.Body}, object, nil
}

// Limits of a reader whose connection is cut.
const (
	mostResumes = 5       // without progress
	progress    = 1 << 20 // bytes
)

type reader struct {
	archive *Archive
	ctx     context.Context
	object  archive.Object
	body    io.ReadCloser
	at      int64 // how many bytes were read
	resumed int   // how often, since there was progress
	last    int64 // at, when there was progress
	err     error
}

func (r *reader) Read(p []byte) (int, error) {
	for r.err == nil {
		n, err := r.body.Read(p)
		r.at += int64(n)
		switch {
		case err == nil:
			return n, nil
		case r.at == r.object.Size:
			r.err = io.EOF
		case err == io.EOF:
			err = io.ErrUnexpectedEOF
			fallthrough
		default:
			r.err = r.resume(err)
		}
		if n > 0 {
			return n, nil // the next call returns the error, if there is one
		}
	}
	return 0, r.err
}

// resume asks for the rest of the object, after an error.
func (r *reader) resume(reason error) error {
	if r.at-r.last >= progress {
		r.resumed, r.last = 0, r.at
	}
	r.resumed++
	if r.ctx.Err() != nil || r.resumed > mostResumes || r.at > r.object.Size || r.object.ETag == "" {
		return r.archive.failed(r.ctx, "read", r.object.Key, reason)
	}
	out, err := r.archive.client.GetObject(r.ctx, &s3.GetObjectInput{
		Bucket: &r.archive.bucket, Key: r.archive.key(r.object.Key),
		Range: aws.String(fmt.Sprintf("bytes=%d-", r.at)), IfMatch: &r.object.ETag,
	}, r.archive.settings)
	if err != nil {
		return r.archive.failed(r.ctx, "read on in", r.object.Key, fmt.Errorf("%w (after %w)", err, reason))
	}
	if want := fmt.Sprintf("bytes %d-", r.at); !strings.HasPrefix(aws.ToString(out.ContentRange), want) {
		return errors.Join(fmt.Errorf("read on in %s: %w: the range %q is not what was asked for", r.archive.name(r.object.Key),
			store.ErrUnavailable, aws.ToString(out.ContentRange)), out.Body.Close())
	}
	_ = r.body.Close()
	r.body = out.Body
	return nil
}

// Close implements io.Closer.
func (r *reader) Close() error {
	if r.err == nil {
		r.err = fmt.Errorf("read %s: the reader is closed", r.archive.name(r.object.Key))
	}
	return r.body.Close()
}

// List implements [archive.Archive].
func (a *Archive) List(ctx context.Context, prefix string, opts *archive.ListOptions) iter.Seq2[archive.Object, error] {
	if opts == nil {
		opts = &archive.ListOptions{}
	}
	input := &s3.ListObjectsV2Input{Bucket: &a.bucket, Prefix: a.key(prefix)}
	if opts.Delimiter {
		input.Delimiter = aws.String("/")
	}
	if opts.After != "" {
		input.StartAfter = a.key(opts.After)
	}
	return func(yield func(archive.Object, error) bool) {
		pages := s3.NewListObjectsV2Paginator(a.client, input)
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx, a.settings)
			if err != nil {
				yield(archive.Object{}, a.failed(ctx, "list", prefix, err))
				return
			}
			for _, object := range a.objects(page) {
				// A server may show the prefix that After lies in once more.
				if object.Key > opts.After && !yield(object, nil) {
					return
				}
			}
		}
	}
}

// objects returns the objects and prefixes of a page, in one order.
func (a *Archive) objects(page *s3.ListObjectsV2Output) []archive.Object {
	var found []archive.Object
	for _, o := range page.Contents {
		found = append(found, archive.Object{
			Key: strings.TrimPrefix(aws.ToString(o.Key), a.prefix), Size: aws.ToInt64(o.Size), ModifiedAt: aws.ToTime(o.LastModified),
		})
	}
	for _, p := range page.CommonPrefixes {
		found = append(found, archive.Object{Key: strings.TrimPrefix(aws.ToString(p.Prefix), a.prefix), Prefix: true})
	}
	slices.SortFunc(found, func(a, b archive.Object) int { return strings.Compare(a.Key, b.Key) })
	return found
}
