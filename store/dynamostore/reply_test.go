package dynamostore_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
	"github.com/milepost-dev/milepost/test/faulthttp"
)

// unretried makes the SDK send reads once.
func unretried(client *dynamodb.Client) *dynamodb.Client {
	return dynamodb.New(client.Options(), func(o *dynamodb.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = 1 })
	})
}

// What answers in DynamoDB's place.
var foreign = map[string]faulthttp.Fault{
	"200 without a body":            faulthttp.Page(200, ""),
	"200 with a page":               faulthttp.Page(200, "<html>Welcome to this hotel</html>"),
	"200 of another service":        faulthttp.Page(200, `{"status":"ok"}`),
	"200 with null":                 faulthttp.Page(200, "null"),
	"204":                           faulthttp.Page(204, ""),
	"302":                           faulthttp.Page(302, ""),
	"400 without a body":            faulthttp.Page(400, ""),
	"403 with a page":               faulthttp.Page(403, "<html>Forbidden</html>"),
	"404 with a page":               faulthttp.Page(404, "<html>Not found</html>"),
	"403 of another service":        faulthttp.Page(403, `{"code":"AccessDeniedException","message":"no"}`),
	"a condition of another":        faulthttp.Page(400, `{"code":"ConditionalCheckFailedException","message":"no"}`),
	"a missing table of another":    faulthttp.Page(400, `{"Code":"ResourceNotFoundException"}`),
	"a refusal named by a header":   headed(400, "ValidationException"),
	"a condition named by a header": headed(400, "ConditionalCheckFailedException"),
	"502 with a page":               faulthttp.Page(502, "<html>Bad gateway</html>"),
}

// headed answers with the type of an error in the header alone.
func headed(status int, code string) faulthttp.Fault {
	return func(req *http.Request, send faulthttp.Send) (*http.Response, error) {
		res, err := faulthttp.Page(status, "{}")(req, send)
		res.Header.Set("X-Amzn-ErrorType", code)
		return res, err
	}
}

func TestOnlyDynamoDBsOwnReplyIsAnAnswerToAWrite(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	require.NoError(t, f.commit(t, versionOf(1)))
	for what, fault := range foreign {
		for name, write := range f.writes(t) {
			rule := f.faults.On(faulthttp.Any, faulthttp.Each, fault)
			err := write()
			rule.Remove()
			if assert.Error(t, err, "%s: %s", name, what) {
				meansExactly(t, err, store.ErrUnavailable)
			}
		}
	}
}

func TestOnlyDynamoDBsOwnReplyIsAnAnswerToARead(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	require.NoError(t, f.commit(t, versionOf(1)))
	f.Store = dynamostore.New(unretried(dynamotest.ClientOver(t, f.faults)), f.table)
	reads := map[string]func() error{
		"Look":    func() error { _, err := f.Look(t.Context(), f.key); return err },
		"Peek":    func() error { _, err := f.Peek(t.Context(), []store.Key{f.key}); return err },
		"Version": func() error { _, err := f.Version(t.Context(), f.key, 1); return err },
		"Versions": func() error {
			for _, err := range f.Versions(t.Context(), f.key, 1, 1) {
				return err
			}
			return nil
		},
		"Names": func() error {
			for _, err := range f.Names(t.Context(), "default", "", "") {
				return err
			}
			return nil
		},
		"Check": func() error { _, err := f.Check(t.Context()); return err },
		"CreateTable": func() error {
			return dynamostore.CreateTable(t.Context(), unretried(dynamotest.ClientOver(t, f.faults)), f.table, nil)
		},
	}
	for what, fault := range foreign {
		for name, read := range reads {
			rule := f.faults.On(faulthttp.Any, faulthttp.Each, fault)
			err := read()
			rule.Remove()
			if assert.Error(t, err, "%s: %s", name, what) {
				meansExactly(t, err, store.ErrUnavailable)
			}
		}
	}
}

