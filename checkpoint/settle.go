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

// verdict is what is known of a commit after one attempt.
type verdict int

const (
	undecided  verdict = iota // it may still be in flight, or may be sent again
	landed                    // version base+1 carries its id
	failed                    // it has not landed, and never will
	unknowable                // version base+1 cannot be read any more
)

// mostRefusals is how often the caller's own write may be refused after an ambiguous attempt. Then
// the save is left open.
const mostRefusals = 5

// send sends the commit, the same bytes each time, until its outcome is known or ctx ends. It
// returns nil if the commit landed, even if the lease is lost since.
func (c *committer) send(ctx context.Context, sv *save) error {
	pauses := retries.Pace()
	var last error
	for {
		over := c.over(ctx)
		try := c.attempt
		if over != nil {
			try = c.lastLook
		}
		v, err := try(ctx, sv)
		if over != nil && v == undecided {
			return c.giveUp(sv, over, last)
		}
		switch v {
		case landed:
			c.settle(sv, savedOK)
			return nil
		case failed:
			c.settle(sv, cmp.Or(sv.failed, savedError))
			return wrap(fmt.Sprintf("save version %d of", sv.commit.Next.Number), c.key, err)
		case unknowable:
			return c.giveUp(sv, err, nil)
		}
		last = err
		pause, cancel := c.bounded(ctx)
		retries.Sleep(pause, pauses.NextBackOff())
		cancel()
	}
}

// lastLook looks once more if the loss of the lease ended the attempts, and not the caller: the
// higher fence of the run that has the lease makes HEAD's answer final.
func (c *committer) lastLook(ctx context.Context, sv *save) (verdict, error) {
	if !sv.ambiguous || !errors.Is(c.over(ctx), lease.ErrLost) {
		return undecided, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
	defer cancel()
	return c.look(ctx, sv)
}

// settle takes in the outcome of sv: this is the one place where a save lands, or fails.
func (c *committer) settle(sv *save, outcome string) {
	c.open = nil
	c.tellSaved(sv, outcome, &c.base)
	ok := outcome == savedOK
	if ok {
		c.base = sv.commit.Next
		if sv.body != "" && len(c.landed) < mostSwept { // for others the sweep asks store and mirror
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
	} else if sv.body != "" || sv.retract != nil {
		c.dropBody(sv)
	}
	if sv.settled != nil {
		sv.settled(ok)
	}
}

// giveUp ends the attempts without an answer. That is a failure only if none of them was ambiguous.
func (c *committer) giveUp(sv *save, why, last error) error {
	if sv.ambiguous {
		c.open = sv
		if last != nil { // as text: the error of one attempt is not the answer
			why = fmt.Errorf("%w; the last attempt: %s", why, last.Error())
		}
		return &OutcomeUnknownError{Key: c.key, Version: sv.commit.Next.Number, CommitID: sv.commit.Next.CommitID, Err: why}
	}
	outcome := savedError
	if errors.Is(last, store.ErrThrottled) {
		outcome = savedThrottled
	}
	c.settle(sv, outcome)
	if last != nil {
		why = fmt.Errorf("%w; the last attempt: %w", why, last)
	}
	return wrap(fmt.Sprintf("save version %d of", sv.commit.Next.Number), c.key, fmt.Errorf("%w: %w", store.ErrNotApplied, why))
}

// attempt sends the commit once. It reads HEAD only if this attempt was refused for good and an
// earlier one may have landed.
func (c *committer) attempt(ctx context.Context, sv *save) (verdict, error) {
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	if c.lost != nil {
		defer context.AfterFunc(c.lease.Context(), cancel)()
	}
	if sv.began.IsZero() {
		sv.began, sv.ctx = time.Now(), ctx
	}
	sent := time.Now()
	_, err := c.st.Commit(bounded, c.key, sv.commit)
	cancel()
	c.heard(sent, err)
	c.lease.Failed(err)
	conflict, isConflict := errors.AsType[*store.ConflictError](err)
	switch {
	case err == nil:
		return landed, nil
	case isConflict:
		return c.judge(ctx, sv, conflict.Head)
	case !errors.Is(err, store.ErrNotApplied):
		sv.ambiguous = true
		return undecided, err
	case sv.tries.Again(err):
		return undecided, err
	case !permanent(err) && !sv.refused: // such as a signature that is a little too old
		sv.refused = true
		return undecided, err
	case !sv.ambiguous:
		sv.failed = outcomeOf(err)
		return failed, err
	}
	// This attempt is refused for good, but an earlier one may have landed.
	v, judgeErr := c.look(ctx, sv)
	if _, write := errors.AsType[*store.WriteError](err); write && v == undecided {
		sv.refusals++
	}
	if v == undecided && sv.refusals >= mostRefusals {
		// Sending the same bytes again would keep everyone waiting until the lease ends. The
		// refusal is given as text: it is not the answer for the earlier attempt.
		return unknowable, fmt.Errorf("an attempt may still land, though another was refused (%s); the next session settles it", err.Error())
	}
	return v, errors.Join(judgeErr, err)
}

// look reads HEAD and judges the commit by it.
func (c *committer) look(ctx context.Context, sv *save) (verdict, error) {
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	found, err := c.st.Look(bounded, c.key)
	cancel()
	if err != nil {
		c.lease.Failed(err)
		return undecided, err
	}
	return c.judge(ctx, sv, found.Head)
}

// judge decides by a HEAD whether the commit landed. The one rule: commit c on base b landed if and
// only if version b+1 carries c's id. A higher epoch alone proves nothing. This is also the one
// place that says whether a save is fenced or in conflict.
func (c *committer) judge(ctx context.Context, sv *save, head *store.Head) (verdict, error) {
	base, next, mine := sv.commit.Base, sv.commit.Next.Number, sv.commit.Fence
	if head == nil || head.Number < base || head.Fence.Epoch < mine.Epoch {
		sv.failed = savedConflict
		return failed, c.lose(&lease.LostError{Reason: lease.Regressed, Err: regression(base, head)})
	}
	if head.Number == base && head.Fence == mine {
		return undecided, errors.New("it may still be in flight")
	}
	v, err := failed, error(nil)
	switch {
	case head.Number == next && head.CommitID == sv.commit.Next.CommitID:
		v = landed
	case head.Number > next && sv.ambiguous:
		v, err = c.judgeCopy(ctx, sv)
	}
	if v == undecided || v == landed && head.Fence == mine {
		return v, err
	}
	sv.failed = savedFenced
	lost := &lease.LostError{Reason: lease.Stolen, By: head.Holder, ByEpoch: head.Fence.Epoch}
	if head.Fence == mine { // someone else committed under our own fence
		sv.failed = savedConflict
		lost.Err = fmt.Errorf("version %d was committed by another (commit %s)", head.Number, head.CommitID)
	}
	return v, errors.Join(err, c.lose(lost))
}

// judgeCopy is judge if HEAD is beyond version b+1. That version is then V#(b+1), read raw: it was
// durable before version b+2 could be committed.
func (c *committer) judgeCopy(ctx context.Context, sv *save) (verdict, error) {
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	copied, err := c.st.Version(bounded, c.key, sv.commit.Next.Number)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return unknowable, fmt.Errorf("HEAD has gone on, and the version cannot be read any more: %w", err)
	case err != nil:
		c.lease.Failed(err)
		return undecided, err
	case copied.CommitID == sv.commit.Next.CommitID:
		return landed, nil
	}
	return failed, nil
}

// lose ends the lease, and returns why it was lost: the first reason given.
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
