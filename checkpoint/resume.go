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
	key        store.Key
	version    store.Version // of it only cursor, counts and what is finished matter
	state      []byte        // as the codec has it, migrated; nil: the zero T
	checkpoint *Checkpoint   // nil: a fresh start
	identity   string        // that the next versions carry
	schema     int64
}

// resume holds the checkpoint against what the job declares. seed stands in for a
// checkpoint that does not exist yet.
func (o *Options) resume(key store.Key, head *store.Head, seed *store.Version, codec Codec) (resumption, error) {
	fresh := resumption{key: key, identity: o.Identity, schema: o.Schema}
	v := &head.Version
	switch {
	case v.Exists():
	case v.Version == 0 && seed != nil:
		v = seed
	default:
		return fresh, nil
	}
	cp, err := view(key, "HEAD", v)
	if err != nil {
		return resumption{}, err
	}
	cp.Epoch = head.Fence.Epoch
	from := resumption{key: key, version: *v, state: cp.State, checkpoint: cp, identity: v.Identity, schema: o.Schema}
	if o.Identity != "" {
		from.identity = o.Identity
	}
	if o.Identity != "" && v.Identity != "" && o.Identity != v.Identity && v != seed {
		switch o.OnIdentity {
		case Warn:
			o.Logger.Warn("the checkpoint is of another identity", "checkpoint", key.String(), "have", v.Identity, "want", o.Identity)
		case Restart:
			o.Logger.Warn("the checkpoint is of another identity: starting afresh", "checkpoint", key.String(), "have", v.Identity, "want", o.Identity)
			return fresh, nil
		default:
			return resumption{}, &RefusedError{Key: key, What: "identity", Have: v.Identity, Want: o.Identity,
				Hint: "it belongs to another input or configuration; reset it, or name another checkpoint"}
		}
	}
	if cp.State != nil && cp.ContentType != codec.ContentType() {
		return resumption{}, &RefusedError{Key: key, What: "content type", Have: cp.ContentType, Want: codec.ContentType(),
			Hint: "choose the codec that it was saved with"}
	}
	return from, o.migrate(&from)
}

func (o *Options) migrate(from *resumption) error {
	have := from.version.Schema
	refused := &RefusedError{Key: from.key, What: "schema", Have: strconv.FormatInt(have, 10), Want: strconv.FormatInt(o.Schema, 10)}
	switch {
	case have > o.Schema:
		refused.Hint = "it was written by a newer release of the job"
		return refused
	case have == o.Schema || from.state == nil:
		return nil
	case o.Migrate == nil:
		refused.Hint = "there is no migration from it"
		return refused
	}
	state, err := o.Migrate(have, from.state)
	if err != nil {
		return wrap(fmt.Sprintf("migrate from schema %d to %d the state of", have, o.Schema), from.key, err)
	}
	from.state = state
	return nil
}

// fork finds the name to go on under. Where that checkpoint is new, it starts from seed.
func (o *Options) fork(ctx context.Context, st store.Store, key store.Key) (_ store.Key, seed *store.Version, err error) {
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
	forked := store.Key{Namespace: key.Namespace, Name: fmt.Sprintf("%s@%.6x", key.Name, sha256.Sum256([]byte(o.Identity)))}
	if err := forked.Validate(); err != nil {
		return key, nil, wrap("fork", key, err)
	}
	o.Logger.Warn("the checkpoint is of another identity: going on under a name of its own",
		"checkpoint", key.String(), "fork", forked.String(), "have", h.Identity, "want", o.Identity)
	return forked, &h.Version, nil
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
