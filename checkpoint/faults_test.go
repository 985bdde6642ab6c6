package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/faultstore"
)

// Each request of a whole session in turn loses its reply, or itself, or is delivered late, twice, or
// not for a long time: the session is none the wiser, and no version is lost.
func TestAWholeSessionUnderAFaultAtEachRequest(t *testing.T) {
	for what, fault := range map[string]faultstore.Fault{
		"reply lost": faultstore.LoseReply, "request lost": faultstore.LoseRequest, "throttled": faultstore.Throttle,
		"late": faultstore.Hold, "twice": faultstore.Duplicate, "hanging": faultstore.Hang, "hanging, landed": faultstore.HangAfter,
		"slow": faultstore.Delay(3 * time.Second),
	} {
		t.Run(what, func(t *testing.T) {
			for request := 1; request <= 16; request++ {
				over(t, func(r *rig) {
					r.versions(1)
					r.On("", request, fault)
					s := r.open(&checkpoint.Options{Interval: time.Hour}) // no save but the test's
					for i := range 3 {
						s.Mark("marked", add(1))
						require.NoError(r, s.Save(r.Context(), fmt.Sprint(i), sum{int64(i)}), "request %d", request)
						for _, late := range r.Held() {
							_ = late.Deliver(r.Context()) // whatever it says, below it must have changed nothing
						}
					}
					r.done(s)
					for _, late := range r.Held() {
						_ = late.Deliver(r.Context())
					}
					r.assertHistory(6, 5, 4, 3, 2, 1)
					cp := r.get()
					assert.Equal(r, "2", cp.Cursor, "request %d", request)
					assert.Equal(r, int64(3), cp.Processed)
					assert.Equal(r, int64(2), r.sum())
					for v := int64(1); v <= 6; v++ {
						assert.Equal(r, v, r.copy(v).Number)
					}
				})
			}
		})
	}
}

// Sessions come and go while every tenth request meets a fault and leases are broken at random. What was
// acknowledged is in the history, what failed is not, and each version was committed once.
func TestWhatASaveSaysIsSoUnderRandomFaults(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			over(t, func(r *rig) {
				var mu sync.Mutex // the lease's goroutine draws, too
				source := rand.New(rand.NewPCG(seed, 11))
				below := func(n int) int {
					mu.Lock()
					defer mu.Unlock()
					return source.IntN(n)
				}
				faults := []faultstore.Fault{
					faultstore.LoseReply, faultstore.LoseRequest, faultstore.Throttle, faultstore.Hold, faultstore.Duplicate,
					faultstore.Delay(time.Second), faultstore.Hang, faultstore.HangAfter,
				}
				r.On("", 0, func(ctx context.Context, c *faultstore.Call) error {
					if below(10) > 0 {
						return c.Deliver(ctx)
					}
					return faults[below(len(faults))](ctx, c)
				})
				acknowledged, failed, known := map[string]bool{}, map[string]bool{}, map[string]bool{}
				for range 12 {
					s, err := checkpoint.Open[sum](r.Context(), in(r.Store), name, &checkpoint.Options{
						Lease: lease.Options{Duration: 5 * time.Second, Wait: time.Minute}, Interval: time.Hour,
					})
					if err != nil {
						time.Sleep(10 * time.Second)
						continue
					}
					for range below(6) {
						ctx, cancel := context.WithTimeout(r.Context(), time.Duration(below(20))*time.Second)
						if below(2) == 0 {
							err = s.Save(ctx, "a", sum{})
						} else {
							err = s.SaveStep(ctx, at("a"))
						}
						cancel()
						for _, c := range r.Calls("Commit") {
							id := c.Arg.(store.Commit).Next.CommitID
							if known[id] {
								continue
							}
							known[id] = true
							switch {
							case err == nil:
								acknowledged[id] = true
							case errors.Is(err, checkpoint.ErrOutcomeUnknown):
							case errors.Is(err, store.ErrNotApplied) || errors.Is(err, lease.ErrLost):
								failed[id] = true
							default:
								require.NoError(r, err)
							}
						}
						if late := r.Held(); len(late) > 0 {
							_ = late[below(len(late))].Deliver(r.Context())
						}
						if below(8) == 0 {
							_, _ = lease.Break(r.Context(), r.inner, key, &lease.BreakOptions{Reason: "chance", Now: true})
						}
					}
					_ = s.Close(r.Context(), nil)
					for _, c := range r.Calls("Commit") {
						known[c.Arg.(store.Commit).Next.CommitID] = true // the closing commit's says nothing here
					}
				}
				for _, late := range r.Held() {
					_ = late.Deliver(r.Context())
				}
				r.Clear()
				last := r.open(&checkpoint.Options{Lease: lease.Options{Wait: time.Minute}})
				r.done(last)
				want := r.head().Number
				committed := map[string]bool{}
				for cp, err := range in(r.inner).History(r.Context(), name, nil) {
					require.NoError(r, err)
					assert.Equal(r, want, cp.Number, "the history has no hole")
					want--
					committed[cp.CommitID] = true
				}
				assert.Zero(r, want)
				for id := range acknowledged {
					assert.True(r, committed[id], "save %s was acknowledged", id)
				}
				for id := range failed {
					assert.False(r, committed[id], "save %s was said to have failed", id)
				}
			})
		})
	}
}
