// Package store is the contract between the checkpoint protocol and the engines that keep its
// records.
//
// The methods of [Store] are the protocol's steps. Each is one conditional request, or one read. An
// engine never retries a write, never splits one, and never decides what an error means for the
// protocol: packages lease and checkpoint see every attempt and settle it. docs/protocol.md has the
// rules.
package store

import (
	"context"
	"iter"
	"time"
)

// Store keeps the records of checkpoints: HEAD, LEASE, EXPECT, and a copy V#n of each version n.
//
// Consistency. A read sees every write that was acknowledged before the read began. [Store.Names]
// and [Store.Peek] are the exceptions: they may lag. [Store.Look] reads HEAD and LEASE in one
// request, but not as one snapshot.
//
// Atomicity. Each write is one conditional request on one record. If its condition holds at that
// moment, the whole write is applied, and otherwise nothing is. [Store.Commit] applies the caller's
// own writes and HEAD together, or nothing.
//
// Durability. A write that returned nil survives the crash of any process and, on engines that say
// so, of the machine.
//
// Errors. A write that returns nil was applied. If the error matches [ErrNotApplied], this attempt
// was not applied and never will be. [*ConflictError] is one of these, and has the record as the
// condition found it. Any other error is ambiguous: the write may have been applied, may be applied
// later, or never; only reading tells. A read of a record that is damaged, of a newer format, or
// with unknown fields returns [ErrBadRecord] or [ErrNewerFormat], never "absent".
//
// Cancellation. When ctx ends, a method returns soon with an error that wraps the context's. If the
// write was already sent, that error is ambiguous.
//
// Concurrency. Any number of goroutines and processes may call all methods. Records that are passed
// in or out are not shared: the engine keeps no reference to them.
//
// Callers pass valid keys only (see [Key.Validate]).
type Store interface {
	// Address says where the records are, such as region and table. It is the same in every process
	// that opens this store, and it is not kept in the store: a copy of the store has another one.
	Address() string

	// Look reads HEAD, LEASE and EXPECT, strongly consistent.
	Look(ctx context.Context, key Key) (Records, error)

	// Acquire replaces the whole of LEASE with next if LEASE is exactly as observed: absent (nil),
	// or of the same epoch, lease id, beat and status. Otherwise it returns [*ConflictError] with
	// the LEASE that it found.
	Acquire(ctx context.Context, key Key, observed *Lease, next Lease) (Clock, error)

	// Steal is Acquire without a condition on the beat. An operator uses it to end a lease whose
	// holder is alive.
	Steal(ctx context.Context, key Key, observed *Lease, next Lease) (Clock, error)

	// Raise puts fence and holder on HEAD if HEAD's epoch is lower, and returns HEAD as it is after
	// that: this is the load. Everything else on HEAD stays. With create, an absent HEAD is made
	// with version 0 and not listed. Without create, an absent HEAD is a [*ConflictError] with no
	// Head. A HEAD of the same or a higher epoch is a [*ConflictError] with that HEAD.
	Raise(ctx context.Context, key Key, fence Fence, holder Holder, create bool) (Head, Clock, error)

	// Renew records a beat if LEASE has the renewal's fence, is held, and its beat is lower. It
	// returns LEASE as it is after that, with who wants it. Otherwise it returns [*ConflictError]
	// with the LEASE that it found.
	Renew(ctx context.Context, key Key, r Renewal) (Lease, Clock, error)

	// Release marks LEASE free and records version in it, if it has the fence. It does so again if
	// it is free already. Otherwise it returns [*ConflictError].
	Release(ctx context.Context, key Key, fence Fence, version int64) error

	// Want records in LEASE who asks for it, if LEASE is held and has the fence. Otherwise it
	// returns [*ConflictError] with the LEASE that it found.
	Want(ctx context.Context, key Key, fence Fence, wanted Wanted) error

	// Commit replaces the whole of HEAD with c.Next under the same fence, and lists it, if HEAD has
	// c.Fence and version c.Base. It applies c.Writes together with HEAD. Otherwise it returns
	// [*ConflictError] with the HEAD that it found (nil: none).
	//
	// If one of c.Writes is refused, the error is a [*WriteError], or matches [ErrWrite] if that
	// write can never be applied. A record above the limit is a [*SizeError]. If the same Commit is
	// sent again after an ambiguous error, it changes nothing that the first one did not change.
	Commit(ctx context.Context, key Key, c Commit) (Clock, error)

	// Copy creates V#n from c. If V#n has the same commit id, it changes nothing and returns nil.
	// If V#n has a lower commit epoch, which is a dead line's, it replaces V#n. Otherwise it
	// returns [*ConflictError] with the copy that it found.
	Copy(ctx context.Context, key Key, c Copy) error

	// KeepBase makes sure, in one request, that a copy of v exists, is kept, and does not expire. If
	// the copy is absent, has the same commit id, or has a lower commit epoch, it sets the whole
	// content and Kept, and removes the expiry. A label stays. Otherwise it returns
	// [*ConflictError] with the copy that it found.
	KeepBase(ctx context.Context, key Key, v Version) error

	// Amend changes label, expiry and Kept of a copy if it is exactly as observed (see
	// [Copy.SameAs]), so that a caller changes only the copy that it decided about. Otherwise Amend
	// returns [*ConflictError] with the copy that it found (nil: none). It never makes an empty copy
	// where the copy was removed.
	Amend(ctx context.Context, key Key, observed Copy, a Amendment) error

	// Remove deletes a copy if it is exactly as observed. It returns nil if the copy is absent.
	// Otherwise it returns [*ConflictError] with the copy that it found.
	Remove(ctx context.Context, key Key, observed Copy) error

	// Unlist takes a deleted HEAD out of the index if HEAD has that commit id. Otherwise it returns
	// [*ConflictError].
	Unlist(ctx context.Context, key Key, commitID string) error

	// Expect replaces EXPECT with next if EXPECT is exactly as observed. Nil is an absent EXPECT, so
	// a nil next removes it. Otherwise it returns [*ConflictError] with the EXPECT that it found.
	Expect(ctx context.Context, key Key, observed, next *Expectation) error

	// Version reads V#n as stored, expired or not, strongly consistent. If V#n is absent, the error
	// matches [ErrNotFound].
	Version(ctx context.Context, key Key, version int64) (Copy, error)

	// Versions reads the copies from version from down to version to, both included, newest first.
	// It reads them as stored, expired or not, strongly consistent, in pages. It ends after the
	// first error.
	Versions(ctx context.Context, key Key, from, to int64) iter.Seq2[Copy, error]

	// Names yields the names in a namespace of every HEAD in the index and every EXPECT, each once,
	// in byte order. It yields those that begin with prefix and come after the name after (empty:
	// all). It may lag. It ends after the first error.
	Names(ctx context.Context, namespace, prefix, after string) iter.Seq2[string, error]

	// Peek is [Store.Look] for many keys, at most MaxPeek, in the order given. It takes few
	// requests and half the price, and it may lag. The protocol decides nothing by it. If one
	// record cannot be trusted, the call fails: to get the others, ask for the keys one by one.
	Peek(ctx context.Context, keys []Key) ([]Records, error)
}

