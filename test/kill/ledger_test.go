//go:build linux

package kill_test

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ledger is what the workers have written, as far as the test has read it.
type ledger struct {
	path   string
	offset int64
	starts []worker
	ends   []worker
	passes map[int][]int64 // by record number: the epochs of the runs that processed it
}

// worker is one run of a CMD.
type worker struct {
	epoch, version int64
	first, last    int
	pid            int
}

// read reads what was written since the last read.
func (l *ledger) read(t *testing.T) {
	t.Helper()
	file, err := os.Open(l.path)
	if os.IsNotExist(err) {
		return
	}
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	_, err = file.Seek(l.offset, 0)
	require.NoError(t, err)
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return // an incomplete line is read again once it is complete
		}
		l.offset += int64(len(line))
		l.take(t, strings.Fields(line))
	}
}

func (l *ledger) take(t *testing.T, fields []string) {
	t.Helper()
	n := make([]int, 6)
	require.Len(t, fields, len(n))
	for i, field := range fields[1:] {
		var err error
		n[i], err = strconv.Atoi(field)
		require.NoError(t, err, "ledger: %v", fields)
	}
	w := worker{epoch: int64(n[0]), version: int64(n[1]), first: n[2], last: n[3], pid: n[4]}
	switch fields[0] {
	case "start":
		l.starts = append(l.starts, w)
	case "end":
		l.ends = append(l.ends, w)
	case "records":
		if l.passes == nil {
			l.passes = make(map[int][]int64)
		}
		for record := w.first; record <= w.last; record++ {
			l.passes[record] = append(l.passes[record], w.epoch)
		}
	default:
		require.Fail(t, "ledger", "%v", fields)
	}
}

// of returns the workers that a run of that epoch has started.
func of(workers []worker, epoch int64) []worker {
	var found []worker
	for _, w := range workers {
		if w.epoch == epoch {
			found = append(found, w)
		}
	}
	return found
}

// checkComplete requires that every record was processed.
func (l *ledger) checkComplete(t *testing.T, records int) {
	t.Helper()
	assert.Len(t, l.passes, records, "records processed")
	for n := 1; n <= records; n++ {
		if len(l.passes[n]) == 0 {
			assert.Fail(t, "lost", "record %d was never processed", n)
			return
		}
	}
}

// checkRepeats requires that repeated records belong to the one batch that a killed run had not
// finished. The last pass counts: it is that of the epoch that committed the record, which
// committed returns.
func (l *ledger) checkRepeats(t *testing.T, committed func(record int) (epoch int64)) (repeated int) {
	t.Helper()
	inHand := make(map[int64]worker) // the last batch of each epoch
	for _, w := range l.starts {
		inHand[w.epoch] = w
	}
	for n, epochs := range l.passes {
		last := epochs[len(epochs)-1]
		if !assert.Equal(t, committed(n), last, "record %d: processed last by one epoch, committed by another", n) {
			return
		}
		for i, epoch := range epochs {
			if i > 0 && !assert.Greater(t, epoch, epochs[i-1], "record %d was processed twice by one run", n) {
				return
			}
			if epoch == last {
				continue
			}
			repeated++
			w := inHand[epoch]
			if !assert.True(t, w.first <= n && n <= w.last,
				"record %d was processed again, and the run of epoch %d had records %d to %d in hand when it ended", n, epoch, w.first, w.last) {
				return
			}
		}
	}
	return repeated
}
