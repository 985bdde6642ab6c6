package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
	"github.com/milepost-dev/milepost/test/faulthttp"
	"github.com/milepost-dev/milepost/test/s3test"
)

// faultyTable returns the environment of a new table behind faults. A test that names another
// endpoint than a local one fails: AWS refuses requests that were signed for the proxy.
func faultyTable(t *testing.T) (env []string, faults *faulthttp.Transport) {
	t.Helper()
	for _, variable := range dynamotest.Env(t) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	table := dynamotest.Table(t)
	require.NoError(t, dynamostore.CreateTable(t.Context(), dynamotest.Client(t), table, &dynamostore.CreateOptions{NoDeletionProtection: true}))
	faults = faulthttp.New(nil)
	return []string{"MILEPOST_STORE=dynamodb://" + table + "?endpoint=" + faulthttp.Proxy(t, dynamotest.Endpoint(t), faults)}, faults
}

func TestAProxyThatAnswersWithNothingIsNoEmptyStore(t *testing.T) {
	env, faults := faultyTable(t)
	threeVersions(t, env, "a")
	faults.On(faulthttp.Any, faulthttp.Each, faulthttp.Page(200, ""))
	for _, args := range [][]string{{"get", "a"}, {"list"}, {"history", "a"}, {"status"}, {"lease", "show", "a"}, {"check"}, {"table", "create"}} {
		r := milepost(t, env, append([]string{"-o", "json"}, args...)...)
		assert.Equal(t, "unavailable", r.failure(t).Kind, "%v: %s", args, r.stderr)
		assert.Contains(t, r.stderr, "proxy", args)
		assert.Empty(t, r.stdout, args)
	}
}

func TestABatchOutlastsASecondInWhichItsKeysAreNotKnown(t *testing.T) {
	env, faults := faultyTable(t)
	input := writeFile(t, "in", numbered(40))
	var since atomic.Int64 // when the first save comes
	faults.When(func(r faulthttp.Request) bool {
		if r.Op == "PutItem" && strings.Contains(string(r.Body), "commit_id") {
			since.CompareAndSwap(0, time.Now().UnixNano())
		}
		began := since.Load()
		return began != 0 && time.Since(time.Unix(0, began)) < time.Second
	}, faulthttp.Error("UnrecognizedClientException"))
	must(t, env, "batch", "a", input, "--every", "10", "--", "cat")
	assert.Contains(t, must(t, env, "get", "a"), "40")
	assert.Regexp(t, "status +free", must(t, env, "lease", "show", "a"))
}

// The keys in a file are replaced while a job runs, and the old ones are refused from then on.
func TestAFileOfCredentialsThatWasRotatedIsReadAgain(t *testing.T) {
	env, faults := faultyTable(t)
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		t.Setenv(name, "")
		require.NoError(t, os.Unsetenv(name))
	}
	file := filepath.Join(t.TempDir(), "credentials")
	write := func(key string) {
		content := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = secret\n", key)
		assert.NoError(t, os.WriteFile(file+".new", []byte(content), 0o600))
		assert.NoError(t, os.Rename(file+".new", file))
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	write("OLDKEY")
	var saves, after atomic.Int64
	faults.When(func(r faulthttp.Request) bool {
		if r.Op == "PutItem" && strings.Contains(string(r.Body), "commit_id") && saves.Add(1) == 3 {
			write("NEWKEY")
		}
		old := strings.Contains(r.Header.Get("Authorization"), "Credential=OLDKEY/")
		if !old {
			after.Add(1)
		}
		return old && saves.Load() >= 3
	}, faulthttp.Error("UnrecognizedClientException"))
	input := writeFile(t, "in", numbered(40))
	must(t, env, "batch", "a", input, "--every", "10", "--", "cat")
	assert.Positive(t, after.Load())
	assert.Contains(t, must(t, env, "get", "a"), "40")
}

