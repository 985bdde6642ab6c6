// Package sqlitestore is the embedded engine: checkpoints in one SQLite file, for
// any number of processes on one machine, with nothing to set up.
//
// The file is in WAL mode. Each write is one immediate transaction, so that the
// condition and what it guards are one step whoever else writes. What was
// acknowledged survives the crash of any process and, but for the newest
// heartbeats, of the machine (synchronous=FULL): a lost heartbeat harms nobody,
// since its holder is gone with the machine.
//
// The tables begin with milepost_ and the format's number is a row of
// milepost_meta, so the file may be the caller's own ([New]); [Exec] then puts the
// caller's statements into the transaction of a commit. schema.sql says what the
// columns hold, for people with the sqlite3 shell. The file's encoding is UTF-8.
//
// Expired copies are removed, a few at a time, by the transactions that write new
// ones.
//
// A network filesystem is refused where the system tells. The file must not be
// removed, replaced or copied while it is in use (sqlite3's .backup is the way to
// copy it); a store whose file is gone fails every call.
package sqlitestore
