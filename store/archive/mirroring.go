package archive

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/internal/parallel"
	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/store"
)

// mirrorAtOnce is how many versions are mirrored at once.
const mirrorAtOnce = 8

// NewMirrored returns a version as the mirror holds it: the text that people wrote is valid UTF-8,
// and how far the mirror had come is left out.
func NewMirrored(key store.Key, v *store.Version) *Mirrored {
	m := &Mirrored{Key: key, Version: *v}
	m.ArchivedThrough = 0
	m.LastError, m.Reason = strings.ToValidUTF8(v.LastError, "\uFFFD"), strings.ToValidUTF8(v.Reason, "\uFFFD")
	if v.State != nil {
		state := *v.State
		m.State = &state
	}
	return m
}

// Mirrored lists what the mirror holds of the versions from one on, by version. The listing may be
// long: only a page that does not come for three timeouts is an error.
func (w *Writer) Mirrored(ctx context.Context, from int64) (map[int64][]ID, error) {
	have := map[int64][]ID{}
	patience := 3 * w.Timeout
	moving, cancel := context.WithCancel(ctx)
	defer cancel()
	still := time.AfterFunc(patience, cancel)
	defer still.Stop()
	for listed, err := range VersionsFrom(moving, w.Archive, w.Key, from) {
		if err != nil && moving.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w: no answer for %v", store.ErrUnavailable, patience)
		}
		if err != nil {
			return nil, fmt.Errorf("list the mirror of %s: %w", w.Key, err)
		}
		still.Reset(patience)
		if !listed.Foreign {
			have[listed.ID.Version] = append(have[listed.ID.Version], listed.ID)
		}
	}
	return have, nil
}

// Refusal is a version that no mirror can hold, and why.
type Refusal struct {
	Version int64
	Err     error
}

// PutVersions mirrors versions, some at once. It returns the object of the last one, for
// [Writer.MoveLatest] (nil: it was refused), and the versions that can never be mirrored. An error
// may pass: then some of the versions may be mirrored.
func (w *Writer) PutVersions(ctx context.Context, versions []store.Version) (latest []byte, refused []Refusal, err error) {
	var mu sync.Mutex
	err = parallel.Each(ctx, len(versions), mirrorAtOnce, func(_ context.Context, i int) error {
		v := &versions[i]
		data, err := w.putVersion(ctx, v)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil && i == len(versions)-1:
			latest = data
		case err != nil && neverMirrored(err):
			refused = append(refused, Refusal{v.Number, err})
		default:
			return err
		}
		return nil
	})
	return latest, refused, err
}

// PutVersion mirrors one version. It tries again until the version is there, cannot be there, or
// ctx ends.
func (w *Writer) PutVersion(ctx context.Context, v *store.Version) error {
	return w.send(ctx, 0, func(ctx context.Context) error {
		_, err := w.putVersion(ctx, v)
		return err
	})
}

// putVersion mirrors one version, and returns its object.
func (w *Writer) putVersion(ctx context.Context, v *store.Version) ([]byte, error) {
	m := NewMirrored(w.Key, v)
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	if s := m.State; s != nil && s.Body == "" && w.inBody(len(s.Data)) {
		s.Body = BodyKey(w.Key, w.bodyID(v))
		if err := putBody(ctx, w.Archive, s.Body, s.Data); err != nil {
			return nil, err
		}
		s.Data = nil
	}
	if _, err := Encode(m); err != nil {
		return nil, &unmirrorable{err}
	}
	data, err := PutVersion(ctx, w.Archive, m)
	if errors.Is(err, store.ErrBadRecord) {
		// Another process that mirrored the version may keep another part of the states in bodies.
		if there, readErr := ReadVersion(ctx, w.Archive, w.Key, m.ID()); readErr == nil && sameContent(there, m) {
			m, data, err = there, nil, nil
		}
	}
	if err == nil && m.State != nil && m.State.Body != "" {
		err = w.stillThere(ctx, m)
	}
	return data, err
}

// stillThere checks, now that the object of a version is there, that the body is there to which it
// points. If the version's copy has expired, nothing else says that the body is wanted: a gc that
// had listed the mirror before has removed the body, or removes both (see discard in package
// checkpoint). Then the object is removed again.
func (w *Writer) stillThere(ctx context.Context, m *Mirrored) error {
	body, _, err := w.Archive.Open(ctx, m.State.Body)
	if err == nil {
		_ = body.Close()
		return nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	gone := fmt.Errorf("its state, the body %s, is not there any more: it expired before it was mirrored, or was removed by hand", m.State.Body)
	if err := w.Archive.Delete(ctx, VersionKey(w.Key, m.ID())); retries.Transient(err) {
		return err
	} else if err != nil { // a job may not be allowed to: then verify names the object
		gone = fmt.Errorf("%w; its object stays: %w", gone, err)
	}
	return &unmirrorable{gone}
}

func sameContent(a, b *Mirrored) bool {
	if (a.State == nil) != (b.State == nil) || a.Cursor != b.Cursor {
		return false
	}
	return a.State == nil || string(a.State.SHA256) == string(b.State.SHA256)
}

// unmirrorable is the error of a version that no mirror can hold.
type unmirrorable struct{ error }

func (e *unmirrorable) Unwrap() error { return e.error }

// neverMirrored reports whether another attempt is of no use.
func neverMirrored(err error) bool {
	_, refused := errors.AsType[*unmirrorable](err)
	return refused || errors.Is(err, store.ErrBadRecord) || errors.Is(err, store.ErrNewerFormat) ||
		errors.Is(err, store.ErrTooLarge) || errors.Is(err, ErrKey)
}
