package agentclient

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store/sqlitestore"
)

// pipe is an agent with an open session, for benchmarks.
type pipe struct {
	b       *testing.B
	in      io.WriteCloser
	lines   *bufio.Writer
	replies *bufio.Reader
}

func openPipe(b *testing.B, dir string) *pipe {
	agent := exec.Command(binary, "agent", "--store", "sqlite:"+filepath.Join(dir, "agent.db"))
	agent.Stderr = b.Output()
	in, err := agent.StdinPipe()
	require.NoError(b, err)
	out, err := agent.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, agent.Start())
	b.Cleanup(func() {
		require.NoError(b, in.Close())
		require.NoError(b, agent.Wait())
	})
	p := &pipe{b: b, in: in, lines: bufio.NewWriterSize(in, 64<<10), replies: bufio.NewReader(out)}
	p.call(`{"id":1,"method":"hello","protocol":1}`)
	p.call(`{"id":1,"method":"open","name":"bench"}`)
	return p
}

// call sends a line and returns the reply to it.
func (p *pipe) call(line string) string {
	_, err := p.lines.WriteString(line + "\n")
	if err == nil {
		err = p.lines.Flush()
	}
	require.NoError(p.b, err)
	reply, err := p.replies.ReadString('\n')
	require.NoError(p.b, err)
	return reply
}

// BenchmarkMark measures a mark through the pipe, with background saves, until the agent counts it.
func BenchmarkMark(b *testing.B) {
	for name, state := range map[string]string{"bare": "", "state": `,"state":{"sum":12.5,"rows":100}`} {
		b.Run(name, func(b *testing.B) {
			p := openPipe(b, b.TempDir())
			n := 0
			for b.Loop() {
				n++
				_, err := fmt.Fprintf(p.lines, `{"method":"mark","session":1,"cursor":"ord-%d","processed":1%s}`+"\n", n, state)
				if err != nil {
					b.Fatal(err)
				}
			}
			info := p.call(`{"id":2,"method":"info","session":1}`)
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "marks/s")
			require.Contains(b, info, `"processed":`+strconv.Itoa(n)+",")
		})
	}
}

// BenchmarkSave alternates saves through the agent with saves from Go, on one disk.
func BenchmarkSave(b *testing.B) {
	dir := b.TempDir()
	st, err := sqlitestore.Open(b.Context(), filepath.Join(dir, "go.db"), nil)
	require.NoError(b, err)
	defer func() { require.NoError(b, st.Close()) }()
	session, err := checkpoint.Open[json.RawMessage](b.Context(), checkpoint.Namespace{Store: st}, "bench", nil)
	require.NoError(b, err)
	defer func() { require.NoError(b, session.Close(b.Context(), nil)) }()
	p := openPipe(b, dir)
	state := json.RawMessage(`{"sum":12.5,"rows":100}`)
	var here, there []time.Duration
	for i := 0; b.Loop(); i++ {
		cursor := "ord-" + strconv.Itoa(i)
		began := time.Now()
		if err := session.Save(b.Context(), cursor, state); err != nil {
			b.Fatal(err)
		}
		here = append(here, time.Since(began))
		// Background work of the save before must not compete with this save for the disk.
		time.Sleep(2 * time.Millisecond)
		began = time.Now()
		reply := p.call(`{"id":2,"method":"save","session":1,"cursor":"` + cursor + `","state":` + string(state) + `}`)
		there = append(there, time.Since(began))
		time.Sleep(2 * time.Millisecond)
		if i == 0 {
			require.Contains(b, reply, `"version":1`)
		}
	}
	p50 := func(all []time.Duration) float64 { slices.Sort(all); return float64(all[len(all)/2].Microseconds()) }
	b.ReportMetric(p50(here), "µs-go-p50")
	b.ReportMetric(p50(there), "µs-agent-p50")
	b.ReportMetric(p50(there)/p50(here), "ratio-p50")
}
