package batch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/milepost-dev/milepost/internal/child"
	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/records"
)

// runCommand runs the command on a batch, and again if it fails and retries are left.
func (j *Job) runCommand(ctx context.Context, b *records.Batch) error {
	s := j.session
	env := []string{
		"MILEPOST_NAME=" + s.Name(),
		fmt.Sprintf("MILEPOST_EPOCH=%d", s.Epoch()),
		fmt.Sprintf("MILEPOST_VERSION=%d", s.Version()+1),
		fmt.Sprintf("MILEPOST_FIRST=%d", b.First),
		fmt.Sprintf("MILEPOST_LAST=%d", b.Last),
	}
	j.o.Command.Confirm = func() error { return s.Confirm(ctx) }
	j.o.Command.Left = s.LeaseLeft
	j.o.Command.Notice = func(text string) { j.o.Say("%s", text) }
	pauses := &backoff.ExponentialBackOff{
		InitialInterval: time.Second, Multiplier: 2, RandomizationFactor: 0.2, MaxInterval: time.Minute,
	}
	pauses.Reset()
	for attempt := 1; ; attempt++ {
		err := j.o.Command.Run(ctx, j.stop, b.Data, env...)
		if err == nil {
			return nil
		}
		if _, exited := errors.AsType[*child.ExitError](err); !exited {
			if errors.Is(err, context.Cause(j.stop)) {
				return j.stopped()
			}
			return err // the command could not be started, or the session has ended
		}
		failed := &CommandError{Argv: j.o.Command.Argv, First: b.First, Last: b.Last, Attempts: attempt, Err: err}
		if j.stop.Err() != nil { // the signal may have been sent to the command as well
			j.o.Say("%v", failed)
			return j.stopped()
		}
		if attempt > j.o.Retries {
			return failed
		}
		pause := pauses.NextBackOff()
		j.o.Say("%v; again in %v (%d of %d)", failed, pause.Round(100*time.Millisecond), attempt, j.o.Retries)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-j.stop.Done():
			timer.Stop()
			return j.stopped()
		}
	}
}

// CommandError says that the user's program failed. It matches [kinds.ErrJobFailed].
type CommandError struct {
	Argv        []string
	First, Last int64 // the batch's records
	Attempts    int
	Err         error // how the last attempt ended
}

func (e *CommandError) Error() string {
	s := fmt.Sprintf("%s failed on records %s to %s: %v", strings.Join(e.Argv, " "), human.Thousands(e.First), human.Thousands(e.Last), e.Err)
	if e.Attempts > 1 {
		s += fmt.Sprintf(" (the last of %d attempts)", e.Attempts)
	}
	return s
}

func (e *CommandError) Unwrap() []error { return []error{kinds.ErrJobFailed, e.Err} }
