package terraform_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/s3archive"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/test/dynamotest"
	"github.com/milepost-dev/milepost/test/s3test"
)

// programme is what each role does, in this order. A role that does more needs more
// in its policy, and a permission that no line here uses has no place in one. What
// is in capitals is the bench's.
var programme = []step{
	{"job", "batch flights INPUT --every 2 --metrics cloudwatch -- cat", 0},
	{"job", "PROGRAM large", 0},
	{"job", "PROGRAM large", 0}, // which loads what the first has saved
	{"job", "PROGRAM refused", 0},
	{"job", "list", 0},
	{"job", "history flights", 0},
	{"job", "get flights --version 1", 0},
	{"reader", "check --archive none", 0},
	{"reader", "list", 0},
	{"reader", "get large", 0},
	{"reader", "get flights --version 1", 0},
	{"reader", "history flights", 0},
	{"reader", "runs flights", 0},
	{"reader", "expect large", 0},
	{"reader", "status", 0},
	{"reader", "stale", 0},
	{"reader", "stale --max-age 1ms", 11},
	{"reader", "serve --listen 127.0.0.1:0 --show-state", 0},
	{"reader", "lease show flights", 0},
	{"reader", "archive verify", 0},
	{"reader", "export --to EXPORT", 0},
	{"operator", "check", 0},
	{"operator", "expect flights --every 1d --grace 2h", 0},
	{"operator", "expect flights --none", 0},
	{"operator", "pin flights --version 1 --label start --execute", 0},
	{"operator", "unpin flights --version 1 --execute", 0},
	{"operator", "set large --cursor 3 --state STATE --content-type text/plain --execute", 0},
	{"operator", "set refused --cursor 3 --state STATE --content-type text/plain --execute", 1},
	{"operator", "rollback large --to 2 --execute", 0},
	{"operator", "lease break held --reason test --now --execute", 0},
	{"operator", "reset flights --execute", 0},
	{"operator", "list", 0},
	{"operator", "archive sync", 0},
	{"operator", "LEAVE gone", 0}, // so that there is something for gc, whether sessions could sweep or not
	{"operator", "gc --execute", 0},
	{"operator", "prune --older-than 1h --keep-starts 1 --execute", 0},
	{"monitor", "LEAVE left", 0},
	{"monitor", "monitor --once --metrics emf --metrics-level detail --ratio --gc-every 1m", 0},
	{"operator", "delete large --purge --execute", 0},
	{"operator", "import EXPORT --namespace copied --execute", 0},
	{"operator", "LOSE flights", 0},
	{"operator", "archive restore flights --execute", 0},
	{"operator", "delete flights --execute", 0},
}

// step is one command of a role, and the exit code that it has.
type step struct {
	role, command string
	exit          int
}

// others are the permissions that are not used by any command: why they are there.
var others = map[string]string{
	"logs:CreateLogStream": "Lambda itself, for the function's log",
	"logs:PutLogEvents":    "Lambda itself, for the function's log",
}

// call is one request that a role's command made.
type call struct {
	step
	request
}

