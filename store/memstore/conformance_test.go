package memstore_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/milepost-dev/milepost/internal/protocoltest"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/memstore"
	"github.com/milepost-dev/milepost/store/storetest"
)

func TestConformance(t *testing.T) { storetest.Run(t, engine) }

func TestProtocol(t *testing.T) { protocoltest.RunVirtual(t, engine) }

var engine = storetest.Engine{
	New: func(testing.TB) store.Store { return memstore.New(nil) },
	Damage: map[storetest.Damage]func(testing.TB, store.Store, storetest.Record){
		storetest.NewerFormat:    damage(store.ErrNewerFormat),
		storetest.UnknownField:   damage(errors.New("unknown field")),
		storetest.WrongType:      damage(errors.New("epoch is no number")),
		storetest.WithoutVersion: damage(errors.New("version is missing")),
		storetest.NegativeCount:  damage(errors.New("counts are negative")),
	},
	Writes: writes,
}

func damage(why error) func(testing.TB, store.Store, storetest.Record) {
	return func(_ testing.TB, s store.Store, r storetest.Record) {
		s.(*memstore.Store).Damage(r.Key, r.Name, why)
	}
}

func writes(testing.TB, store.Store) storetest.Writes {
	var mu sync.Mutex
	made := map[string]bool{}
	return storetest.Writes{
		Make: func(name string) store.Write {
			return memstore.Do(func() error {
				mu.Lock()
				defer mu.Unlock()
				made[name] = true
				return nil
			})
		},
		Refused: memstore.Do(func() error { return errors.New("refused") }),
		Made: func(name string) bool {
			mu.Lock()
			defer mu.Unlock()
			return made[name]
		},
	}
}
