package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/milepost-dev/milepost/internal/retries"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// verdict is what one attempt of a commit has told.
type verdict int

const (
	undecided  verdict = iota // it may still be in flight, or be sent again
	landed                    // version base+1 carries its id
	failed                    // it has not landed, and never will
	unknowable                // version base+1 cannot be read any more
)

// mostRefusals is how often the caller's own write may be refused after an ambiguous attempt before
// the question is left open.
const mostRefusals = 5

// send sends the commit, the same bytes each time, until its outcome is known or ctx ends. It
// returns nil if it landed, even where the lease was lost since.
func (c *committer) send(ctx context.Context, p *pending) error {
	intervals := retries.Pace()
	var last error
	for {
		over := c.over(ctx)
		try := c.attempt
		if over != nil {
			try = c.lastLook
		}
		v, err := try(ctx, p)
		if over != nil && v == undecided {
			return c.giveUp(p, over, last)
		}
		switch v {
		case landed:
			c.settle(p, savedOK)
			return nil
		case failed:
			c.settle(p, cmp.Or(p.failed, savedError))
			return wrap(fmt.Sprintf("save version %d of", p.commit.Next.Number), c.key, err)
		case unknowable:
			return c.giveUp(p, err, nil)
		}
		last = err
		pause, cancel := c.bounded(ctx)
		retries.Sleep(pause, intervals.NextBackOff())
		cancel()
	}
}

