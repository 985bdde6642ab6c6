package sqlitestore

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

// fullVersion has something in every field, and what is hard to keep in some.
func fullVersion(n int64) store.Version {
	v := version(n)
	v.Cursor = "ord-\x00\xff\u00e9'\"%"
	v.Finished = []store.Range{{First: "a", Last: "<b>"}, {First: "\u00e9\x00", Last: "z"}}
	v.Processed, v.Failed, v.Schema = math.MaxInt64, 3, math.MaxInt64
	v.LastError, v.Identity, v.Reason = "it broke", "input-1", "because"
	v.State = state("\x00\x01state")
	v.Ended, v.Deleted, v.RestoredFrom = store.EndedError, true, 2
	v.Born, v.Starts = 2, []int64{3, 5}
	return v
}

func fullLease() store.Lease {
	h := holder
	h.Boot, h.PIDSpace, h.PIDStart, h.TimeSpace = "boot-1", "4026531836", "8812", "4026531834"
	return store.Lease{
		Epoch: fence.Epoch, LeaseID: fence.LeaseID, Beat: 3, Status: store.Held, Holder: h, Duration: 30 * time.Second,
		Until:      store.Clock{Wall: when, Boot: "boot-1", Uptime: 1234567 * time.Microsecond},
		AcquiredAt: when, RenewedAt: when.Add(time.Second), Reason: "stolen", Version: 9,
		Wanted: &store.Wanted{By: "other", Count: 4},
	}
}

func TestEveryFieldOfARecordIsReadAsItWasWritten(t *testing.T) {
	path := newFile(t)
	s := openStore(t, path, nil)
	ctx := t.Context()
	v, l := fullVersion(5), fullLease()
	c := store.Copy{Version: v, ExpiresAt: when, Label: "before the migration"}
	e := store.Expectation{Every: time.Hour, Grace: time.Minute, SetBy: "me", SetAt: when}
	head := store.Head{Version: v, Fence: fence, Holder: holder, Listed: true}

	_, _, err := s.Raise(ctx, key, fence, holder, true)
	require.NoError(t, err)
	openSQLExec(t, path, "UPDATE milepost_head SET version = 4, commit_id = 'c', commit_epoch = 1, born = 1")
	_, err = s.Commit(ctx, key, store.Commit{Fence: fence, Base: 4, Next: v})
	require.NoError(t, err)
	_, err = s.Acquire(ctx, key, nil, l)
	require.NoError(t, err)
	require.NoError(t, s.Copy(ctx, key, c))
	require.NoError(t, s.Expect(ctx, key, nil, &e))
	require.NoError(t, s.Close())

	s = openStore(t, path, nil)
	found, err := s.Look(ctx, key)
	require.NoError(t, err)
	assert.Equal(t, &head, found.Head)
	assert.Equal(t, &l, found.Lease)
	assert.Equal(t, &e, found.Expect)
	copied, err := s.Version(ctx, key, 5)
	require.NoError(t, err)
	assert.Equal(t, c, copied)
}

func openSQLExec(t *testing.T, path, query string) {
	t.Helper()
	db := openSQL(t, path)
	execSQL(t, db, query)
	require.NoError(t, db.Close())
}

func TestAnEmptyStateIsNotNoState(t *testing.T) {
	s := openStore(t, newFile(t), nil)
	raised(t, s)
	commit := commitOf(1)
	commit.Next.State = state("")
	_, err := s.Commit(t.Context(), key, commit)
	require.NoError(t, err)
	require.NotNil(t, headOf(t, s).State)
	assert.Equal(t, []byte{}, headOf(t, s).State.Data)

	_, err = s.Commit(t.Context(), key, commitOf(2))
	require.NoError(t, err)
	assert.Nil(t, headOf(t, s).State, "nothing is left over from the version before")
}

func TestOnlyLEASEKeepsWhatAProcessIsJudgedBy(t *testing.T) {
	s := openStore(t, newFile(t), nil)
	_, _, err := s.Raise(t.Context(), key, fence, fullLease().Holder, true)
	require.NoError(t, err)
	assert.Equal(t, holder, headOf(t, s).Holder)
}

