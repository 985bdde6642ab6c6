package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

var expectation = store.Expectation{Every: 24 * time.Hour, Grace: 90 * time.Minute, SetBy: "ops " + hostile, SetAt: someTime}

func (f fixture) expect(t *testing.T, want *store.Expectation) {
	t.Helper()
	got := f.look(t).Expect
	if want == nil {
		assert.Nil(t, got)
		return
	}
	require.NotNil(t, got, "there is no EXPECT")
	g := *got
	g.SetAt = g.SetAt.UTC().Round(0)
	assert.Equal(t, *want, g)
}

var expectRules = []rule{
	{"sets, replaces and removes the expectation", func(t *testing.T, f fixture) {
		f.expect(t, nil)
		first, second := expectation, store.Expectation{Every: time.Minute, SetAt: someTime.Add(time.Hour)}
		var observed *store.Expectation
		for _, e := range []*store.Expectation{&first, &second, nil, nil, &first} {
			require.NoError(t, f.Expect(t.Context(), f.key, observed, e))
			f.expect(t, e)
			observed = e
		}
	}},
	{"is refused by an expectation that is not exactly as observed", func(t *testing.T, f fixture) {
		full, bare := expectation, store.Expectation{Every: time.Minute}
		require.Nil(t, conflict(t, f.Expect(t.Context(), f.key, &full, &bare)).Expect)
		require.Nil(t, conflict(t, f.Expect(t.Context(), f.key, &full, nil)).Expect)
		f.expect(t, nil)
		for _, there := range []store.Expectation{full, bare} {
			require.NoError(t, f.Expect(t.Context(), f.key, f.look(t).Expect, &there))
			for what, change := range map[string]func(*store.Expectation){
				"every":  func(e *store.Expectation) { e.Every += time.Second },
				"grace":  func(e *store.Expectation) { e.Grace += time.Second },
				"set by": func(e *store.Expectation) { e.SetBy += " again" },
				"set at": func(e *store.Expectation) { e.SetAt = e.SetAt.Add(time.Since(time.Unix(0, 0))) },
			} {
				other := there
				change(&other)
				for _, observed := range []*store.Expectation{nil, &other} {
					for _, next := range []*store.Expectation{nil, &expectation} {
						c := conflict(t, f.Expect(t.Context(), f.key, observed, next))
						require.NotNil(t, c.Expect, what)
						f.expect(t, &there)
					}
				}
			}
		}
	}},
	{"needs no HEAD, makes none, and lists the name", func(t *testing.T, f fixture) {
		e := expectation
		require.NoError(t, f.Expect(t.Context(), f.key, nil, &e))
		assert.Nil(t, f.look(t).Head)
		f.names(t, "", "", f.key.Name)
		require.NoError(t, f.Expect(t.Context(), f.key, &e, nil))
		f.names(t, "", "")
	}},
	{"stays when HEAD is written whole", func(t *testing.T, f fixture) {
		e := expectation
		require.NoError(t, f.Expect(t.Context(), f.key, nil, &e))
		f.raise(t, 1)
		require.NoError(t, f.commit(t, bare(1, 1, "c1")))
		f.expect(t, &e)
	}},
}

// list makes checkpoints of these names in the fixture's namespace, half of them with a HEAD and
// half with an EXPECT.
func (f fixture) list(t *testing.T, names ...string) {
	t.Helper()
	for i, name := range names {
		other := f
		other.key.Name = name
		require.NoError(t, other.key.Validate())
		if i%2 == 0 {
			e := expectation
			require.NoError(t, f.Expect(t.Context(), other.key, other.look(t).Expect, &e))
			continue
		}
		other.raise(t, 1)
		require.NoError(t, other.commit(t, bare(1, 1, "c1")))
	}
}

var hostileNames = []string{
	"%", "%a", "'; DROP TABLE", "*", "A", "B", "[a]", "\\", "_", "_x", "a", "a b", "a#b", "a%", "a/b", "a/b/c", "a_", "aa", "b", "ba",
	"e\u0301", "z", "é", "ÿ", "€", "🚂", "🚂/a", "\U0010FFFF", "\U0010FFFF\U0010FFFF",
}

