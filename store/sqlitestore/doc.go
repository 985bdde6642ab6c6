// Package sqlitestore is the embedded engine: it keeps checkpoints in one SQLite file, for any
// number of processes on one machine, and needs no set-up.
//
// The file is in WAL mode. Each write is one immediate transaction, so its condition and its change
// are one step. An acknowledged write survives the crash of any process, and of the machine
// (synchronous=FULL). The newest heartbeats are the exception: the machine's crash may lose them.
// That does no harm, because their holders are gone with the machine.
//
// The tables begin with milepost_, and the format's number is a row of milepost_meta. So the file
// can have the caller's own tables too ([New]), and [Exec] puts the caller's statements into the
// transaction of a commit. schema.sql says what the columns hold, for people with the sqlite3
// shell. The file's encoding is UTF-8.
//
// The transactions that write new copies remove expired ones, a few at a time.
//
// One database is three files: the file, its write-ahead log (-wal) with what was saved last, and
// the log's index (-shm). SQLite finds the other two by the name of the first. So a file on a
// network filesystem is refused, if the system reports it as such, and a file that has several
// names, or that is mounted without its directory, is read and not written. The three files must
// not be removed, replaced or copied while they are in use; sqlite3's .backup copies a database. If
// one of them is removed or replaced, each call of the store fails, and the error names the
// versions that are lost. docs/operations.md says how to restore a backup.
package sqlitestore
