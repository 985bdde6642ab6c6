package checkpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// place puts the state of the version that p is about to make where it belongs: into the record, or into a body
// of this version's own. A body is there before HEAD can point at it. write, where it is set, writes
// the state, of that content type.
func (c *committer) place(ctx context.Context, p *pending, write func(io.Writer) error, contentType string) error {
	v := &p.commit.Next
	if write == nil && (v.State == nil || c.archive == nil && v.State.Body == "") {
		return nil
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	id := archive.BodyID{Version: v.Number, CommitID: v.CommitID}
	own := archive.BodyKey(c.key, id)
	var err error
	switch s := v.State; {
	case write != nil:
		p.body = own
		err = c.streamState(ctx, v, id, write, contentType)
	case c.archive == nil:
		return noArchive(c.key, s.Body)
	case s.Body != "": // another version's
		p.body = own
		err = c.copyBody(ctx, v, own)
	case len(s.Data) > c.inline:
		p.body = own
		err = c.putBody(ctx, own, s.Data)
		v.State = &store.State{Body: own, ContentType: s.ContentType, Encoding: s.Encoding, Size: s.Size, SHA256: s.SHA256}
	default:
		return nil
	}
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	if err == nil && v.State.Body == "" {
		p.body = ""
	}
	return err
}

// putBody creates a body of a state that is in memory.
func (c *committer) putBody(ctx context.Context, body string, data []byte) error {
	return c.upload(ctx, int64(len(data)), func(ctx context.Context) error { return putBody(ctx, c.archive, body, data) })
}

// putBody creates a body, or finds the same there.
func putBody(ctx context.Context, a archive.Archive, body string, data []byte) error {
	_, err := a.Create(ctx, body, bytes.NewReader(data))
	if errors.Is(err, archive.ErrExists) { // an earlier try of ours has landed
		sum := sha256.Sum256(data)
		return sameBody(ctx, a, body, sum[:])
	}
	return err
}

// copyBody copies the body that v's state lies in, another version's, to one of its own.
func (c *committer) copyBody(ctx context.Context, v *store.Version, body string) error {
	from := *v.State
	err := c.upload(ctx, from.Size, func(ctx context.Context) error {
		source, _, err := c.archive.Open(ctx, from.Body)
		if err != nil {
			return err
		}
		defer source.Close()
		_, err = c.archive.Create(ctx, body, &checked{source: source, want: from.SHA256, sum: sha256.New()})
		if errors.Is(err, archive.ErrExists) {
			return sameBody(ctx, c.archive, body, from.SHA256)
		}
		return err
	})
	if err != nil {
		return bodyError(c.key, c.base.Number, from.Body, err)
	}
	to := from
	to.Body = body
	v.State = &to
	return nil
}

// checked is a reader that fails at its end unless it has read what was saved.
type checked struct {
	source io.Reader
	want   []byte
	sum    hash.Hash
}

func (r *checked) Read(p []byte) (int, error) {
	n, err := r.source.Read(p)
	_, _ = r.sum.Write(p[:n])
	if err == io.EOF && !bytes.Equal(r.sum.Sum(nil), r.want) {
		err = fmt.Errorf("%w: its sha256 is %x, and %x was saved", store.ErrBadRecord, r.sum.Sum(nil), r.want)
	}
	return n, err
}

// sameBody returns nil if the body that is there is what was to be written.
func sameBody(ctx context.Context, a archive.Archive, body string, want []byte) error {
	source, _, err := a.Open(ctx, body)
	if err != nil {
		return err
	}
	defer source.Close()
	_, err = io.Copy(io.Discard, &checked{source: source, want: want, sum: sha256.New()})
	return err
}

// upload sends a write of about so many bytes until it is there, or cannot be, or ctx ends.
func (c *committer) upload(ctx context.Context, size int64, put func(context.Context) error) error {
	const slow = 256 << 10 // bytes a second: below that a line counts as dead
	limit := c.timeout + time.Duration(size/slow)*time.Second
	intervals := pace()
	for {
		bounded, cancel := context.WithTimeout(ctx, limit)
		err := put(bounded)
		cancel()
		if err == nil || !transient(err) && !errors.Is(err, archive.ErrWriteUnknown) {
			return err
		}
		if !sleep(ctx, intervals.NextBackOff()) {
			return err
		}
	}
}

// dropBody removes, in the background, the body of a save that has definitely failed.
func (c *committer) dropBody(body string) {
	c.behind.Go(func() {
		ctx, cancel := context.WithTimeout(c.life, 2*c.timeout)
		defer cancel()
		if err := c.upload(ctx, 0, func(ctx context.Context) error { return c.archive.Delete(ctx, body) }); err != nil {
			c.log.Warn("the body of a failed save was left in the archive; gc removes it",
				"checkpoint", c.key.String(), "body", body, "error", err)
		}
	})
}

// loadBody reads the state of v, which lies in a body, into memory. What a moment may mend is tried again.
func loadBody(ctx context.Context, a archive.Archive, key store.Key, v *store.Version) ([]byte, error) {
	if a == nil {
		return nil, noArchive(key, v.State.Body)
	}
	data, err := backoff.Retry(ctx, func() ([]byte, error) {
		r, err := archive.OpenBody(ctx, a, key, v)
		if err != nil {
			return nil, retriable(err)
		}
		defer r.Close()
		data, err := io.ReadAll(r)
		return data, retriable(err)
	}, backoff.WithBackOff(pace()), backoff.WithMaxElapsedTime(10*time.Second))
	if err != nil {
		return nil, bodyError(key, v.Number, v.State.Body, err)
	}
	return data, nil
}

// retriable stops a backoff.Retry at an error that a moment does not mend.
func retriable(err error) error {
	if err != nil && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrThrottled) {
		return backoff.Permanent(err)
	}
	return err
}

// bodyError is err, as a [*BodyError] where it says that the body is missing or damaged.
func bodyError(key store.Key, version int64, body string, err error) error {
	missing, damaged := errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrBadRecord)
	if !missing && !damaged {
		return err
	}
	if inner, ok := errors.AsType[*archive.BodyError](err); ok {
		err = inner.Err
	}
	return &BodyError{Key: key, Version: version, Body: body, Err: err, Damaged: damaged}
}

func noArchive(key store.Key, body string) error {
	return &RefusedError{Key: key, What: "state's place", Have: body, Want: "the store alone",
		Hint: "it lies in an archive: name that, too"}
}