// A setting of the table that cannot be read is not a setting that is off.
func TestAnEmptyReplyAboutASettingIsNoFinding(t *testing.T) {
	for _, op := range []string{"DescribeTable", "DescribeTimeToLive", "DescribeContinuousBackups"} {
		f := setUp(t)
		f.Store = dynamostore.New(unretried(dynamotest.ClientOver(t, f.faults)), f.table)
		f.faults.On(op, faulthttp.Each, faulthttp.Page(200, "{}"))
		found, err := f.Check(t.Context())
		require.ErrorIs(t, err, store.ErrUnavailable, op)
		assert.Empty(t, found)
	}
	for _, op := range []string{"CreateTable", "DescribeTable", "DescribeTimeToLive", "UpdateTimeToLive", "UpdateContinuousBackups"} {
		faults := faulthttp.New(nil)
		client := unretried(dynamotest.ClientOver(t, faults))
		rule := faults.On(op, faulthttp.Each, faulthttp.Page(200, "{}"))
		require.ErrorIs(t, dynamostore.CreateTable(t.Context(), client, dynamotest.Table(t), nil), store.ErrUnavailable, op)
		assert.Positive(t, rule.Hits(), op)
	}
}

func TestAReadIsSentAgainByTheSDKWhenAnotherHasAnswered(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	f.faults.On("Query", 1, faulthttp.Page(200, ""))
	f.faults.On("Query", 2, faulthttp.Page(403, "<html>Forbidden</html>"))
	found, err := f.Look(t.Context(), f.key)
	require.NoError(t, err)
	assert.NotNil(t, found.Head)
}

func TestAReplyThatIsNotDynamoDBsSaysSo(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	f.faults.On("PutItem", faulthttp.Each, faulthttp.Page(200, ""))
	err := f.commit(t, versionOf(1))
	require.ErrorContains(t, err, `the reply "200 OK" has no ConsumedCapacity, so it is not DynamoDB's`)
	assert.ErrorContains(t, err, "proxy")
}

func TestADeniedActionIsNamed(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	f.faults.On(faulthttp.Any, faulthttp.Each, faulthttp.Error("AccessDeniedException"))
	look := func() error { _, err := f.Look(t.Context(), f.key); return err }
	peek := func() error { _, err := f.Peek(t.Context(), []store.Key{f.key}); return err }
	check := func() error { _, err := f.Check(t.Context()); return err }
	assert.ErrorContains(t, f.commit(t, versionOf(1)), "the policy must allow dynamodb:PutItem on the table")
	assert.ErrorContains(t, f.Release(t.Context(), f.key, fence, 1), "dynamodb:UpdateItem")
	assert.ErrorContains(t, f.Remove(t.Context(), f.key, store.Copy{Version: versionOf(1)}), "dynamodb:DeleteItem")
	assert.ErrorContains(t, look(), "dynamodb:Query on the table and on its index")
	assert.ErrorContains(t, peek(), "dynamodb:BatchGetItem")
	assert.ErrorContains(t, check(), "dynamodb:DescribeTable")
	assert.ErrorContains(t, f.commit(t, versionOf(1), dynamostore.Put("sales", saleOf("a"))), "dynamodb:PutItem on the table, and on the caller's tables")
}

func TestAListingOnAnIndexThatIsBeingFilledIsUnavailable(t *testing.T) {
	f := setUp(t)
	f.faults.On("Query", faulthttp.Each, answer(400, "ValidationException", "Cannot read from backfilling global secondary index: names"))
	for _, err := range f.Names(t.Context(), "default", "", "") {
		meansExactly(t, err, store.ErrUnavailable, store.ErrNotApplied)
		assert.ErrorContains(t, err, "still being filled")
		assert.ErrorContains(t, err, "milepost check")
	}
}