func TestEachRoleDoesWhatItsPolicyAllowsAndIsAllowedNothingElse(t *testing.T) {
	t.Parallel()
	bench := newBench(t)
	var calls []call
	for _, s := range programme {
		bench.run(t, s.command, s.exit)
		for _, r := range bench.services.take(t) {
			calls = append(calls, call{s, r})
		}
	}
	roles := policies(t)
	used, findings := judge(roles, calls)
	assert.Empty(t, findings)
	isFile(t, "../../docs/permissions.md", []byte(permissionsTable(roles, used)))

	t.Run("a call more is found", func(t *testing.T) {
		scan := call{step{role: "monitor", command: "monitor --once"}, request{Action: "dynamodb:Scan", Resource: tableARN + "milepost"}}
		_, findings := judge(roles, append(slices.Clone(calls), scan))
		require.Len(t, findings, 1)
		assert.Contains(t, findings[0], "monitor, milepost monitor --once: dynamodb:Scan on "+tableARN+"milepost")
	})
	t.Run("a permission less is found", func(t *testing.T) {
		planted := policies(t)
		planted["reader"].Statement[0].Action = slices.DeleteFunc(planted["reader"].Statement[0].Action, func(a string) bool { return a == "dynamodb:BatchGetItem" })
		_, findings := judge(planted, calls)
		require.NotEmpty(t, findings)
		for _, f := range findings {
			assert.Regexp(t, "^reader, milepost (list|status|stale|serve|archive verify|export).*: dynamodb:BatchGetItem on .* is denied$", f)
		}
	})
	t.Run("a permission more is found", func(t *testing.T) {
		for role := range used {
			planted := policies(t)
			planted[role].Statement[0].Action = append(planted[role].Statement[0].Action, "dynamodb:Scan")
			_, findings := judge(planted, calls)
			assert.Equal(t, []string{role + " may dynamodb:Scan on " + tableARN + "milepost, and never does"}, findings)
		}
	})
	t.Run("a whole role that does nothing is found", func(t *testing.T) {
		planted := policies(t)
		planted["auditor"] = planted["reader"]
		_, findings := judge(planted, calls)
		assert.Len(t, findings, len(planted["auditor"].permissions()))
	})
}

// judge returns the commands that used each permission, by role, and what is wrong: denied calls,
// and permissions that no command uses.
func judge(roles map[string]policy, calls []call) (used map[string]map[permission][]string, findings []string) {
	used = map[string]map[permission][]string{}
	for role := range roles {
		used[role] = map[permission][]string{}
	}
	for _, c := range calls {
		by := roles[c.role].allows(c.request)
		if len(by) == 0 {
			findings = append(findings, fmt.Sprintf("%s, milepost %s: %s on %s with %v is denied", c.role, c.command, c.Action, c.Resource, c.Keys))
		}
		for _, p := range by {
			used[c.role][p] = append(used[c.role][p], subcommand(c.command))
		}
	}
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		for _, p := range roles[role].permissions() {
			if len(used[role][p]) == 0 && others[p.Action] == "" {
				findings = append(findings, fmt.Sprintf("%s may %s on %s, and never does", role, p.Action, p.Resource))
			}
		}
	}
	return used, findings
}

