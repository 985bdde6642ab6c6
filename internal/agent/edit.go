package agent

import (
	"context"
	"fmt"
	"math"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
)

// planEdit plans a change of a checkpoint by a client that holds no session of that checkpoint.
func planEdit(r *request, f *fields, create bool, edit func(context.Context, checkpoint.Namespace, string, *checkpoint.EditOptions) (int64, error)) work {
	p := r.c.target(f)
	o := &checkpoint.EditOptions{Lease: lease.Options{Logger: r.c.agent.o.Logger, Observer: r.c.agent.o.Observer}}
	return work{do: func(ctx context.Context) ([]byte, error) {
		st, err := p.open(ctx, create)
		if err != nil {
			return nil, err
		}
		version, err := edit(ctx, st.in(p.namespace), p.name, o)
		if err != nil {
			return nil, err
		}
		return toJSON(map[string]int64{"version": version}), nil
	}}
}

// planCommit plans a change that is a commit.
func planCommit(r *request, f *fields, create bool, edit func(context.Context, checkpoint.Namespace, string, *checkpoint.EditOptions) (*checkpoint.EditResult, error)) work {
	ifVersion, reason := f.whole("if_version", 0, 1, math.MaxInt64), f.text("reason")
	return planEdit(r, f, create, func(ctx context.Context, in checkpoint.Namespace, name string, o *checkpoint.EditOptions) (int64, error) {
		o.IfVersion, o.Reason = ifVersion, reason
		done, err := edit(ctx, in, name, o)
		switch {
		case err != nil:
			return 0, err
		case done.After != nil:
			return done.After.Number, nil
		case done.Before != nil:
			return done.Before.Number + 1, nil
		}
		return 0, fmt.Errorf("%s: there was no checkpoint, and none was made", name)
	})
}

func planRollback(r *request, f *fields) work {
	to := f.whole("to", 0, 1, math.MaxInt64)
	if !f.has("to") {
		f.fail("field %q is missing", "to")
	}
	return planCommit(r, f, mustExist, func(ctx context.Context, in checkpoint.Namespace, name string, o *checkpoint.EditOptions) (*checkpoint.EditResult, error) {
		return in.Rollback(ctx, name, to, o)
	})
}

func planReset(r *request, f *fields) work {
	return planCommit(r, f, mustExist, func(ctx context.Context, in checkpoint.Namespace, name string, o *checkpoint.EditOptions) (*checkpoint.EditResult, error) {
		return in.Reset(ctx, name, o)
	})
}

func planSet(r *request, f *fields) work {
	content := checkpoint.Content{State: f.state()}
	if f.has("cursor") {
		cursor := f.text("cursor")
		content.Cursor = &cursor
	}
	for name, to := range map[string]**int64{"processed": &content.Processed, "failed": &content.Failed} {
		if f.has(name) {
			n := f.count(name)
			*to = &n
		}
	}
	return planCommit(r, f, mayCreate, func(ctx context.Context, in checkpoint.Namespace, name string, o *checkpoint.EditOptions) (*checkpoint.EditResult, error) {
		return in.Set(ctx, name, content, o)
	})
}

func planDelete(r *request, f *fields) work {
	return planCommit(r, f, mustExist, func(ctx context.Context, in checkpoint.Namespace, name string, o *checkpoint.EditOptions) (*checkpoint.EditResult, error) {
		return in.Delete(ctx, name, o)
	})
}

func planPin(r *request, f *fields) work {
	version, label := f.whole("version", 0, 1, math.MaxInt64), f.required("label")
	if len(label) > checkpoint.MaxLabel {
		f.fail("field \"label\": at most %d bytes", checkpoint.MaxLabel)
	}
	return planEdit(r, f, mustExist, func(ctx context.Context, in checkpoint.Namespace, name string, o *checkpoint.EditOptions) (int64, error) {
		cp, err := in.Pin(ctx, name, version, label, o)
		if err != nil {
			return 0, err
		}
		return cp.Number, nil
	})
}

func planUnpin(r *request, f *fields) work {
	version := f.whole("version", 0, 1, math.MaxInt64)
	return planEdit(r, f, mustExist, func(ctx context.Context, in checkpoint.Namespace, name string, o *checkpoint.EditOptions) (int64, error) {
		cp, err := in.Unpin(ctx, name, version, o)
		if err != nil {
			return 0, err
		}
		return cp.Number, nil
	})
}
