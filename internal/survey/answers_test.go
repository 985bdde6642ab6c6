package survey_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

func TestALeaseIsFreeHeldOrExpired(t *testing.T) {
	end := time.Date(2026, 11, 29, 2, 0, 0, 0, time.UTC)
	for want, c := range map[string]struct {
		status store.Status
		now    time.Time
	}{
		"held":    {store.Held, end.Add(-time.Second)},
		"expired": {store.Held, end.Add(time.Second)},
		"free":    {store.Free, end.Add(time.Second)},
	} {
		l := &store.Lease{Status: c.status, Epoch: 3, Holder: store.Holder{ID: "a"}, Until: store.Clock{Wall: end}}
		shown := survey.ToLeaseJSON(store.Key{Name: "flights"}, lease.Observation{Lease: l, Clock: store.Clock{Wall: c.now}})
		assert.Equal(t, want, shown.Status)
		assert.Equal(t, c.status == store.Held, shown.ExpiresAt != nil, want)

		listed, err := survey.ToListingJSON(&checkpoint.Listing{Key: store.Key{Name: "flights"}, Lease: l, Held: want == "held"}, nil)
		require.NoError(t, err)
		var line struct{ Lease struct{ Status string } }
		require.NoError(t, json.Unmarshal(listed, &line))
		assert.Equal(t, want, line.Lease.Status)
	}
}
