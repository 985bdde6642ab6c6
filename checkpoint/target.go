package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// mirrorAtOnce is how many versions are mirrored at once.
const mirrorAtOnce = 8

// mirrorTarget is where a checkpoint's versions are mirrored to.
type mirrorTarget struct {
	archive archive.Archive
	key     store.Key
	inline  int           // a state with more bytes is a body, beside the version's object
	timeout time.Duration // of one request
}

// list lists what the mirror holds from a version on, by version.
func (t *mirrorTarget) list(ctx context.Context, from int64) (map[int64][]archive.ID, error) {
	have := map[int64][]archive.ID{}
	patience := 3 * t.timeout // for one page: of those there may be any number
	moving, cancel := context.WithCancel(ctx)
	defer cancel()
	still := time.AfterFunc(patience, cancel)
	defer still.Stop()
	for listed, err := range archive.VersionsFrom(moving, t.archive, t.key, from) {
		if err != nil && moving.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w: no answer for %v", store.ErrUnavailable, patience)
		}
		if err != nil {
			return nil, wrap("list the mirror of", t.key, err)
		}
		still.Reset(patience)
		if !listed.Foreign {
			have[listed.ID.Version] = append(have[listed.ID.Version], listed.ID)
		}
	}
	return have, nil
}

// refusal is a version that can never be mirrored, and why.
type refusal struct {
	version int64
	err     error
}

// putAll mirrors versions, some at once, and returns the newest as it is in the mirror, and those that can never be
// there. The error is one that may pass.
func (t *mirrorTarget) putAll(ctx context.Context, versions []store.Version) (latest []byte, refused []refusal, err error) {
	var mu sync.Mutex
	err = atOnce(versions, func(v store.Version) error {
		data, err := t.put(ctx, &v)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil && v.Number == versions[len(versions)-1].Number:
			latest = data
		case err != nil && neverMirrored(err):
			refused = append(refused, refusal{v.Number, err})
		default:
			return err
		}
		return nil
	})
	return latest, refused, err
}

// put mirrors one version.
func (t *mirrorTarget) put(ctx context.Context, v *store.Version) ([]byte, error) {
	m := mirrored(t.key, v)
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	if v.State != nil && v.State.Body == "" && len(v.State.Data) > t.inline {
		m.State.Body = archive.BodyKey(t.key, archive.BodyID{Version: v.Number, CommitID: v.CommitID})
		m.State.Data = nil
		if err := putBody(ctx, t.archive, m.State.Body, v.State.Data); err != nil {
			return nil, err
		}
	}
	if _, err := archive.Encode(m); err != nil {
		return nil, &unmirrorable{err}
	}
	data, err := archive.PutVersion(ctx, t.archive, m)
	if errors.Is(err, store.ErrBadRecord) {
		// Who mirrored it before may keep another part of the states in bodies.
		if there, readErr := archive.ReadVersion(ctx, t.archive, t.key, m.ID()); readErr == nil && sameContent(there, m) {
			m, data, err = there, nil, nil
		}
	}
	if err == nil && m.State != nil && m.State.Body != "" {
		err = t.stillThere(ctx, m)
	}
	return data, err
}

// stillThere looks for the body that a version points at, now that its object is there. Of a version whose copy has expired meanwhile nothing
// else says that the body is wanted, and a gc that had listed the mirror before has removed it, or removes both: see discard. Else the object is taken back.
func (t *mirrorTarget) stillThere(ctx context.Context, m *archive.Mirrored) error {
	body, _, err := t.archive.Open(ctx, m.State.Body)
	if err == nil {
		_ = body.Close()
		return nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	gone := fmt.Errorf("its state, the body %s, is not there any more: it expired before it was mirrored, or was removed by hand", m.State.Body)
	if err := t.archive.Delete(ctx, archive.VersionKey(t.key, m.ID())); transient(err) {
		return err
	} else if err != nil { // a job may not be allowed to: then verify names the object
		gone = fmt.Errorf("%w; its object stays: %w", gone, err)
	}
	return &unmirrorable{gone}
}

func sameContent(a, b *archive.Mirrored) bool {
	if (a.State == nil) != (b.State == nil) || a.Cursor != b.Cursor {
		return false
	}
	return a.State == nil || string(a.State.SHA256) == string(b.State.SHA256)
}

// moveLatest makes latest.json the version that data holds, unless it is at it or a newer one.
func (t *mirrorTarget) moveLatest(ctx context.Context, data []byte) error {
	if data == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	return archive.MoveLatest(ctx, t.archive, t.key, data)
}

// unmirrorable is the error of a version that no mirror can hold.
type unmirrorable struct{ error }

func (e *unmirrorable) Unwrap() error { return e.error }

// neverMirrored reports whether trying again is of no use.
func neverMirrored(err error) bool {
	_, refused := errors.AsType[*unmirrorable](err)
	return refused || errors.Is(err, store.ErrBadRecord) || errors.Is(err, store.ErrNewerFormat) ||
		errors.Is(err, store.ErrTooLarge) || errors.Is(err, archive.ErrKey)
}

// mirrored is v as an object of the mirror.
func mirrored(key store.Key, v *store.Version) *archive.Mirrored {
	m := &archive.Mirrored{Key: key, Version: *v}
	m.Version.ArchivedThrough = 0
	m.LastError, m.Reason = strings.ToValidUTF8(v.LastError, "\uFFFD"), strings.ToValidUTF8(v.Reason, "\uFFFD")
	if v.State != nil {
		state := *v.State
		m.State = &state
	}
	return m
}
