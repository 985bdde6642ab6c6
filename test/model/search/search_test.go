package search_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/milepost-dev/milepost/test/model/search"
)

// counter adds one or doubles, up to a hundred.
func counter(broken uint8) *search.Model[uint8] {
	return &search.Model[uint8]{
		Start: 1,
		Steps: func(n uint8, step func(uint8, search.What)) {
			if n < 100 {
				step(n+1, search.What{By: "counter", Did: "adds one to", Detail: n})
			}
			if n <= 50 {
				step(2*n, search.What{By: "counter", Did: "doubles", Detail: n})
			}
		},
		Broken: func(n uint8) string {
			if n == broken {
				return "it is there"
			}
			return ""
		},
	}
}

func TestASearchFindsTheShortestWay(t *testing.T) {
	found := counter(10).Run()
	assert.Equal(t, "it is there", found.Broken)
	assert.Equal(t, []string{
		"counter 0 adds one to (1)", "counter 0 doubles (2)", "counter 0 adds one to (4)", "counter 0 doubles (5)",
	}, found.Trace)
}

func TestASearchLooksAtEachStateOrSaysThatItDidNot(t *testing.T) {
	found := counter(0).Run()
	assert.Equal(t, search.Result{States: 100, Whole: true}, found)
	m := counter(0)
	m.Most = 50
	found = m.Run()
	assert.Empty(t, found.Broken)
	assert.False(t, found.Whole)
}
