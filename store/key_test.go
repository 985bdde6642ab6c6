package store_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/milepost-dev/milepost/store"
)

func TestAKeyReadsAsPeopleWriteIt(t *testing.T) {
	assert.Equal(t, "orders/eu", store.Key{Namespace: store.DefaultNamespace, Name: "orders/eu"}.String())
	assert.Equal(t, "etl#orders/eu", store.Key{Namespace: "etl", Name: "orders/eu"}.String())
	assert.Equal(t, "namespace etl", store.Key{Namespace: "etl"}.String(), "of a listing of all")
}