// As a tool for Terraform's locks makes it.
func TestAnotherProgramsTableIsSaidToBeSoByEveryCall(t *testing.T) {
	client, table := dynamotest.Client(t), dynamotest.Table(t)
	_, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &table, BillingMode: "PAY_PER_REQUEST",
		KeySchema:            keys("LockID", "")[:1],
		AttributeDefinitions: []types.AttributeDefinition{textual("LockID")},
	})
	require.NoError(t, err)
	f := fixture{Store: dynamostore.New(client, table), raw: client, table: table, key: store.Key{Namespace: "default", Name: "a"}}
	calls := f.writes(t)
	delete(calls, "Commit with a caller's item") // no session comes so far
	calls["Look"] = func() error { _, err := f.Look(t.Context(), f.key); return err }
	calls["Peek"] = func() error { _, err := f.Peek(t.Context(), []store.Key{f.key}); return err }
	calls["Version"] = func() error { _, err := f.Version(t.Context(), f.key, 1); return err }
	calls["Names"] = func() error {
		for _, err := range f.Names(t.Context(), "default", "", "") {
			return err
		}
		return nil
	}
	for name, call := range calls {
		err := call()
		require.Error(t, err, name)
		assert.ErrorContains(t, err, "another program's table", name)
		assert.ErrorContains(t, err, "milepost check", name)
	}
	found, err := f.Check(t.Context())
	require.NoError(t, err)
	assert.Contains(t, found[0].Problem, "its keys are not the strings pk and sk")
}

// inMemory is a client whose requests are answered by answer, in virtual time.
func inMemory(answer func(op string) faulthttp.Fault) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String("http://service"),
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
		HTTPClient: &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			op := req.Header.Get("X-Amz-Target")
			return answer(op[len("DynamoDB_20120810."):])(req, nil)
		})},
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestCreateTableWaitsForABoundedTimeAndSaysForWhat(t *testing.T) {
	inUse := faulthttp.Error("ResourceInUseException")
	describe := func(status string) faulthttp.Fault {
		return faulthttp.Page(200, `{"Table":{"TableStatus":"`+status+`","KeySchema":[
			{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],
			"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"sk","AttributeType":"S"},
			{"AttributeName":"ns","AttributeType":"S"},{"AttributeName":"name","AttributeType":"S"}],
			"GlobalSecondaryIndexes":[{"IndexName":"names","IndexStatus":"ACTIVE","KeySchema":[
			{"AttributeName":"ns","KeyType":"HASH"},{"AttributeName":"name","KeyType":"RANGE"}],
			"Projection":{"ProjectionType":"KEYS_ONLY"}}]}}`)
	}
	create := func(t *testing.T, replies map[string]faulthttp.Fault) (time.Duration, error) {
		began := time.Now()
		err := dynamostore.CreateTable(t.Context(), inMemory(func(op string) faulthttp.Fault { return replies[op] }), "jobs", nil)
		return time.Since(began), err
	}
	t.Run("it stays deleted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			took, err := create(t, map[string]faulthttp.Fault{"CreateTable": inUse, "DescribeTable": describe("DELETING")})
			require.ErrorIs(t, err, store.ErrUnavailable)
			require.ErrorContains(t, err, "still DELETING")
			assert.LessOrEqual(t, took, 5*time.Minute)
		})
	})
	t.Run("deleted, and made again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			looks, made := 0, 0
			err := dynamostore.CreateTable(t.Context(), inMemory(func(op string) faulthttp.Fault {
				switch op {
				case "CreateTable":
					if made++; made == 1 {
						return inUse
					}
					return faulthttp.Page(200, `{"TableDescription":{"TableStatus":"CREATING"}}`)
				case "DescribeTable":
					looks++
					switch {
					case looks <= 3:
						return describe("DELETING")
					case made == 1:
						return faulthttp.Error("ResourceNotFoundException")
					}
					return describe("ACTIVE")
				case "DescribeTimeToLive":
					return faulthttp.Page(200, `{"TimeToLiveDescription":{"TimeToLiveStatus":"ENABLED","AttributeName":"expires_at"}}`)
				}
				return faulthttp.Page(200, `{"ContinuousBackupsDescription":{"ContinuousBackupsStatus":"ENABLED"}}`)
			}), "jobs", nil)
			require.NoError(t, err)
			assert.Equal(t, 2, made)
		})
	})
	t.Run("without its KMS key", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			took, err := create(t, map[string]faulthttp.Fault{"CreateTable": inUse, "DescribeTable": describe("INACCESSIBLE_ENCRYPTION_CREDENTIALS")})
			require.ErrorContains(t, err, "it is INACCESSIBLE_ENCRYPTION_CREDENTIALS")
			require.ErrorContains(t, err, "KMS key")
			assert.Less(t, took, time.Second, "it does not pass by itself")
		})
	})
	t.Run("backups not available yet", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			err := dynamostore.CreateTable(t.Context(), inMemory(func(op string) faulthttp.Fault {
				switch op {
				case "CreateTable":
					return inUse
				case "DescribeTable":
					return describe("ACTIVE")
				case "DescribeTimeToLive":
					return faulthttp.Page(200, `{"TimeToLiveDescription":{"TimeToLiveStatus":"ENABLED","AttributeName":"expires_at"}}`)
				}
				if asked++; asked <= 5 {
					return faulthttp.Error("ContinuousBackupsUnavailableException")
				}
				return faulthttp.Page(200, `{"ContinuousBackupsDescription":{"ContinuousBackupsStatus":"ENABLED"}}`)
			}), "jobs", nil)
			require.NoError(t, err)
			assert.Equal(t, 6, asked)
		})
	})
	t.Run("backups never available", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			took, err := create(t, map[string]faulthttp.Fault{
				"CreateTable": inUse, "DescribeTable": describe("ACTIVE"),
				"DescribeTimeToLive":      faulthttp.Page(200, `{"TimeToLiveDescription":{"TimeToLiveStatus":"ENABLED","AttributeName":"expires_at"}}`),
				"UpdateContinuousBackups": faulthttp.Error("ContinuousBackupsUnavailableException"),
			})
			require.ErrorIs(t, err, store.ErrUnavailable)
			require.ErrorContains(t, err, "ContinuousBackupsUnavailableException")
			assert.LessOrEqual(t, took, 5*time.Minute)
		})
	})
}

