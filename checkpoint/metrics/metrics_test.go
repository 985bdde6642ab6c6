package metrics_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/milepost-dev/milepost/checkpoint/metrics"
)

func TestANilProviderIsAnError(t *testing.T) {
	_, err := metrics.New(nil, nil)
	assert.ErrorContains(t, err, "GetMeterProvider")
}
