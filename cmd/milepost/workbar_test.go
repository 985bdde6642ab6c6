package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestALongCommandPrintsALineNowAndThenAndAShortOneNone(t *testing.T) {
	var stderr bytes.Buffer
	bar := (&app{stderr: &stderr}).newWorkBar("verify")
	tell := bar.on("orders/eu")
	tell(1, 3000)
	assert.Empty(t, stderr.String())

	bar.told = time.Now().Add(-lineEvery)
	tell(1204, 3000)
	tell(1205, 3000)
	bar.told = time.Now().Add(-lineEvery)
	bar.on("a\nb")(7, 0)
	bar.clear()
	assert.Equal(t, "verify orders/eu  1,204 / 3,000\nverify \"a\\nb\"  7\n", stderr.String())
}
