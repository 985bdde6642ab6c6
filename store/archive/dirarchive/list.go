package dirarchive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/milepost-dev/milepost/store/archive"
)

// List implements [archive.Archive]. It reads a whole directory before it yields anything from it.
func (a *Archive) List(ctx context.Context, prefix string, opts *archive.ListOptions) iter.Seq2[archive.Object, error] {
	if opts == nil {
		opts = &archive.ListOptions{}
	}
	return func(yield func(archive.Object, error) bool) {
		w := &walk{archive: a, ctx: ctx, prefix: prefix, opts: opts, yield: yield}
		above := "" // the directory that the prefix ends in
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			above = prefix[:i+1]
		}
		var dir []string
		for segment := range strings.SplitSeq(strings.TrimSuffix(above, "/"), "/") {
			if above == "" {
				break
			}
			if archive.ValidateKey(segment) != nil {
				return // nothing can be there
			}
			dir = append(dir, segmentPath(segment, false)...)
		}
		w.below(path.Join(dir...), above)
	}
}

type walk struct {
	archive *Archive
	ctx     context.Context
	prefix  string
	opts    *archive.ListOptions
	yield   func(archive.Object, error) bool
}

// below yields what lies in a directory, in which the keys of objects begin with above. It returns
// false if the loop is over.
func (w *walk) below(dir, above string) bool {
	entries, err := w.archive.entries(w.ctx, dir, nil, "")
	if err != nil {
		w.yield(archive.Object{}, w.archive.failed("list", w.prefix, err))
		return false
	}
	for i := range entries {
		entries[i].key = above + entries[i].key
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	for _, e := range entries {
		if !strings.HasPrefix(e.key, w.prefix) {
			continue
		}
		if !w.entry(e) {
			return false
		}
	}
	return true
}

func (w *walk) entry(e entry) bool {
	after := w.opts.After
	switch {
	case e.dir && !w.opts.Delimiter:
		if e.key < after && !strings.HasPrefix(after, e.key) {
			return true // all keys there come before After
		}
		return w.below(e.path, e.key)
	case e.key <= after:
		return true
	case e.dir:
		some, err := w.archive.holdsAny(w.ctx, e.path)
		if err != nil {
			w.yield(archive.Object{}, w.archive.failed("list", w.prefix, err))
			return false
		}
		return !some || w.yield(archive.Object{Key: e.key, Prefix: true}, nil)
	}
	object, err := w.archive.stat(e.key)
	if errors.Is(err, fs.ErrNotExist) { // deleted just now
		return true
	}
	if err != nil {
		w.yield(archive.Object{}, w.archive.failed("list", w.prefix, err))
		return false
	}
	return w.yield(object, nil)
}

// entry is an object, or a directory that may hold objects, whose key ends with '/'.
type entry struct {
	key  string
	path string
	dir  bool
}

// entries returns what lies in a directory, in no order. The key of an entry is its last segment
// only. If the segment began in directories above, names are their names, and begun is the part of
// the segment that they hold.
func (a *Archive) entries(ctx context.Context, dir string, names []string, begun string) ([]entry, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	file, err := a.root.Open(path.Join(".", dir))
	if errors.Is(err, fs.ErrNotExist) {
		if dir == "" {
			return nil, err
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	listed, err := file.ReadDir(-1)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("read directory: %w", err)
	}
	var found []entry
	for _, l := range listed {
		name := l.Name()
		isDir := l.IsDir()
		part, ok := parseName(name, isDir)
		if !ok || !isDir && !l.Type().IsRegular() {
			continue // not ours
		}
		all := append(slices.Clone(names), name)
		if part.goesOn {
			more, err := a.entries(ctx, path.Join(dir, name), all, begun+part.text)
			if err != nil {
				return nil, err
			}
			found = append(found, more...)
			continue
		}
		segment := begun + part.text
		if archive.ValidateKey(segment) != nil || strings.Contains(segment, "/") ||
			!slices.Equal(segmentPath(segment, !isDir), all) {
			continue // not ours
		}
		e := entry{key: segment, path: path.Join(dir, name), dir: isDir}
		if isDir {
			e.key += "/"
		}
		found = append(found, e)
	}
	return found, nil
}

// holdsAny reports whether there is an object in a directory or below it.
func (a *Archive) holdsAny(ctx context.Context, dir string) (bool, error) {
	entries, err := a.entries(ctx, dir, nil, "")
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		some := !e.dir
		if e.dir {
			some, err = a.holdsAny(ctx, e.path)
		}
		if some || err != nil {
			return some, err
		}
	}
	return false, nil
}
