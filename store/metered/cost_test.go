package metered_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/metered"
)

// nothing is a store that takes every commit, and keeps none.
type nothing struct{ store.Store }

func (nothing) Commit(context.Context, store.Key, store.Commit) (store.Clock, error) {
	return store.Clock{}, nil
}

func (nothing) Copy(context.Context, store.Key, store.Copy) error { return nil }

// BenchmarkCommit is what counting adds to a commit and the copy behind it, together.
func BenchmarkCommit(b *testing.B) {
	st, err := metered.New(nothing{}, metric.NewMeterProvider(metric.WithReader(metric.NewManualReader())), &metered.Options{Detail: true})
	if err != nil {
		b.Fatal(err)
	}
	key := store.Key{Namespace: "default", Name: "job"}
	c := store.Commit{Fence: store.Fence{Epoch: 1, LeaseID: "lease"}, Next: store.Version{CommitID: "commit", CommitEpoch: 1, Content: store.Content{State: &store.State{Size: 7}}}}
	b.ReportAllocs()
	for b.Loop() {
		c.Base, c.Next.Number = c.Base+1, c.Base+2
		c.Next.Processed += 10
		if _, err := st.Commit(b.Context(), key, c); err != nil {
			b.Fatal(err)
		}
		if err := st.Copy(b.Context(), key, store.Copy{}); err != nil {
			b.Fatal(err)
		}
	}
}
