//go:build linux

package kill_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The variables that tell a worker what it needs.
const (
	ledgerVariable = "MILEPOST_KILL_LEDGER"
	gateVariable   = "MILEPOST_KILL_GATE"
)

// work is the CMD of the batches: it appends what it processes to a ledger, some records at a time, and halfway
// through its batch waits while the file that is its gate exists.
func work() error {
	ledger, err := os.OpenFile(os.Getenv(ledgerVariable), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	epoch, version := os.Getenv("MILEPOST_EPOCH"), os.Getenv("MILEPOST_VERSION")
	first, err := strconv.Atoi(os.Getenv("MILEPOST_FIRST"))
	if err != nil {
		return err
	}
	last, err := strconv.Atoi(os.Getenv("MILEPOST_LAST"))
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(ledger, "start %s %s %d %d %d\n", epoch, version, first, last, os.Getpid()); err != nil {
		return err
	}
	const some = 100
	var lines bytes.Buffer
	records := bufio.NewScanner(os.Stdin)
	n := first
	for ; records.Scan(); n++ {
		var flight struct{ ID int }
		if err := json.Unmarshal(records.Bytes(), &flight); err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		fmt.Fprintf(&lines, "record %s %s %d %d\n", epoch, version, n, flight.ID)
		if n%some == 0 || n == last {
			if _, err := ledger.Write(lines.Bytes()); err != nil {
				return err
			}
			lines.Reset()
		}
		if n == (first+last)/2 {
			waitAtGate()
		}
	}
	if n != last+1 {
		return fmt.Errorf("batch of records %d to %d ended before record %d", first, last, n)
	}
	if _, err := fmt.Fprintf(ledger, "end %s %s %d %d %d\n", epoch, version, first, last, os.Getpid()); err != nil {
		return err
	}
	return records.Err()
}

func waitAtGate() {
	for {
		if _, err := os.Stat(os.Getenv(gateVariable)); err != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// ledger is what the workers have written, as far as it was read.
type ledger struct {
	path   string
	offset int64
	starts []worker
	ends   []worker
	passes map[int][]pass // by record number
}

// worker is one run of a CMD.
type worker struct {
	epoch, version int64
	first, last    int
	pid            int
}

// pass is one time that a record was processed.
type pass struct{ epoch, version int64 }

// read takes in what was written since.
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
			return // what is there of the line is read again, once it is whole
		}
		l.offset += int64(len(line))
		l.take(t, strings.Fields(line))
	}
}

func (l *ledger) take(t *testing.T, fields []string) {
	t.Helper()
	n := make([]int, len(fields))
	for i, field := range fields[1:] {
		var err error
		n[i], err = strconv.Atoi(field)
		require.NoError(t, err, "ledger: %v", fields)
	}
	switch fields[0] {
	case "start":
		l.starts = append(l.starts, worker{epoch: int64(n[0]), version: int64(n[1]), first: n[2], last: n[3], pid: n[4]})
	case "end":
		l.ends = append(l.ends, worker{epoch: int64(n[0]), version: int64(n[1]), first: n[2], last: n[3], pid: n[4]})
	case "record":
		require.Equal(t, n[2], n[3], "record %d has the id %d", n[2], n[3])
		if l.passes == nil {
			l.passes = make(map[int][]pass)
		}
		l.passes[n[2]] = append(l.passes[n[2]], pass{epoch: int64(n[0]), version: int64(n[1])})
	default:
		require.Fail(t, "ledger", "%v", fields)
	}
}

// of returns those workers that a run of that epoch has started.
func of(workers []worker, epoch int64) []worker {
	var found []worker
	for _, w := range workers {
		if w.epoch == epoch {
			found = append(found, w)
		}
	}
	return found
}

// checkComplete: every record was processed.
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

// checkRepeats: what was processed again belongs to the one batch that a killed run had in hand, and what counts is
// the last time: that of the epoch which committed it, as committed says by record number.
func (l *ledger) checkRepeats(t *testing.T, committed func(record int) (epoch int64)) (repeated int) {
	t.Helper()
	inHand := make(map[int64]worker) // the last batch of each epoch
	for _, w := range l.starts {
		inHand[w.epoch] = w
	}
	for n, passes := range l.passes {
		last := passes[len(passes)-1]
		if !assert.Equal(t, committed(n), last.epoch, "record %d: processed last by one epoch, committed by another", n) {
			return
		}
		for i, p := range passes {
			if i > 0 && !assert.Greater(t, p.epoch, passes[i-1].epoch, "record %d was processed twice by one run", n) {
				return
			}
			if p.epoch == last.epoch {
				continue
			}
			repeated++
			w := inHand[p.epoch]
			if !assert.True(t, w.first <= n && n <= w.last,
				"record %d was processed again, and the run of epoch %d had records %d to %d in hand when it ended", n, p.epoch, w.first, w.last) {
				return
			}
		}
	}
	return repeated
}
