package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// askPatience is how long an open waits for latest.json. An archive out of reach does not stop an
// open of a checkpoint that the store has.
const askPatience = 3 * time.Second

// BehindError says that the archive has a version of the checkpoint that is not in the store's
// history. Either the store went back, as after a restore from a backup, or another store uses the
// archive for a checkpoint of the same name. Nothing was written. It matches
// [lease.ErrStoreRegressed].
type BehindError struct {
	Key       store.Key
	Have      archive.ID   // HEAD's version
	Announced archive.ID   // the version in latest.json
	SavedAt   time.Time    // of Announced
	By        store.Holder // who saved Announced
}

func (e *BehindError) Error() string {
	return fmt.Sprintf("checkpoint %s: %v, or the archive is another store's: HEAD has %v, and the archive has %v, saved at %s by %s, "+
		"which is not in the store's history. To bring it back: milepost archive restore %s --behind. To go on from version %d on purpose: "+
		"milepost archive restore %s --keep-store. If the archive is another store's: give this one another archive or namespace",
		e.Key, lease.ErrStoreRegressed, e.Have, e.Announced, e.SavedAt.UTC().Format(time.RFC3339), e.By.ID,
		e.Key.Name, e.Have.Version, e.Key.Name)
}

// Is makes a BehindError match [lease.ErrStoreRegressed].
func (e *BehindError) Is(target error) bool { return target == lease.ErrStoreRegressed }

// asking is an open's question to the archive: which version does latest.json announce?
type asking struct {
	named
	stop      context.CancelFunc
	answered  chan struct{}     // closed when the fields below are set
	announced *archive.Mirrored // nil: none, or not known
	err       error             // why it is not known

	accepted string // the commit id of the HEAD that was accepted
}

// ask sends the question. The answer comes while the lease is looked at.
func (n named) ask(ctx context.Context) *asking {
	a := &asking{named: n, answered: make(chan struct{})}
	ctx, a.stop = context.WithTimeout(ctx, askPatience)
	go func() {
		defer close(a.answered)
		if a.announced, a.err = archive.ReadLatest(ctx, n.Archive, n.key); errors.Is(a.err, store.ErrNotFound) {
			a.err = nil
		}
	}()
	return a
}

// close ends the question, whether it was answered or not.
func (a *asking) close() {
	a.stop()
	<-a.answered
}

// accept returns a [*BehindError] if the announced version is not in the history of the HEAD that
// was found. HEAD must be read after latest.json: a running job may announce in between. So before
// accept refuses it reads HEAD once more, which is no request of an open that succeeds.
func (a *asking) accept(ctx context.Context, found store.Records) error {
	select {
	case <-a.answered:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if a.announced == nil || found.Head == nil || found.Head.Number == 0 { // notLost asks about nothing
		return nil
	}
	if a.accepted == found.Head.CommitID {
		return nil
	}
	err := a.judge(ctx, found.Head)
	if err == nil {
		a.accepted = found.Head.CommitID
	}
	if !errors.Is(err, lease.ErrStoreRegressed) {
		return err
	}
	again, lookErr := a.look(ctx)
	switch {
	case lookErr != nil:
		return lookErr
	case again.Head == nil || again.Head.CommitID == found.Head.CommitID:
		return err
	}
	return a.judge(ctx, again.Head)
}

// judge compares by commit id. Epoch and version order nothing once a store went back.
func (a *asking) judge(ctx context.Context, head *store.Head) error {
	behind := &BehindError{Key: a.key, Have: archive.IDOf(&head.Version), Announced: a.announced.ID(),
		SavedAt: a.announced.SavedAt, By: a.announced.By}
	switch version := a.announced.Number; {
	case version > head.Number:
		return behind
	case version == head.Number && head.CommitID == a.announced.CommitID:
		return nil
	case version == head.Number:
		return behind
	}
	c, err := a.Store.Version(ctx, a.key, a.announced.Number)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrBadRecord):
		return nil // it has expired, or cannot be trusted: nothing tells
	case err != nil:
		return wrap(fmt.Sprintf("read version %d of", a.announced.Number), a.key, err)
	case c.CommitID != a.announced.CommitID:
		return behind
	}
	return nil
}

// warn logs why the question was not answered.
func (a *asking) warn(log *slog.Logger) {
	if a.err != nil && log != nil {
		log.Warn("the archive was not asked whether the store has gone backward",
			"checkpoint", a.key.String(), "error", a.err)
	}
}
