// Package store is the contract between the checkpoint protocol and the engines
// that keep its records.
//
// The methods of [Store] are the protocol's steps, and each is one conditional
// request, or one read. An engine never retries a write, never splits one, and
// never decides what an error means for the protocol: package lease and package
// checkpoint see every attempt and settle it. docs/protocol.md has its rules.
package store

import (
	"context"
	"iter"
	"time"
)

// Store keeps the records of checkpoints: HEAD, LEASE, EXPECT, and a copy V#n of
// each version.
//
// Consistency. A read sees every write that was acknowledged before it began,
// except [Store.Names] and [Store.Peek], which may lag. [Store.Look] reads HEAD
// and LEASE in one request, but not as one snapshot.
//
// Atomicity. Each write is one conditional request on one record: it is applied
// whole if its condition holds at that moment, and otherwise not at all. [Store.Commit]
// with the caller's own writes applies them and HEAD together, or nothing.
//
// Durability. A write that returned nil survives the crash of any process and,
// on engines that say so, of the machine.
//
// Errors. A write returns nil: applied. An error that matches [ErrNotApplied]:
// this attempt was not applied and never will be; [*ConflictError] among them
// carries the record as the condition found it. Any other error is ambiguous:
// the write may have been applied, may be later, or never; only reading tells.
// A read of a record that is damaged, of a newer format, or with fields it does
// not know is [ErrBadRecord] or [ErrNewerFormat], never "absent".
//
// Cancellation. When ctx ends, a method returns soon, with an error that wraps
// the context's; for a write that was already sent that error is ambiguous.
//
// Concurrency. All methods may be called from any number of goroutines and
// processes. Records handed in or out are not shared: the engine keeps no
// reference to them.
//
// Keys are valid ([Key.Validate]); the callers of this package see to it.
type Store interface {
	// Look reads HEAD, LEASE and EXPECT, strongly consistent.
	Look(ctx context.Context, key Key) (Records, error)

	// Acquire writes the whole of next into LEASE if LEASE is exactly as observed:
	// absent (nil), or of the same epoch, lease id, beat and status.
	// Otherwise [*ConflictError] with the LEASE that is there.
	Acquire(ctx context.Context, key Key, observed *Lease, next Lease) (Clock, error)

	// Steal is Acquire whatever the beat: for an operator who ends a living lease.
	Steal(ctx context.Context, key Key, observed *Lease, next Lease) (Clock, error)

	// Raise puts fence and holder on HEAD if HEAD's epoch is lower, and returns
	// HEAD as it is from then on: that is the load. All else on HEAD stays.
	// With create, HEAD may be absent and is then made with version 0 and not
	// listed; without, an absent HEAD is a [*ConflictError] with no Head.
	// A HEAD of the same or a higher epoch: [*ConflictError] with it.
	Raise(ctx context.Context, key Key, fence Fence, holder Holder, create bool) (Head, Clock, error)

	// Renew records a beat if LEASE carries the renewal's fence, is held, and its
	// beat is lower; it returns LEASE as it is now, with who wants it.
	// Otherwise [*ConflictError] with the LEASE that is there.
	Renew(ctx context.Context, key Key, r Renewal) (Lease, Clock, error)

	// Release marks LEASE free and records version in it, if it carries the fence. It
	// does so again when it is free already. Otherwise [*ConflictError].
	Release(ctx context.Context, key Key, fence Fence, version int64) error

	// Want records in LEASE who asks for it, if LEASE is held under that fence.
	// Otherwise [*ConflictError] with the LEASE that is there.
	Want(ctx context.Context, key Key, fence Fence, wanted Wanted) error

	// Commit replaces the whole of HEAD with c.Next under the same fence, listed,
	// if HEAD carries c.Fence and version c.Base, and applies c.Writes with it.
	// Otherwise [*ConflictError] with the HEAD that is there (nil: none).
	// A refused write of the caller's is a [*WriteError], or matches [ErrWrite] if it could
	// never be taken; a record past the limit is a [*SizeError].
	// A Commit sent again with the same content after an ambiguous error changes
	// nothing that the first had not.
	Commit(ctx context.Context, key Key, c Commit) (Clock, error)

	// Copy creates V#n from c. It changes nothing, and returns nil, where one with that
	// commit id exists; it replaces one of a lower commit epoch, which is a dead
	// line's. Otherwise [*ConflictError] with the copy that is there.
	Copy(ctx context.Context, key Key, c Copy) error

	// KeepBase makes sure of the copy of v, without expiry, in one request:
	// it is created, or its content set again and its expiry removed, where it is absent,
	// carries that commit id, or is of a lower commit epoch. A label stays.
	// Otherwise [*ConflictError] with the copy that is there.
	KeepBase(ctx context.Context, key Key, v Version) error

	// Amend changes label and expiry of V#n if it carries that commit id.
	// Otherwise, or with a.IfUnlabelled where it has a label, [*ConflictError] with the copy
	// that is there (nil: none): an update must not bring a removed copy back as an empty one.
	Amend(ctx context.Context, key Key, version int64, commitID string, a Amendment) error

	// Remove deletes V#n if it carries that commit id. An absent one is no error.
	// Otherwise [*ConflictError] with the copy that is there.
	Remove(ctx context.Context, key Key, version int64, commitID string) error

	// Unlist takes a deleted HEAD out of the index if HEAD carries that commit id.
	// Otherwise [*ConflictError].
	Unlist(ctx context.Context, key Key, commitID string) error

	// Expect sets the expectation, or with nil removes it.
	Expect(ctx context.Context, key Key, e *Expectation) error

	// Version reads V#n raw, expired or not, strongly consistent.
	// Absent: an error that matches [ErrNotFound].
	Version(ctx context.Context, key Key, version int64) (Copy, error)

	// Versions reads the copies from version from down to version to (both
	// included), newest first, raw, expired or not, strongly consistent, in pages. It ends after
	// the first error.
	Versions(ctx context.Context, key Key, from, to int64) iter.Seq2[Copy, error]

	// Names yields the names in a namespace that begin with prefix and come
	// after the name after (empty: all), in byte order, of every HEAD in the index
	// and every EXPECT, each once. It may lag. It ends after the first error.
	Names(ctx context.Context, namespace, prefix, after string) iter.Seq2[string, error]

	// Peek is [Store.Look] for many keys (at most MaxPeek), in the order given, in
	// few requests, at half the price: it may lag. Nothing is decided on it. A record that
	// cannot be trusted fails the call; who wants the others asks for the keys apart.
	Peek(ctx context.Context, keys []Key) ([]Records, error)
}

// MaxPeek is the most keys that one [Store.Peek] takes.
const MaxPeek = 32

// Renewal is one beat of a lease.
type Renewal struct {
	Fence     Fence
	Beat      int64 // fresh for each attempt
	Until     Clock // zero: no expiry is recorded
	RenewedAt time.Time
	Version   int64 // the last version that the holder knows of
}

// Commit is one fenced save.
type Commit struct {
	Fence  Fence
	Base   int64   // the version that HEAD must have
	Next   Version // its Version is Base + 1; higher where a lost line is restored
	Writes []Write // the caller's own, at most MaxWrites
}

// MaxWrites is the most writes of the caller's in one [Commit].
const MaxWrites = 99

// Write is a write of the caller's own, made by the engine's constructors
// (dynamostore.Put, sqlitestore.Exec, …). An engine refuses what it has not made,
// with [ErrWrite].
type Write any

// Amendment is a change of a copy that leaves its content alone. Nil fields stay.
type Amendment struct {
	Label     *string    // "" removes it
	ExpiresAt *time.Time // the zero time removes it

	// IfUnlabelled leaves a savepoint alone: it must not expire because somebody else
	// did not see its label in time.
	IfUnlabelled bool
}