// MaxPeek is the largest number of keys in one [Store.Peek].
const MaxPeek = 32

// Renewal is one beat of a lease.
type Renewal struct {
	Fence     Fence
	Beat      int64 // higher with each attempt
	Until     Clock // zero: no expiry is recorded
	RenewedAt time.Time
	Version   int64 // the last version that the holder knows
}

// Commit is one fenced save.
type Commit struct {
	Fence  Fence
	Base   int64   // the version that HEAD must have
	Next   Version // its Number is Base + 1; higher if a lost line is restored
	Writes []Write // the caller's own, at most MaxWrites
}

// MaxWrites is the largest number of the caller's writes in one [Commit].
const MaxWrites = 99

// Write is a write of the caller's. The engine's constructors make it (dynamostore.Put,
// sqlitestore.Exec, …). An engine refuses any other with [ErrWrite].
type Write any

// Amendment is a change of a copy that does not touch its content. A nil field leaves its value as
// it is.
type Amendment struct {
	Label     *string    // "" removes it
	ExpiresAt *time.Time // the zero time removes it
	Kept      *bool
}

// Apply makes the change to c.
func (a *Amendment) Apply(c *Copy) {
	if a.Label != nil {
		c.Label = *a.Label
	}
	if a.ExpiresAt != nil {
		c.ExpiresAt = *a.ExpiresAt
	}
	if a.Kept != nil {
		c.Kept = *a.Kept
	}
}
