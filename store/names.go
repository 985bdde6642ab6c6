package store

import (
	"fmt"
	"strconv"
	"strings"
)

// The names of a checkpoint's records. [CopyRecord] has those of the copies.
const (
	RecordHead   = "HEAD"
	RecordLease  = "LEASE"
	RecordExpect = "EXPECT"
)

const copyPrefix = "V#"

// CopyRecord is the name of the copy of a version, such as V#00000000000000000041. It has twenty
// digits, so that the names sort as the versions do.
func CopyRecord(version int64) string { return fmt.Sprintf("%s%020d", copyPrefix, version) }

// CopyVersion returns the version of the copy that has this name. It reports false for any name
// that [CopyRecord] does not make.
func CopyVersion(record string) (version int64, ok bool) {
	digits, ok := strings.CutPrefix(record, copyPrefix)
	if !ok {
		return 0, false
	}
	version, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || CopyRecord(version) != record {
		return 0, false
	}
	return version, true
}
