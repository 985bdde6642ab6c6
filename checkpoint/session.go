package checkpoint

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/milepost-dev/milepost/internal/later"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// Session is one holder's work on a checkpoint under one lease, from [Open] or [Run] to the close.
// T is the job's state: struct{} if it has none. Its methods may be called from any goroutine.
type Session[T any] struct {
	c     *committer
	opts  *Options
	codec Codec

	from resumption

	ctx        context.Context // the caller's, or until the session ends before
	cancel     context.CancelCauseFunc
	ending     chan struct{} // closed when the session is being closed
	background sync.WaitGroup
	saving     context.Context // of the saves in the background
	stopSaving context.CancelFunc
	closing    sync.Once
	closeBy    atomic.Pointer[time.Time] // nil: no bound of the caller
	closeErr   error

	wake        chan struct{} // asks for a save in the background
	soon        chan struct{} // closed by SaveSoon
	soonOnce    sync.Once
	every       int64
	mostUnsaved int64
	mostAhead   int
	watched     bool // progress must be reported to the lease

	mu        sync.Mutex // held while an update of the caller's runs
	state     T
	marked    int64  // records marked in this session
	taken     int64  // how many of them the last save has
	saved     int64  // how many of them the last save that landed has
	encoded   []byte // the state that Save was given, if no record was marked since
	encodedAt int64  // when encodedAt records were marked
	torn      bool   // an update did not return: the state belongs to no cursor
	flat      bool   // a copy of the state shares nothing with it
	dropped   error  // why a mark was not made, which ended the session
	blocked   bool   // a mark has to ask admit
	closed    bool
	stepping  bool          // a save with the caller's writes is in flight
	failure   error         // what ended the session, if not the lease
	changed   chan struct{} // closed and replaced by announce
	waiting   int           // calls in await

	// unreported is the error of a save with the caller's writes whose outcome is unknown, until
	// a call returns the outcome.
	unreported error

	// view guards what the methods that only read return, so that an update may call them. It is
	// locked for moments, and after mu. What it guards changes only with mu held as well, so a
	// goroutine that holds mu may read it.
	view      sync.Mutex
	cursor    string
	window    window
	processed int64
	failed    int64
	kept      store.Version // of the last save that landed; at first what the session resumed from
}

// Open acquires the lease of the checkpoint name, loads its newest version, and returns the session
// that continues from there. A checkpoint that does not exist yet begins with an empty cursor and
// the zero T. Open takes three requests if the lease is free. Nil opts are the defaults.
//
// If another run holds the lease, the error is a [*lease.HeldError], after Options.Lease.Wait. If
// the checkpoint and the options do not fit, it is a [*RefusedError]. If a record cannot be
// trusted, it is a [*store.BadRecordError], never "no checkpoint". If the store has gone backward,
// it matches [lease.ErrStoreRegressed].
//
// ctx bounds the opening. Later its end tells the session to stop. The session must be closed.
func Open[T any](ctx context.Context, ns Namespace, name string, opts *Options) (*Session[T], error) {
	o, err := opts.filled()
	if err != nil {
		return nil, err
	}
	s, err := open[T](ctx, ns, name, o)
	if err != nil {
		later.Flush(o.Logger, flushWithin)
	}
	return s, err
}

func open[T any](ctx context.Context, ns Namespace, name string, o *Options) (*Session[T], error) {
	n, err := ns.named(name)
	if err != nil {
		return nil, err
	}
	n, seed, err := o.fork(ctx, n)
	if err != nil {
		return nil, err
	}
	l, err := acquire(ctx, n, &o.Lease)
	if err != nil {
		return nil, err
	}
	s, err := newSession[T](ctx, n, l, o, seed)
	if err != nil {
		abandon(ctx, l)
		return nil, err
	}
	o.declare(ctx, n.Store, l)
	return s, nil
}

// acquire acquires a lease whose context ends with the lease, not with the caller's context: a
// session that must stop still has its last save to make.
// With an archive, it asks the archive first whether the store has gone backward.
func acquire(ctx context.Context, n named, opts *lease.Options) (*lease.Lease, error) {
	var asked *asking
	if n.Archive != nil && !opts.AcceptRegression {
		asked = n.ask(ctx)
		defer asked.close()
		accepting := *opts
		accepting.Accept = asked.accept
		opts = &accepting
	}
	outer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	undo := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	l, err := lease.Acquire(outer, n.Store, n.key, opts)
	if err != nil {
		undo()
		cancel(nil)
		return nil, err
	}
	if asked != nil {
		asked.warn(opts.Logger)
	}
	if !undo() { // ctx ended at the last moment
		abandon(ctx, l)
		return nil, wrap("open", n.key, context.Cause(ctx))
	}
	return l, nil
}

// abandon releases a lease under which nothing was done.
func abandon(ctx context.Context, l *lease.Lease) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = l.Release(bounded) // otherwise the lease expires by itself
}

