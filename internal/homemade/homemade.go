// Package homemade reads the checkpoints that jobs keep in S3 without Milepost: one object
// checkpoint_<unix seconds>.json for each save.
//
// It puts the objects in order, and names the objects that it cannot read and those whose order is
// unknown. It writes nothing and prints nothing.
package homemade

import (
	"bytes"
	"context"
	"errors"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

const (
	maxObject = 64 << 20 // bytes
	readers   = 16
)

// objectName allows a fraction of the seconds, and a suffix. Some jobs add a suffix to the names of
// objects that were saved in one second.
var objectName = regexp.MustCompile(`^checkpoint_([0-9]{1,12}(?:\.[0-9]{1,9})?)(?:[-_.][A-Za-z0-9_-]+)?\.json$`)

// Object is one object of that layout.
type Object struct {
	Key        string
	Named      time.Time              // by its name
	Checkpoint *checkpoint.Checkpoint // nil: the object cannot be read
	Err        error                  // why it cannot be read

	recorded time.Time // by the record's timestamp; zero: there is no readable timestamp
	data     []byte
}

// History is what is below a prefix.
type History struct {
	Place    string
	Versions []*Object // in order, numbered from 1

	Unreadable []*Object
	Ties       [][]*Object // objects whose order is unknown; they are in the order of their keys
	Repeated   []*Object   // objects that exist under another key too
	Skipped    []string
	Foreign    []string // objects with another kind of name
	Folders    []string // folders of the versions; ".": the prefix itself
}

// Read reads all objects below the root of source. place names the source in errors. Objects whose
// keys are in skip are left out. progress is called after each object, by one goroutine at a time.
// Read fails if source fails, or if a key in skip does not exist.
func Read(ctx context.Context, source archive.Archive, place string, skip []string, progress func(done, total int64)) (*History, error) {
	h := &History{Place: place}
	var found []*Object
	for object, err := range source.List(ctx, "", nil) {
		if err != nil {
			return nil, err
		}
		if slices.Contains(skip, object.Key) {
			h.Skipped = append(h.Skipped, object.Key)
			continue
		}
		named, ok := timeOfName(path.Base(object.Key))
		if !ok {
			h.Foreign = append(h.Foreign, object.Key)
			continue
		}
		found = append(found, &Object{Key: object.Key, Named: named})
	}
	for _, key := range skip {
		if !slices.Contains(h.Skipped, key) {
			return nil, kinds.Usagef("--skip %q: there is no such object below %s", key, place)
		}
	}
	if err := readAll(ctx, source, found, progress); err != nil {
		return nil, err
	}
	for _, o := range found {
		if o.Err != nil {
			h.Unreadable = append(h.Unreadable, o)
		} else {
			h.Versions = append(h.Versions, o)
		}
	}
	h.order()
	return h, nil
}

func timeOfName(name string) (time.Time, bool) {
	match := objectName.FindStringSubmatch(name)
	if match == nil {
		return time.Time{}, false
	}
	whole, fraction, _ := strings.Cut(match[1], ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	nanos, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	return time.Unix(seconds, nanos).UTC(), true
}

// readAll reads several objects at once: thousands of them, one after another, would take minutes.
func readAll(ctx context.Context, source archive.Archive, objects []*Object, progress func(done, total int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan *Object)
	var running sync.WaitGroup
	var mu sync.Mutex
	done := int64(0)
	for range min(readers, len(objects)) {
		running.Go(func() {
			for o := range next {
				if err := o.read(ctx, source); err != nil {
					cancel(err)
				}
				mu.Lock()
				done++
				progress(done, int64(len(objects)))
				mu.Unlock()
			}
		})
	}
	for _, o := range objects {
		if ctx.Err() != nil {
			break
		}
		next <- o
	}
	close(next)
	running.Wait()
	return context.Cause(ctx)
}

// read sets o.Err if the object is wrong. It returns an error only if source fails.
func (o *Object) read(ctx context.Context, source archive.Archive) error {
	data, _, err := archive.ReadAll(ctx, source, o.Key, maxObject)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrTooLarge):
		o.Err = err
	case err != nil:
		return err
	default:
		o.data = bytes.TrimSpace(data)
		o.Checkpoint, o.recorded, o.Err = parse(o.data)
	}
	if o.Checkpoint != nil {
		// The name's time comes from the machine's clock and sets the order. A record's time may be
		// in any zone.
		o.Checkpoint.SavedAt = o.Named
		if o.recorded.Truncate(time.Second).Equal(o.Named) {
			o.Checkpoint.SavedAt = o.recorded
		}
	}
	return nil
}
