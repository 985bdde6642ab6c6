package checkpoint_test

import (
	"bytes"
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

// All checkpoints of one store go to another, with their history.
func ExampleExporter() {
	ctx := context.Background()
	from, to := checkpoint.Namespace{Store: memstore.New(nil)}, checkpoint.Namespace{Store: memstore.New(nil)}
	for _, name := range []string{"eu", "us"} {
		if _, err := from.Set(ctx, name, checkpoint.Content{State: []byte(`{"sum": 1}`)}, nil); err != nil {
			fmt.Println(err)
		}
	}

	var lines bytes.Buffer // or a file
	x := checkpoint.NewExporter(&lines)
	for name, err := range from.Names(ctx, "") {
		if err != nil {
			fmt.Println(err)
			return
		}
		if _, err := x.Add(ctx, from, name, nil); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(x.Close())

	for done, err := range to.Import(ctx, &lines, nil) {
		fmt.Println(done.Name, done.Versions, err)
	}
	// Output:
	// <nil>
	// eu 1 <nil>
	// us 1 <nil>
}

func ExampleNamespace_List() {
	ctx, jobs := context.Background(), checkpoint.Namespace{Store: memstore.New(nil)}
	for _, name := range []string{"orders/eu", "orders/us", "users"} {
		if _, err := jobs.Set(ctx, name, checkpoint.Content{State: []byte("1")}, nil); err != nil {
			fmt.Println(err)
		}
	}
	for l, err := range jobs.List(ctx, "orders/") {
		fmt.Println(l.Name, l.Checkpoint.Number, l.Held, err)
	}
	// Output:
	// orders/eu 1 false <nil>
	// orders/us 1 false <nil>
}
