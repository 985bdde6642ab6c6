package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// Expectation is how often a job is expected to save. The store keeps the expectation. The commands
// milepost monitor, stale and status use it to decide whether the checkpoint is overdue.
type Expectation struct {
	// Every is the longest time between two saves, at least a second. 0: the job declares nothing,
	// and the expectation in the store stays.
	Every time.Duration

	// Grace is how late a save may be before the checkpoint is overdue.
	Grace time.Duration

	// Override also replaces an expectation that a person set with milepost expect.
	Override bool
}

func (e Expectation) validate() error {
	switch {
	case e.Every == 0 && (e.Grace != 0 || e.Override):
		return errors.New("checkpoint options: Expect.Grace and Expect.Override go with an Expect.Every")
	case e.Every != 0 && e.Every < time.Second, e.Grace < 0:
		return fmt.Errorf("checkpoint options: Expect %v and %v: a second at least, and a grace that is not negative", e.Every, e.Grace)
	}
	return nil
}

// setByJob is the prefix of SetBy in an expectation that a job declared. If a person set the
// expectation, SetBy begins with the person's name.
const setByJob = "job "

// DeclaredByJob reports whether a job set the expectation, with [Options.Expect], and not a person.
func DeclaredByJob(e *store.Expectation) bool { return strings.HasPrefix(e.SetBy, setByJob) }

// declare writes the job's expectation to the store unless the store already has it. The lease has
// read the stored expectation, so declare sends no read. If the write fails, declare logs the
// error, and the job continues.
func (o *Options) declare(ctx context.Context, st store.Store, l *lease.Lease) {
	want, has, head := o.Expect, l.Expected(), l.Head()
	every, grace := want.Every.Truncate(time.Millisecond), want.Grace.Truncate(time.Millisecond)
	if every == 0 {
		return
	}
	at := l.Clock().Time().Truncate(time.Millisecond)
	next := &store.Expectation{Every: every, Grace: grace, SetBy: setByJob + l.Holder().ID, SetAt: at}
	bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		stays := has != nil && !ofFormerLife(has, &head) // otherwise a delete removes it, or has removed it
		switch {
		case stays && has.Every == every && has.Grace == grace:
			return
		case stays && !want.Override && !DeclaredByJob(has):
			o.Logger.Warn("another expectation than the job's stays, since a person has set it", "checkpoint", l.Key().String(),
				"every", has.Every, "grace", has.Grace, "set_by", has.SetBy, "job_every", every, "job_grace", grace)
			return
		}
		err := st.Expect(bounded, l.Key(), has, next)
		if conflict, changed := errors.AsType[*store.ConflictError](err); changed && bounded.Err() == nil {
			has = conflict.Expect
			continue
		}
		if err != nil {
			o.Logger.Warn("what is expected of the job was not set", "checkpoint", l.Key().String(), "error", err)
		}
		return
	}
}

// ofFormerLife reports whether an expectation was set before the checkpoint was deleted. It goes with
// the delete.
func ofFormerLife(e *store.Expectation, h *store.Head) bool {
	return h.Deleted && !e.SetAt.After(h.SavedAt)
}

// formerExpectation returns the expectation that goes with a delete, or nil.
func formerExpectation(found store.Records) *store.Expectation {
	if e := found.Expect; e != nil && found.Head != nil && ofFormerLife(e, found.Head) {
		return e
	}
	return nil
}
