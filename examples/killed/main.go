// Command killed shows what Milepost is for, on real data. It loads 100,000 flights in batches with
// `milepost batch`, kills the command with SIGKILL half-way, runs the same command again, and
// counts the loaded flights.
//
//	go run ./examples/killed
//
// It only needs Go, and writes only to a temporary directory.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

const (
	records = 100_000
	batch   = 1_000
)

func main() {
	do := demonstrate
	if len(os.Args) == 3 && os.Args[1] == "load" {
		do = func() error { return load(os.Args[2]) }
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "killed:", err)
		os.Exit(1)
	}
}

// load is the user's program. It appends the records on its standard input to a file, after the
// last whole line: a killed load may have left a part of a line. It takes a moment for each batch,
// so that the kill hits it at work.
func load(path string) error {
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	out, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err := out.Truncate(int64(bytes.LastIndexByte(before, '\n') + 1)); err != nil {
		return err
	}
	if _, err := io.Copy(out, os.Stdin); err != nil {
		return err
	}
	time.Sleep(20 * time.Millisecond)
	return errors.Join(out.Sync(), out.Close())
}

func demonstrate() error {
	dir, err := os.MkdirTemp("", "milepost-killed-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	milepost := filepath.Join(dir, "milepost")
	if runtime.GOOS == "windows" {
		milepost += ".exe"
	}
	build := exec.Command("go", "build", "-o", milepost, "github.com/milepost-dev/milepost/cmd/milepost")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build milepost: %w", err)
	}
	data, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/milepost-dev/milepost/examples/data").Output()
	if err != nil {
		return fmt.Errorf("find the data: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	loaded := filepath.Join(dir, "loaded.jsonl")
	command := func(args ...string) *exec.Cmd {
		c := exec.Command(milepost, append([]string{"--store", "sqlite:" + filepath.Join(dir, "jobs.db")}, args...)...)
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		return c
	}
	job := func() *exec.Cmd {
		input := filepath.Join(strings.TrimSpace(string(data)), "flights.jsonl.zst")
		args := []string{"batch", "flights", input, "--every", fmt.Sprint(batch)}
		if !takenAtOnce() {
			args = append(args, "--wait", "1m")
		}
		return command(append(args, "--", self, "load", loaded)...)
	}

	say("milepost batch flights flights.jsonl.zst --every 1000 -- load loaded.jsonl")
	first := job()
	if err := first.Start(); err != nil {
		return err
	}
	for n := 0; n < records/3; {
		time.Sleep(20 * time.Millisecond)
		if n, err = lines(loaded); err != nil {
			return err
		}
	}
	say("kill -9 %d", first.Process.Pid)
	if err := first.Process.Kill(); err != nil {
		return err
	}
	if err := first.Wait(); err == nil {
		return errors.New("the job finished before the kill")
	}
	before, err := lines(loaded)
	if err != nil {
		return err
	}

	say("milepost batch flights flights.jsonl.zst --every 1000 -- load loaded.jsonl")
	if err := job().Run(); err != nil {
		return err
	}
	say("milepost runs flights")
	if err := command("runs", "flights").Run(); err != nil {
		return err
	}
	return count(loaded, before)
}

// takenAtOnce reports whether Milepost can prove on this system that the killed run has ended.
// Elsewhere the second run waits until the lease of the first has run out.
func takenAtOnce() bool {
	return slices.Contains([]string{"linux", "darwin", "windows"}, runtime.GOOS)
}

// count prints what was loaded. It fails if a record is missing, or if more records were loaded
// twice than the batch that was interrupted.
func count(loaded string, before int) error {
	f, err := os.Open(loaded)
	if err != nil {
		return err
	}
	defer f.Close()
	seen := make(map[string]bool, records)
	total := 0
	for in := bufio.NewScanner(f); in.Scan(); total++ {
		seen[in.Text()] = true
	}
	fmt.Printf("\n%d records were loaded at the kill; after the second run all %d are there, %d of them twice: the interrupted batch\n",
		before, len(seen), total-len(seen))
	if len(seen) != records || total-len(seen) > batch {
		return fmt.Errorf("%d of %d records are there, and %d twice", len(seen), records, total-len(seen))
	}
	return nil
}

func lines(path string) (int, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	return strings.Count(string(text), "\n"), err
}

func say(format string, args ...any) { fmt.Printf("\n$ "+format+"\n", args...) }
