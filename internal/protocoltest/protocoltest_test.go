package protocoltest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/milepost-dev/milepost/internal/protocoltest"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/memstore"
	"github.com/milepost-dev/milepost/store/storetest"
)

// The rules must hold in real time too, where most engines live.
func TestRunInRealTime(t *testing.T) {
	defer goleak.VerifyNone(t)
	protocoltest.Run(t, storetest.Engine{New: func(testing.TB) store.Store { return memstore.New(nil) }})
}
