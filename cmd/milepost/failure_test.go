package main

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/test/dynamotest"
)

func TestADamagedRecordIsNeverReadAsNoCheckpoint(t *testing.T) {
	onEachEngine(t, func(t *testing.T, env []string) {
		threeVersions(t, env, "a")
		threeVersions(t, env, "b")
		damage(t, env)
		input := writeFile(t, "in", numbered(10))
		for _, args := range [][]string{
			{"get", "a"}, {"history", "a"}, {"runs", "a"}, {"list"}, {"reset", "a", "--execute"}, {"set", "a", "--cursor", "x", "--execute"},
			{"delete", "a", "--execute"}, {"batch", "a", input, "--", "cat"},
		} {
			args = append([]string{"-o", "json"}, args...)
			r := milepost(t, env, args...)
			assert.Equal(t, 1, r.exit, args)
			f := r.failure(t)
			assert.Equal(t, "bad_record", f.Kind, args)
			assert.Contains(t, f.Error, "HEAD of a", args)
		}
		r := milepost(t, env, "list")
		assert.Equal(t, 1, r.exit)
		assert.Contains(t, r.stdout, "b  ", "a bad record does not hide the others")
	})
}

// damage replaces the version number of checkpoint a with a word.
func damage(t *testing.T, env []string) {
	t.Helper()
	if path, ok := strings.CutPrefix(env[0], "MILEPOST_STORE=sqlite:"); ok {
		db, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		defer func() { _ = db.Close() }()
		_, err = db.ExecContext(t.Context(), `UPDATE milepost_head SET version = 'three' WHERE name = 'a'`)
		require.NoError(t, err)
		return
	}
	table, _, _ := strings.Cut(strings.TrimPrefix(env[0], "MILEPOST_STORE=dynamodb://"), "?")
	_, err := dynamotest.Client(t).UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: aws.String(table),
		Key: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: "default#a"}, "sk": &types.AttributeValueMemberS{Value: "HEAD"},
		},
		UpdateExpression:          aws.String("SET version = :x"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":x": &types.AttributeValueMemberS{Value: "three"}},
	})
	require.NoError(t, err)
}

func TestAnErrorOfTheServiceHasItsKind(t *testing.T) {
	for _, variable := range dynamotest.Env(t) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	endpoint := ""
	if e := dynamotest.Endpoint(t); e != "" {
		endpoint = "?endpoint=" + e
	}
	missing := "dynamodb://" + dynamotest.Table(t) + endpoint
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `{"__type":"com.amazon.coral.service#UnrecognizedClientException","message":"The security token included in the request is invalid."}`)
	}))
	defer refusing.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	newer := writeFile(t, "no.db", []byte("this is no database, whatever its name says, and it is long enough to look at"))

	for name, test := range map[string]struct {
		store, kind, want string
		exit              int
	}{
		"missing table":     {missing, "no_table", "milepost table create", 1},
		"wrong credentials": {"dynamodb://milepost?endpoint=" + refusing.URL, "credentials", "aws sts get-caller-identity", 1},
		"unreachable":       {"dynamodb://milepost?endpoint=" + gone.URL, "unavailable", "connection refused", 8},
		"no database":       {"sqlite:" + newer, "bad_record", "not an SQLite database", 1},
	} {
		t.Run(name, func(t *testing.T) {
			for _, args := range [][]string{
				{"get", "a"}, {"list"}, {"set", "a", "--cursor", "x", "--execute"}, {"lease", "show", "a"},
				{"batch", "a", writeFile(t, "in", numbered(1)), "--", "cat"},
			} {
				r := milepost(t, nil, append([]string{"-o", "json", "--store", test.store}, args...)...)
				assert.Equal(t, test.exit, r.exit, args)
				f := r.failure(t)
				assert.Equal(t, test.kind, f.Kind, args)
				assert.Contains(t, f.Error, test.want, args)
				assert.Empty(t, r.stdout, args)
			}
		})
	}

	must(t, nil, "table", "create", "--store", missing, "--no-deletion-protection")
	must(t, nil, "table", "create", "--store", missing, "--no-deletion-protection")
	r := milepost(t, nil, "check", "--store", missing, "-o", "json")
	assert.Zero(t, r.exit, "what is missing from it is a risk, not a fault: %s%s", r.stdout, r.stderr)
}

func TestCheckSaysWhatIsWrongAndHowToFixIt(t *testing.T) {
	for _, variable := range dynamotest.Env(t) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	url := "dynamodb://" + dynamotest.BareTable(t)
	if e := dynamotest.Endpoint(t); e != "" {
		url += "?endpoint=" + e
	}
	r := milepost(t, nil, "check", "--store", url)
	assert.Equal(t, 1, r.exit)
	assert.Regexp(t, `(?m)^broken: .*index`, r.stdout)
	assert.Contains(t, r.stderr, "is not safe to use")
}

func TestTheExitCodesAreThoseOfTheDesign(t *testing.T) {
	out := must(t, nil, "help", "exit-codes")
	want := map[string]int{
		"ok": 0, "error": 1, "bad_record": 1, "store_regressed": 1, "outcome_unknown": 1, "no_table": 1, "credentials": 1, "newer_format": 1,
		"body_missing": 1,
		"usage":        2, "not_found": 3, "version_conflict": 4, "lease_held": 5, "refused": 6, "lease_lost": 7, "unavailable": 8,
		"job_failed": 9, "yielded": 10, "stale": 11, "interrupted": 130, "broken_pipe": 141, "terminated": 143,
	}
	got := map[string]int{}
	for _, k := range kinds.Table {
		got[k.Name] = k.Exit
		assert.Regexp(t, fmt.Sprintf(`(?m)^%d +%s *%s$`, k.Exit, k.Name, regexp.QuoteMeta(k.When)), out)
	}
	assert.Equal(t, want, got)
}

func TestEveryCommandHasAnExampleAndAShortHelp(t *testing.T) {
	root := (&app{}).root()
	commands := root.Commands()
	for len(commands) > 0 {
		c := commands[0]
		commands = append(commands[1:], c.Commands()...)
		assert.NotEmpty(t, c.Short, c.CommandPath())
		if c.Runnable() && !c.HasSubCommands() {
			assert.NotEmpty(t, c.Example, c.CommandPath())
		}
	}
}

func TestCompletionKnowsTheNames(t *testing.T) {
	env := sqliteStore(t)
	threeVersions(t, env, "orders/eu")
	assert.Contains(t, must(t, env, "__complete", "get", "ord"), "orders/eu\n")
	assert.Contains(t, must(t, env, "completion", "bash"), "milepost")
}

func TestAClosedStandardOutputIsAnError(t *testing.T) {
	env := sqliteStore(t)
	threeVersions(t, env, "a")
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	require.NoError(t, file.Close())
	for _, args := range [][]string{{"get", "a"}, {"list"}, {"history", "a"}, {"runs", "a", "-o", "json"}, {"version"}, {"reset", "a"}} {
		var stderr strings.Builder
		assert.Equal(t, 1, run(t.Context(), args, strings.NewReader(""), file, &stderr, append(os.Environ(), env...)), args)
		assert.Contains(t, stderr.String(), "file already closed", args)
	}
}
