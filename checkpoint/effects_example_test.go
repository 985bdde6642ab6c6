package checkpoint_test

import (
	"context"
	"fmt"
	"log"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store/memstore"
)

// files are the outputs that count: a reader takes those, and no others that lie beside them.
type files struct{ Written []string }

// What a sink has of the job is in the checkpoint, though sink and store share no transaction.
func ExampleSession_Output() {
	ctx, jobs := context.Background(), checkpoint.Namespace{Store: memstore.New(nil)}
	job := func(_ context.Context, s *checkpoint.Session[files]) error {
		for _, o := range after(s.Cursor()) {
			file := s.Output(o.ID + ".csv")
			// … write the file, and then, in one step:
			s.Mark(o.ID, func(f *files) { f.Written = append(f.Written, file) })
			if err := s.Flush(ctx); err != nil {
				return err // the file is in no list: the next session writes one of another name
			}
		}
		return nil
	}
	if err := checkpoint.Run(ctx, jobs, "orders/eu", job, nil); err != nil {
		log.Fatal(err)
	}
	cp, err := jobs.Get(ctx, "orders/eu", nil)
	if err != nil {
		log.Fatal(err)
	}
	count, err := checkpoint.Decode[files](cp)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(count.Written)
	// Output: [ord-1-e1-v1.csv ord-2-e1-v2.csv ord-3-e1-v3.csv]
}
