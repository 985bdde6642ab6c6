// Command report writes docs/benchmarks.md from the output of benchmarks.
//
//	go test -bench . ./... | go run ./test/bench/report docs/benchmarks.md [NOTE]
//
// A note says what else a reader should know about the machine. The command shows its input while
// it reads. If a benchmark failed, or one that the document needs is missing, it writes nothing.
// After a change only to the text, give it the document as input:
//
//	go run ./test/bench/report docs/benchmarks.md <docs/benchmarks.md
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		fmt.Fprintln(os.Stderr, "usage: go test -bench . | report FILE [NOTE]")
		os.Exit(2)
	}
	note := strings.Join(os.Args[2:], "")
	if err := write(os.Args[1], note, io.TeeReader(os.Stdin, os.Stderr)); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func write(path, note string, printed io.Reader) error {
	output, err := keep(note, printed)
	if err != nil {
		return err
	}
	document, err := render(output)
	if err != nil {
		return err
	}
	return os.WriteFile(path, document, 0o644)
}

// keep returns the part of the output that the document shows: the results, their packages, and the
// machine.
func keep(note string, printed io.Reader) (string, error) {
	settings := map[string]string{
		"date": time.Now().UTC().Format(time.DateOnly), "go": strings.TrimPrefix(runtime.Version(), "go"),
		"cores": strconv.Itoa(runtime.NumCPU()), "note": note,
		"goos": "", "goarch": "", "cpu": runtime.GOARCH, // not every system names its processor
	}
	var results []string
	lines := bufio.NewScanner(printed)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), " \t")
		name, value, _ := strings.Cut(line, ": ")
		_, isSetting := settings[name]
		switch {
		case strings.HasPrefix(line, "FAIL"), strings.HasPrefix(line, "--- FAIL"), strings.HasPrefix(line, "panic:"):
			_, _ = io.Copy(io.Discard, printed) // show the rest
			return "", fmt.Errorf("nothing is written, since a benchmark failed: %s", line)
		case isSetting:
			settings[name] = value
		case name == "pkg":
			results = append(results, "", line)
		case strings.HasPrefix(line, "Benchmark") && strings.Contains(line, "\t"):
			results = append(results, line)
		}
	}
	var kept []string
	for _, name := range []string{"date", "go", "cores", "cpu", "goos", "goarch", "note"} {
		if value := settings[name]; value != "" {
			kept = append(kept, name+": "+value)
		}
	}
	return strings.Join(append(kept, results...), "\n") + "\n", lines.Err()
}
