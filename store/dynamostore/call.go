package dynamostore

import (
	"context"
	"maps"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/milepost-dev/milepost/store"
)

// Cost is what requests have cost so far, as the service reported it. The service does not report
// the units of a request whose condition failed, so those count as 0.
type Cost struct {
	Requests   int64   // sent, including the SDK's own retries of reads
	ReadUnits  float64 // read capacity units
	WriteUnits float64 // write capacity units, including the index's share and the caller's own writes
}

func (c *Cost) add(d Cost) {
	c.Requests += d.Requests
	c.ReadUnits += d.ReadUnits
	c.WriteUnits += d.WriteUnits
}

// Cost returns what this Store has cost since it was made.
func (s *Store) Cost() Cost {
	var sum Cost
	for _, c := range s.Costs() {
		sum.add(c)
	}
	return sum
}

// Costs is [Store.Cost] by method of [store.Store].
func (s *Store) Costs() map[string]Cost {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.cost)
}

func (s *Store) spend(op string, d Cost) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cost[op]
	c.add(d)
	s.cost[op] = c
}

// call is one call of a method of [store.Store]. As a middleware of the SDK it is the last step
// before the transport.
type call struct {
	store *Store
	op    string
	key   store.Key
	sent  bool // the transport has the request, so it may have an effect
}

func (s *Store) call(op string, key store.Key) *call {
	return &call{store: s, op: op, key: key}
}

func (c *call) what() string { return c.op + " " + c.key.String() }

// once turns the SDK's retries off, for writes.
func (c *call) once(o *dynamodb.Options) {
	o.Retryer = aws.NopRetryer{}
	c.watched(o)
}

// watched leaves the SDK's retries on, for reads.
func (c *call) watched(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(c, middleware.After)
	})
}

// ID names the middleware.
func (c *call) ID() string { return "Milepost" }

// HandleDeserialize is the last step before the transport.
func (c *call) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	if err := ctx.Err(); err != nil {
		return middleware.DeserializeOutput{}, middleware.Metadata{}, err
	}
	c.sent = true
	c.store.spend(c.op, Cost{Requests: 1})
	return next.HandleDeserialize(ctx, in)
}

func (c *call) read(used *types.ConsumedCapacity) {
	if used != nil {
		c.store.spend(c.op, Cost{ReadUnits: aws.ToFloat64(used.CapacityUnits)})
	}
}

func (c *call) wrote(used *types.ConsumedCapacity) {
	if used != nil {
		c.store.spend(c.op, Cost{WriteUnits: aws.ToFloat64(used.CapacityUnits)})
	}
}

// clock is a reading of the service's clock: the reply's Date, in whole seconds.
func clock(reply middleware.Metadata) store.Clock {
	date, ok := awsmiddleware.GetServerTime(reply)
	if !ok {
		return store.Clock{}
	}
	return store.Clock{Wall: date.UTC()}
}
