package checkpoint

import "github.com/milepost-dev/milepost/store/archive"

// Mirroring is how far the mirror of a session has come.
type Mirroring struct {
	Through int64         // all versions up to here are mirrored, but for the gaps
	Waiting int64         // how many versions since wait for it
	Gaps    []archive.Gap // that this session came upon
	Err     error         // why the last try failed; nil: it did not
}
