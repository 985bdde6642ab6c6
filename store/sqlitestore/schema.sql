-- Times are integers, microseconds since the epoch; NULL is "none".
-- The tables are not STRICT, so that a shell older than 3.37 can read the file too.
-- Each read checks the types itself.

CREATE TABLE milepost_meta (
  key   TEXT PRIMARY KEY,
  value INTEGER
) WITHOUT ROWID;

CREATE TABLE milepost_head (
  ns             TEXT NOT NULL,
  name           TEXT NOT NULL,
  fmt            INTEGER,
  listed         INTEGER, -- 1: milepost list shows it
  epoch          INTEGER, -- the fence, and the lease that raised it
  lease_id       TEXT,
  holder_id      TEXT,    -- who raised it
  holder_host    TEXT,
  holder_pid     INTEGER,
  holder_run     TEXT,
  version        INTEGER, -- 0: only the fence was raised
  commit_id      TEXT,
  commit_epoch   INTEGER,
  by_id          TEXT,    -- who committed this version
  by_host        TEXT,
  by_pid         INTEGER,
  by_run         TEXT,
  saved_at       INTEGER,
  cursor         TEXT,
  finished       TEXT,    -- JSON: [[first, last], ...], finished out of order above the cursor
  processed      INTEGER,
  failed         INTEGER,
  last_error     TEXT,
  identity       TEXT,
  schema         INTEGER, -- of the job's state
  ended          TEXT,    -- done, error, yielded, stopped
  deleted        INTEGER,
  restored_from  INTEGER,
  reason         TEXT,
  born           INTEGER, -- the first version of this life
  starts         TEXT,    -- JSON: [version, ...], where the newest sessions started
  archived_through INTEGER, -- up to which version the mirror was known to be complete
  state_type     TEXT,
  state_encoding TEXT,    -- '' or zstd
  state_size     INTEGER, -- bytes before compression
  state_sha256   BLOB,    -- of state; NULL: no state was saved
  state_body     TEXT,    -- the key in the archive of the object with the state; '': the next column has the state
  state          BLOB,    -- last: a large one must not push the others to overflow pages
  PRIMARY KEY (ns, name)
);

CREATE TABLE milepost_version (
  ns             TEXT NOT NULL,
  name           TEXT NOT NULL,
  fmt            INTEGER,
  expires_at     INTEGER, -- a later save removes it; NULL: never
  label          TEXT,    -- not '': a savepoint
  kept           INTEGER, -- 1: one of the newest versions that sessions started from, so it does not expire
  version        INTEGER,
  commit_id      TEXT,
  commit_epoch   INTEGER,
  by_id          TEXT,
  by_host        TEXT,
  by_pid         INTEGER,
  by_run         TEXT,
  saved_at       INTEGER,
  cursor         TEXT,
  finished       TEXT,
  processed      INTEGER,
  failed         INTEGER,
  last_error     TEXT,
  identity       TEXT,
  schema         INTEGER,
  ended          TEXT,
  deleted        INTEGER,
  restored_from  INTEGER,
  reason         TEXT,
  born           INTEGER,
  starts         TEXT,
  archived_through INTEGER,
  state_type     TEXT,
  state_encoding TEXT,
  state_size     INTEGER,
  state_sha256   BLOB,
  state_body     TEXT,
  state          BLOB,
  PRIMARY KEY (ns, name, version)
);

CREATE INDEX milepost_version_expires_at ON milepost_version (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE milepost_lease (
  ns               TEXT NOT NULL,
  name             TEXT NOT NULL,
  fmt              INTEGER,
  epoch            INTEGER,
  lease_id         TEXT,
  beat             INTEGER,
  status           TEXT,    -- held, free
  holder_id        TEXT,
  holder_host      TEXT,
  holder_pid       INTEGER,
  holder_run       TEXT,
  holder_boot      TEXT,
  holder_pid_space TEXT,
  holder_pid_start TEXT,
  holder_time_space TEXT,
  duration_ms      INTEGER,
  until_wall       INTEGER, -- when it ends, by the wall clock
  until_boot       TEXT,    -- and by the clock of this boot,
  until_uptime     INTEGER, -- in microseconds since the boot
  acquired_at      INTEGER,
  renewed_at       INTEGER,
  reason           TEXT,
  wanted_by        TEXT,    -- NULL: no one asks for it
  wanted_count     INTEGER,
  version          INTEGER, -- the last one that the holder knew
  PRIMARY KEY (ns, name)
) WITHOUT ROWID;

CREATE TABLE milepost_expect (
  ns       TEXT NOT NULL,
  name     TEXT NOT NULL,
  fmt      INTEGER,
  every_us INTEGER,
  grace_us INTEGER,
  set_by   TEXT,
  set_at   INTEGER,
  PRIMARY KEY (ns, name)
) WITHOUT ROWID;

INSERT INTO milepost_meta (key, value) VALUES ('format', 1);
