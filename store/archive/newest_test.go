package archive_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/milepost-dev/milepost/store/archive"
)

func ids(pairs ...[2]int64) []archive.ID {
	var list []archive.ID
	for _, p := range pairs {
		list = append(list, archive.ID{Version: p[0], Epoch: p[1], CommitID: "c"})
	}
	return list
}

func TestAnObjectCountsUnlessAHigherEpochHasAVersionAsLow(t *testing.T) {
	const restored = 1_000_003
	for _, test := range []struct {
		name     string
		mirrored []archive.ID
		newest   archive.ID
		counting []archive.ID
	}{
		{"one", ids([2]int64{1, 1}), archive.ID{Version: 1, Epoch: 1, CommitID: "c"}, ids([2]int64{1, 1})},
		{"a takeover", ids([2]int64{1, 1}, [2]int64{2, 1}, [2]int64{3, 2}),
			archive.ID{Version: 3, Epoch: 2, CommitID: "c"}, ids([2]int64{1, 1}, [2]int64{2, 1}, [2]int64{3, 2})},
		{"a hole", ids([2]int64{1, 1}, [2]int64{7, 4}),
			archive.ID{Version: 7, Epoch: 4, CommitID: "c"}, ids([2]int64{1, 1}, [2]int64{7, 4})},
		{"restored at 2, where the table had reached 4",
			ids([2]int64{1, 1}, [2]int64{2, 1}, [2]int64{3, 1}, [2]int64{4, 2}, [2]int64{2, restored}),
			archive.ID{Version: 2, Epoch: restored, CommitID: "c"}, ids([2]int64{1, 1}, [2]int64{2, restored})},
		{"the dead line's late write, higher than all",
			ids([2]int64{2, restored}, [2]int64{3, restored}, [2]int64{90, 5}),
			archive.ID{Version: 3, Epoch: restored, CommitID: "c"}, ids([2]int64{2, restored}, [2]int64{3, restored})},
		{"the dead line's late write, below where the new one begins",
			ids([2]int64{2, restored}, [2]int64{1, 1}),
			archive.ID{Version: 2, Epoch: restored, CommitID: "c"}, ids([2]int64{1, 1}, [2]int64{2, restored})},
		{"restored twice",
			ids([2]int64{1, 1}, [2]int64{2, 1}, [2]int64{3, 1}, [2]int64{3, restored}, [2]int64{4, restored}, [2]int64{2, 2 * restored}),
			archive.ID{Version: 2, Epoch: 2 * restored, CommitID: "c"}, ids([2]int64{1, 1}, [2]int64{2, 2 * restored})},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range 10 {
				rand.Shuffle(len(test.mirrored), func(i, j int) {
					test.mirrored[i], test.mirrored[j] = test.mirrored[j], test.mirrored[i]
				})
				given := slices.Clone(test.mirrored)
				newest, ok := archive.Newest(test.mirrored)
				assert.True(t, ok)
				assert.Equal(t, test.newest, newest)
				assert.Equal(t, test.counting, archive.Counting(test.mirrored))
				assert.Equal(t, given, test.mirrored, "what is given stays as it is")
			}
		})
	}
	_, ok := archive.Newest(nil)
	assert.False(t, ok)
	assert.Empty(t, archive.Counting(nil))
}

func TestTwoOfOneVersionAndEpochAreBothShown(t *testing.T) {
	both := []archive.ID{{Version: 3, Epoch: 2, CommitID: "a"}, {Version: 3, Epoch: 2, CommitID: "b"}}
	assert.Equal(t, both, archive.Counting([]archive.ID{both[1], both[0]}))
}

// By the sentence of the rule, word for word.
func TestCountingIsWhatTheRuleSays(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var mirrored []archive.ID
		for range r.IntN(12) {
			id := archive.ID{Version: 1 + r.Int64N(6), Epoch: 1 + r.Int64N(5), CommitID: "c"}
			if !slices.Contains(mirrored, id) {
				mirrored = append(mirrored, id)
			}
		}
		var want []archive.ID
		for _, o := range mirrored {
			if !slices.ContainsFunc(mirrored, func(p archive.ID) bool { return p.Epoch > o.Epoch && p.Version <= o.Version }) {
				want = append(want, o)
			}
		}
		got := archive.Counting(mirrored)
		assert.ElementsMatch(t, want, got, "seed %d: %v", seed, mirrored)
		assert.True(t, slices.IsSortedFunc(got, func(a, b archive.ID) int { return int(a.Version - b.Version) }))
		if newest, ok := archive.Newest(mirrored); ok {
			assert.Contains(t, got, newest, "seed %d: the newest counts", seed)
			assert.Equal(t, got[len(got)-1], newest, "seed %d: and is the last of those that do", seed)
		}
	}
}

// A job runs through takeovers, losses of its table and restores; objects of dead lines come
// late or not at all; but the first of a restored line is there before anything
// follows it. What counts is what the living line has behind it, and nothing else.
func TestWhatCountsIsTheHistoryOfTheLivingLine(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 2))
		var mirrored, history []archive.ID
		epoch := int64(1)
		for line := range 1 + r.IntN(4) {
			if line > 0 { // restored: from some version on, under an epoch above any seen
				from := 1 + r.Int64N(history[len(history)-1].Version+2)
				history = slices.DeleteFunc(history, func(id archive.ID) bool { return id.Version >= from })
				epoch += 1_000_000
				first := archive.ID{Version: from, Epoch: epoch, CommitID: "c"}
				history, mirrored = append(history, first), append(mirrored, first)
			}
			for range r.IntN(6) + 1 {
				epoch += r.Int64N(2) // taken over, or not
				next := archive.ID{Version: 1, Epoch: epoch, CommitID: "c"}
				if len(history) > 0 {
					next.Version = history[len(history)-1].Version + 1
				}
				history = append(history, next)
				if r.IntN(4) > 0 {
					mirrored = append(mirrored, next)
				}
			}
		}
		want := slices.DeleteFunc(slices.Clone(history), func(id archive.ID) bool { return !slices.Contains(mirrored, id) })
		assert.Equal(t, append([]archive.ID{}, want...), append([]archive.ID{}, archive.Counting(mirrored)...), "seed %d: %v", seed, mirrored)
	}
}
