// Command orders is the program of the README: a job that adds up orders and goes on where it
// stopped. With an order's id as argument, the job fails at that order.
//
//	go run ./examples/orders ord-00006
//	go run ./examples/orders
package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store/sqlitestore"
)

type totals struct{ Sum int64 }

type order struct {
	ID     string
	Amount int64
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "orders:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	db, err := sqlitestore.Open(ctx, "jobs.db", nil) // or dynamostore.New(client, "milepost")
	if err != nil {
		return err
	}
	defer db.Close()
	jobs := checkpoint.Namespace{Store: db}
	return checkpoint.Run(ctx, jobs, "orders/eu", func(ctx context.Context, s *checkpoint.Session[totals]) error {
		for order := range ordersAfter(s.Cursor()) { // goes on where the last run stopped
			if err := process(ctx, order); err != nil {
				return err // saved: cursor, counts and state of the last mark, and this error
			}
			s.Mark(order.ID, func(t *totals) { t.Sum += order.Amount }) // saved every 1,000 marks or 10 s
		}
		return nil
	}, nil)
}

// ordersAfter stands for the job's own source: a table, a queue, a file.
func ordersAfter(cursor string) iter.Seq[order] {
	return func(yield func(order) bool) {
		for i := range int64(10) {
			o := order{ID: fmt.Sprintf("ord-%05d", i+1), Amount: 100 + i}
			if o.ID > cursor && !yield(o) {
				return
			}
		}
	}
}

func process(_ context.Context, o order) error {
	if len(os.Args) > 1 && os.Args[1] == o.ID {
		return errors.New(o.ID + " cannot be processed")
	}
	fmt.Println("processed", o.ID)
	return nil
}
