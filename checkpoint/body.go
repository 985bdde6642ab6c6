package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// place puts the state of a save into the record, or into a new body in the archive. The body is
// written before HEAD can point at it.
func (c *committer) place(ctx context.Context, sv *save) (err error) {
	v := &sv.commit.Next
	none := c.archive.Archive == nil
	switch {
	case sv.write != nil:
	case v.State == nil || none && v.State.Body == "":
		return nil
	case none:
		return noArchive(c.key, v.State.Body)
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	if sv.write == nil {
		sv.body, err = c.archive.PlaceState(ctx, v)
	} else if sv.body, err = c.archive.WriteState(ctx, v, sv.write); err == nil {
		v.State.ContentType = storedType(sv.contentType)
	}
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// dropBody removes, in the background, what a save that has definitely failed has left in the
// archive: first what points at its body, and then the body.
func (c *committer) dropBody(sv *save) {
	c.behind.Go(func() {
		ctx, cancel := context.WithTimeout(c.life, 2*c.timeout)
		defer cancel()
		if sv.retract != nil {
			if err := sv.retract(ctx); err != nil {
				c.log.Error("the object of a version that was not saved was left in the archive, with its body",
					"checkpoint", c.key.String(), "body", sv.body, "error", err)
				return
			}
		}
		if sv.body == "" {
			return
		}
		if err := c.archive.Delete(ctx, sv.body); err != nil {
			c.log.Warn("the body of a failed save was left in the archive; gc removes it",
				"checkpoint", c.key.String(), "body", sv.body, "error", err)
		}
	})
}

// loadBody reads the state of v, which lies in a body, into memory.
func loadBody(ctx context.Context, a archive.Archive, key store.Key, v *store.Version) ([]byte, error) {
	if a == nil {
		return nil, noArchive(key, v.State.Body)
	}
	return archive.LoadBody(ctx, a, key, v)
}

func noArchive(key store.Key, body string) error {
	return &RefusedError{Key: key, What: "state's place", Have: body, Want: "the store alone",
		Hint: "the state lies in an archive: name the archive, too"}
}
