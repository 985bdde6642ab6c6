// Command report writes docs/benchmarks.md from what benchmarks print.
//
//	go test -bench . ./... | go run ./test/bench/report docs/benchmarks.md [NOTE]
//
// A note says what else a reader should know about the machine. It shows what it reads while it reads it. If a benchmark failed, or one that the
// document needs is missing, nothing is written.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
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

// keep is what of the output the document shows: the results, where they are from,
// and on what machine they were measured.
func keep(note string, printed io.Reader) (string, error) {
	kept := []string{
		"date: " + time.Now().UTC().Format(time.DateOnly),
		"go: " + strings.TrimPrefix(runtime.Version(), "go"),
		fmt.Sprint("cores: ", runtime.NumCPU()),
	}
	if note != "" {
		kept = append(kept, "note: "+note)
	}
	seen := make(map[string]bool)
	lines := bufio.NewScanner(printed)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), " \t")
		switch {
		case strings.HasPrefix(line, "FAIL"), strings.HasPrefix(line, "--- FAIL"), strings.HasPrefix(line, "panic:"):
			_, _ = io.Copy(io.Discard, printed) // show the rest
			return "", fmt.Errorf("nothing is written, since a benchmark failed: %s", line)
		case strings.HasPrefix(line, "Benchmark") && strings.Contains(line, "\t"):
		case strings.HasPrefix(line, "pkg: "):
			kept = append(kept, "") // and those of packages without benchmarks go below
		case isSetting(line) && !seen[line]:
			seen[line] = true
		default:
			continue
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "\n") + "\n", lines.Err()
}

// isSetting tells the lines that say where the benchmarks ran.
func isSetting(line string) bool {
	for _, name := range []string{"goos: ", "goarch: ", "cpu: "} {
		if strings.HasPrefix(line, name) {
			return true
		}
	}
	return false
}
