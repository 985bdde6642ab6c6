// Command worker is the CMD of the batches that the tests kill. It appends the records that it
// processes to a ledger, some at a time. Halfway through its batch it waits while its gate, a file,
// exists.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	if err := work(os.Stdin, os.Getenv("KILL_LEDGER"), os.Getenv("KILL_GATE")); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

func work(batch io.Reader, path, gate string) error {
	var epoch, version, first, last int
	for name, into := range map[string]*int{
		"MILEPOST_EPOCH": &epoch, "MILEPOST_VERSION": &version, "MILEPOST_FIRST": &first, "MILEPOST_LAST": &last,
	} {
		if _, err := fmt.Sscan(os.Getenv(name), into); err != nil {
			return fmt.Errorf("%s=%q: %w", name, os.Getenv(name), err)
		}
	}
	ledger, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	say := func(what string, from, to int) error {
		_, err := fmt.Fprintln(ledger, what, epoch, version, from, to, os.Getpid())
		return err
	}
	if err := say("start", first, last); err != nil {
		return err
	}
	const some = 100
	unsaid := first
	records := bufio.NewScanner(batch)
	n := first
	for ; records.Scan(); n++ {
		var flight struct {
			ID int `json:"id"`
		}
		if err := json.Unmarshal(records.Bytes(), &flight); err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		if flight.ID != n {
			return fmt.Errorf("record %d is flight %d", n, flight.ID)
		}
		if n%some == 0 || n == last {
			if err := say("records", unsaid, n); err != nil {
				return err
			}
			unsaid = n + 1
		}
		if n == (first+last)/2 {
			waitAt(gate)
		}
	}
	if err := records.Err(); err != nil {
		return err
	}
	if n != last+1 {
		return fmt.Errorf("the batch of records %d to %d ended before record %d", first, last, n)
	}
	return errors.Join(say("end", first, last), ledger.Close())
}

func waitAt(gate string) {
	for {
		if _, err := os.Stat(gate); err != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