func TestAFinishedRangeThatJSONWouldChangeIsRefused(t *testing.T) {
	s := openStore(t, newFile(t), nil)
	raised(t, s)
	commit := commitOf(1)
	commit.Next.Finished = []store.Range{{First: "a\xff", Last: "b"}}
	_, err := s.Commit(t.Context(), key, commit)
	require.ErrorIs(t, err, store.ErrNotApplied)
	assert.Zero(t, headOf(t, s).Number)
}

// Each of these is a row as no release writes it: reading it is an error that names
// the record, and nothing overwrites it.
func TestADamagedRecordIsNeverTrustedAndNeverOverwritten(t *testing.T) {
	read := map[string]func(*testing.T, *Store) error{
		"HEAD":                   func(t *testing.T, s *Store) error { _, err := s.Look(t.Context(), key); return err },
		"LEASE":                  func(t *testing.T, s *Store) error { _, err := s.Look(t.Context(), key); return err },
		"EXPECT":                 func(t *testing.T, s *Store) error { _, err := s.Look(t.Context(), key); return err },
		"V#00000000000000000001": func(t *testing.T, s *Store) error { _, err := s.Version(t.Context(), key, 1); return err },
	}
	write := map[string]func(*testing.T, *Store) error{
		"HEAD": func(t *testing.T, s *Store) error {
			_, _, err := s.Raise(t.Context(), key, store.Fence{Epoch: 8, LeaseID: "lease-8"}, holder, true)
			return err
		},
		"LEASE": func(t *testing.T, s *Store) error {
			_, _, err := s.Renew(t.Context(), key, store.Renewal{Fence: fence, Beat: 99, RenewedAt: when})
			return err
		},
		"EXPECT": func(t *testing.T, s *Store) error { return s.Expect(t.Context(), key, nil, nil) },
		"V#00000000000000000001": func(t *testing.T, s *Store) error {
			v := version(1)
			v.CommitEpoch = 99
			return s.KeepBase(t.Context(), key, v)
		},
	}
	tables := map[string]string{
		"HEAD": "milepost_head", "LEASE": "milepost_lease", "EXPECT": "milepost_expect", "V#00000000000000000001": "milepost_version",
	}
	tests := []struct{ record, set, says string }{
		{"HEAD", "version = NULL", "version is missing"},
		{"HEAD", "version = 'two'", "version is of the wrong type"},
		{"HEAD", "version = -1", "version is -1"},
		{"HEAD", "version = 1.5", "version is of the wrong type"},
		{"HEAD", "epoch = 'x'", "epoch is of the wrong type"},
		{"HEAD", "epoch = NULL", "epoch is missing"},
		{"HEAD", "epoch = 0", "epoch is 0"},
		{"HEAD", "lease_id = ''", "lease_id is missing"},
		{"HEAD", "cursor = NULL", "cursor is missing"},
		{"HEAD", "cursor = x'00'", "cursor is of the wrong type"},
		{"HEAD", "listed = 2", "listed is 2"},
		{"HEAD", "processed = -1", "counts are negative"},
		{"HEAD", "commit_id = ''", "commit_id is missing"},
		{"HEAD", "born = 9", "born is 9"},
		{"HEAD", "state_body = 'body/default/a/1-c'", "state"},
		{"HEAD", "archived_through = version + 1", "archived_through"},
		{"HEAD", "archived_through = NULL", "archived_through is missing"},
		{"HEAD", "starts = '[1,'", "starts: "},
		{"HEAD", "starts = '[\"1\"]'", "starts: "},
		{"HEAD", "finished = '[[\"a\"]]'", "finished: a range has 1 ends"},
		{"HEAD", "state_sha256 = x'00'", "sha256 has 1 bytes"},
		{"HEAD", "state_sha256 = NULL", "state_type is there, and state_sha256 is not"},
		{"HEAD", "state = 'text'", "state is of the wrong type"},
		{"HEAD", "saved_at = 'yesterday'", "saved_at is of the wrong type"},
		{"HEAD", "fmt = NULL", "fmt is missing"},
		{"HEAD", "fmt = 0", "fmt is 0"},
		{"LEASE", "status = 'maybe'", `status is "maybe"`},
		{"LEASE", "duration_ms = 0", "duration is 0s"},
		{"LEASE", "duration_ms = 9223372036854775807", "duration_ms is 9223372036854775807"},
		{"LEASE", "beat = 'x'", "beat is of the wrong type"},
		{"LEASE", "until_boot = NULL", "until_uptime is there, and until_boot is not"},
		{"LEASE", "wanted_by = NULL", "wanted_count is there, and wanted_by is not"},
		{"EXPECT", "every_us = NULL", "every_us is missing"},
		{store.CopyRecord(1), "commit_epoch = 'x'", "commit_epoch is of the wrong type"},
		{store.CopyRecord(1), "expires_at = 'x'", "expires_at is of the wrong type"},
		{store.CopyRecord(1), "label = NULL", "label is missing"},
	}
	for record := range tables {
		tests = append(tests,
			struct{ record, set, says string }{record, "fmt = 2", "fmt is 2: written by a newer release"},
			struct{ record, set, says string }{record, "extra = 1", "a field that this release does not know: extra"})
	}
	for _, test := range tests {
		t.Run(test.record+" "+test.set, func(t *testing.T) {
			path := newFile(t)
			s := openStore(t, path, nil)
			damaged(t, s)
			db, table := openSQL(t, path), tables[test.record]
			execSQL(t, db, "ALTER TABLE "+table+" ADD COLUMN extra")
			execSQL(t, db, "UPDATE "+table+" SET "+test.set)
			before := dump(t, db, table)

			for what, err := range map[string]error{"read": read[test.record](t, s), "write": write[test.record](t, s)} {
				var bad *store.BadRecordError
				require.ErrorAs(t, err, &bad, what)
				assert.Equal(t, test.record, bad.Record, what)
				assert.Equal(t, key, bad.Key, what)
				assert.ErrorIs(t, err, store.ErrBadRecord, what)
				assert.ErrorContains(t, err, test.says, what)
				assert.ErrorContains(t, err, path, what)
				assert.Equal(t, test.set == "fmt = 2", isNewer(err), what)
				assert.Equal(t, what == "write", isNotApplied(err), what)
			}
			assert.Equal(t, before, dump(t, db, table))
		})
	}
}

