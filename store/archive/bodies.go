package archive

import (
	"context"
	"iter"

	"github.com/milepost-dev/milepost/store"
)

// ListedBody is one object among the bodies of a checkpoint.
type ListedBody struct {
	ID     BodyID
	Object Object

	// Foreign says that this package did not make the object's key. Then there is no ID.
	Foreign bool
}

// Bodies yields the bodies of a checkpoint, in the order of their keys. It ends after the first
// error.
func Bodies(ctx context.Context, a Archive, key store.Key) iter.Seq2[ListedBody, error] {
	return func(yield func(ListedBody, error) bool) {
		for object, err := range a.List(ctx, BodyPrefix(key), &ListOptions{Delimiter: true}) {
			if err != nil {
				yield(ListedBody{}, err)
				return
			}
			if object.Prefix {
				continue
			}
			body := ListedBody{Object: object}
			if _, body.ID, err = ParseBodyKey(object.Key); err != nil {
				body.Foreign = true
			}
			if !yield(body, nil) {
				return
			}
		}
	}
}
