package kinds_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/internal/kinds"
)

func file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	require.NoError(t, err)
	return string(text)
}

func TestTheDocumentHasTheTable(t *testing.T) {
	want := "| exit | kind | when |\n|---|---|---|\n"
	for _, k := range kinds.ByExit() {
		want += strings.ReplaceAll(fmt.Sprintf("| %d | %s | %s |\n", k.Exit, k.Name, k.When), "|  |", "| |")
	}
	_, rest, _ := strings.Cut(file(t, "docs/exit-codes.md"), "\n| exit")
	table, _, _ := strings.Cut("| exit"+rest, "\n\n")
	assert.Equal(t, want, table+"\n")
}

// ofTheCommand are the kinds that no answer of the agent has.
var ofTheCommand = []string{"ok", "job_failed", "stale", "broken_pipe", "terminated"}

func TestThePythonPackageHasAClassForEachKindOfTheAgent(t *testing.T) {
	source, byKind, ok := strings.Cut(file(t, "python/src/milepost/errors.py"), "_BY_KIND")
	require.True(t, ok)
	exits := map[string]int{}
	classes := map[string]string{}
	class := regexp.MustCompile(`(?s)class (\w+)\(.*?\n    kind = "(\w+)"\n(?:    exit_code = (\d+)\n)?`)
	for _, m := range class.FindAllStringSubmatch(source, -1) {
		exits[m[2]], classes[m[2]] = 1, m[1]
		if m[3] != "" {
			exits[m[2]], _ = strconv.Atoi(m[3])
		}
	}
	for _, k := range kinds.Table {
		if slices.Contains(ofTheCommand, k.Name) {
			assert.NotContains(t, exits, k.Name)
			continue
		}
		require.Contains(t, exits, k.Name, "it has no class in errors.py")
		assert.Equal(t, k.Exit, exits[k.Name], k.Name)
		if k.Name != "error" { // from_reply takes an unknown kind for it
			assert.Contains(t, byKind, "        "+classes[k.Name]+",\n")
		}
		delete(exits, k.Name)
	}
	for name, exit := range exits {
		assert.Contains(t, []string{"agent_gone", "protocol", "binary_not_found", "wrong_binary", "cursor_not_found"}, name)
		assert.Equal(t, 1, exit, name)
	}
}

func TestTheAgentsProtocolHasTheKinds(t *testing.T) {
	_, table, _ := strings.Cut(file(t, "docs/agent-protocol.md"), "| kind | exit | further fields |\n|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var documented []string
	for row := range strings.Lines(table) {
		cells := strings.Split(row, " | ")
		for name := range strings.SplitSeq(strings.TrimPrefix(cells[0], "| "), ", ") {
			name = strings.Trim(name, "`")
			documented = append(documented, name)
			assert.Equal(t, name, kinds.Named(name).Name)
			assert.Equal(t, strconv.Itoa(kinds.Named(name).Exit), cells[1], name)
		}
	}
	var want []string
	for _, k := range kinds.Table {
		if !slices.Contains(ofTheCommand, k.Name) {
			want = append(want, k.Name)
		}
	}
	assert.ElementsMatch(t, want, documented)

	var schema struct {
		Defs struct{ Error object } `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal([]byte(file(t, "docs/agent-protocol.schema.json")), &schema))
	assert.ElementsMatch(t, want, schema.Defs.Error.Properties["kind"].Examples)
	assert.ElementsMatch(t, fields(), schema.Defs.Error.names())
}

func TestTheAPIHasTheKinds(t *testing.T) {
	var api struct {
		Components struct {
			Schemas struct{ Error object }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(file(t, "checkpoint/statuspage/openapi.json")), &api))
	for _, name := range api.Components.Schemas.Error.Properties["kind"].Enum {
		assert.Equal(t, name, kinds.Named(name).Name)
	}
	assert.ElementsMatch(t, fields(), append(api.Components.Schemas.Error.names(), "line", "protocols"))
}

// object is a JSON schema.
type object struct {
	Properties map[string]struct{ Enum, Examples []string }
}

func (o object) names() []string {
	var all []string
	for name := range o.Properties {
		all = append(all, name)
	}
	return all
}

// fields are the names of the fields that an error has as JSON.
func fields() []string {
	var all []string
	for f := range reflect.TypeFor[kinds.ErrorJSON]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		all = append(all, name)
	}
	return all
}