// lastLook reads once more where the loss of the lease, and not the caller, ended ctx: whoever
// has raised a higher fence has made HEAD's answer final.
func (c *committer) lastLook(ctx context.Context, p *pending) (verdict, error) {
	if !p.ambiguous || !errors.Is(c.over(ctx), lease.ErrLost) {
		return undecided, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
	defer cancel()
	return c.look(ctx, p)
}

// settle closes the question of p.
func (c *committer) settle(p *pending, outcome string) {
	c.open = nil
	c.tellSaved(p, outcome, &c.base)
	didLand := outcome == savedOK
	if didLand {
		c.base = p.commit.Next
		if p.body != "" && len(c.landed) < mostSwept { // of more the sweep asks store and mirror
			c.landed[c.base.CommitID] = true
		}
		c.lease.Committed(c.base.Number)
		c.copyBehind()
		if c.mirror != nil {
			c.mirror.offer(c.base)
		}
		if c.first {
			c.first = false
			c.retire(c.base)
		}
	} else if p.body != "" {
		c.dropBody(p.body)
	}
	if p.after != nil {
		p.after(didLand)
	}
}

// giveUp ends the attempts without an answer. Only where none of them was ambiguous
// is that a failure.
func (c *committer) giveUp(p *pending, why, last error) error {
	if p.ambiguous {
		c.open = p
		if last != nil { // as text: an attempt that was refused must not be taken for the answer
			why = fmt.Errorf("%w; the last attempt: %s", why, last.Error())
		}
		return &OutcomeUnknownError{Key: c.key, Version: p.commit.Next.Number, CommitID: p.commit.Next.CommitID, Err: why}
	}
	outcome := savedError
	if errors.Is(last, store.ErrThrottled) {
		outcome = savedThrottled
	}
	c.settle(p, outcome)
	if last != nil {
		why = fmt.Errorf("%w; the last attempt: %w", why, last)
	}
	return wrap(fmt.Sprintf("save version %d of", p.commit.Next.Number), c.key, fmt.Errorf("%w: %w", store.ErrNotApplied, why))
}

// attempt sends the commit once, and reads where only reading tells.
func (c *committer) attempt(ctx context.Context, p *pending) (verdict, error) {
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	if c.lost != nil {
		defer context.AfterFunc(c.lease.Context(), cancel)()
	}
	if p.began.IsZero() {
		p.began, p.ctx = time.Now(), ctx
	}
	_, err := c.st.Commit(bounded, c.key, p.commit)
	cancel()
	c.lease.Failed(err)
	conflict, isConflict := errors.AsType[*store.ConflictError](err)
	switch {
	case err == nil:
		return landed, nil
	case isConflict:
		return c.judge(ctx, p, conflict.Head)
	case !errors.Is(err, store.ErrNotApplied):
		p.ambiguous = true
		return undecided, err
	case retries.Transient(err):
		return undecided, err
	case !permanent(err) && !p.refused: // a signature a little too old, and the like
		p.refused = true
		return undecided, err
	case !p.ambiguous:
		p.failed = outcomeOf(err)
		return failed, err
	}
	// This attempt was refused for good, but an earlier one may have landed.
	v, judgeErr := c.look(ctx, p)
	if _, write := errors.AsType[*store.WriteError](err); write && v == undecided {
		p.refusals++
	}
	if v == undecided && p.refusals >= mostRefusals {
		// Sending the same bytes on would keep everybody waiting until the lease ends. The refusal is told
		// as text: it is no answer for the earlier attempt.
		return unknowable, fmt.Errorf("an attempt may still land, though another was refused (%s); the next session settles it", err.Error())
	}
	return v, errors.Join(judgeErr, err)
}

// look judges the commit by what HEAD says now.
func (c *committer) look(ctx context.Context, p *pending) (verdict, error) {
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	found, err := c.st.Look(bounded, c.key)
	cancel()
	if err != nil {
		c.lease.Failed(err)
		return undecided, err
	}
	return c.judge(ctx, p, found.Head)
}

// judge applies the one rule: commit c on base b landed if and only if version b+1
// carries c's id. A higher epoch alone proves nothing.
func (c *committer) judge(ctx context.Context, p *pending, head *store.Head) (verdict, error) {
	base, next, mine := p.commit.Base, p.commit.Next.Number, p.commit.Fence
	if head == nil || head.Number < base || head.Fence.Epoch < mine.Epoch {
		p.failed = savedConflict
		return failed, c.lose(&lease.LostError{Reason: lease.Regressed, Err: regression(base, head)})
	}
	if head.Number == base && head.Fence == mine {
		return undecided, errors.New("it may still be in flight")
	}
	v, err := failed, error(nil)
	switch {
	case head.Number == next && head.CommitID == p.commit.Next.CommitID:
		v = landed
	case head.Number > next && p.ambiguous:
		v, err = c.judgeCopy(ctx, p)
	}
	if v == undecided || v == landed && head.Fence == mine {
		return v, err
	}
	p.failed = savedFenced
	lost := &lease.LostError{Reason: lease.Stolen, By: head.Holder, ByEpoch: head.Fence.Epoch}
	if head.Fence == mine { // someone else committed under our own fence
		p.failed = savedConflict
		lost.Err = fmt.Errorf("version %d was committed by another (commit %s)", head.Number, head.CommitID)
	}
	return v, errors.Join(err, c.lose(lost))
}

// judgeCopy is judge where HEAD has gone further: version b+1 is V#(b+1), read raw. It was
// durable before version b+2 could be committed.
func (c *committer) judgeCopy(ctx context.Context, p *pending) (verdict, error) {
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	copied, err := c.st.Version(bounded, c.key, p.commit.Next.Number)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return unknowable, fmt.Errorf("HEAD has gone on, and the version cannot be read any more: %w", err)
	case err != nil:
		c.lease.Failed(err)
		return undecided, err
	case copied.CommitID == p.commit.Next.CommitID:
		return landed, nil
	}
	return failed, nil
}

// lose ends the lease, and returns the reason that stands: the first.
func (c *committer) lose(e *lease.LostError) error {
	c.lease.Lose(e)
	return c.lease.Lost()
}

func regression(base int64, head *store.Head) error {
	if head == nil {
		return fmt.Errorf("HEAD is gone, and it was at version %d", base)
	}
	return fmt.Errorf("HEAD is at version %d, epoch %d, and it was at version %d", head.Number, head.Fence.Epoch, base)
}
