package dynamotest

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// shared is the one server of this process. It is never stopped, and dies with the process.
var shared = sync.OnceValues(func() (*Server, error) { return Start(context.Background()) })

func server(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatalf("no DynamoDB endpoint to test against: %v", err)
	}
	return s
}

// Endpoint returns the endpoint's URL, without a slash at its end. It is empty
// for AWS itself, where the AWS SDK knows it. The first call in a process may
// take as long as a download of 3 MB.
func Endpoint(t testing.TB) string {
	t.Helper()
	return server(t).URL
}

// Env returns the variables ("NAME=value") with which another process reaches
// the endpoint: credentials, region, and MILEPOST_TEST_DYNAMODB. Append them to
// the environment that it inherits.
func Env(t testing.TB) []string {
	t.Helper()
	return server(t).Env()
}

// Client returns a client of the endpoint, set up as the AWS SDK does by
// itself: its retries are on. Its connections are closed when the test ends.
func Client(t testing.TB) *dynamodb.Client {
	t.Helper()
	// More idle connections to one host than net/http's two: many writers at
	// once should measure the server, not the making of connections.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 100
	return ClientOver(t, transport)
}

// ClientOver is [Client] over the caller's transport, such as one that injects faults.
func ClientOver(t testing.TB, transport http.RoundTripper) *dynamodb.Client {
	t.Helper()
	s := server(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	httpClient := &http.Client{Transport: transport}
	client, err := s.client(ctx, httpClient)
	if err != nil {
		t.Fatalf("client of %s: %v", s.Name, err)
	}
	t.Cleanup(httpClient.CloseIdleConnections)
	return client
}

// Table returns a name that no other test has. The table does not exist yet;
// if there is one when the test ends, it is deleted, protected or not.
func Table(t testing.TB) string {
	t.Helper()
	client := Client(t)
	name := tableName(t.Name())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := deleteTable(ctx, client, name); err != nil {
			t.Errorf("delete table %s after the test: %v", name, err)
		}
	})
	return name
}

// BareTable returns the name of a new table that is ready, on demand, with only the string keys pk
// and sk: for raw requests, as in a benchmark. It is deleted when the test ends.
func BareTable(t testing.TB) string {
	t.Helper()
	client, name := Client(t), Table(t)
	_, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &name,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("sk"), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("sk"), KeyType: types.KeyTypeRange},
		},
		BillingMode: types.BillingModePayPerRequest,
	})
	if err != nil {
		t.Fatalf("create table %s: %v", name, err)
	}
	waiter := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, 2*time.Second
	})
	err = waiter.Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: &name}, time.Minute)
	if err != nil {
		t.Fatalf("wait for table %s: %v", name, err)
	}
	return name
}

// tableName makes a table name that names its test, in case the table is left behind.
func tableName(test string) string {
	const longest = 100 // of 255
	test = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '_', r == '.':
			return r
		}
		return '-'
	}, test)
	return "milepost-" + test[:min(len(test), longest)] + "-" + rand.Text()
}

func deleteTable(ctx context.Context, client *dynamodb.Client, name string) error {
	for {
		table, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
		if isA[*types.ResourceNotFoundException](err) {
			return nil
		}
		if err == nil && aws.ToBool(table.Table.DeletionProtectionEnabled) {
			_, err = client.UpdateTable(ctx, &dynamodb.UpdateTableInput{
				TableName: &name, DeletionProtectionEnabled: aws.Bool(false),
			})
		}
		if err == nil {
			_, err = client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &name})
		}
		if !isA[*types.ResourceInUseException](err) {
			return err
		}
		select { // it is being created or changed, which takes AWS some seconds
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

func isA[E error](err error) bool {
	var target E
	return errors.As(err, &target)
}
