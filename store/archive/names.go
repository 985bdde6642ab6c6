package archive

import (
	"context"
	"iter"
	"strings"
)

// Names yields the names in a namespace that begin with prefix and have objects in the mirror or
// among the bodies. It yields each name once, in the order of the mirror's keys and then of the
// bodies' keys. It lists every object there, and ends after the first error.
func Names(ctx context.Context, a Archive, namespace, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		mirrored := map[string]bool{}
		for _, root := range []string{versions, bodies} {
			for name, err := range namesBelow(ctx, a, root+namespace+"/", root+namespace+"/"+prefix) {
				if err == nil && (mirrored[name] || !strings.HasPrefix(name, prefix)) {
					continue
				}
				if !yield(name, err) || err != nil {
					return
				}
				if root == versions {
					mirrored[name] = true
				}
			}
		}
	}
}

// namesBelow walks the keys that begin with prefix, level by level: a level has a name as soon as
// it has an object.
func namesBelow(ctx context.Context, a Archive, root, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		seen := false
		for object, err := range a.List(ctx, prefix, &ListOptions{Delimiter: true}) {
			if err != nil {
				yield("", err)
				return
			}
			if object.Prefix {
				for name, err := range namesBelow(ctx, a, root, object.Key) {
					if !yield(name, err) || err != nil {
						return
					}
				}
				continue
			}
			name, _, ok := cutLast(strings.TrimPrefix(object.Key, root))
			if !ok || seen {
				continue
			}
			seen = true
			if !yield(name, nil) {
				return
			}
		}
	}
}

func cutLast(path string) (dir, last string, ok bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}