// bench is a place for the roles to work in, with the services under record. There
// a checkpoint held is held by somebody, and S3 refuses large objects of a
// checkpoint refused.
type bench struct {
	services    *services
	environment []string
	binary      string
	files       map[string]string // what the programme calls them
	state       []byte            // too large for the table, and for one request to S3
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	b := &bench{binary: filepath.Join(dir, "milepost"), files: map[string]string{}, state: make([]byte, 10<<20)}
	for _, name := range []string{"INPUT", "STATE", "EXPORT"} {
		b.files[name] = filepath.Join(dir, name)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", b.binary, "../../cmd/milepost") // as it is built for Lambda, and so once
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	_, _ = rand.NewChaCha8([32]byte{}).Read(b.state) // which does not compress
	require.NoError(t, os.WriteFile(b.files["INPUT"], []byte("1\n2\n3\n4\n5\n"), 0o600))
	require.NoError(t, os.WriteFile(b.files["STATE"], b.state, 0o600))

	b.services = &services{table: dynamotest.Table(t)}
	require.NoError(t, dynamostore.CreateTable(t.Context(), dynamotest.Client(t), b.services.table, nil), "which is the module's to do")
	held, err := lease.Acquire(t.Context(), dynamostore.New(dynamotest.Client(t), b.services.table), key("held"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = held.Release(context.WithoutCancel(t.Context())) }) // it has been broken
	b.services.bucket, b.services.prefix = s3test.Place(t)
	b.services.serve(t, dynamotest.Endpoint(t), s3test.Endpoint(t))
	b.environment = slices.Concat(os.Environ(), dynamotest.Env(t), s3test.Env(t), []string{ // the last of two wins, and only S3's server asks who one is
		"MILEPOST_STORE=dynamodb://" + b.services.table + "?endpoint=" + b.services.dynamo,
		"MILEPOST_ARCHIVE=s3://" + b.services.bucket + "/" + b.services.prefix + "?endpoint=" + b.services.s3,
		"AWS_ENDPOINT_URL_CLOUDWATCH=" + b.services.cloudwatch,
	})
	return b
}

func key(name string) store.Key { return store.Key{Namespace: store.DefaultNamespace, Name: name} }

// run runs one command of the programme, and returns what it printed.
func (b *bench) run(t *testing.T, command string, exit int) string {
	t.Helper()
	args := strings.Fields(command)
	switch args[0] {
	case "PROGRAM":
		b.program(t, args[1])
		return ""
	case "LOSE":
		b.lose(t, args[1])
		return ""
	case "LEAVE":
		b.leave(t, args[1])
		return ""
	}
	for i, arg := range args {
		if file, ok := b.files[arg]; ok {
			args[i] = file
		}
	}
	if args[0] == "serve" {
		b.visit(t, args)
		return ""
	}
	milepost := exec.CommandContext(t.Context(), b.binary, args...)
	milepost.Env = b.environment
	out, _ := milepost.CombinedOutput()
	require.Equal(t, exit, milepost.ProcessState.ExitCode(), "milepost %s\n%s", command, out)
	return string(out)
}

// store is the store as the commands open it, through the recorder.
func (b *bench) store(t *testing.T) *dynamostore.Store {
	t.Helper()
	client := dynamodb.New(dynamotest.Client(t).Options(), func(o *dynamodb.Options) { o.BaseEndpoint = &b.services.dynamo })
	return dynamostore.New(client, b.services.table)
}

// program is a job that imports the library: it saves a large state, and finds what
// a session that died has left of another.
func (b *bench) program(t *testing.T, name string) {
	t.Helper()
	st := b.store(t)
	bucket, err := s3archive.New(s3.New(s3test.Client(t).Options(), func(o *s3.Options) { o.BaseEndpoint = &b.services.s3 }), b.services.bucket, b.services.prefix, nil)
	require.NoError(t, err)
	err = checkpoint.Run(t.Context(), checkpoint.Namespace{Store: st, Archive: bucket}, name, func(ctx context.Context, s *checkpoint.Session[[]byte]) error {
		left := path.Join(b.services.prefix, archive.BodyKey(key(name), archive.BodyID{Home: archive.Home(b.store(t)), Version: s.Version() + 1, CommitID: "left"}))
		_, err := s3test.Client(t).PutObject(ctx, &s3.PutObjectInput{Bucket: &b.services.bucket, Key: &left, Body: strings.NewReader("left")})
		require.NoError(t, err)
		require.NoError(t, s.Save(ctx, "1", []byte("small")))
		return s.Save(ctx, "2", b.state)
	}, &checkpoint.Options{Expect: checkpoint.Expectation{Every: time.Hour}})
	if name == "refused" {
		require.ErrorIs(t, err, store.ErrCredentials)
		return
	}
	require.NoError(t, err)
}

// visit serves the status page and requests all of it: the large state is in the archive.
func (b *bench) visit(t *testing.T, args []string) {
	t.Helper()
	serve := exec.CommandContext(t.Context(), b.binary, args...)
	serve.Env = b.environment
	stderr, err := serve.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, serve.Start())
	defer func() {
		_ = serve.Process.Kill()
		_ = serve.Wait()
	}()
	line, err := bufio.NewReader(stderr).ReadString('\n')
	require.NoError(t, err)
	url := strings.TrimSuffix(regexp.MustCompile(`http://\S+`).FindString(line), "/")
	require.NotEmpty(t, url, line)
	for _, page := range []string{
		"/", "/checkpoints/large", "/versions/large", "/version/large?version=1", "/version/large?version=2", "/diff/large?from=1&to=2", "/readyz", "/metrics",
		"/api/v1/status", "/api/v1/checkpoints", "/api/v1/checkpoints/large", "/api/v1/versions/large", "/api/v1/version/large?version=1", "/api/v1/runs/large",
		"/api/v1/lease/large", "/api/v1/diff/large?from=1&to=2",
	} {
		reply, err := http.Get(url + page)
		require.NoError(t, err)
		body, err := io.ReadAll(reply.Body)
		require.NoError(t, err)
		require.NoError(t, reply.Body.Close())
		assert.Equal(t, http.StatusOK, reply.StatusCode, "%s: %.300s", page, body)
	}
}

