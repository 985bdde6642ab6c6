package sqlitestore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/sqlitestore"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "milepost")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	s, err := sqlitestore.Open(ctx, filepath.Join(dir, "jobs.db"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	key := store.Key{Namespace: store.DefaultNamespace, Name: "orders/eu"}
	if err := s.Expect(ctx, key, nil, &store.Expectation{Every: time.Hour}); err != nil {
		log.Fatal(err)
	}
	for name, err := range s.Names(ctx, store.DefaultNamespace, "orders/", "") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(name)
	}
	// Output: orders/eu
}
