package archive

import (
	"cmp"
	"slices"
)

// Compare orders IDs by epoch and then by version. That is the order in which commits were made,
// even across the loss of a table. latest.json moves only upward in it.
func Compare(a, b ID) int {
	return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Version, b.Version))
}

// Newest returns the newest of the versions in a mirror, the highest by [Compare], and whether
// there is any. The newest version always counts, in the sense of [Counting].
func Newest(ids []ID) (newest ID, ok bool) {
	if len(ids) == 0 {
		return ID{}, false
	}
	return slices.MaxFunc(ids, Compare), true
}

// Counting returns the versions in a mirror that count, by rising version. A version counts if no
// higher epoch has a version as low or lower. A dead line wrote the others, perhaps late: a line is
// the versions that a store made until it was lost, and once a higher epoch has begun at version n,
// a lower epoch does not count from n on. Two IDs of one version and epoch, which no healthy store
// makes, are both returned.
func Counting(ids []ID) []ID {
	sorted := slices.Clone(ids)
	slices.SortFunc(sorted, func(a, b ID) int {
		return cmp.Or(cmp.Compare(a.Version, b.Version), -cmp.Compare(a.Epoch, b.Epoch),
			cmp.Compare(a.CommitID, b.CommitID))
	})
	var epoch int64 // the highest so far
	return slices.DeleteFunc(sorted, func(id ID) bool {
		dead := id.Epoch < epoch
		epoch = max(epoch, id.Epoch)
		return dead
	})
}
