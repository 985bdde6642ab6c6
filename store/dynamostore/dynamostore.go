// Package dynamostore keeps checkpoints in one DynamoDB table. It is the engine
// for production: many machines, no server of one's own.
//
// Each record is an item of its own, under pk = namespace#name:
//
//	HEAD     the newest version, and the fence
//	LEASE    who may write it: a small item, so that a beat costs 1 WCU
//	EXPECT   how often the job is expected to save
//	V#…      the copy of each version, the only record that ever expires
//
// Every write is one conditional request, sent once: this package turns the
// SDK's retries off for it, since a retry that the caller does not see turns a
// write that landed into one that seems to have failed. What the condition found
// comes back in the same reply, so no failure costs a second read.
//
// Not supported: eventually consistent global tables (the last writer wins, so
// no condition holds across regions), transactional saves on strongly consistent
// ones, and DAX. [Store.Check] tells where it can see it.
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

// Store is a [store.Store] on one table. Its methods may be called from any
// number of goroutines.
type Store struct {
	client    *dynamodb.Client
	endpoints *endpoints // nil: the client's own
	table     string

	mu   sync.Mutex
	cost map[string]Cost // by method
}

// New returns the store in that table, by name or ARN, as [CreateTable] makes
// it. The client is taken as it is, with its region, endpoint, credentials and
// HTTP client; only its retries are turned off, call by call, for writes, and the
// service's own endpoint rules are asked once for the same parameters. Nothing
// is sent: a table that is missing shows at the first call, and [Store.Check] says more.
func New(client *dynamodb.Client, table string) *Store {
	return &Store{client: client, endpoints: endpointsOf(client), table: table, cost: make(map[string]Cost)}
}

// Look reads HEAD, LEASE and EXPECT in one consistent query: their sort keys
// are neighbours, and the copies sort behind them. HEAD alone can have 400 KB,
// so one page of 1 MB has it all.
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
		found.Clock = clock(page.ResultMetadata) // of the page that has LEASE, the last
	}
	return found, nil
}

// Expect puts EXPECT, or deletes it. Nothing races over it, so its condition only
// keeps off a record of a newer format.
func (s *Store) Expect(ctx context.Context, key store.Key, e *store.Expectation) error {
	c := s.call("Expect", key)
	readable := values{":fmt": num(store.Format)}
	if e == nil {
		return c.remove(ctx, store.RecordExpect, ifReadable, readable, withExpect)
	}
	it, err := attributevalue.MarshalMap(toExpect(key, *e))
	if err != nil {
		return c.refuse(err)
	}
	_, err = c.put(ctx, it, ifReadable, readable, withExpect)
	return err
}