func newSession[T any](ctx context.Context, n named, l *lease.Lease, o *Options, seed *trunk) (*Session[T], error) {
	s := &Session[T]{
		opts: o, codec: codecFor[T](o.Codec),
		ending: make(chan struct{}), wake: make(chan struct{}, 1), soon: make(chan struct{}), changed: make(chan struct{}),
		every: int64(o.Every), mostUnsaved: int64(o.MaxUnsaved), mostAhead: o.MaxAhead,
		watched: o.Lease.MaxSilence > 0, flat: isFlat(reflect.TypeFor[T]()),
	}
	head := l.Head()
	if err := n.notLost(ctx, &head); err != nil {
		return nil, err
	}
	from, err := o.resume(ctx, n, &head, seed, s.codec, loading[T]())
	if err != nil {
		return nil, err
	}
	s.from, s.kept = from, head.Version
	s.kept.State = from.stored // of another checkpoint, after a fork; none, after a restart
	if s.state, err = s.loaded(); err != nil {
		return nil, wrap("decode the state of", l.Key(), err)
	}
	if cp := from.checkpoint; cp != nil {
		s.cursor, s.processed, s.failed = cp.Cursor, cp.Processed, cp.Failed
		s.window.before = slices.Clone(cp.Finished)
		s.kept.Processed, s.kept.Failed = cp.Processed, cp.Failed
		o.sayOld(cp, l)
	}

	s.c = newCommitter(ctx, n, l, o)
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	context.AfterFunc(l.Context(), func() {
		s.cancel(context.Cause(l.Context()))
		s.mu.Lock()
		defer s.mu.Unlock()
		s.announce()
	})
	s.saving, s.stopSaving = context.WithCancel(l.Context())
	s.background.Go(s.autosave)
	s.tellOpened()
	if o.Lease.Yield {
		s.background.Go(s.yieldWhenWanted)
	}
	return s, nil
}

// loaded decodes the state that the session started from.
func (s *Session[T]) loaded() (T, error) {
	var state T
	if s.from.state == nil {
		return state, nil
	}
	err := s.codec.Unmarshal(s.from.state, &state)
	return state, err
}

// Context is the caller's context. It is also cancelled, with a cause, when the session ends
// before: a [*lease.LostError] if the lease is lost, [ErrYielded] if the session did not hand over
// in time, a save's error if saving in the background cannot succeed any more, [ErrClosed] if it is
// closed.
func (s *Session[T]) Context() context.Context { return s.ctx }

// Name is the name of the checkpoint. After an [IdentityFork] it is not the one that was asked for.
func (s *Session[T]) Name() string { return s.c.key.Name }

// Namespace is the namespace of the checkpoint.
func (s *Session[T]) Namespace() string { return s.c.key.Namespace }

// Epoch is the fencing token: it rises with every session of this checkpoint, forever. Everything
// else that the job writes to can refuse lower epochs.
func (s *Session[T]) Epoch() int64 { return s.c.lease.Epoch() }

// Holder is who holds the lease, as other runs see it.
func (s *Session[T]) Holder() store.Holder { return s.c.lease.Holder() }

// Resumed is the version that the session resumed from. Nil: the session started from scratch.
// After an [IdentityFork] it may be a version of the checkpoint that was forked.
func (s *Session[T]) Resumed() *Checkpoint { return s.from.checkpoint }

// State returns the caller's own copy of the state as it was loaded, and migrated if the schema
// asked for that. It is the zero T if the session started from scratch. Change the state by
// [Session.Mark] or [Session.Save].
func (s *Session[T]) State() T {
	state, err := s.loaded()
	if err != nil {
		panic(err) // it was decoded once already
	}
	return state
}

// Version is the version of the last save that landed; at first, the one resumed from. 0: none.
func (s *Session[T]) Version() int64 {
	s.view.Lock()
	defer s.view.Unlock()
	return s.kept.Number
}

// Cursor is where the job is: the cursor of the last mark, or the low-water mark if records finish
// out of order. At first it is the checkpoint's cursor, which is empty if there is no checkpoint.
func (s *Session[T]) Cursor() string {
	s.view.Lock()
	defer s.view.Unlock()
	return s.cursor
}

// Processed is how many records were processed, over all sessions.
func (s *Session[T]) Processed() int64 {
	s.view.Lock()
	defer s.view.Unlock()
	return s.processed
}

// Failed is how many records failed, over all sessions.
func (s *Session[T]) Failed() int64 {
	s.view.Lock()
	defer s.view.Unlock()
	return s.failed
}

// Confirm returns nil if the lease is held: it was renewed a short while ago. Otherwise Confirm asks
// for a renewal and waits for it. It returns a [*lease.LostError] if the lease is lost, and the cause
// of ctx when ctx ends. A process that was stopped calls it before it goes on.
func (s *Session[T]) Confirm(ctx context.Context) error { return s.c.lease.Ready(ctx) }

// LeaseLeft is how long it takes from now until another run may take the lease, if no further
// renewal succeeds. It is 0 or less once that can have happened, and once another run has taken the
// lease.
func (s *Session[T]) LeaseLeft() time.Duration { return s.c.lease.Left() }

// HandoffWanted is closed when another run waits for the lease and Options.Lease.Yield agreed to
// hand it over. Finish the step in hand and return [ErrYielded], or close with it. After one lease
// duration the session's context is cancelled with ErrYielded.
func (s *Session[T]) HandoffWanted() <-chan struct{} { return s.c.lease.HandoffWanted() }

func (s *Session[T]) yieldWhenWanted() {
	select {
	case <-s.c.lease.HandoffWanted():
	case <-s.ending:
		return
	}
	select {
	case <-time.After(s.opts.Lease.Duration):
		s.cancel(ErrYielded)
	case <-s.ending:
	}
}

func (s *Session[T]) whyFailed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// fail ends the session for a reason other than its lease. It is called with s.mu held.
func (s *Session[T]) fail(err error) {
	if s.failure == nil {
		s.failure = err
	}
	s.cancel(err)
}
