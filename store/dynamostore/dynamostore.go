// Package dynamostore keeps checkpoints in one DynamoDB table. It is the engine for production: it
// serves many machines, and needs no server that you run.
//
// Each record is a separate item, under pk = namespace#name. Its sort key is the record's name:
//
//	HEAD     the newest version, and the fence
//	LEASE    who may write HEAD: a small item, so that a beat costs 1 WCU
//	EXPECT   how often the job is expected to save
//	V#…      the copy of each version, the only record that expires
//
// Each write is one conditional request, and is sent once. This package turns the SDK's retries off
// for writes: with a retry that the caller does not see, a write that landed can seem to have
// failed. The same reply has what the condition found, so a failure costs no second read.
//
// Not supported: eventually consistent global tables (the last writer wins, so conditions do not
// hold across regions), transactional saves on strongly consistent ones, and DAX. [Store.Check]
// reports the first two.
package dynamostore

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/milepost-dev/milepost/store"
)

var _ store.Store = (*Store)(nil)

// Store is a [store.Store] in one table.
type Store struct {
	client *dynamodb.Client
	table  string

	mu   sync.Mutex
	cost map[string]Cost // by method
}

// New returns the store in that table, which [CreateTable] makes. The table is a name or an ARN.
// The client is used as it is, with its region, endpoint, credentials and HTTP client; only its
// retries are turned off for writes, call by call. New sends nothing: a missing table is an error
// of the first call, and [Store.Check] says more.
//
// If the HTTP client is not the SDK's own, it should have a method CloseIdleConnections, as
// http.Client has, and so should its transport. The Store calls it when a request times out.
// Otherwise a lease can be lost when many pooled connections go silent at once.
func New(client *dynamodb.Client, table string) *Store {
	return &Store{client: ours(client), table: table, cost: make(map[string]Cost)}
}

// Address implements [store.Store]: region, endpoint and table.
func (s *Store) Address() string {
	o := s.client.Options()
	return "dynamodb:" + o.Region + ":" + aws.ToString(o.BaseEndpoint) + ":" + s.table
}

// Look reads HEAD, LEASE and EXPECT in one consistent query: their sort keys are neighbours, and
// the copies sort after them. An item has at most 400 KB, and LEASE and EXPECT are small, so one
// page of 1 MB has them all.
func (s *Store) Look(ctx context.Context, key store.Key) (store.Records, error) {
	c := s.call("Look", key)
	var found store.Records
	for page, err := range c.pages(ctx, &dynamodb.QueryInput{
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String(bySortKey.text),
		ExpressionAttributeNames:  bySortKey.names,
		ExpressionAttributeValues: values{":pk": str(partition(key)), ":from": str(store.RecordExpect), ":to": str(store.RecordLease)},
	}) {
		if err != nil {
			return store.Records{}, err
		}
		for _, it := range page.Items {
			if err := collect(&found, key, it); err != nil {
				return store.Records{}, err
			}
		}
		found.Clock = clock(page.ResultMetadata) // of the last page, which has LEASE
	}
	return found, nil
}

// Expect puts EXPECT, or deletes it.
func (s *Store) Expect(ctx context.Context, key store.Key, observed, next *store.Expectation) error {
	c := s.call("Expect", key)
	condition, v := ifAbsent, values(nil)
	if observed != nil {
		v = values{":fmt": num(store.Format)}
		condition = express(expectAsObserved(observed, v))
	}
	if next == nil {
		return c.remove(ctx, store.RecordExpect, condition, v, withExpect)
	}
	it, err := attributevalue.MarshalMap(toExpect(key, *next))
	if err != nil {
		return c.refuse(err)
	}
	_, err = c.put(ctx, it, condition, v, withExpect)
	return err
}

func expectAsObserved(e *store.Expectation, v values) string {
	w := toExpect(store.Key{}, *e)
	seen := newSeen(v)
	seen.is("every_ms", num(w.EveryMS))
	seen.isNumber("grace_ms", w.GraceMS)
	seen.isString("set_by", w.SetBy)
	seen.isNumber("set_at", w.SetAt)
	return seen.text()
}
