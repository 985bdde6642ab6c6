package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// The layout that jobs have made at home: one object checkpoint_<unix seconds>.json for each save.
const (
	maxHomeMade     = 64 << 20 // bytes of one object
	homeMadeReaders = 16
)

// homeMadeName takes a fraction of the seconds too, and what some put behind them to tell apart
// what was saved in one second.
var homeMadeName = regexp.MustCompile(`^checkpoint_([0-9]{1,12}(?:\.[0-9]{1,9})?)(?:[-_.][A-Za-z0-9_-]+)?\.json$`)

// homeMade is one object of that layout.
type homeMade struct {
	key      string
	named    time.Time // by its name
	recorded time.Time // by the record's timestamp; zero: it has none that can be read
	data     []byte
	cp       *checkpoint.Checkpoint
	err      error // why it cannot be read
}

// homeMadeHistory is what lies below a prefix, in order.
type homeMadeHistory struct {
	place    string
	versions []*homeMade

	unreadable []*homeMade
	ties       [][]*homeMade // whose order nothing tells; they stand in that of their keys
	repeated   []*homeMade   // one that is there under another key
	skipped    []string
	foreign    []string // of another form
	folders    []string // that the versions lie in; ".": the prefix itself
}

// readHomeMade reads all that lies below the archive's root. An error is the source's.
func readHomeMade(ctx context.Context, source archive.Archive, place string, skip []string, progress func(done, total int64)) (*homeMadeHistory, error) {
	h := &homeMadeHistory{place: place}
	var found []*homeMade
	for object, err := range source.List(ctx, "", nil) {
		if err != nil {
			return nil, err
		}
		if slices.Contains(skip, object.Key) {
			h.skipped = append(h.skipped, object.Key)
			continue
		}
		named, ok := homeMadeTime(path.Base(object.Key))
		if !ok {
			h.foreign = append(h.foreign, object.Key)
			continue
		}
		found = append(found, &homeMade{key: object.Key, named: named})
	}
	for _, key := range skip {
		if !slices.Contains(h.skipped, key) {
			return nil, kinds.Usagef("--skip %q: there is no such object below %s", key, place)
		}
	}
	if err := readAllHomeMade(ctx, source, found, progress); err != nil {
		return nil, err
	}
	for _, o := range found {
		if o.err != nil {
			h.unreadable = append(h.unreadable, o)
		} else {
			h.versions = append(h.versions, o)
		}
	}
	h.order()
	return h, nil
}

