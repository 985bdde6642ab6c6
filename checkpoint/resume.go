package checkpoint

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"time"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// resumption is what a session starts from.
type resumption struct {
	checkpoint *Checkpoint // nil: a fresh start
	state      []byte      // as the codec has it, migrated; nil: the zero T
	identity   string      // that the next versions carry
}

// resume holds the checkpoint against what the job declares. Where it does not exist yet, seed stands
// in for it.
func (o *Options) resume(key store.Key, head *store.Head, seed *trunk, codec Codec) (resumption, error) {
	forked := head.Version.Version == 0 && seed != nil
	if forked {
		key, head = seed.key, seed.head
	}
	if !head.Exists() {
		return resumption{identity: o.Identity}, nil
	}
	cp, err := viewHead(key, head)
	if err != nil {
		return resumption{}, err
	}
	from := resumption{checkpoint: cp, state: cp.State, identity: cp.Identity}
	if o.Identity != "" {
		from.identity = o.Identity
	}
	if from.identity != cp.Identity && cp.Identity != "" && !forked {
		switch o.OnIdentity {
		case Warn:
			o.Logger.Warn("the checkpoint is of another identity", "checkpoint", key.String(), "have", cp.Identity, "want", o.Identity)
		case Restart:
			o.Logger.Warn("the checkpoint is of another identity: starting afresh",
				"checkpoint", key.String(), "have", cp.Identity, "want", o.Identity)
			return resumption{identity: o.Identity}, nil
		default:
			return resumption{}, &RefusedError{Key: key, What: "identity", Have: cp.Identity, Want: o.Identity,
				Hint: "it belongs to another input or configuration; reset it, or name another checkpoint"}
		}
	}
	if cp.State != nil && cp.ContentType != codec.ContentType() {
		return resumption{}, &RefusedError{Key: key, What: "content type", Have: cp.ContentType, Want: codec.ContentType(),
			Hint: "choose the codec that it was saved with"}
	}
	if from.state, err = o.migrate(cp); err != nil {
		return resumption{}, err
	}
	return from, nil
}

// migrate returns the state of cp in the form of the job's schema.
func (o *Options) migrate(cp *Checkpoint) ([]byte, error) {
	refused := &RefusedError{
		Key: cp.key(), What: "schema", Have: strconv.FormatInt(cp.Schema, 10), Want: strconv.FormatInt(o.Schema, 10),
	}
	switch {
	case cp.Schema > o.Schema:
		refused.Hint = "it was written by a newer release of the job"
		return nil, refused
	case cp.Schema == o.Schema || cp.State == nil:
		return cp.State, nil
	case o.Migrate == nil:
		refused.Hint = "there is no migration from it"
		return nil, refused
	}
	state, err := o.Migrate(cp.Schema, cp.State)
	if err != nil {
		return nil, wrap(fmt.Sprintf("migrate from schema %d to %d the state of", cp.Schema, o.Schema), cp.key(), err)
	}
	return state, nil
}

// trunk is the checkpoint that another forks from.
type trunk struct {
	key  store.Key
	head *store.Head
}

// fork finds the name to go on under. Where that checkpoint is new, it starts from the trunk.
func (o *Options) fork(ctx context.Context, st store.Store, key store.Key) (store.Key, *trunk, error) {
	if o.OnIdentity != Fork || o.Identity == "" {
		return key, nil, nil
	}
	found, err := st.Look(ctx, key)
	if err != nil {
		return key, nil, wrap("open", key, err)
	}
	h := found.Head
	if h == nil || !h.Exists() || h.Identity == "" || h.Identity == o.Identity {
		return key, nil, nil
	}
	fork := store.Key{Namespace: key.Namespace, Name: fmt.Sprintf("%s@%.6x", key.Name, sha256.Sum256([]byte(o.Identity)))}
	if err := fork.Validate(); err != nil {
		return key, nil, wrap("fork", key, err)
	}
	o.Logger.Warn("the checkpoint is of another identity: going on under a name of its own",
		"checkpoint", key.String(), "fork", fork.String(), "have", h.Identity, "want", o.Identity)
	return fork, &trunk{key: key, head: h}, nil
}

// sayOld speaks up where the version resumed from is older than MaxAge.
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
	o.Logger.Warn("resuming from an old checkpoint", "checkpoint", cp.key().String(), "version", cp.Version, "age", age.Round(time.Second))
}
