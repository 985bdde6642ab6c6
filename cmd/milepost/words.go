package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/later"
)

const (
	// mostWords is how many writes wait for a reader of standard error that does not read.
	mostWords = 1000
	// wordsWithin is how long a write waits for that reader, and how long the end of the command
	// does. While the reader is behind, a write waits for behindWithin.
	wordsWithin  = time.Second
	behindWithin = 10 * time.Millisecond
)

// words is standard error as the command itself writes to it. A write waits for a moment, so that
// the words of the command and of the user's program keep their order, and no longer: a pipe that
// no one reads, or a terminal that was stopped with Ctrl-S, holds up nothing. What such a reader
// does not take in time is dropped, and counted. What is written after the reader has gone is lost.
type words struct {
	w      io.Writer
	queue  *later.Queue
	behind bool // guarded by turn
	turn   chan struct{}
}

// newWords returns the words that go to w. lost is called with how many writes were dropped, when
// the reader reads again.
func newWords(w io.Writer, lost func(n int64)) *words {
	return &words{w: w, queue: later.NewQueue(mostWords, lost), turn: make(chan struct{}, 1)}
}

// Write implements [io.Writer]. It returns no error: there is nothing that a caller could do.
func (s *words) Write(p []byte) (int, error) {
	text := bytes.Clone(p)
	s.queue.Do(func() { _, _ = s.w.Write(text) })
	s.turn <- struct{}{} // a caller that finds the reader behind costs the others as little
	within := wordsWithin
	if s.behind {
		within = behindWithin
	}
	s.behind = !s.queue.Wait(within)
	<-s.turn
	return len(p), nil
}

// flush gives the reader a moment for the last words.
func (s *words) flush() { s.queue.Wait(wordsWithin) }

// lost logs that words were lost, directly to standard error: it is called in the words' own turn.
func (a *app) lost(n int64) {
	slog.New(a.logHandler(a.rawErr)).Warn("some of what milepost wrote here is lost, because it was not read in time", "lines", n)
}

// answerUnread returns err as an error of kind broken_pipe if it says that the reader of standard
// output has gone.
func answerUnread(err error) error {
	path, ok := errors.AsType[*fs.PathError](err)
	if ok && path.Path == os.Stdout.Name() && errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("%w: %w", kinds.ErrBrokenPipe, err)
	}
	return err
}
