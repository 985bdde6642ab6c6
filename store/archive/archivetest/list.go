package archivetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store/archive"
)

func runList(t *testing.T, factory Factory, opts *Options) {
	t.Run("what lies below a prefix comes in the order of its bytes", func(t *testing.T) {
		a := factory(t)
		all := []string{"a-b/1", "a.b/1", "a/1", "a/10", "a/2", "a/b/1", "a/b/2", "a0/1", "b/1", "é/1"}
		for _, i := range rand.Perm(len(all)) {
			create(t, a, all[i], []byte(all[i]))
		}
		checkListings(t, a, all, []string{"", "a", "a/", "a/1", "a/b", "a/b/", "a/b/1", "b", "c", "é", "none/", "a/b/1/"}, append(all, "", "a", "a/", "a/b/", "a/b0", "zzz"))
	})
	t.Run("objects have their size, and prefixes are told from them", func(t *testing.T) {
		a := factory(t)
		create(t, a, "a/1", []byte("12345"))
		create(t, a, "a/b/1", []byte("1"))
		var found []archive.Object
		for object, err := range a.List(t.Context(), "a/", &archive.ListOptions{Delimiter: true}) {
			require.NoError(t, err)
			found = append(found, object)
		}
		require.Len(t, found, 2)
		assert.Equal(t, int64(5), found[0].Size)
		assert.False(t, found[0].ModifiedAt.IsZero())
		assert.Equal(t, archive.Object{Key: "a/b/", Prefix: true}, found[1])
	})
	t.Run("a loop may end early", func(t *testing.T) {
		a := factory(t)
		create(t, a, "1", nil)
		create(t, a, "2", nil)
		for object, err := range a.List(t.Context(), "", nil) {
			require.NoError(t, err)
			assert.Equal(t, "1", object.Key)
			break
		}
	})
	t.Run("more than a page", func(t *testing.T) {
		a := factory(t)
		const n = 1100
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf("many/%05d", i)
		}
		var wg sync.WaitGroup
		for part := range slices.Chunk(all, n/10) {
			wg.Go(func() {
				for _, key := range part {
					if _, err := a.Create(t.Context(), key, strings.NewReader(key)); err != nil {
						t.Errorf("create %s: %v", key, err)
					}
				}
			})
		}
		wg.Wait()
		assert.Equal(t, all, keys(t, a, "many/", nil))
		assert.Equal(t, all, keys(t, a, "many/", &archive.ListOptions{Delimiter: true}))
		assert.Equal(t, all[1050:], keys(t, a, "many/", &archive.ListOptions{After: all[1049]}))
		assert.Equal(t, []string{"many/"}, keys(t, a, "", &archive.ListOptions{Delimiter: true}))
	})
	t.Run("every listing of keys made by chance is as it should be", func(t *testing.T) {
		listByChance(t, factory(t), opts)
	})
}

// checkListings compares every combination with what [listed] says.
func checkListings(t *testing.T, a archive.Archive, all, prefixes, afters []string) {
	t.Helper()
	for _, prefix := range prefixes {
		for _, after := range afters {
			for _, delimiter := range []bool{false, true} {
				opts := &archive.ListOptions{Delimiter: delimiter, After: after}
				assert.Equal(t, listed(all, prefix, opts), keys(t, a, prefix, opts),
					"prefix %q, after %q, delimiter %v", prefix, after, delimiter)
			}
		}
	}
}

// listed is what List yields of these keys.
func listed(all []string, prefix string, opts *archive.ListOptions) []string {
	var found []string
	for _, key := range slices.Sorted(slices.Values(all)) {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		if i := strings.IndexByte(rest, '/'); i >= 0 && opts.Delimiter {
			key = prefix + rest[:i+1]
		}
		if key > opts.After && !slices.Contains(found, key) {
			found = append(found, key)
		}
	}
	return found
}

func listByChance(t *testing.T, a archive.Archive, opts *Options) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	alphabet := []string{"a", "b", "-", "0", "!", "é", "~"}
	if !opts.NotEveryKey {
		alphabet = append(alphabet, "A", ".", "%", "+", strings.Repeat("x", 239), ".json")
	}
	chance := func(segments int) string {
		var parts []string
		for range segments {
			part := ""
			for range 1 + r.IntN(3) {
				part += alphabet[r.IntN(len(alphabet))]
			}
			parts = append(parts, part)
		}
		return strings.Join(parts, "/")
	}
	held := map[string]bool{}
	for range 60 {
		key := chance(1 + r.IntN(3))
		if opts.NotEveryKey {
			key += "/k=" // no key is the beginning of another's path
		}
		if archive.ValidateKey(key) != nil || held[key] {
			continue
		}
		held[key] = true
		create(t, a, key, []byte(key))
	}
	var all []string
	for key := range held {
		all = append(all, key)
	}
	prefixes, afters := []string{""}, []string{""}
	for range 6 {
		key := all[r.IntN(len(all))]
		prefixes = append(prefixes, key[:1+r.IntN(len(key))], chance(1))
		afters = append(afters, key, chance(2))
	}
	prefixes = slices.DeleteFunc(prefixes, invalidText)
	checkListings(t, a, all, prefixes, slices.DeleteFunc(afters, invalidText))
}

// invalidText reports what a request cannot carry: half of a letter.
func invalidText(s string) bool { return strings.ToValidUTF8(s, "") != s }
