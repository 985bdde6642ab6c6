package agentclient

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

// patience is the longest wait for a line.
const patience = time.Minute

// replay is one conversation in progress.
type replay struct {
	t      *testing.T
	schema *jsonschema.Schema
	at     string // the step
	env    []string
	set    map[string]any // $NAME

	agent *exec.Cmd
	stdin io.WriteCloser
	lines chan []byte
	kept  []received // not expected yet
}

type received struct {
	line  []byte
	value map[string]any
}

func loadSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../../docs/agent-protocol.schema.json")
	require.NoError(t, err)
	return schema
}

func (r *replay) step(s *step) {
	switch {
	case s.Start != nil:
		r.start(*s.Start...)
	case s.Send != nil:
		var value any
		decode(r.t, s.Send, &value)
		line, err := json.Marshal(r.filled(value))
		require.NoError(r.t, err, r.at)
		r.valid(line)
		r.write(string(line))
	case s.SendLine != nil:
		r.write(r.filledText(*s.SendLine))
	case s.SendLong != nil:
		r.write(r.filledText(s.SendLong.Head) + strings.Repeat(s.SendLong.Fill, s.SendLong.Times) + s.SendLong.Tail)
	case s.Expect != nil:
		r.expect(s.Expect.(map[string]any), s.Text)
	case s.End != nil:
		r.end(*s.End)
	case s.Kill:
		require.NoError(r.t, r.agent.Process.Kill())
		r.gone()
	case s.Run != nil:
		r.run(s)
	default:
		require.FailNow(r.t, "a step without a kind", r.at)
	}
}

func (r *replay) start(args ...string) {
	r.agent = exec.Command(binary, append([]string{"agent"}, args...)...)
	r.agent.Env = r.env
	r.agent.Stderr = r.t.Output()
	var err error
	r.stdin, err = r.agent.StdinPipe()
	require.NoError(r.t, err)
	stdout, err := r.agent.StdoutPipe()
	require.NoError(r.t, err)
	require.NoError(r.t, r.agent.Start())
	lines := make(chan []byte, 1000)
	r.lines = lines
	go func() {
		defer close(lines)
		for b := bufio.NewReader(stdout); ; {
			line, err := b.ReadBytes('\n')
			if err != nil {
				return
			}
			lines <- line
		}
	}()
}

func (r *replay) write(line string) {
	_, err := io.WriteString(r.stdin, line+"\n")
	require.NoError(r.t, err, r.at)
}

// expect waits for the line that the pattern describes, and removes it from the lines received.
func (r *replay) expect(pattern map[string]any, text []string) {
	r.t.Helper()
	timeout := time.After(patience)
	for {
		for i, got := range r.kept {
			if !r.answers(pattern, got.value) {
				continue
			}
			r.kept = append(r.kept[:i], r.kept[i+1:]...)
			require.NoError(r.t, match(pattern, got.value, r.set), "%s: got %s", r.at, got.line)
			for _, piece := range text {
				require.Contains(r.t, string(got.line), piece, r.at)
			}
			return
		}
		select {
		case line, open := <-r.lines:
			require.True(r.t, open, "%s: the agent has ended", r.at)
			r.keep(line)
		case <-timeout:
			require.FailNow(r.t, "no such line", "%s: want %v, got %v", r.at, pattern, r.kept)
		}
	}
}

// answers reports whether got is the line that the pattern is about.
func (r *replay) answers(pattern, got map[string]any) bool {
	field := "id"
	if pattern["event"] != nil {
		field = "event"
	}
	_, there := got[field]
	return there && match(pattern[field], got[field], r.set) == nil
}

func (r *replay) keep(line []byte) {
	r.valid(line)
	var value map[string]any
	decode(r.t, line, &value)
	r.kept = append(r.kept, received{line, value})
}

func (r *replay) valid(line []byte) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
	require.NoError(r.t, err, "%s: %.300s", r.at, line)
	require.NoError(r.t, r.schema.Validate(value), "%s: %.300s", r.at, line)
}

func (r *replay) end(exit int) {
	require.NoError(r.t, r.stdin.Close())
	require.Equal(r.t, exit, r.gone(), "%s: exit code", r.at)
}

// gone waits until the agent has ended, and requires that no line is left.
func (r *replay) gone() int {
	for line := range r.lines {
		r.keep(line)
	}
	require.Empty(r.t, r.kept, "%s: lines that were not expected", r.at)
	_ = r.agent.Wait()
	exit := r.agent.ProcessState.ExitCode()
	r.agent = nil
	return exit
}

func (r *replay) run(s *step) {
	cmd := exec.Command(binary, s.Run...)
	cmd.Env = r.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run()
	require.Equal(r.t, s.Exit, cmd.ProcessState.ExitCode(), "%s: %s", r.at, &stderr)
	if s.Stdout != nil {
		var got any
		decode(r.t, stdout.Bytes(), &got)
		require.NoError(r.t, match(s.Stdout, got, r.set), "%s: got %s", r.at, &stdout)
	}
}

// filled replaces names by their values.
func (r *replay) filled(v any) any {
	switch v := v.(type) {
	case string:
		if value, ok := r.set[strings.TrimPrefix(v, "$")]; ok && strings.HasPrefix(v, "$") {
			return value
		}
	case map[string]any:
		all := map[string]any{}
		for name, member := range v {
			all[name] = r.filled(member)
		}
		return all
	}
	return v
}

var names = regexp.MustCompile(`\$[a-z]+`)

func (r *replay) filledText(text string) string {
	return names.ReplaceAllStringFunc(text, func(name string) string {
		value, err := json.Marshal(r.set[name[1:]])
		require.NoError(r.t, err)
		return string(value)
	})
}
