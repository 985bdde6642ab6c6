package sqlitestore

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

func init() {
	children["race for versions"] = raceForVersions
	children["write without pause"] = writeWithoutPause
	children["die in a commit"] = dieInACommit
}

const raceUpTo = 200

// raceForVersions opens the file once its standard input ends, commits versions until
// there are enough, and prints those that it won.
func raceForVersions(ctx context.Context, args []string) error {
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	s, err := Open(ctx, args[0], nil)
	if err != nil {
		return err
	}
	defer s.Close()
	var conflict *store.ConflictError
	if _, _, err := s.Raise(ctx, key, fence, holder, true); err != nil && !errors.As(err, &conflict) {
		return err
	}
	for tries := 0; ; tries++ {
		found, err := s.Look(ctx, key)
		if err != nil {
			return err
		}
		base := found.Head.Number
		if base == raceUpTo {
			return nil
		}
		next := version(base + 1)
		next.CommitID = fmt.Sprintf("%d-%d", os.Getpid(), tries)
		_, err = s.Commit(ctx, key, store.Commit{Fence: fence, Base: base, Next: next})
		if errors.As(err, &conflict) {
			if conflict.Head.Number <= base {
				return fmt.Errorf("refused base %d at %w", base, conflict)
			}
			continue
		}
		if err != nil {
			return err
		}
		fmt.Println(base+1, next.CommitID)
		if err := s.Copy(ctx, key, store.Copy{Version: next}); err != nil {
			return err
		}
	}
}

func TestEightProcessesCreateTheFileAtOnceAndEachVersionHasOneWinner(t *testing.T) {
	const processes = 8
	path := newFile(t)
	var running []*exec.Cmd
	var outputs, failures [processes]bytes.Buffer
	start, open, err := os.Pipe()
	require.NoError(t, err)
	for i := range processes {
		child := exec.CommandContext(t.Context(), os.Args[0], path)
		child.Env = append(os.Environ(), childVariable+"=race for versions")
		child.Stdin, child.Stdout, child.Stderr = start, &outputs[i], &failures[i]
		require.NoError(t, child.Start())
		running = append(running, child)
	}
	require.NoError(t, start.Close())
	require.NoError(t, open.Close()) // now all begin
	won := map[string]string{}
	winners := 0
	for i, child := range running {
		require.NoError(t, child.Wait(), failures[i].String())
		for line := range strings.Lines(outputs[i].String()) {
			n, id, _ := strings.Cut(strings.TrimSpace(line), " ")
			require.Empty(t, won[n], "version %s has two winners", n)
			won[n] = id
		}
		if outputs[i].Len() > 0 {
			winners++
		}
	}
	t.Logf("%d of %d processes won a version", winners, processes)
	require.Len(t, won, raceUpTo)

	s := openStore(t, path, nil)
	found, err := s.Check(t.Context())
	require.NoError(t, err)
	require.Empty(t, found)
	n := int64(raceUpTo)
	for c, err := range s.Versions(t.Context(), key, raceUpTo, 1) {
		require.NoError(t, err)
		require.Equal(t, n, c.Number)
		require.Equal(t, won[fmt.Sprint(n)], c.CommitID)
		n--
	}
	assert.Zero(t, n)
	assert.Equal(t, won[fmt.Sprint(raceUpTo)], headOf(t, s).CommitID)
}

// writeWithoutPause commits to a checkpoint of its own until its standard input ends.
func writeWithoutPause(ctx context.Context, args []string) error {
	s, err := Open(ctx, args[0], nil)
	if err != nil {
		return err
	}
	defer s.Close()
	mine := store.Key{Namespace: "default", Name: fmt.Sprint(os.Getpid())}
	if _, _, err := s.Raise(ctx, mine, fence, holder, true); err != nil {
		return err
	}
	ended := make(chan error)
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		ended <- err
	}()
	fmt.Println("writing")
	for n := int64(1); ; n++ {
		select {
		case err := <-ended:
			return err
		default:
		}
		if _, err := s.Commit(ctx, mine, commitOf(n)); err != nil {
			return err
		}
	}
}

// With SQLite's own busy timeout, one of a few such processes waits for seconds.
func TestProcessesThatWriteWithoutPauseStarveNoHeartbeat(t *testing.T) {
	path := newFile(t)
	s := openStore(t, path, nil)
	_, err := s.Acquire(t.Context(), key, nil, fullLease())
	require.NoError(t, err)
	for range 4 {
		child := exec.CommandContext(t.Context(), os.Args[0], path)
		child.Env = append(os.Environ(), childVariable+"=write without pause")
		child.Stderr = os.Stderr
		stop, err := child.StdinPipe()
		require.NoError(t, err)
		said, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		_, err = bufio.NewReader(said).ReadString('\n')
		require.NoError(t, err)
		defer func() {
			assert.NoError(t, stop.Close())
			assert.NoError(t, child.Wait())
		}()
	}
	for n := range int64(100) {
		_, _, err := s.Renew(t.Context(), key, store.Renewal{Fence: fence, Beat: 100 + n})
		require.NoError(t, err)
	}
}

// dieInACommit commits, then dies between the statements of a second commit and its COMMIT.
func dieInACommit(ctx context.Context, args []string) error {
	s, err := Open(ctx, args[0], nil)
	if err != nil {
		return err
	}
	if _, err := s.Commit(ctx, key, commitOf(2)); err != nil {
		return err
	}
	_, err = s.write(ctx, s.commits, "Commit", key, func(ctx context.Context, w *conn) error {
		if _, err := w.exec(ctx, "UPDATE milepost_head SET version = 3"); err != nil {
			return err
		}
		return self().Kill()
	})
	return fmt.Errorf("still alive: %w", err)
}

func self() *os.Process {
	p, err := os.FindProcess(os.Getpid())
	if err != nil {
		panic(err)
	}
	return p
}

func TestAProcessThatIsKilledLeavesWhatItHadCommittedAndNoLock(t *testing.T) {
	path := newFile(t)
	s := openStore(t, path, nil)
	committed(t, s, 1)
	child := exec.CommandContext(t.Context(), os.Args[0], path)
	child.Env = append(os.Environ(), childVariable+"=die in a commit")
	out, err := child.CombinedOutput()
	require.Error(t, err)
	require.NotContains(t, string(out), "still alive")
	assert.Equal(t, int64(2), headOf(t, s).Number)
	_, err = s.Commit(t.Context(), key, commitOf(3))
	require.NoError(t, err)
}
