package archive_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

var orders = store.Key{Namespace: "default", Name: "orders/eu/shard-03"}

func TestKeysOfACheckpointsObjects(t *testing.T) {
	id := archive.ID{Version: 12, Epoch: 1_000_003, CommitID: "7F-3k_2m"}
	assert.Equal(t, "body/default/orders/eu/shard-03/0a1b2c3d-12-7F-3k_2m", archive.BodyKey(orders, archive.BodyID{Home: "0a1b2c3d", Version: 12, CommitID: "7F-3k_2m"}))
	assert.Equal(t, "v/default/orders/eu/shard-03/00000000000000000012-1000003-7F-3k_2m.json", archive.VersionKey(orders, id))
	assert.Equal(t, "v/default/orders/eu/shard-03/latest.json", archive.LatestKey(orders))

	key, parsed, err := archive.ParseVersionKey(archive.VersionKey(orders, id))
	require.NoError(t, err)
	assert.Equal(t, orders, key)
	assert.Equal(t, id, parsed)
}

func TestAKeyThatIsNoneOfOursIsNotTakenApart(t *testing.T) {
	for _, key := range []string{
		"", "x", "body", "body/", "body/ns", "body/ns/name", "body/ns/name/", "body/ns/name/0a1b2c3d-12", "body/ns/name/0a1b2c3d--c", "body/ns/name/0a1b2c3d-0-c",
		"body/ns/name/12-c", "body/ns/name/0a1b2c3-12-c", "body/ns/name/0A1b2c3d-12-c", "body/ns/name/0a1b2c3g-12-c", "body/ns/name/-12-c",
		"body/ns/name/0a1b2c3d-012-c", "body/ns/name/0a1b2c3d-+12-c", "body/ns/name/0a1b2c3d-12-", "body/ns/name/0a1b2c3d-12-c.d",
		"body/ns/name/0a1b2c3d-99999999999999999999-c",
		"body/ns//0a1b2c3d-12-c", "body//name/0a1b2c3d-12-c", "body/ns/../0a1b2c3d-12-c", "Body/ns/name/0a1b2c3d-12-c", "body/n#s/name/0a1b2c3d-12-c",
		"v/ns/name/latest.json", "v/ns/name/00000000000000000012-3-c", "v/ns/name/12-3-c.json", "v/ns/name/00000000000000000012-03-c.json",
		"v/ns/name/00000000000000000012-0-c.json", "v/ns/name/00000000000000000000-1-c.json", "v/ns/name/00000000000000000012-3-.json",
		"body/ns/name/0a1b2c3d-9223372036854775807-c", "body/ns/name/0a1b2c3d-1000000000000000001-c",
		"v/ns/name/09223372036854775807-1-c.json", "v/ns/name/00000000000000000012-9223372036854775807-c.json",
		"v/ns/name/01000000000000000001-1-c.json", "v/ns/na\uFFFEme/00000000000000000012-3-c.json",
		"v/ns/name/00000000000000000012-3.json", "v/ns/00000000000000000012-3-c.json", "v/ns/name/000000000000000000012-3-c.json",
	} {
		_, _, err := archive.ParseBodyKey(key)
		assert.ErrorIs(t, err, archive.ErrKey, "body key %q", key)
		_, _, err = archive.ParseVersionKey(key)
		assert.ErrorIs(t, err, archive.ErrKey, "version key %q", key)
	}
}

func TestTheLongestKeyIsThatOfTheLongestName(t *testing.T) {
	key := store.Key{Namespace: strings.Repeat("n", store.MaxNamespace), Name: strings.Repeat("é", store.MaxName/2)}
	commit := strings.Repeat("c", archive.MaxCommitID)
	require.NoError(t, key.Validate())
	longest := archive.VersionKey(key, archive.ID{Version: math.MaxInt64, Epoch: math.MaxInt64, CommitID: commit})
	assert.Len(t, longest, archive.LongestKey)
	assert.NoError(t, archive.ValidateKey(longest))
	for _, other := range []string{archive.LatestKey(key), archive.BodyKey(key, archive.BodyID{Home: "0a1b2c3d", Version: math.MaxInt64, CommitID: commit})} {
		assert.LessOrEqual(t, len(other), archive.LongestKey)
	}
}

func TestKeysOfVersionsSortByNumber(t *testing.T) {
	var keys []string
	for _, version := range []int64{1, 2, 9, 10, 99, 1000, math.MaxInt64} {
		keys = append(keys, archive.VersionKey(orders, archive.ID{Version: version, Epoch: 1, CommitID: "c"}))
	}
	assert.True(t, slices.IsSorted(append(keys, archive.LatestKey(orders))), "%v", keys)
}

// What is made is taken apart to the same, and what is taken apart was made by
// us: so two checkpoints never share a key.
func FuzzKeys(f *testing.F) {
	f.Add("default", "orders/eu", int64(12), int64(3), "7f3k2m")
	f.Add("a", "body/0a1b2c3d-1-x", int64(1), int64(1), "x-y-z")
	f.Add("v", "a/latest.json", int64(store.MaxNumber), int64(store.MaxNumber), "latest")
	f.Add("v", "a/latest.json", int64(math.MaxInt64), int64(math.MaxInt64), "latest")
	f.Add("ns", "a/00000000000000000012-3-c.json", int64(12), int64(3), "c")
	f.Add("ns", "a", int64(-1), int64(0), "../x")
	f.Fuzz(func(t *testing.T, namespace, name string, version, epoch int64, commit string) {
		key := store.Key{Namespace: namespace, Name: name}
		valid := key.Validate() == nil && version > 0 && epoch > 0 && max(version, epoch) <= store.MaxNumber && archive.ValidateCommitID(commit) == nil
		id, body := archive.ID{Version: version, Epoch: epoch, CommitID: commit}, archive.BodyID{Home: "0a1b2c3d", Version: version, CommitID: commit}

		gotKey, gotID, err := archive.ParseVersionKey(archive.VersionKey(key, id))
		if valid {
			require.NoError(t, err)
			assert.Equal(t, key, gotKey)
			assert.Equal(t, id, gotID)
			assert.NoError(t, archive.ValidateKey(archive.VersionKey(key, id)))
		} else if err == nil {
			assert.Equal(t, archive.VersionKey(key, id), archive.VersionKey(gotKey, gotID))
		}
		gotKey, gotBody, err := archive.ParseBodyKey(archive.BodyKey(key, body))
		if valid {
			require.NoError(t, err)
			assert.Equal(t, key, gotKey)
			assert.Equal(t, body, gotBody)
			assert.NoError(t, archive.ValidateKey(archive.BodyKey(key, body)))
		} else if err == nil {
			assert.Equal(t, archive.BodyKey(key, body), archive.BodyKey(gotKey, gotBody))
		}
		if key, body, err := archive.ParseBodyKey(name); err == nil {
			assert.Equal(t, name, archive.BodyKey(key, body))
		}
		if key, id, err := archive.ParseVersionKey(name); err == nil {
			assert.Equal(t, name, archive.VersionKey(key, id))
		}
	})
}
