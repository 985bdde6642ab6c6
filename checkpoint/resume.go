package checkpoint

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// resumption is what a session starts from.
type resumption struct {
	checkpoint *Checkpoint  // nil: a fresh start
	stored     *store.State // the state as the version holds it; nil: none
	state      []byte       // encoded and migrated; nil: the zero T, or a stream
	identity   string       // the identity that the next versions carry
}

// resume compares the checkpoint with what the job declares, and returns what the session starts
// from. If the checkpoint does not exist yet, resume uses seed in its place.
func (o *Options) resume(ctx context.Context, n named, head *store.Head, seed *trunk, codec Codec, use uses) (resumption, error) {
	load := use == loadsState
	forked := head.Number == 0 && seed != nil
	if forked {
		n.key, head = seed.key, seed.head
	}
	if !head.Exists() {
		return resumption{identity: o.Identity}, nil
	}
	cp, err := viewHead(n.key, head)
	if err != nil {
		return resumption{}, err
	}
	from := resumption{checkpoint: cp, stored: head.State, identity: cp.Identity}
	if o.Identity != "" {
		from.identity = o.Identity
	}
	if from.identity != cp.Identity && cp.Identity != "" && !forked {
		switch o.OnIdentity {
		case IdentityWarn:
			o.Logger.Warn("the checkpoint is of another identity", "checkpoint", n.key.String(), "have", cp.Identity, "want", o.Identity)
		case IdentityRestart:
			o.Logger.Warn("the checkpoint is of another identity: starting from the beginning",
				"checkpoint", n.key.String(), "have", cp.Identity, "want", o.Identity)
			return resumption{identity: o.Identity}, nil
		default:
			return resumption{}, &RefusedError{Key: n.key, What: "identity", Have: cp.Identity, Want: o.Identity,
				Hint: "it belongs to another input or configuration; reset it, or name another checkpoint"}
		}
	}
	if use == hasNoState && head.State != nil && !o.KeepState {
		return resumption{}, &RefusedError{Key: n.key, What: "state", Have: fmt.Sprintf("%s, %d bytes", cp.ContentType, cp.StateSize),
			Want: "none", Hint: "it belongs to the cursor of the job that saved it; open the checkpoint with a type for it, or reset it, or set KeepState to keep it as it is"}
	}
	if use != hasNoState && cp.State != nil && cp.ContentType != codec.ContentType() {
		return resumption{}, &RefusedError{Key: n.key, What: "content type", Have: cp.ContentType, Want: codec.ContentType(),
			Hint: "choose the codec that it was saved with"}
	}
	if cp.Body != "" && load {
		if cp.State, err = n.loadNewest(ctx, &head.Version); err != nil {
			return resumption{}, wrap("open", n.key, err)
		}
	}
	if from.state, err = o.migrate(cp, load); err != nil {
		return resumption{}, err
	}
	if !load {
		from.state = nil // even if it is small
	}
	return from, nil
}

// loadNewest loads the body of HEAD's version. If the body is missing or damaged, loadNewest reads
// HEAD again. If HEAD has not changed, it tries the body once more. It never takes an older version
// instead.
func (n named) loadNewest(ctx context.Context, v *store.Version) ([]byte, error) {
	data, err := loadBody(ctx, n.Archive, n.key, v)
	if !errors.Is(err, archive.ErrBodyMissing) {
		return data, err
	}
	found, lookErr := n.Store.Look(ctx, n.key)
	switch {
	case lookErr != nil:
		return nil, fmt.Errorf("%w; HEAD cannot be read again: %w", err, lookErr)
	case found.Head == nil || found.Head.CommitID != v.CommitID:
		return nil, fmt.Errorf("%w; HEAD has changed since", err)
	}
	return loadBody(ctx, n.Archive, n.key, v)
}

// notLost returns a [*RefusedError] if the store has lost the checkpoint: the store has nothing of
// the checkpoint, and the archive has a version. The session must not begin from zero then. An
// archive that does not answer is an error.
func (n named) notLost(ctx context.Context, head *store.Head) error {
	if n.Archive == nil || head != nil && head.Number > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for listed, err := range archive.Versions(ctx, n.Archive, n.key) {
		switch {
		case err != nil:
			return wrap("ask the archive, since the store has nothing, about", n.key, err)
		case !listed.Foreign:
			return &RefusedError{Key: n.key, What: "mirror", Have: listed.ID.String(),
				Hint: "and the store has nothing of it, so it was lost there: restore it from the archive, or reset it"}
		}
	}
	return nil
}

// migrate returns the state of cp in the form of the job's schema.
func (o *Options) migrate(cp *Checkpoint, loaded bool) ([]byte, error) {
	refused := &RefusedError{
		Key: cp.Key, What: "schema", Have: strconv.FormatInt(cp.Schema, 10), Want: strconv.FormatInt(o.Schema, 10),
	}
	switch {
	case cp.Schema > o.Schema:
		refused.Hint = "it was written by a newer release of the job"
		return nil, refused
	case cp.Schema == o.Schema || cp.State == nil && cp.Body == "":
		return cp.State, nil
	case !loaded:
		refused.Hint = "a state that is streamed or kept is not migrated: read it, and write it again"
		return nil, refused
	case o.Migrate == nil:
		refused.Hint = "there is no migration from it"
		return nil, refused
	}
	state, err := o.Migrate(cp.Schema, cp.State)
	if err != nil {
		return nil, wrap(fmt.Sprintf("migrate from schema %d to %d the state of", cp.Schema, o.Schema), cp.Key, err)
	}
	return state, nil
}

// trunk is the checkpoint that another checkpoint forks from.
type trunk struct {
	key  store.Key
	head *store.Head
}

// fork returns the checkpoint to continue as, under [IdentityFork]. If that checkpoint is new, it
// starts from the trunk.
func (o *Options) fork(ctx context.Context, n named) (named, *trunk, error) {
	if o.OnIdentity != IdentityFork || o.Identity == "" {
		return n, nil, nil
	}
	found, err := n.Store.Look(ctx, n.key)
	if err != nil {
		return n, nil, wrap("open", n.key, err)
	}
	h := found.Head
	if h == nil || !h.Exists() || h.Identity == "" || h.Identity == o.Identity {
		return n, nil, nil
	}
	fork, err := n.Namespace.named(fmt.Sprintf("%s@%.6x", n.key.Name, sha256.Sum256([]byte(o.Identity))))
	if err != nil {
		return n, nil, wrap("fork", n.key, err)
	}
	o.Logger.Warn("the checkpoint is of another identity: going on under a name of its own",
		"checkpoint", n.key.String(), "fork", fork.key.String(), "have", h.Identity, "want", o.Identity)
	return fork, &trunk{key: n.key, head: h}, nil
}

// sayOld calls OnOld, or logs, if the version to resume from is older than MaxAge.
func (o *Options) sayOld(cp *Checkpoint, l *lease.Lease) {
	now := l.Clock().Wall
	if now.IsZero() {
		now = time.Now()
	}
	age := now.Sub(cp.SavedAt)
	if o.MaxAge == 0 || age <= o.MaxAge {
		return
	}
	if o.OnOld != nil {
		o.OnOld(cp, age)
		return
	}
	o.Logger.Warn("resuming from an old checkpoint", "checkpoint", cp.Key.String(), "version", cp.Number, "age", age.Round(time.Second))
}
