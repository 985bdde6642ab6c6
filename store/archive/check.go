package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
)

// CheckConditions proves on an object under key, which the caller removes, that an
// archive can be written to and read, and that it keeps the conditions of Create
// and Replace. Engines call it in their Check.
func CheckConditions(ctx context.Context, a Archive, key string) error {
	first, second := []byte("first"), []byte("second")
	made, err := a.Create(ctx, key, bytes.NewReader(first))
	if err != nil {
		return fmt.Errorf("write an object: %w", err)
	}
	data, object, err := ReadAll(ctx, a, key, MaxReplace)
	if err != nil {
		return fmt.Errorf("read the object that was written: %w", err)
	}
	if !bytes.Equal(data, first) || object.ETag != made.ETag {
		return errors.New("what is read is not what was written")
	}
	switch _, err := a.Create(ctx, key, bytes.NewReader(second)); {
	case err == nil:
		return errors.New("it does not honour If-None-Match: an object was written over; bodies and mirror are not safe there")
	case !errors.Is(err, ErrExists):
		return fmt.Errorf("create an object that exists: %w", err)
	}
	_, err = a.Replace(ctx, key, strings.Repeat("0", len(object.ETag)), second)
	for try := 0; errors.Is(err, ErrWriteUnknown) && try < 5; try++ { // a reply was lost
		_, err = a.Replace(ctx, key, strings.Repeat("0", len(object.ETag)), second)
	}
	switch {
	case err == nil:
		return errors.New("it does not honour If-Match: an object was replaced that was not the one named")
	case !errors.Is(err, ErrPrecondition):
		return fmt.Errorf("replace an object that is not the one named: %w", err)
	}
	if _, err := a.Replace(ctx, key, object.ETag, second); err != nil {
		return fmt.Errorf("replace an object: %w", err)
	}
	return nil
}
