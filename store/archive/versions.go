package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/milepost-dev/milepost/store"
)

// maxMirrored is the most bytes of an object of the mirror: a state of the largest
// item that a table holds, in base64, and its version.
const maxMirrored = MaxReplace

// PutVersion stores a version in the mirror, where it can only be created, and
// returns the object's content, for [MoveLatest]. If it is there already with the
// same content, that is a success; with another, store.ErrBadRecord.
func PutVersion(ctx context.Context, a Archive, m *Mirrored) ([]byte, error) {
	data, err := Encode(m)
	if err != nil {
		return nil, err
	}
	if len(data) > maxMirrored {
		return nil, fmt.Errorf("mirror version %d of checkpoint %s: %w: %d bytes, and %d are the limit; a larger state needs a body",
			m.Number, m.Key, store.ErrTooLarge, len(data), maxMirrored)
	}
	name := VersionKey(m.Key, m.ID())
	_, err = a.Create(ctx, name, bytes.NewReader(data))
	if !errors.Is(err, ErrExists) {
		return data, err
	}
	there, _, err := ReadAll(ctx, a, name, maxMirrored)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(there, data) {
		return nil, &store.BadRecordError{Key: m.Key, Record: name, Err: errors.New("another content is there under the same commit id")}
	}
	return data, nil
}

// ReadVersion returns one version from the mirror. Not there: store.ErrNotFound;
// damaged, or another than its key says: store.ErrBadRecord.
func ReadVersion(ctx context.Context, a Archive, key store.Key, id ID) (*Mirrored, error) {
	m, err := readMirrored(ctx, a, key, VersionKey(key, id))
	if err == nil && m.ID() != id {
		err = &store.BadRecordError{Key: key, Record: VersionKey(key, id), Err: fmt.Errorf("it holds %v", m.ID())}
	}
	return m, err
}

func readMirrored(ctx context.Context, a Archive, key store.Key, name string) (*Mirrored, error) {
	data, _, err := ReadAll(ctx, a, name, maxMirrored)
	if err != nil {
		return nil, err
	}
	m, err := Decode(name, data)
	if err == nil && m.Key != key {
		err = &store.BadRecordError{Key: key, Record: name, Err: fmt.Errorf("it is of checkpoint %s", m.Key)}
	}
	return m, err
}

// Listed is one object of a checkpoint's mirror.
type Listed struct {
	ID     ID
	Object Object

	// Foreign says that the object's key is none that this package makes. It has no ID.
	Foreign bool
}

// Versions yields the objects of a checkpoint's mirror but for latest.json, by
// rising version, those that do not count (see [Counting]) and foreign ones among
// them. It ends after the first error.
func Versions(ctx context.Context, a Archive, key store.Key) iter.Seq2[Listed, error] {
	return listVersions(ctx, a, key, VersionPrefix(key), "")
}

// VersionsFrom is [Versions] for those of one version and higher.
func VersionsFrom(ctx context.Context, a Archive, key store.Key, version int64) iter.Seq2[Listed, error] {
	return listVersions(ctx, a, key, VersionPrefix(key), fmt.Sprintf("%s%0*d", VersionPrefix(key), versionDigits, version))
}

// VersionsAt is [Versions] for those of one version.
func VersionsAt(ctx context.Context, a Archive, key store.Key, version int64) iter.Seq2[Listed, error] {
	return listVersions(ctx, a, key, fmt.Sprintf("%s%0*d-", VersionPrefix(key), versionDigits, version), "")
}

func listVersions(ctx context.Context, a Archive, key store.Key, prefix, after string) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		for object, err := range a.List(ctx, prefix, &ListOptions{Delimiter: true, After: after}) {
			if err != nil {
				yield(Listed{}, err)
				return
			}
			if object.Prefix || object.Key == LatestKey(key) {
				continue
			}
			listed := Listed{Object: object}
			if _, listed.ID, err = ParseVersionKey(object.Key); err != nil {
				listed.Foreign = true
			}
			if !yield(listed, nil) {
				return
			}
		}
	}
}

// IDs lists the versions of a checkpoint's mirror, among them those that do not count.
func IDs(ctx context.Context, a Archive, key store.Key) ([]ID, error) {
	var ids []ID
	for listed, err := range Versions(ctx, a, key) {
		if err != nil {
			return nil, err
		}
		if !listed.Foreign {
			ids = append(ids, listed.ID)
		}
	}
	return ids, nil
}
