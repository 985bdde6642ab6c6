package agentclient

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const vectors = "../vectors/agent"

// binary is the command under test, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "agentclient-*")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "milepost.exe")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/milepost").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the command: %v\n%s", err, out)
		os.Exit(1)
	}
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// conversation is a file of test/vectors/agent, whose README describes the steps.
type conversation struct {
	About string `json:"about"`
	Steps []step `json:"steps"`
}

type step struct {
	Start    *[]string       `json:"start"`
	Send     json.RawMessage `json:"send"`
	SendLine *string         `json:"send_line"`
	SendLong *struct {
		Head  string `json:"head"`
		Fill  string `json:"fill"`
		Times int    `json:"times"`
		Tail  string `json:"tail"`
	} `json:"send_long"`
	Expect any      `json:"expect"`
	Text   []string `json:"text"`
	End    *int     `json:"end"`
	Kill   bool     `json:"kill"`
	Run    []string `json:"run"`
	Exit   int      `json:"exit"`
	Stdout any      `json:"stdout"`
}

func TestTheAgentFollowsEveryConversation(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(vectors, "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			var c conversation
			decode(t, content, &c)
			require.NotEmpty(t, c.About)
			r := &replay{t: t, schema: loadSchema(t), set: map[string]any{}, env: environment(t)}
			if c.Steps[0].Start == nil {
				r.start()
			}
			for i, s := range c.Steps {
				r.at = fmt.Sprintf("step %d", i+1)
				r.step(&s)
			}
			if r.agent != nil {
				r.at = "the end"
				r.end(0)
			}
		})
	}
}

// environment returns the environment of a conversation, with a separate store.
func environment(t *testing.T) []string {
	return append(os.Environ(), "MILEPOST_STORE=sqlite:"+filepath.Join(t.TempDir(), "jobs.db"))
}

// decode reads JSON strictly, numbers exactly.
func decode(t *testing.T, content []byte, to any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	d.UseNumber()
	require.NoError(t, d.Decode(to), "%.200s", content)
}
