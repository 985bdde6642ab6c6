//go:build linux

package kill_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (f *file) racerEnv() []string { return []string{"RACE_FILE=" + f.path} }

func (tb *table) racerEnv() []string {
	return append(tb.environment, "RACE_TABLE="+tb.name, "RACE_ENDPOINT="+tb.proxy)
}

// racer is one process in the race.
type racer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func newRacer(t *testing.T, env []string) *racer {
	t.Helper()
	r := &racer{cmd: exec.Command(program(t, "racer"))}
	r.cmd.Env = append(os.Environ(), env...)
	r.cmd.Stderr = os.Stderr
	var err error
	r.in, err = r.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := r.cmd.StdoutPipe()
	require.NoError(t, err)
	r.out = bufio.NewReader(out)
	require.NoError(t, r.cmd.Start())
	t.Cleanup(func() {
		_ = r.in.Close()
		end := time.AfterFunc(eventually, func() { _ = r.cmd.Process.Kill() })
		defer end.Stop()
		assert.NoError(t, r.cmd.Wait())
	})
	return r
}

// says reads the racer's next line.
func (r *racer) says() string {
	line, err := r.out.ReadString('\n')
	if err != nil {
		return "error: " + err.Error()
	}
	return strings.TrimSpace(line)
}

func TestOneOfFiftyRacingProcessesWins(t *testing.T) {
	const processes = 50
	onEachEngine(t, func(t *testing.T, e engine) {
		racers := make([]*racer, processes)
		for i := range racers {
			racers[i] = newRacer(t, e.racerEnv())
		}
		for _, r := range racers {
			require.Equal(t, "ready", r.says())
		}
		// all lets all racers go on at once, and returns the next line of each.
		all := func() []string {
			said := make([]string, processes)
			var reading sync.WaitGroup
			for i, r := range racers {
				_, err := io.WriteString(r.in, "go\n")
				require.NoError(t, err)
				reading.Go(func() { said[i] = r.says() })
			}
			reading.Wait()
			return said
		}
		var before int64
		for round := range times(t, "MILEPOST_KILL_ROUNDS", 20) {
			said := all()
			var winners []int
			for i, line := range said {
				if strings.HasPrefix(line, "won") {
					winners = append(winners, i)
				}
			}
			require.Len(t, winners, 1, "round %d: %q", round, said)
			winner := winners[0]
			var epoch int64
			_, err := fmt.Sscanf(said[winner], "won epoch %d", &epoch)
			require.NoError(t, err)
			require.Greater(t, epoch, before, "round %d", round)
			before = epoch
			for i, line := range said {
				if i != winner {
					require.Equal(t, fmt.Sprintf("held by %d of epoch %d", racers[winner].cmd.Process.Pid, epoch), line, "round %d", round)
				}
			}
			for _, line := range all() {
				require.Equal(t, "released", line, "round %d", round)
			}
		}
	})
}
