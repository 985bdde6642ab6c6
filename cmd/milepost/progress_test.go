package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestProgressShowsRecordsRateAndTimeLeft(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, false, "flights", 20_000, 0.2)
	p.began = p.began.Add(-10 * time.Second)
	now := p.began.Add(10 * time.Second)
	assert.Equal(t, "flights  62,000 records  4,200/s  9 s left  version 62", p.text(now, 62_000, 0.62, 62))
	assert.Equal(t, "flights  62,000 records  4,200/s  version 62", p.text(now, 62_000, -1, 62), "the size of a pipe is not known")
	assert.Equal(t, "flights  20,000 records  version 20", p.text(now, 20_000, 0.2, 20))
}

func TestWithoutATerminalProgressIsALineNowAndThen(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, false, "flights", 0, 0)
	p.update(1000, 0.1, 1)
	assert.Empty(t, out.String(), "too soon")
	p.told = p.told.Add(-lineEvery)
	p.update(2000, 0.2, 2)
	p.update(3000, 0.3, 3)
	assert.Regexp(t, `^flights  2,000 records  [\d,]+/s  \d+ s left  version 2  20 %\n$`, out.String())
	out.Reset()
	p.finish(3000, "done", 3)
	assert.Equal(t, "flights  3,000 records  done  version 3\n", out.String())
}
