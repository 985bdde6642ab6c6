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
// A file on a network filesystem is refused, if the system reports it as such. The file must not be
// removed, replaced or copied while it is in use; sqlite3's .backup copies it. If the file is
// removed, each call of the store fails.
package sqlitestore
