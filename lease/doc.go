// Package lease keeps two runs of one job from advancing one checkpoint.
//
// A lease is the right to advance one checkpoint. Whoever acquires it gets an
// epoch, a number that rises with every acquisition, for ever. The epoch is a
// fence: it is written on HEAD before HEAD is read, and from then on the store
// refuses every commit of a lower epoch. So a holder that was paused and wakes
// up does no harm, whatever the clocks say; the lease's time only decides how
// soon somebody else may try.
//
// # Acquire
//
// Three requests, whatever the number of versions:
//
//  1. LEASE and HEAD are read together. LEASE must be absent, free, or judged
//     expired.
//  2. The new epoch, max(LEASE's, HEAD's) + 1, goes into LEASE, on condition
//     that LEASE is exactly as it was read. From here on the lease is renewed.
//  3. The epoch is raised on HEAD, on condition that HEAD's is lower. The reply is
//     HEAD as it stands behind the fence: the load.
//
// A lost reply is settled by reading: every acquisition writes a fresh random
// lease id, and where that id is found, the request landed. Nobody waits out a lease
// of their own.
//
// # Expiry
//
// The contender judges, by the first of these that applies:
//
//	(a) LEASE is free
//	(b) the same stable holder id asks again, and its user promised that one
//	    process at a time bears that id (Options.SameHolder)
//	(c) the store's own clock is past the recorded end by 2 s
//	(d) LEASE has not changed for 1.02 times its own duration on the
//	    contender's monotonic clock, counted from the first read that showed it so
//	(e) the holder recorded this machine, and no such process runs on it
//
// A wrong judgement costs duplicated work, never a wrong checkpoint.
//
// # Renew
//
// A goroutine of its own writes a beat every sixth of the duration: no user
// code, no shared lock and no other lease is in its way. The holder counts from
// the moment just before it sent the last request that succeeded: past half the
// duration no new commit starts without a renewal ([Lease.Ready] waits for it), and
// at 0.8 a timer cancels [Lease.Context], with a [*LostError] as its cause. A
// contender that judges by (d) waits for 1.02, so that the old holder's context
// has ended before the new one is told that it holds the lease, whenever
// their clocks run within 2 % of one another.
//
// The wall clock is compared with the monotonic one, which stands still while a
// Linux machine sleeps: a jump counts as a renewal missed, not as a loss.
//
// # Handoff
//
// A waiter with Options.TakeOver leaves its wish in LEASE, with a counter that it raises at
// every poll. The holder reads it in the reply to its own renewals, and if it agreed
// (Options.Yield) and the counter moved between two of them, it closes
// [Lease.HandoffWanted]. A plain wait asks for nothing: tomorrow's run must
// not evict today's healthy one.
//
// docs/design.md has an overview, docs/protocol.md the rules by number and their reasons.
package lease
