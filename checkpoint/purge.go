package checkpoint

// Purged counts what a deletion removes from the archive.
type Purged struct {
	Objects int64 // of the mirror, latest.json among them
	Bodies  int64
	Bytes   int64 // of both
}
