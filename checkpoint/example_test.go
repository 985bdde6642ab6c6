package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/memstore"
)

// order is a record of the examples' input.
type order struct {
	ID     string
	Amount int64
}

// after returns the orders behind a cursor.
func after(cursor string) []order {
	all := []order{{"ord-1", 10}, {"ord-2", 20}, {"ord-3", 30}}
	for i, o := range all {
		if o.ID == cursor {
			return all[i+1:]
		}
	}
	return all
}

type total struct{ Sum int64 }

func ExampleRun() {
	ctx, jobs := context.Background(), checkpoint.Namespace{Store: memstore.New(nil)}
	job := func(_ context.Context, s *checkpoint.Session[total]) error {
		for _, o := range after(s.Cursor()) { // goes on where the last run stopped
			if o.ID == "ord-3" && s.Resumed() == nil {
				return errors.New("the warehouse is closed")
			}
			s.Mark(o.ID, func(t *total) { t.Sum += o.Amount })
			fmt.Println("processed", o.ID)
		}
		return nil
	}
	fmt.Println(checkpoint.Run(ctx, jobs, "orders/eu", job, nil))
	fmt.Println(checkpoint.Run(ctx, jobs, "orders/eu", job, nil))
	// Output:
	// processed ord-1
	// processed ord-2
	// the warehouse is closed
	// processed ord-3
	// <nil>
}

func ExampleOpen() {
	ctx, jobs := context.Background(), checkpoint.Namespace{Store: memstore.New(nil)}
	s, err := checkpoint.Open[total](ctx, jobs, "orders/eu", nil)
	if err != nil {
		log.Fatal(err)
	}
	s.Mark("ord-1", func(t *total) { t.Sum += 10 })

	_, err = checkpoint.Open[total](ctx, jobs, "orders/eu", nil) // a second run
	var held *lease.HeldError
	fmt.Println("held:", errors.As(err, &held))

	fmt.Println(s.Close(ctx, nil))
	// Output:
	// held: true
	// <nil>
}

func ExampleSession_Save() {
	ctx, jobs := context.Background(), checkpoint.Namespace{Store: memstore.New(nil)}
	s, err := checkpoint.Open[total](ctx, jobs, "orders/eu", nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Save(ctx, "ord-1", total{Sum: 10}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("version", s.Version())
	if err := s.Close(ctx, nil); err != nil {
		log.Fatal(err)
	}
	// Output: version 1
}

func ExampleSession_SaveStep_output() {
	ctx, jobs := context.Background(), checkpoint.Namespace{Store: memstore.New(nil)}
	var sink []string // of dynamostore or sqlitestore: the caller's own table
	err := checkpoint.Run(ctx, jobs, "orders/eu", func(ctx context.Context, s *checkpoint.Session[struct{}]) error {
		for _, o := range after(s.Cursor()) {
			put := memstore.Do(func() error { sink = append(sink, o.ID); return nil })
			if err := s.SaveStep(ctx, checkpoint.Step[struct{}]{Cursor: o.ID, Writes: []store.Write{put}}); err != nil { // output and checkpoint together, or neither
				return err
			}
		}
		return nil
	}, nil)
	fmt.Println(sink, err)
	// Output: [ord-1 ord-2 ord-3] <nil>
}

func ExampleSession_SaveStep() {
	ctx, jobs := context.Background(), checkpoint.Namespace{Store: memstore.New(nil)}
	err := checkpoint.Run(ctx, jobs, "orders/eu", func(ctx context.Context, s *checkpoint.Session[total]) error {
		err := s.SaveStep(ctx, checkpoint.Step[total]{
			Cursor: "ord-1", Processed: 1,
			Update: func(t *total) { t.Sum += 10 },
			Writes: []store.Write{memstore.Do(func() error { return errors.New("ord-1 is in the sink already") })},
		})
		var refused *store.WriteError
		if errors.As(err, &refused) {
			fmt.Printf("write %d was refused, and nothing has moved: cursor %q\n", refused.Index, s.Cursor())
		}
		return nil
	}, nil)
	fmt.Println(err)
	// Output:
	// write 0 was refused, and nothing has moved: cursor ""
	// <nil>
}

func ExampleSession_Start() {
	ctx, jobs := context.Background(), checkpoint.Namespace{Store: memstore.New(nil)}
	err := checkpoint.Run(ctx, jobs, "orders/eu", func(_ context.Context, s *checkpoint.Session[total]) error {
		var workers sync.WaitGroup
		for _, o := range after(s.Cursor()) {
			record, ok := s.Start(o.ID) // in the order of the input
			if !ok {
				continue // finished by an earlier run
			}
			workers.Go(func() { // and finished in any order
				record.Done(func(t *total) { t.Sum += o.Amount })
			})
		}
		workers.Wait()
		fmt.Println("everything is finished up to", s.Cursor())
		return nil
	}, nil)
	fmt.Println(err)
	// Output:
	// everything is finished up to ord-3
	// <nil>
}

func ExampleNamespace_Get() {
	ctx, jobs := context.Background(), checkpoint.Namespace{Store: memstore.New(nil)}
	s, err := checkpoint.Open[total](ctx, jobs, "orders/eu", nil)
	if err != nil {
		log.Fatal(err)
	}
	s.Mark("ord-1", func(t *total) { t.Sum = 10 })
	if err := s.Close(ctx, nil); err != nil {
		log.Fatal(err)
	}

	cp, err := jobs.Get(ctx, "orders/eu", nil)
	if err != nil {
		log.Fatal(err)
	}
	state, err := checkpoint.Decode[total](cp)
	fmt.Println(cp.Number, cp.Cursor, cp.Processed, state.Sum, cp.Ended, err)

	_, err = jobs.Get(ctx, "orders/us", nil)
	fmt.Println(errors.Is(err, store.ErrNotFound))
	// Output:
	// 1 ord-1 1 10 done <nil>
	// true
}

func ExampleNamespace_Rollback() {
	ctx, jobs := context.Background(), checkpoint.Namespace{Store: memstore.New(nil)}
	s, err := checkpoint.Open[total](ctx, jobs, "orders/eu", nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, o := range after("") {
		if err := s.Save(ctx, o.ID, total{}); err != nil {
			log.Fatal(err)
		}
	}
	if err := s.Close(ctx, nil); err != nil {
		log.Fatal(err)
	}

	plan, err := jobs.Rollback(ctx, "orders/eu", 1, &checkpoint.EditOptions{DryRun: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("would go from %s back to %s, as version %d\n", plan.Before.Cursor, plan.After.Cursor, plan.After.Number)

	done, err := jobs.Rollback(ctx, "orders/eu", 1, &checkpoint.EditOptions{
		IfVersion: plan.Before.Number, Reason: "ord-2 was sent twice",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("version", done.After.Number, "is at", done.After.Cursor)
	// Output:
	// would go from ord-3 back to ord-1, as version 5
	// version 5 is at ord-1
}

func ExampleNamespace_History() {
	ctx, jobs := context.Background(), checkpoint.Namespace{Store: memstore.New(nil)}
	s, err := checkpoint.Open[total](ctx, jobs, "orders/eu", nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, o := range after("") {
		if err := s.Save(ctx, o.ID, total{}); err != nil {
			log.Fatal(err)
		}
	}
	for cp, err := range jobs.History(ctx, "orders/eu", nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(cp.Number, cp.Cursor)
	}
	if err := s.Close(ctx, nil); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 3 ord-3
	// 2 ord-2
	// 1 ord-1
}
