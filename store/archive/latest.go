package archive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/store"
)

// This file owns latest.json, the copy of a checkpoint's newest mirrored version. It is for people
// and tools. It may lag: the store says which version is the newest, and [Newest] where the store
// has lost the checkpoint.

// ReadLatest returns the version that latest.json holds. None: store.ErrNotFound.
func ReadLatest(ctx context.Context, a Archive, key store.Key) (*Mirrored, error) {
	return readMirrored(ctx, a, key, LatestKey(key))
}

// MoveLatest makes latest.json a copy of the version that data, from [PutVersion], holds, unless it
// has that version or a newer one, by [Compare]. It tries again while others move it, until ctx
// ends. A latest.json that cannot be read is an error, and stays.
func MoveLatest(ctx context.Context, a Archive, key store.Key, data []byte) error {
	name := LatestKey(key)
	m, err := Decode(name, data)
	if err != nil {
		return err
	}
	if m.Key != key {
		return fmt.Errorf("move %s: it would be of checkpoint %s", name, m.Key)
	}
	pace := retries.Pace()
	pace.InitialInterval, pace.MaxInterval = 10*time.Millisecond, time.Second
	unknown := 0
	err = retry(ctx, pace, func() (again bool, err error) {
		err = moveLatest(ctx, a, name, m.ID(), data)
		if errors.Is(err, ErrWriteUnknown) { // read it again, a few times
			unknown++
			return unknown <= 3, err
		}
		return errors.Is(err, ErrPrecondition), err
	})
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("move %s: %w", name, err)
	}
	return err
}

func moveLatest(ctx context.Context, a Archive, name string, id ID, data []byte) error {
	there, object, err := ReadAll(ctx, a, name, maxMirrored)
	if errors.Is(err, store.ErrNotFound) {
		_, err = a.Replace(ctx, name, "", data)
		return err
	}
	if err != nil {
		return err
	}
	old, err := Decode(name, there)
	if err != nil {
		return err
	}
	if Compare(id, old.ID()) > 0 {
		_, err = a.Replace(ctx, name, object.ETag, data)
	}
	return err
}

// MoveLatest makes latest.json the version that data, from [Writer.PutVersions], holds, as the
// function of this name does. Nil data is no version.
func (w *Writer) MoveLatest(ctx context.Context, data []byte) error {
	if data == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	return MoveLatest(ctx, w.Archive, w.Key, data)
}

// RepairLatest makes latest.json the newest version of the mirror, and reports whether that changes
// it. A damaged latest.json is replaced. With dryRun it only reports.
func (w *Writer) RepairLatest(ctx context.Context, newest ID, dryRun bool) (moved bool, err error) {
	latest, err := ReadLatest(ctx, w.Archive, w.Key)
	damaged := errors.Is(err, store.ErrBadRecord)
	switch {
	case err == nil && Compare(latest.ID(), newest) >= 0:
		return false, nil
	case err != nil && !damaged && !errors.Is(err, store.ErrNotFound):
		return false, fmt.Errorf("read latest.json of %s: %w", w.Key, err)
	case dryRun:
		return true, nil
	}
	if damaged {
		if err := w.Archive.Delete(ctx, LatestKey(w.Key)); err != nil {
			return true, fmt.Errorf("remove the damaged latest.json of %s: %w", w.Key, err)
		}
	}
	data, _, err := ReadAll(ctx, w.Archive, VersionKey(w.Key, newest), maxMirrored)
	if err != nil {
		return true, fmt.Errorf("read the newest object of %s: %w", w.Key, err)
	}
	if err := w.MoveLatest(ctx, data); err != nil {
		return true, fmt.Errorf("move latest.json of %s: %w", w.Key, err)
	}
	return true, nil
}

// DropLatest removes latest.json unless its version is of a higher epoch, and returns its size in
// bytes if it did. A damaged latest.json is removed.
func DropLatest(ctx context.Context, a Archive, key store.Key, epoch int64) (size int64, removed bool, err error) {
	name := LatestKey(key)
	data, object, err := ReadAll(ctx, a, name, maxMirrored)
	if errors.Is(err, store.ErrNotFound) {
		return 0, false, nil
	}
	if err == nil {
		var m *Mirrored
		m, err = Decode(name, data)
		if err == nil && m.Key == key && m.CommitEpoch > epoch {
			return 0, false, nil
		}
	}
	if err != nil && !errors.Is(err, store.ErrBadRecord) {
		return 0, false, fmt.Errorf("read latest.json of %s: %w", key, err)
	}
	if err := a.Delete(ctx, name); err != nil {
		return 0, false, fmt.Errorf("remove latest.json of %s: %w", key, err)
	}
	return object.Size, true, nil
}
