//go:build linux

package kill_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/store/sqlitestore"
)

// The variables that tell a racer where the lease is: in a file, or in a table behind an endpoint.
const (
	fileVariable     = "MILEPOST_KILL_FILE"
	tableVariable    = "MILEPOST_KILL_TABLE"
	endpointVariable = "MILEPOST_KILL_ENDPOINT"
)

var raced = store.Key{Namespace: store.DefaultNamespace, Name: "raced"}

// race is a contender of its own process: at each line of input it tries once to acquire the lease, says what it got,
// and at the next line gives it back.
func race() error {
	ctx := context.Background()
	st, err := racersStore(ctx)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	for lines.Scan() {
		l, err := lease.Acquire(ctx, st, raced, nil)
		held, isHeld := errors.AsType[*lease.HeldError](err)
		switch {
		case isHeld:
			fmt.Println("held by", held.Holder.PID, "of epoch", held.Epoch)
		case err != nil:
			return err
		default:
			fmt.Println("won epoch", l.Epoch())
		}
		if !lines.Scan() {
			break
		}
		if l != nil {
			if err := l.Release(ctx); err != nil {
				return err
			}
		}
		fmt.Println("released")
	}
	return lines.Err()
}

func racersStore(ctx context.Context) (store.Store, error) {
	if path := os.Getenv(fileVariable); path != "" {
		return sqlitestore.Open(ctx, path, nil)
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	client := dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.BaseEndpoint = aws.String(os.Getenv(endpointVariable)) })
	return dynamostore.New(client, os.Getenv(tableVariable)), nil
}

func (f *file) racerEnv() []string { return []string{fileVariable + "=" + f.path} }

func (tb *table) racerEnv() []string {
	return append(tb.environment, tableVariable+"="+tb.name, endpointVariable+"="+tb.proxy)
}

// racer is one process that races.
type racer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func newRacer(t *testing.T, env []string) *racer {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	r := &racer{cmd: exec.Command(self)}
	r.cmd.Env = append(append(os.Environ(), env...), role+"=racer")
	r.cmd.Stderr = os.Stderr
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

func TestOfFiftyProcessesThatRaceOneWins(t *testing.T) {
	const processes = 50
	onEachEngine(t, func(t *testing.T, e engine) {
		racers := make([]*racer, processes)
		for i := range racers {
			racers[i] = newRacer(t, e.racerEnv())
		}
		for _, r := range racers {
			require.Equal(t, "ready", r.says())
		}
		// all tells all of them at once to go on, and returns what each then says.
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