// damaged has one record of each kind, still sound.
func damaged(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	raised(t, s)
	commit := commitOf(1)
	commit.Next.State = state("state")
	_, err := s.Commit(ctx, key, commit)
	require.NoError(t, err)
	_, err = s.Acquire(ctx, key, nil, fullLease())
	require.NoError(t, err)
	require.NoError(t, s.Copy(ctx, key, store.Copy{Version: version(1)}))
	require.NoError(t, s.Expect(ctx, key, nil, &store.Expectation{Every: time.Hour}))
}

func TestACommitUnderAnotherFormatIsRefused(t *testing.T) {
	path := newFile(t)
	s := openStore(t, path, nil)
	committed(t, s, 1)
	db := openSQL(t, path)
	execSQL(t, db, "UPDATE milepost_head SET fmt = 2")
	_, err := s.Commit(t.Context(), key, commitOf(2))
	require.ErrorIs(t, err, store.ErrNewerFormat)
	require.ErrorIs(t, err, store.ErrNotApplied)
	assert.Equal(t, 1, count(t, db, "SELECT version FROM milepost_head"))
}

func TestAColumnThatARowDoesNotUseHarmsNobody(t *testing.T) {
	path := newFile(t)
	s := openStore(t, path, nil)
	committed(t, s, 1)
	execSQL(t, openSQL(t, path), "ALTER TABLE milepost_head ADD COLUMN extra")
	_, err := s.Commit(t.Context(), key, commitOf(2))
	require.NoError(t, err)
	assert.Equal(t, int64(2), headOf(t, s).Number)
}
