// Package checkpoint is what programs import: it keeps the progress of data jobs. A job saves where
// it is, its counts and its own state every so often; when it dies, the next run resumes from the
// last save; and while one run holds the checkpoint's lease, no other run can advance it, not even
// one that was paused and wakes up.
//
// A [Namespace] says where checkpoints are kept: a store, an archive, and the rules for both. [Run]
// is enough for most jobs: it acquires, resumes, saves and releases. [Open] and [Session.Close] are
// for jobs with their own control flow. [Namespace.Get], [Namespace.History], [Namespace.Runs] and
// [Namespace.List] read, without a lease. [Namespace.Rollback], [Namespace.Reset], [Namespace.Set]
// and [Namespace.Delete] are commits like any save: they take the lease, so that no live job is
// changed unnoticed.
//
// With an Archive, states that are too large for the store lie in the archive. Every version is
// mirrored there after the saves. What the store no longer holds is read from there.
// [Namespace.Sync], [Namespace.Verify] and [Namespace.GC] keep the archive in order.
// [Namespace.Restore] brings back a checkpoint that the store has lost. An [Exporter] and
// [Namespace.Import] move checkpoints to another store.
//
// # What is promised
//
// A save that returned nil is never lost, and the next run resumes from the newest. A save that
// failed has not landed and never will. One whose outcome is unknown is never reported as either:
// it is settled first. Cursor, counts and state in one version belong together, always.
//
// # What is not
//
// Records after the last save are processed again after a crash. Where that must not be, write the
// output with the checkpoint ([Session.SaveStep]), or make a repeat harmless. A job that was paused
// past its lease may still do things outside the store until it notices; fence those with
// [Session.Epoch].
//
// # Where it is
//
// A save goes through these files, in this order:
//
//	save.go       the session takes what is to be saved: a save
//	turn.go       it waits for its turn, until a commit may start
//	commit.go     it becomes the next version, and its state gets its place
//	settle.go     it is sent until its outcome is known
//	copies.go     the copy of the version is written behind it
//	retention.go  the version says which versions stay, and old ones expire again
//
// step.go, stream.go, autosave.go, close.go and edit.go are other ways in.
package checkpoint