func TestAnIndexThatIsBeingFilledIsUnavailableForListings(t *testing.T) {
	env, faults := faultyTable(t)
	threeVersions(t, env, "a")
	faults.When(func(r faulthttp.Request) bool {
		return r.Op == "Query" && strings.Contains(string(r.Body), "IndexName")
	},
		refusal("ValidationException", "Cannot read from backfilling global secondary index: names"))
	for _, args := range [][]string{{"list"}, {"status"}, {"stale"}, {"monitor", "--once", "--metrics", "none"}} {
		r := milepost(t, env, append([]string{"-o", "json"}, args...)...)
		assert.Equal(t, "unavailable", r.failure(t).Kind, "%v: %s", args, r.stderr)
		assert.Contains(t, r.stderr, "still being filled", args)
	}
	must(t, env, "get", "a")

	faults.On("DescribeTable", faulthttp.Each, func(req *http.Request, send faulthttp.Send) (*http.Response, error) {
		res, err := send(req.Context())
		if err == nil {
			err = replaceInBody(res, `"IndexStatus":"ACTIVE"`, `"IndexStatus":"CREATING","Backfilling":true`)
		}
		return res, err
	})
	r := milepost(t, env, "check")
	assert.Equal(t, 1, r.exit)
	assert.Contains(t, r.stdout, "backfilling")
	assert.Contains(t, r.stdout, "wait")
}

func TestEveryCommandKnowsAnotherProgramsTable(t *testing.T) {
	for _, variable := range dynamotest.Env(t) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	table := dynamotest.Table(t)
	id := "LockID"
	_, err := dynamotest.Client(t).CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &table, BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: &id, KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: &id, AttributeType: types.ScalarAttributeTypeS}},
	})
	require.NoError(t, err)
	url := "dynamodb://" + table
	if e := dynamotest.Endpoint(t); e != "" {
		url += "?endpoint=" + e
	}
	env := []string{"MILEPOST_STORE=" + url}
	input := writeFile(t, "in", numbered(3))
	for _, args := range [][]string{
		{"get", "a"}, {"list"}, {"history", "a"}, {"runs", "a"}, {"status"}, {"stale"}, {"monitor", "--once", "--metrics", "none"},
		{"set", "a", "--cursor", "x", "--execute"}, {"reset", "a", "--execute"}, {"rollback", "a", "--to", "1", "--execute"},
		{"delete", "a", "--execute"}, {"pin", "a", "--label", "x"}, {"unpin", "a", "--version", "1"}, {"expect", "a", "--every", "1h"},
		{"lease", "show", "a"}, {"lease", "break", "a", "--reason", "x"}, {"prune", "a", "--older-than", "24h", "--execute"},
		{"gc"}, {"export"}, {"batch", "a", input, "--", "cat"}, {"run", "a", "--", "true"},
	} {
		r := milepost(t, env, args...)
		assert.NotZero(t, r.exit, args)
		assert.Contains(t, r.stderr, "another program's table", args)
		assert.Contains(t, r.stderr, "milepost check", args)
	}
	r := milepost(t, env, "table", "create")
	assert.Contains(t, r.stderr, "another program's table")
	r = milepost(t, env, "check")
	assert.Equal(t, 1, r.exit)
	assert.Contains(t, r.stdout, "another program's table")
}

func TestSetEndsWithAMessageWhenS3NeverAnswers(t *testing.T) {
	env := sqliteStore(t)
	for _, variable := range s3test.Env(t) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	bucket, prefix := s3test.Place(t)
	faults := faulthttp.New(nil)
	env = append(env, "MILEPOST_ARCHIVE=s3://"+bucket+"/"+prefix+"?endpoint="+faulthttp.Proxy(t, s3test.Endpoint(t), faults))
	must(t, env, "set", "a", "--cursor", "x", "--execute")
	faults.On("PUT", faulthttp.Each, faulthttp.Page(503, "<html>Service unavailable</html>"))
	state := writeFile(t, "state.json", []byte(`"`+incompressible(20_000)+`"`))
	r := milepost(t, env, "-o", "json", "set", "a", "--state", state, "--execute")
	assert.Equal(t, "unavailable", r.failure(t).Kind, r.stderr)
	assert.Contains(t, r.stderr, "503")
	assert.Regexp(t, "status +free", must(t, env, "lease", "show", "a"))
}

func incompressible(bytes int) string {
	var b strings.Builder
	for b.Len() < bytes {
		b.WriteString(rand.Text())
	}
	return b.String()
}

// refusal answers with an error of DynamoDB's, with that message.
func refusal(code, message string) faulthttp.Fault {
	return faulthttp.Page(400, `{"__type":"com.amazonaws.dynamodb.v20120810#`+code+`","message":"`+message+`"}`)
}

func replaceInBody(res *http.Response, old, text string) error {
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	body = bytes.ReplaceAll(body, []byte(old), []byte(text))
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	res.Header.Del("Content-Length")
	res.Header.Del("X-Amz-Crc32")
	return nil
}
