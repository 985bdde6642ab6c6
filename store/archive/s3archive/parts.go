package s3archive

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// senders is how many parts of one object are sent at once.
const senders = 3

// inParts sends an object as a multipart upload, and aborts the upload if anything fails.
//
// It does not use the SDK's transfer manager, which logs a refused condition as a failure, and does
// not tell a refused completion from a failed part. Here a refused condition is an ordinary answer.
func (w *write) inParts(ctx context.Context, first []byte, rest io.Reader) (archive.Object, error) {
	u := &upload{write: w}
	if err := u.begin(ctx); err != nil {
		return archive.Object{}, err
	}
	err := u.send(ctx, first, rest)
	if err == nil {
		var object archive.Object
		if object, err = u.complete(ctx); err == nil {
			return object, nil
		}
	}
	if abortErr := u.abort(ctx); abortErr != nil {
		return archive.Object{}, fmt.Errorf("%w (and parts of it may be left there: %w)", err, abortErr)
	}
	if !errors.Is(err, archive.ErrWriteUnknown) || ctx.Err() != nil {
		return archive.Object{}, err
	}
	// The parts are gone: if the completion has not been applied by now, it never will be.
	object, findErr := w.find(ctx, u.size)
	switch {
	case findErr == nil || errors.Is(findErr, archive.ErrExists):
		return object, findErr
	case codeOf(findErr) == "NotFound":
		return archive.Object{}, w.open
	}
	return archive.Object{}, err
}

// upload is a multipart upload.
type upload struct {
	*write
	id   *string
	size int64

	mu    sync.Mutex
	parts []types.CompletedPart
}

// begin outlasts ctx a little: if the begin of an upload is not answered, the upload has no id, and
// only a lifecycle rule can remove it.
func (u *upload) begin(ctx context.Context) error {
	if ctx.Err() != nil {
		return u.failed(ctx, ctx.Err())
	}
	patient, cancel := outlasting(ctx)
	defer cancel()
	begun, err := u.archive.client.CreateMultipartUpload(patient, &s3.CreateMultipartUploadInput{
		Bucket: &u.archive.bucket, Key: u.archive.key(u.key), ContentType: contentType(u.key),
		Metadata: map[string]string{writeID: u.write.id}, ChecksumAlgorithm: u.archive.checksum,
	}, u.archive.settings)
	if err != nil {
		return u.failed(ctx, err)
	}
	u.id = begun.UploadId
	return nil
}

// outlasting returns a context that ends a second after ctx does. A request that is cut off may go
// on at the server, while the next request is sent.
func outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	patient, cancel := context.WithCancel(context.WithoutCancel(ctx))
	timer := time.AfterFunc(math.MaxInt64, cancel)
	unwatch := context.AfterFunc(ctx, func() { timer.Reset(time.Second) })
	return patient, func() {
		unwatch()
		timer.Stop()
		cancel()
	}
}

// send sends first and then what rest yields, several parts at once. It returns when no part is
// under way any more.
func (u *upload) send(ctx context.Context, first []byte, rest io.Reader) error {
	type part struct {
		number int32
		data   []byte
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	work, free := make(chan part), make(chan []byte, senders+1)
	for range senders {
		free <- nil // a buffer is made when it is needed
	}
	var running sync.WaitGroup
	for range senders {
		running.Go(func() {
			for p := range work {
				if err := u.sendPart(ctx, p.number, p.data); err != nil {
					stop(err)
				}
				free <- p.data
			}
		})
	}
	var readErr error
	data := first
	for number := int32(1); ; number++ {
		if number > maxParts {
			stop(fmt.Errorf("create %s: %w: it is longer than %d parts of %d bytes", u.archive.name(u.key),
				store.ErrTooLarge, maxParts, u.archive.partSize))
		}
		if ctx.Err() != nil {
			break
		}
		u.size += int64(len(data))
		work <- part{number, data}
		if len(data) < u.archive.partSize {
			break
		}
		if data = <-free; cap(data) < u.archive.partSize {
			data = make([]byte, u.archive.partSize)
		}
		n, err := io.ReadFull(rest, data[:u.archive.partSize])
		data = data[:n]
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			readErr = fmt.Errorf("create %s: %w", u.archive.name(u.key), err)
			break
		}
		if n == 0 {
			break
		}
	}
	close(work)
	running.Wait()
	return cmp.Or(readErr, context.Cause(ctx))
}

func (u *upload) sendPart(ctx context.Context, number int32, data []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	patient, cancel := outlasting(ctx) // a part that arrives after the abort would stay
	defer cancel()
	out, err := u.archive.client.UploadPart(patient, &s3.UploadPartInput{
		Bucket: &u.archive.bucket, Key: u.archive.key(u.key), UploadId: u.id,
		PartNumber: &number, Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))),
		ChecksumAlgorithm: u.archive.checksum,
	}, u.archive.settings)
	if err != nil {
		return u.failed(ctx, err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts = append(u.parts, types.CompletedPart{
		PartNumber: &number, ETag: out.ETag,
		ChecksumCRC32: out.ChecksumCRC32, ChecksumCRC32C: out.ChecksumCRC32C, ChecksumCRC64NVME: out.ChecksumCRC64NVME,
		ChecksumSHA1: out.ChecksumSHA1, ChecksumSHA256: out.ChecksumSHA256,
	})
	return nil
}

func (u *upload) complete(ctx context.Context) (archive.Object, error) {
	slices.SortFunc(u.parts, func(a, b types.CompletedPart) int { return cmp.Compare(*a.PartNumber, *b.PartNumber) })
	return u.settled(ctx, u.size, func(once func(*s3.Options)) (*string, error) {
		out, err := u.archive.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &u.archive.bucket, Key: u.archive.key(u.key), UploadId: u.id, IfNoneMatch: aws.String("*"),
			MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
		}, u.archive.settings, once)
		if err != nil {
			return nil, err
		}
		return out.ETag, nil
	})
}

// abort removes the parts, even if ctx has ended.
func (u *upload) abort(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, err := u.archive.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &u.archive.bucket, Key: u.archive.key(u.key), UploadId: u.id,
	}, u.archive.settings)
	if err != nil && codeOf(err) == "NoSuchUpload" {
		return nil
	}
	return err
}
