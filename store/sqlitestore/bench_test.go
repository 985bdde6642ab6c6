package sqlitestore

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

// BenchmarkCommitOverTheSameRowByHand interleaves commits with what a careful
// person writes without this package, into another file: one durable immediate
// transaction around one prepared statement that puts the same row under the same
// condition. x/by-hand is the ratio of the medians.
func BenchmarkCommitOverTheSameRowByHand(b *testing.B) {
	for _, size := range []int{100, 4096, 65536} {
		b.Run(fmt.Sprintf("state=%d", size), func(b *testing.B) {
			ctx := b.Context()
			s := openStore(b, newFile(b), nil)
			raised(b, s)
			hand := newByHand(b)
			c := commitOf(1)
			c.Next.State = state(strings.Repeat("x", size))

			var ours, theirs []time.Duration
			for n := int64(0); b.Loop(); n++ {
				c.Base, c.Next.Number = n, n+1
				start := time.Now()
				_, err := s.Commit(ctx, key, c)
				ours = append(ours, time.Since(start))
				require.NoError(b, err)

				start = time.Now()
				changed, err := hand.commit(ctx, c)
				theirs = append(theirs, time.Since(start))
				require.NoError(b, err)
				require.Equal(b, int64(1), changed)
			}
			b.ReportMetric(float64(median(ours))/float64(median(theirs)), "x/by-hand")
			b.ReportMetric(float64(median(ours)), "commit-p50-ns")
			b.ReportMetric(float64(median(theirs)), "by-hand-p50-ns")
		})
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

type byHand struct {
	db     *sql.DB
	update *sql.Stmt
}

func newByHand(b *testing.B) *byHand {
	path := newFile(b)
	s, err := Open(b.Context(), path, nil)
	require.NoError(b, err)
	raised(b, s)
	require.NoError(b, s.Close())
	params := url.Values{
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)"},
		"_txlock": {"immediate"},
	}
	db, err := sql.Open("sqlite", "file:"+path+"?"+params.Encode())
	require.NoError(b, err)
	db.SetMaxOpenConns(1)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	update, err := db.PrepareContext(b.Context(), commitHead)
	require.NoError(b, err)
	return &byHand{db, update}
}

func (h *byHand) commit(ctx context.Context, c store.Commit) (int64, error) {
	tx, err := h.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }()
	version, err := versionValues(&c.Next)
	if err != nil {
		return 0, err
	}
	result, err := tx.StmtContext(ctx, h.update).ExecContext(ctx, slices.Concat(holderValues(c.Next.By), version,
		[]any{key.Namespace, key.Name, store.Format, c.Fence.Epoch, c.Fence.LeaseID, c.Base})...)
	if err != nil {
		return 0, err
	}
	changed, err := result.RowsAffected()
	if err != nil {
		return 0, err
	}
	return changed, tx.Commit()
}

// BenchmarkRenew is one heartbeat, of one among many leases.
func BenchmarkRenew(b *testing.B) {
	s := openStore(b, newFile(b), nil)
	_, err := s.Acquire(b.Context(), key, nil, fullLease())
	require.NoError(b, err)
	for n := fullLease().Beat + 1; b.Loop(); n++ {
		_, _, err := s.Renew(b.Context(), key, store.Renewal{Fence: fence, Beat: n, RenewedAt: when})
		require.NoError(b, err)
	}
}
