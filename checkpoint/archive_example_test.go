package checkpoint_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store/archive/dirarchive"
	"github.com/milepost-dev/milepost/store/memstore"
)

// A state that does not fit in memory is written as it is made, and read as a stream.
func ExampleSaveStream() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "archive-")
	defer os.RemoveAll(dir)
	a, _ := dirarchive.Open(dir) // or a bucket: s3archive.New(client, "bucket", "prefix", nil)
	defer a.Close()

	job := func(ctx context.Context, s *checkpoint.Session[checkpoint.StreamedState]) error {
		return checkpoint.SaveStream(ctx, s, "row-1000000", func(w io.Writer) error {
			for range 1_000_000 {
				if _, err := io.WriteString(w, "seen\n"); err != nil {
					return err
				}
			}
			return nil
		})
	}
	jobs := checkpoint.Namespace{Store: memstore.New(nil), Archive: a}
	if err := checkpoint.Run(ctx, jobs, "dedupe", job, nil); err != nil {
		fmt.Println(err)
		return
	}

	cp, _ := jobs.Get(ctx, "dedupe", nil)
	state, _ := cp.OpenState(ctx, a)
	defer state.Close()
	n, err := io.Copy(io.Discard, state)
	fmt.Println(cp.Cursor, n, err)
	// Output: row-1000000 5000000 <nil>
}

// A table is lost. A job that starts on the empty one is refused, and after the restore resumes.
func ExampleNamespace_Restore() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "archive-")
	defer os.RemoveAll(dir)
	a, _ := dirarchive.Open(dir)
	defer a.Close()
	orders := checkpoint.Namespace{Store: memstore.New(nil), Archive: a}
	job := func(_ context.Context, s *checkpoint.Session[struct{}]) error {
		fmt.Printf("starts at %q\n", s.Cursor())
		s.Mark(s.Cursor()+"x", nil)
		return nil
	}
	fmt.Println(checkpoint.Run(ctx, orders, "eu", job, nil))

	orders.Store = memstore.New(nil)
	err := checkpoint.Run(ctx, orders, "eu", job, nil)
	fmt.Println(strings.Contains(err.Error(), "restore it from the archive"))
	restored, err := orders.Restore(ctx, "eu", &checkpoint.RestoreOptions{Reason: "the table is gone"})
	fmt.Println(restored.After.Number, restored.After.Epoch > 1_000_000, err)
	fmt.Println(checkpoint.Run(ctx, orders, "eu", job, nil))
	// Output:
	// starts at ""
	// <nil>
	// true
	// 2 true <nil>
	// starts at "x"
	// <nil>
}