// leave makes what a monitor collects: an interrupted deletion with an expectation, and a body that
// no version points at.
func (b *bench) leave(t *testing.T, name string) {
	t.Helper()
	st := faultstore.New(dynamostore.New(dynamotest.Client(t), b.services.table))
	require.NoError(t, checkpoint.Run(t.Context(), checkpoint.Namespace{Store: st}, name, func(ctx context.Context, s *checkpoint.Session[int]) error {
		return s.Save(ctx, "1", 1)
	}, &checkpoint.Options{Expect: checkpoint.Expectation{Every: time.Hour}}))
	st.On("Remove", 0, faultstore.Throttle)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := checkpoint.Namespace{Store: st}.Delete(ctx, name, nil)
	require.Error(t, err)
	body := path.Join(b.services.prefix, archive.BodyKey(key(name), archive.BodyID{Home: archive.Home(b.store(t)), Version: 1, CommitID: "left"}))
	_, err = s3test.Client(t).PutObject(t.Context(), &s3.PutObjectInput{Bucket: &b.services.bucket, Key: &body, Body: strings.NewReader("left")})
	require.NoError(t, err)
}

// lose removes a checkpoint from the table without the command.
func (b *bench) lose(t *testing.T, name string) {
	t.Helper()
	client, pk := dynamotest.Client(t), &types.AttributeValueMemberS{Value: store.DefaultNamespace + "#" + name}
	out, err := client.Query(t.Context(), &dynamodb.QueryInput{
		TableName: &b.services.table, KeyConditionExpression: aws.String("pk = :pk"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":pk": pk},
	})
	require.NoError(t, err)
	require.NotEmpty(t, out.Items)
	for _, item := range out.Items {
		_, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
			TableName: &b.services.table, Key: map[string]types.AttributeValue{"pk": pk, "sk": item["sk"]},
		})
		require.NoError(t, err)
	}
}

// subcommand is the words of a command before its arguments.
func subcommand(command string) string {
	words := strings.Fields(command)
	if words[0] == "PROGRAM" {
		return "a Go program"
	}
	if len(words) > 1 && slices.Contains([]string{"archive", "lease"}, words[0]) {
		return words[0] + " " + words[1]
	}
	return words[0]
}

// permissionsTable returns a table of what each role may do and which commands need it.
func permissionsTable(roles map[string]policy, used map[string]map[permission][]string) string {
	var b strings.Builder
	b.WriteString("# Permissions\n\nThis page lists what each policy of the module allows, and the commands that used each permission\n" +
		"when the test of the policies ran them. A command that needs more fails that test, and so does a\n" +
		"permission that no command needs. The module makes the table and the bucket, so no policy does.\n")
	for _, role := range slices.Sorted(maps.Keys(used)) {
		fmt.Fprintf(&b, "\n## %s\n\n| action | resource | commands |\n| --- | --- | --- |\n", role)
		for _, p := range roles[role].permissions() {
			commands := slices.Clone(used[role][p])
			if len(commands) == 0 {
				commands = []string{others[p.Action]}
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
