package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
)

// CheckConditions proves on a scratch object, which it removes, that an archive can be written to
// and read, and that it keeps the conditions of Create and Replace. Engines call it in their Check.
// also is called with the key of the object, for what the engine proves beyond that; it may be nil.
func CheckConditions(ctx context.Context, a Archive, also func(key string) error) (err error) {
	key := "check/" + strings.ToLower(rand.Text())
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if deleteErr := a.Delete(ctx, key); err == nil && deleteErr != nil {
			err = fmt.Errorf("delete an object: %w", deleteErr)
		}
	}()
	if err := checkConditions(ctx, a, key); err != nil || also == nil {
		return err
	}
	return also(key)
}

func checkConditions(ctx context.Context, a Archive, key string) error {
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
		return errors.New("it does not honour If-None-Match: an object was overwritten; " +
			"bodies and mirror are not safe there")
	case !errors.Is(err, ErrExists):
		return fmt.Errorf("create an object that exists: %w", err)
	}
	_, err = a.Replace(ctx, key, strings.Repeat("0", len(object.ETag)), second)
	for try := 0; errors.Is(err, ErrWriteUnknown) && try < 5; try++ { // a reply was lost
		_, err = a.Replace(ctx, key, strings.Repeat("0", len(object.ETag)), second)
	}
	switch {
	case err == nil:
		return errors.New("it does not honour If-Match: " +
			"an object was replaced that does not have the ETag that was named")
	case !errors.Is(err, ErrPrecondition):
		return fmt.Errorf("replace an object by a wrong ETag: %w", err)
	}
	if _, err := a.Replace(ctx, key, object.ETag, second); err != nil {
		return fmt.Errorf("replace an object: %w", err)
	}
	return nil
}
