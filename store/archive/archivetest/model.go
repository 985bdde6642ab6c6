package archivetest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// runModel does what chance says, and compares every answer with a map's.
func runModel(t *testing.T, factory Factory, opts *Options) {
	a := factory(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	held, etags := map[string][]byte{}, map[string][]string{}
	for step := range 300 {
		key := "k/" + strconv.Itoa(r.IntN(5))
		data := noise(uint64(step), r.IntN(300)+step%7+1)
		there, exists := held[key]
		switch r.IntN(5) {
		case 0:
			made, err := a.Create(t.Context(), key, bytes.NewReader(data))
			require.Equal(t, exists, errors.Is(err, archive.ErrExists), "step %d: create %s: %v", step, key, err)
			if !exists {
				require.NoError(t, err)
				held[key], etags[key] = data, append(etags[key], made.ETag)
			}
		case 1, 2:
			etag := ""
			if seen := etags[key]; len(seen) > 0 && r.IntN(8) > 0 {
				etag = seen[len(seen)-1-r.IntN(min(2, len(seen)))]
			}
			may := !exists && etag == "" || exists && etag == last(etags[key])
			made, err := a.Replace(t.Context(), key, etag, data)
			require.Equal(t, !may, opts.refused(err), "step %d: replace %s: %v", step, key, err)
			if may {
				require.NoError(t, err)
				held[key], etags[key] = data, append(etags[key], made.ETag)
			}
		case 3:
			require.NoError(t, a.Delete(t.Context(), key), "step %d: delete %s", step, key)
			delete(held, key)
		case 4:
			data, object, err := archive.ReadAll(t.Context(), a, key, archive.MaxReplace)
			require.Equal(t, !exists, errors.Is(err, store.ErrNotFound), "step %d: open %s: %v", step, key, err)
			if exists {
				require.NoError(t, err)
				same(t, there, data, key)
				require.Equal(t, last(etags[key]), object.ETag, "step %d: etag of %s", step, key)
			}
		}
		if step%10 == 0 {
			var want []string
			for key := range held {
				want = append(want, key)
			}
			slices.Sort(want)
			require.Equal(t, want, keys(t, a, "k/", nil), "step %d: list", step)
		}
	}
}

func last(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[len(s)-1]
}
