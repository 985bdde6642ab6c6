// Package child starts, watches and ends the processes of a user's command.
//
// [Command] runs one command for each batch of records; [Start] runs one command on this process's
// own standard streams. Both wait for the processes that the command left running, and both end all
// of them when they must.
//
// On Linux a keeper process stands between this process and the command. It is this program,
// started again in a hidden mode, so every program that imports this package has the mode. The
// keeper adopts and ends every descendant of the command, also after SIGKILL of this process. On
// other systems a command has a process group (on Windows: a job object), and what leaves the group
// is not seen.
//
// The package knows no lease, checkpoint or record. Its callers pass contexts and signals that say
// when a command must end.
package child

import (
	"syscall"
	"time"

	"github.com/milepost-dev/milepost/internal/human"
)

// pipeDelay is how long to wait, after all processes of a command have ended, for output that a
// process outside may still write.
const pipeDelay = 2 * time.Second

// nameAfter is how long after a command the processes that it left running may end without a word.
const nameAfter = time.Second

// ExitError says that a command ended otherwise than by exiting with 0.
type ExitError struct {
	Code   int            // the exit code; -1: a signal ended the command
	Signal syscall.Signal // the signal that ended the command; 0: none
	text   string
}

func (e *ExitError) Error() string { return e.text }

// event is what happens to a command, in order. The last event is followed by the end of all
// processes of the command.
type event struct {
	what   eventKind
	err    error          // ended: how; nil: it exited with 0
	text   string         // left: names the processes; stopped: names the signal
	signal syscall.Signal // stopped: the signal
}

type eventKind int

const (
	ended     eventKind = iota // the command has ended
	left                       // the command has ended a while ago, and processes that it left running go on
	stopped                    // the command is stopped, as by SIGSTOP
	continued                  // the command goes on after a stop
	frozen                     // all processes of the command are stopped, as this process asked
)

// leftText is what people read while this process waits for what a command left running.
func leftText(command, left string) string {
	return human.Line(command) + " has ended, and left running: " + left + ". Milepost waits until they end"
}
