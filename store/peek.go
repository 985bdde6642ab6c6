package store

import (
	"context"
	"errors"
)

// PeekEach is [Store]'s Peek where a record that cannot be read hides no other: bad has its error,
// at its key's place, and nil for the others. It peeks again at halves of the keys until the bad
// ones are alone.
func PeekEach(ctx context.Context, st Store, keys []Key) (all []Records, bad []error, err error) {
	all, err = st.Peek(ctx, keys)
	switch {
	case err == nil:
		return all, make([]error, len(keys)), nil
	case !errors.Is(err, ErrBadRecord) && !errors.Is(err, ErrNewerFormat):
		return nil, nil, err
	case len(keys) == 1:
		return make([]Records, 1), []error{err}, nil
	}
	all = nil
	for _, half := range [][]Key{keys[:len(keys)/2], keys[len(keys)/2:]} {
		some, worse, err := PeekEach(ctx, st, half)
		if err != nil {
			return nil, nil, err
		}
		all, bad = append(all, some...), append(bad, worse...)
	}
	return all, bad, nil
}
