package dynamostore

import (
	"context"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
)

// endpoints remembers the last answer of the service's own endpoint rules. They give the same for
// the same parameters, which hardly ever change, and asking them for each request was some 10 µs of
// the 100 that a save adds to a bare put (docs/benchmarks.md).
type endpoints struct {
	rules dynamodb.EndpointResolverV2
	last  atomic.Pointer[answer]
}

type answer struct {
	params   dynamodb.EndpointParameters
	endpoint smithyendpoints.Endpoint
}

// endpointsOf returns nil where the client has a resolver of the caller's own, which may answer as it likes.
func endpointsOf(client *dynamodb.Client) *endpoints {
	rules := client.Options().EndpointResolverV2
	if reflect.TypeOf(rules) != reflect.TypeOf(dynamodb.NewDefaultEndpointResolverV2()) {
		return nil
	}
	return &endpoints{rules: rules}
}

// ResolveEndpoint implements [dynamodb.EndpointResolverV2].
func (e *endpoints) ResolveEndpoint(ctx context.Context, params dynamodb.EndpointParameters) (smithyendpoints.Endpoint, error) {
	if last := e.last.Load(); last != nil && sameParameters(&last.params, &params) {
		return last.endpoint, nil
	}
	endpoint, err := e.rules.ResolveEndpoint(ctx, params)
	if err == nil {
		e.last.Store(&answer{params, endpoint})
	}
	return endpoint, err
}

func sameParameters(a, b *dynamodb.EndpointParameters) bool {
	return equal(a.Region, b.Region) && equal(a.Endpoint, b.Endpoint) &&
		equal(a.UseDualStack, b.UseDualStack) && equal(a.UseFIPS, b.UseFIPS) &&
		equal(a.AccountId, b.AccountId) && equal(a.AccountIdEndpointMode, b.AccountIdEndpointMode) &&
		equal(a.ResourceArn, b.ResourceArn) && slices.Equal(a.ResourceArnList, b.ResourceArnList) &&
		equal(a.IsSearchOperation, b.IsSearchOperation)
}

func equal[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}