// The service does not say which table of a transaction is missing.
func TestAMissingTableOfTheCallersIsTheCallersMistake(t *testing.T) {
	f := setUp(t)
	f.hold(t)
	sales := dynamotest.BareTable(t)
	here, missing := dynamostore.Put(sales, saleOf("a")), dynamostore.Put(dynamotest.Table(t), saleOf("b"))
	isTheThird := func(err error) {
		t.Helper()
		meansExactly(t, err, store.ErrWrite, store.ErrNotApplied)
		var refused *store.WriteError
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, 2, refused.Index)
	}
	err := f.commit(t, versionOf(1), here, dynamostore.Put(sales, saleOf("c")), missing)
	isTheThird(err)
	assert.ErrorContains(t, err, "there is no table")
	assert.Empty(t, f.sale(t, sales, "a"))

	// Without the permission to describe tables, the first that may be missing is named.
	rule := f.faults.On("DescribeTable", 2, faulthttp.Error("AccessDeniedException"))
	isTheThird(f.commit(t, versionOf(1), here, dynamostore.Put(sales, saleOf("c")), missing))
	assert.Equal(t, 1, rule.Hits())

	// A table of ours that is missing stays that.
	gone := dynamostore.New(dynamotest.Client(t), dynamotest.Table(t))
	_, err = gone.Commit(t.Context(), f.key, store.Commit{Fence: fence, Next: versionOf(1), Writes: []store.Write{here}})
	meansExactly(t, err, store.ErrNoTable, store.ErrNotApplied)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = f.Commit(ctx, f.key, store.Commit{Fence: fence, Next: versionOf(1), Writes: []store.Write{here, missing}})
	meansExactly(t, err, store.ErrNotApplied)
}
