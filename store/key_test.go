package store_test

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/milepost-dev/milepost/store"
)

func TestAKeyReadsAsPeopleWriteIt(t *testing.T) {
	assert.Equal(t, "orders/eu", store.Key{Namespace: store.DefaultNamespace, Name: "orders/eu"}.String())
	assert.Equal(t, "etl#orders/eu", store.Key{Namespace: "etl", Name: "orders/eu"}.String())
	assert.Equal(t, "namespace etl", store.Key{Namespace: "etl"}.String(), "of a listing of all")
}

// The listings of S3 are XML 1.0, in which some characters cannot appear at all.
func TestNoNameHasACharacterThatXMLCannotHold(t *testing.T) {
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) || r == '/' || r == '#' || r == '.' {
			continue
		}
		xml := r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r <= 0xD7FF || r >= '\uE000' && r <= '\uFFFD' || r >= '\U00010000'
		if !xml {
			key := store.Key{Namespace: "etl", Name: "a/b" + string(r)}
			assert.ErrorIs(t, key.Validate(), store.ErrName, "name with %U", r)
			key = store.Key{Namespace: "etl" + string(r), Name: "a"}
			assert.ErrorIs(t, key.Validate(), store.ErrName, "namespace with %U", r)
		}
	}
	assert.NoError(t, store.Key{Namespace: "etl", Name: "\U0001FFFE"}.Validate(), "XML can hold it")
}
