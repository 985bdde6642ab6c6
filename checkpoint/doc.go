// Package checkpoint is what programs import: it keeps the progress of data jobs. A job
// saves where it is, its counts and its own state every so often; when it dies, the next
// run resumes from the last save; and while one run holds the checkpoint's lease, no other
// run can advance it, not even one that was paused and wakes up.
//
// [Run] is the whole of it for most jobs: it acquires, resumes, saves, releases. [Open] and
// [Session.Close] are for those who steer themselves. [Get], [History], [Runs] and [List] read, without a
// lease. [Rollback], [Reset], [Set] and [Delete] are commits like any save: they are made
// under the lease, so that no live job is changed unnoticed.
//
// With [Options].Archive, states that are too large for the store lie in an archive, every version is mirrored there behind the
// saves, and what the store no longer holds is read from there. [Sync], [Verify] and [GC] keep it in order; [Restore] brings a checkpoint
// back that the store has lost; [Export] and [Import] move one to another store.
//
// # What is promised
//
// A save that returned nil is never lost, and the next run resumes from the newest. A save that failed
// has not landed and never will. One whose outcome is unknown is never reported as either: it is settled
// first. Cursor, counts and state in one version belong together, always.
//
// # What is not
//
// Records after the last save are processed again after a crash. Where that must not be,
// write the output with the checkpoint ([Session.SaveStep]), or make a repeat harmless. A job that was
// paused past its lease may still do things outside the store until it notices; fence those
// with [Session.Epoch].
package checkpoint
