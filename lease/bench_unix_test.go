//go:build unix

package lease

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/memstore"
)

// punctual is a store that notes the longest time between two beats of one lease.
type punctual struct {
	store.Store
	last  sync.Map // store.Key → time.Time
	worst atomic.Int64
	beats atomic.Int64
}

func (p *punctual) Renew(ctx context.Context, key store.Key, r store.Renewal) (store.Lease, store.Clock, error) {
	now := time.Now()
	if before, ok := p.last.Swap(key, now); ok {
		p.note(now.Sub(before.(time.Time)))
	}
	p.beats.Add(1)
	return p.Store.Renew(ctx, key, r)
}

func (p *punctual) note(gap time.Duration) {
	for {
		worst := p.worst.Load()
		if int64(gap) <= worst || p.worst.CompareAndSwap(worst, int64(gap)) {
			return
		}
	}
}

// BenchmarkTenThousandLeases holds 10,000 leases of the default duration in one process
// for three beats each, and reports the longest gap between two beats (5 s is due, and past
// 15 s a commit would have to wait) and the cores that it took.
func BenchmarkTenThousandLeases(b *testing.B) {
	const leases = 10_000
	for b.Loop() {
		st := &punctual{Store: memstore.New(nil)}
		held := make([]*Lease, leases)
		for i := range held {
			key := store.Key{Namespace: "default", Name: fmt.Sprintf("job-%05d", i)}
			l, err := Acquire(b.Context(), st, key, nil)
			require.NoError(b, err)
			held[i] = l
		}
		st.beats.Store(0)
		before, began := cpuTime(b), time.Now()
		for st.beats.Load() < 3*leases {
			time.Sleep(100 * time.Millisecond) // the wait is what is measured
		}
		b.ReportMetric((cpuTime(b)-before).Seconds()/time.Since(began).Seconds(), "cores")
		b.ReportMetric(time.Duration(st.worst.Load()).Seconds(), "s-longest-gap")
		for _, l := range held {
			require.NoError(b, l.Release(context.Background()))
		}
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
