package terraform_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
	"github.com/milepost-dev/milepost/test/s3test"
)

// programme is what each role does with the command, in this order. A role that
// does more needs more in its policy, and a permission that no line here uses has no
// place in one. INPUT is a file of five lines, STATE one that is too large for the
// table, and held a checkpoint that somebody holds.
var programme = []struct{ role, command string }{
	{"job", "batch flights INPUT --every 2 -- cat"},
	{"job", "list"},
	{"job", "history flights"},
	{"job", "get flights --version 1"},
	{"reader", "check"},
	{"reader", "list"},
	{"reader", "get flights"},
	{"reader", "get flights --version 1"},
	{"reader", "history flights"},
	{"reader", "runs flights"},
	{"reader", "lease show flights"},
	{"operator", "pin flights --version 1 --label start --execute"},
	{"operator", "unpin flights --version 1 --execute"},
	{"operator", "set flights --cursor 2 --execute"},
	{"operator", "rollback flights --to 1 --execute"},
	{"operator", "lease break held --reason test --now --execute"},
	{"operator", "reset flights --execute"},
	{"operator", "list"},
	{"operator", "check"},
	{"operator", "delete flights --execute"},
}

// unproven are the services that no line of the programme reaches so far. Each line
// that does takes its service off.
var unproven = []string{"s3", "cloudwatch"}

func TestEachRoleDoesWhatItsPolicyAllowsAndIsAllowedNothingElse(t *testing.T) {
	t.Parallel()
	bench := newBench(t)
	roles := policies(t)
	used := map[string]map[permission][]string{} // by role: the commands that used it
	for _, step := range programme {
		out := bench.run(t, step.command)
		for _, r := range bench.services.take(t) {
			by := roles[step.role].allows(r)
			assert.NotEmpty(t, by, "%s, milepost %s: %s on %s with %v is denied\n%s", step.role, step.command, r.Action, r.Resource, r.Keys, out)
			for _, p := range by {
				if used[step.role] == nil {
					used[step.role] = map[permission][]string{}
				}
				used[step.role][p] = append(used[step.role][p], subcommand(step.command))
			}
		}
	}
	for role, permissions := range used {
		for _, p := range roles[role].permissions() {
			if service, _, _ := strings.Cut(p.Action, ":"); slices.Contains(unproven, service) {
				assert.Empty(t, permissions[p], "%s is reached: take it off the unproven", service)
				continue
			}
			assert.NotEmpty(t, permissions[p], "%s may %s on %s, and never does", role, p.Action, p.Resource)
		}
	}
	isFile(t, filepath.Join(moduleDir, "permissions.md"), []byte(permissionsTable(roles, used)))
}

// bench is a place for the command to work in, with its services under record.
type bench struct {
	services    *services
	environment []string
	binary      string
	files       map[string]string // what the programme calls them
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	b := &bench{binary: filepath.Join(dir, "milepost"), files: map[string]string{"INPUT": filepath.Join(dir, "input"), "STATE": filepath.Join(dir, "state")}}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", b.binary, "../../cmd/milepost")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	require.NoError(t, os.WriteFile(b.files["INPUT"], []byte("1\n2\n3\n4\n5\n"), 0o600))
	require.NoError(t, os.WriteFile(b.files["STATE"], []byte(`"`+strings.Repeat("state ", 100_000)+`"`), 0o600))

	b.services = &services{table: dynamotest.Table(t)}
	require.NoError(t, dynamostore.CreateTable(t.Context(), dynamotest.Client(t), b.services.table, nil), "which is the module's to do")
	held, err := lease.Acquire(t.Context(), dynamostore.New(dynamotest.Client(t), b.services.table), store.Key{Namespace: store.DefaultNamespace, Name: "held"}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = held.Release(context.WithoutCancel(t.Context())) }) // it has been broken
	b.services.bucket, b.services.prefix = s3test.Place(t)
	b.services.serve(t, dynamotest.Endpoint(t), s3test.Endpoint(t))
	b.environment = slices.Concat(os.Environ(), dynamotest.Env(t), s3test.Env(t), []string{ // the last of two wins, and only S3's server asks who one is
		"MILEPOST_STORE=dynamodb://" + b.services.table + "?endpoint=" + b.services.dynamo,
		"MILEPOST_ARCHIVE=s3://" + b.services.bucket + "/" + b.services.prefix + "?endpoint=" + b.services.s3,
	})
	return b
}

// run runs one command of the programme, and returns what it printed.
func (b *bench) run(t *testing.T, command string) string {
	t.Helper()
	args := strings.Fields(command)
	for i, arg := range args {
		if file, ok := b.files[arg]; ok {
			args[i] = file
		}
	}
	milepost := exec.CommandContext(t.Context(), b.binary, args...)
	milepost.Env = b.environment
	out, err := milepost.CombinedOutput()
	require.NoError(t, err, "milepost %s\n%s", command, out)
	return string(out)
}

// subcommand is the words of a command before its arguments.
func subcommand(command string) string {
	words := strings.Fields(command)
	if len(words) > 1 && slices.Contains([]string{"archive", "lease"}, words[0]) {
		return words[0] + " " + words[1]
	}
	return words[0]
}

// permissionsTable is what each role may do, and which commands need it.
func permissionsTable(roles map[string]policy, used map[string]map[permission][]string) string {
	var b strings.Builder
	b.WriteString("# Permissions\n\nWhat each policy of the module allows, and the commands that used it when the test of the policies ran them. " +
		"A command that\nneeds more fails that test, and so does a permission that none needs. Making the table and the bucket is the module's.\n")
	for _, role := range slices.Sorted(maps.Keys(used)) {
		fmt.Fprintf(&b, "\n## %s\n\n| action | resource | commands |\n| --- | --- | --- |\n", role)
		for _, p := range roles[role].permissions() {
			commands := slices.Clone(used[role][p])
			if len(commands) == 0 {
				commands = []string{"not yet by any"}
			}
			slices.Sort(commands)
			_, resource, _ := strings.Cut(p.Resource, ":123456789012:")
			if resource == "" {
				resource = strings.TrimPrefix(p.Resource, "arn:aws:s3:::")
			}
			fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", p.Action, resource, strings.Join(slices.Compact(commands), ", "))
		}
	}
	return b.String()
}
