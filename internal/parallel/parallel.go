// Package parallel does a bounded number of things at once.
package parallel

import (
	"context"
	"sync"
)

// Each calls do for each number below n, atOnce calls at a time, and returns the first error. After
// an error it starts no more calls, and the context of those that run ends.
func Each(ctx context.Context, n, atOnce int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan int)
	var workers sync.WaitGroup
	for range min(atOnce, n) {
		workers.Go(func() {
			for i := range todo {
				if ctx.Err() != nil {
					continue
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		todo <- i
	}
	close(todo)
	workers.Wait()
	return context.Cause(ctx)
}