func homeMadeTime(name string) (time.Time, bool) {
	match := homeMadeName.FindStringSubmatch(name)
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

// readAllHomeMade reads several at once: one after the other, some thousands would take minutes.
func readAllHomeMade(ctx context.Context, source archive.Archive, objects []*homeMade, progress func(done, total int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan *homeMade)
	var readers sync.WaitGroup
	var mu sync.Mutex
	done := int64(0)
	for range min(homeMadeReaders, len(objects)) {
		readers.Go(func() {
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
	readers.Wait()
	return context.Cause(ctx)
}

// read sets err where it is the object that is wrong, and returns the error where it is the source.
func (o *homeMade) read(ctx context.Context, source archive.Archive) error {
	data, _, err := archive.ReadAll(ctx, source, o.key, maxHomeMade)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrTooLarge):
		o.err = err
	case err != nil:
		return err
	default:
		o.data = bytes.TrimSpace(data)
		o.cp, o.recorded, o.err = parseHomeMade(o.data)
	}
	if o.cp != nil {
		// The name's time is the machine's clock, and the one that orders; a record's may be of any zone.
		o.cp.SavedAt = o.named
		if o.recorded.Truncate(time.Second).Equal(o.named) {
			o.cp.SavedAt = o.recorded
		}
	}
	return nil
}

// parseHomeMade reads a record: all of it is the version's state.
func parseHomeMade(data []byte) (*checkpoint.Checkpoint, time.Time, error) {
	var fields struct {
		ID         json.RawMessage `json:"last_processed_id"`
		Timestamp  json.RawMessage `json:"timestamp"`
		Statistics *struct {
			Processed *json.Number `json:"processed_records"`
			Failed    *json.Number `json:"failed_records"`
		} `json:"batch_statistics"`
		Processed *json.Number    `json:"records_processed"`
		Failed    *json.Number    `json:"records_failed"`
		Error     json.RawMessage `json:"error"`
	}
	switch {
	case len(data) == 0:
		return nil, time.Time{}, errors.New("it is empty")
	case !utf8.Valid(data):
		return nil, time.Time{}, errors.New("it is not valid UTF-8")
	case data[0] != '{':
		return nil, time.Time{}, errors.New("it is no JSON object")
	}
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, time.Time{}, err
	}
	cp := &checkpoint.Checkpoint{State: data, ContentType: "application/json", LastError: store.CutText(textOf(fields.Error), store.MaxLastError)}
	var err error
	if cp.Cursor, err = cursorOf(fields.ID); err != nil {
		return nil, time.Time{}, err
	}
	processed, failed := fields.Processed, fields.Failed
	if s := fields.Statistics; s != nil {
		if processed == nil {
			processed = s.Processed
		}
		if failed == nil {
			failed = s.Failed
		}
	}
	if cp.Processed, err = countOf(processed); err != nil {
		return nil, time.Time{}, fmt.Errorf("how many were processed: %w", err)
	}
	if cp.Failed, err = countOf(failed); err != nil {
		return nil, time.Time{}, fmt.Errorf("how many failed: %w", err)
	}
	return cp, timeOf(fields.Timestamp), nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// textOf is a string's content, and any other value as it is written.
func textOf(raw json.RawMessage) string {
	var text string
	if isNull(raw) || json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

func cursorOf(raw json.RawMessage) (string, error) {
	if !isNull(raw) && raw[0] != '"' && raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return "", fmt.Errorf("last_processed_id is neither a text nor a number: %.40s", raw)
	}
	return textOf(raw), nil
}

func countOf(n *json.Number) (int64, error) {
	if n == nil {
		return 0, nil
	}
	count, err := n.Int64()
	if err != nil || count < 0 {
		return 0, fmt.Errorf("%s is no count", n)
	}
	return count, nil
}

// timeOf reads what Python's isoformat writes, in UTC where it names no zone, RFC 3339, or unix
// seconds; else it is zero.
func timeOf(raw json.RawMessage) time.Time {
	text := textOf(raw)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 && seconds < 1e12 {
		whole, fraction := math.Modf(seconds)
		return time.Unix(int64(whole), int64(fraction*1e6)*1000).UTC()
	}
	return time.Time{}
}

// order sorts the versions by the time in the name and then by that in the record, and finds what
// these do not put in order.
func (h *homeMadeHistory) order() {
	slices.SortFunc(h.versions, func(a, b *homeMade) int {
		if c := a.named.Compare(b.named); c != 0 {
			return c
		}
		if c := a.recorded.Compare(b.recorded); c != 0 {
			return c
		}
		return strings.Compare(a.key, b.key)
	})
	var kept []*homeMade
	for i := 0; i < len(h.versions); {
		end := i + 1
		for end < len(h.versions) && h.versions[end].named.Equal(h.versions[i].named) {
			end++
		}
		kept = append(kept, h.sameSecond(h.versions[i:end])...)
		i = end
	}
	h.versions = kept
	for i, o := range h.versions {
		o.cp.Version = int64(i + 1)
		if folder := path.Dir(o.key); !slices.Contains(h.folders, folder) {
			h.folders = append(h.folders, folder)
		}
	}
}

// sameSecond looks at objects of one time by name, in order, and returns them without repetitions.
func (h *homeMadeHistory) sameSecond(group []*homeMade) []*homeMade {
	var kept []*homeMade
	for _, o := range group {
		if slices.ContainsFunc(kept, func(k *homeMade) bool { return bytes.Equal(k.data, o.data) }) {
			h.repeated = append(h.repeated, o)
		} else {
			kept = append(kept, o)
		}
	}
	if len(kept) > 1 && kept[0].recorded.IsZero() { // it may be before any of the others, or after
		h.ties = append(h.ties, kept)
		return kept
	}
	for i := 0; i < len(kept); {
		end := i + 1
		for end < len(kept) && kept[end].recorded.Equal(kept[i].recorded) {
			end++
		}
		if end-i > 1 {
			h.ties = append(h.ties, kept[i:end:end])
		}
		i = end
	}
	return kept
}

// doubt returns why it is not known which version is the newest; nil: it is.
func (h *homeMadeHistory) doubt() error {
	refused := func(format string, args ...any) error {
		return fmt.Errorf("import %s: %w: %s; --skip KEY leaves an object out", h.place, checkpoint.ErrRefused, fmt.Sprintf(format, args...))
	}
	if len(h.versions) == 0 {
		if len(h.unreadable) > 0 {
			return refused("of %s none can be read", countText(int64(len(h.unreadable)), "object"))
		}
		return fmt.Errorf("import %s: %w: there is no checkpoint_<unix seconds>.json", h.place, store.ErrNotFound)
	}
	newest := h.versions[len(h.versions)-1]
	for _, o := range h.unreadable {
		if !o.named.Before(newest.named) {
			return refused("%s, the newest by its name, cannot be read, and an older one does not stand in for it: %v", o.key, o.err)
		}
	}
	for _, tie := range h.ties {
		if slices.Contains(tie, newest) {
			return refused("which is the newest of %s cannot be known", strings.Join(keysOf(tie), " and "))
		}
	}
	return nil
}

func keysOf(objects []*homeMade) []string {
	var keys []string
	for _, o := range objects {
		keys = append(keys, o.key)
	}
	return keys
}
