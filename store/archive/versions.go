package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/milepost-dev/milepost/store"
)

// maxMirrored is the most bytes of an object of the mirror: it holds a version with the largest
// state that fits into an item of a table, in base64.
const maxMirrored = MaxReplace

// PutVersion creates the object of a version in the mirror, and returns the object's content, for
// [MoveLatest]. If the object is there already with the same content, that is a success; with
// another content it is store.ErrBadRecord.
func PutVersion(ctx context.Context, a Archive, m *Mirrored) ([]byte, error) {
	data, err := Encode(m)
	if err != nil {
		return nil, err
	}
	if len(data) > maxMirrored {
		return nil, fmt.Errorf("mirror version %d of checkpoint %s: %w: %d bytes, and %d are the limit; "+
			"a larger state needs a body", m.Number, m.Key, store.ErrTooLarge, len(data), maxMirrored)
	}
	name := VersionKey(m.Key, m.ID())
	_, err = a.Create(ctx, name, bytes.NewReader(data))
	if !errors.Is(err, ErrExists) {
		return data, err
	}
	there, _, err := ReadAll(ctx, a, name, maxMirrored)
	if err != nil {
		return nil, contradicted(err)
	}
	if !bytes.Equal(there, data) {
		return nil, &store.BadRecordError{Key: m.Key, Record: name,
			Err: errors.New("another content is there under the same commit id")}
	}
	return data, nil
}

// ReadVersion returns one version from the mirror. If it is not there, the error is
// store.ErrNotFound; if it is damaged or is not the version that its key says, store.ErrBadRecord.
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

	// Foreign says that this package did not make the object's key. Then there is no ID.
	Foreign bool
}

// Versions yields all objects of a checkpoint's mirror except latest.json, by rising version.
// Foreign objects and versions that do not count (see [Counting]) are among them. It ends after the
// first error.
func Versions(ctx context.Context, a Archive, key store.Key) iter.Seq2[Listed, error] {
	return listVersions(ctx, a, key, "")
}

// VersionsFrom is [Versions] from one version on.
func VersionsFrom(ctx context.Context, a Archive, key store.Key, version int64) iter.Seq2[Listed, error] {
	return listVersions(ctx, a, key, fmt.Sprintf("%s%0*d", VersionPrefix(key), versionDigits, version))
}

func listVersions(ctx context.Context, a Archive, key store.Key, after string) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		opts := &ListOptions{Delimiter: true, After: after}
		for object, err := range a.List(ctx, VersionPrefix(key), opts) {
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