var namesRules = []rule{
	{"are in the order of their bytes", func(t *testing.T, f fixture) {
		f.list(t, hostileNames...)
		want := slices.Clone(hostileNames)
		slices.Sort(want)
		f.names(t, "", "", want...)
	}},
	{"are chosen by a prefix of bytes, whatever is in it", func(t *testing.T, f fixture) {
		f.list(t, hostileNames...)
		for _, prefix := range append(hostileNames, "a/", "e", "'", "🚂/", "no such", "\xc3", "a\x00") {
			var want []string
			for _, name := range hostileNames {
				if strings.HasPrefix(name, prefix) {
					want = append(want, name)
				}
			}
			slices.Sort(want)
			f.names(t, prefix, "", want...)
		}
	}},
	{"go on after a name, listed or not", func(t *testing.T, f fixture) {
		f.list(t, hostileNames...)
		for _, prefix := range []string{"", "a", "🚂"} {
			for _, after := range append(hostileNames, "no such", "a/", "\x01", "0") {
				var want []string
				for _, name := range hostileNames {
					if strings.HasPrefix(name, prefix) && name > after {
						want = append(want, name)
					}
				}
				slices.Sort(want)
				f.names(t, prefix, after, want...)
			}
		}
	}},
	{"of a HEAD and an EXPECT are given once", func(t *testing.T, f fixture) {
		f.list(t, "b", "b", "a", "a", "c", "c")
		f.names(t, "", "", "a", "b", "c")
	}},
	{"begin with the first commit, and not with a lease, a fence or a copy", func(t *testing.T, f fixture) {
		f.acquire(t, heldLease(1, "l1"))
		f.raise(t, 1)
		f.copy(t, bareCopy(1, 1, "c1"))
		f.names(t, "", "")
		require.NoError(t, f.commit(t, bare(1, 1, "c1")))
		f.names(t, "", "", f.key.Name)
	}},
	{"are those of one namespace", func(t *testing.T, f fixture) {
		f.list(t, "a")
		for _, ns := range []string{f.key.Namespace + "0", f.key.Namespace[:len(f.key.Namespace)-1]} {
			other := f
			other.key = store.Key{Namespace: ns, Name: "theirs"}
			other.list(t, "theirs")
		}
		f.names(t, "", "", "a")
	}},
	{"may be of any length, and fill many pages", func(t *testing.T, f fixture) {
		const n = 1200 // of 512 bytes each
		want := make([]string, n)
		for i := range want {
			want[i] = fmt.Sprintf("%04d", i)
			want[i] += strings.Repeat("x", store.MaxName-len(want[i]))
		}
		var wg sync.WaitGroup
		for part := range slices.Chunk(want, n/8) {
			wg.Go(func() {
				for _, name := range part {
					e := store.Expectation{Every: time.Hour}
					err := untilTaken(t.Context(), func() error {
						return f.Expect(t.Context(), store.Key{Namespace: f.key.Namespace, Name: name}, nil, &e)
					})
					assert.NoError(t, err)
				}
			})
		}
		wg.Wait()
		f.names(t, "", "", want...)
		f.names(t, "", want[n-3], want[n-2:]...)
	}},
	{"end where the reader stops", func(t *testing.T, f fixture) {
		f.list(t, "a", "b", "c")
		f.names(t, "", "", "a", "b", "c")
		read := 0
		for _, err := range f.Names(t.Context(), f.key.Namespace, "", "") {
			require.NoError(t, err)
			read++
			break
		}
		assert.Equal(t, 1, read)
	}},
}

// untilTaken repeats do while the engine refuses it for now, as callers do.
func untilTaken(ctx context.Context, do func() error) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		err := do()
		if !isThrottled(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

var peekRules = []rule{
	{"reads all of many checkpoints in the order given", func(t *testing.T, f fixture) {
		var all []store.Key
		for i := range store.MaxPeek {
			at := f
			at.key.Name = fmt.Sprintf("%02d", store.MaxPeek-i)
			all = append(all, at.key)
			if i%4 == 3 {
				continue // nothing is there
			}
			at.acquire(t, heldLease(int64(i+1), "l"))
			at.raise(t, int64(i+1))
			require.NoError(t, at.commit(t, fullVersion(1, int64(i+1), "c")))
			if i%2 == 0 {
				e := expectation
				require.NoError(t, f.Expect(t.Context(), at.key, nil, &e))
			}
		}
		for i, r := range f.peek(t, all) {
			if i%4 == 3 {
				assert.Nil(t, r.Head)
				assert.Nil(t, r.Lease)
				assert.Nil(t, r.Expect)
				continue
			}
			equalVersion(t, fullVersion(1, int64(i+1), "c"), r.Head.Version)
			equalLease(t, heldLease(int64(i+1), "l"), r.Lease)
			assert.Equal(t, i%2 == 0, r.Expect != nil)
		}
	}},
	{"reads a checkpoint as often as it is given", func(t *testing.T, f fixture) {
		f.raise(t, 3)
		for _, r := range f.peek(t, []store.Key{f.key, f.key}) {
			require.NotNil(t, r.Head)
			assert.Equal(t, int64(3), r.Head.Fence.Epoch)
		}
	}},
	{"of nothing reads nothing", func(t *testing.T, f fixture) {
		assert.Empty(t, f.peek(t, nil))
	}},
	{"reads large records past the end of a page", func(t *testing.T, f fixture) {
		var all []store.Key
		v := bare(1, 1, "c")
		v.State = state(make([]byte, 100<<10))
		for i := range store.MaxPeek {
			at := f
			at.key.Name = fmt.Sprint(i)
			all = append(all, at.key)
			at.raise(t, 1)
			require.NoError(t, at.commit(t, v))
		}
		for _, r := range f.peek(t, all) {
			require.NotNil(t, r.Head)
			equalVersion(t, v, r.Head.Version)
		}
	}},
}

// peek reads until it sees what Look does, since it may lag.
func (f fixture) peek(t *testing.T, all []store.Key) []store.Records {
	t.Helper()
	want := make([]store.Records, len(all))
	for i, key := range all {
		var err error
		want[i], err = f.Look(t.Context(), key)
		require.NoError(t, err)
		want[i].Clock = store.Clock{}
	}
	var got []store.Records
	eventually(t, func() bool {
		var err error
		got, err = f.Peek(t.Context(), all)
		require.NoError(t, err)
		for i := range got {
			got[i].Clock = store.Clock{}
		}
		return assert.ObjectsAreEqual(want, got)
	}, func() string { return fmt.Sprintf("peek never agreed with look: want %v, got %v", want, got) })
	return got
}
