// Package lease keeps two runs of one job from advancing one checkpoint at the same time.
//
// A lease is the right to advance one checkpoint. The run that acquires it gets an epoch: a number
// that rises with every acquisition, forever. The epoch is a fence. It is written on HEAD before
// HEAD is read, and from then on the store refuses every commit of a lower epoch. So a holder that
// was paused and wakes up does no harm, whatever the clocks say. Time only decides how soon another
// run may try to take the lease.
//
// # Acquire
//
// An acquisition takes three requests, whatever the number of versions:
//
//  1. Read LEASE and HEAD together. LEASE must be absent, free, or judged expired.
//  2. Write the new epoch, max(LEASE's, HEAD's) + 1, into LEASE, on condition that LEASE is exactly
//     as it was read. From here on the lease is renewed.
//  3. Raise the epoch on HEAD, on condition that HEAD's is lower. The reply is HEAD as it is behind
//     the fence: that is the load.
//
// A lost reply is settled by reading. Every acquisition writes a fresh random lease id, and where
// that id is found, the request landed. So no run waits for its own lease to expire.
//
// # Expiry
//
// A run that wants a held lease judges it expired by the first of these rules that applies:
//
//	(a) LEASE is free
//	(b) the same stable holder id asks again, and its user promised that only one process at a
//	    time has that id (Options.SameHolder)
//	(c) the store's own clock is past the recorded end by 2 s
//	(d) LEASE has not changed for 1.02 times its own duration, by this run's monotonic clock, from
//	    the first read that showed it so
//	(e) the holder recorded this boot and pid namespace, and its process is proved to have ended
//
// A wrong judgement costs duplicated work, never a wrong checkpoint.
//
// # Renew
//
// Each lease has a goroutine that writes a beat every sixth of the duration. No user code, no
// logger, no shared lock and no other lease can hold it up, nor the timer that finds a loss:
// loggers and observers are called from goroutines that nothing waits for. The holder counts from the moment just before it
// sent the last request that succeeded. Past half the duration no new commit starts without a
// renewal: [Lease.Ready] waits for one. At 0.8 of the duration a timer cancels [Lease.Context],
// with a [*LostError] as the cause. A run that judges by rule (d) waits for 1.02. So the old
// holder's context has ended before the new holder learns that it has the lease, if their clocks
// run within 2 % of one another.
//
// The wall clock is compared with the monotonic one, which stops while a Linux machine sleeps. A
// jump counts as a missed renewal, not as a loss.
//
// # Handoff
//
// A waiter with Options.TakeOver leaves its wish in LEASE, with a counter that it raises at every
// poll. The holder reads the wish in the reply to its own renewals. If the holder agreed
// (Options.Yield) and the counter moved between two renewals, it closes [Lease.HandoffWanted]. A
// plain wait asks for nothing: tomorrow's run must not evict today's healthy one.
//
// # Where it is
//
//	options.go   durations and their defaults
//	acquire.go   the three requests
//	judge.go     rules (a) to (e)
//	lease.go     renewals, loss, release
//	observer.go  what Options.Observer hears
//	observe.go   reading and breaking a lease that another run holds
//
// docs/design.md has an overview, and docs/protocol.md the numbered rules and their reasons.
package lease
