package lease_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/memstore"
)

// A lease fences whatever takes its epoch and refuses lower ones.
func ExampleAcquire() {
	ctx := context.Background()
	st := memstore.New(nil)
	key := store.Key{Namespace: "default", Name: "reports/nightly"}

	l, err := lease.Acquire(ctx, st, key, &lease.Options{Holder: store.Holder{ID: "nightly"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() {
		if err := l.Release(ctx); err != nil {
			fmt.Println(err)
		}
	}()
	fmt.Println("epoch", l.Epoch())

	_, err = lease.Acquire(ctx, st, key, &lease.Options{Holder: store.Holder{ID: "by hand"}})
	if held, ok := errors.AsType[*lease.HeldError](err); ok {
		fmt.Println("held by", held.Holder.ID)
	}
	// Output:
	// epoch 1
	// held by nightly
}

// What a holder does ends with the lease's context, whose cause says why.
func ExampleLease_Context() {
	ctx := context.Background()
	st := memstore.New(nil)
	key := store.Key{Namespace: "default", Name: "reports/nightly"}
	l, err := lease.Acquire(ctx, st, key, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := l.Release(ctx); err != nil {
		fmt.Println(err)
	}
	<-l.Context().Done()
	fmt.Println(errors.Is(context.Cause(l.Context()), lease.ErrLost))
	// Output: true
}
