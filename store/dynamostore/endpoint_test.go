package dynamostore

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// counted asks the service's rules, and counts how often.
type counted struct {
	dynamodb.EndpointResolverV2
	asked int
}

func (c *counted) ResolveEndpoint(ctx context.Context, params dynamodb.EndpointParameters) (smithyendpoints.Endpoint, error) {
	c.asked++
	return c.EndpointResolverV2.ResolveEndpoint(ctx, params)
}

func TestEndpointRulesAreAskedOncePerParameters(t *testing.T) {
	rules := &counted{EndpointResolverV2: dynamodb.NewDefaultEndpointResolverV2()}
	e := &endpoints{rules: rules}
	resolve := func(params dynamodb.EndpointParameters) {
		t.Helper()
		want, wantErr := rules.EndpointResolverV2.ResolveEndpoint(t.Context(), params)
		got, err := e.ResolveEndpoint(t.Context(), params)
		assert.Equal(t, wantErr, err)
		assert.Equal(t, want.URI, got.URI)
	}
	params := func() dynamodb.EndpointParameters {
		return dynamodb.EndpointParameters{
			Region: aws.String("eu-west-1"), UseDualStack: aws.Bool(false), UseFIPS: aws.Bool(false),
			AccountId: aws.String("111122223333"), AccountIdEndpointMode: aws.String("preferred"), ResourceArn: aws.String("jobs"),
		}
	}
	resolve(params())
	resolve(params())
	require.Equal(t, 1, rules.asked, "they are the same, though nothing points to the same")

	for field := range reflect.TypeFor[dynamodb.EndpointParameters]().Fields() {
		resolve(params())
		before, changed := rules.asked, params()
		switch f := reflect.ValueOf(&changed).Elem().FieldByIndex(field.Index); f.Interface().(type) {
		case *string:
			f.Set(reflect.ValueOf(aws.String("http://other")))
		case *bool:
			f.Set(reflect.ValueOf(aws.Bool(true)))
		case []string:
			f.Set(reflect.ValueOf([]string{"jobs"}))
		default:
			require.Failf(t, "the test cannot change it", "%s is a %s", field.Name, field.Type)
		}
		resolve(changed)
		assert.Equal(t, before+1, rules.asked, "%s makes a difference", field.Name)
	}
}

// unreachable is an HTTP client without a network.
type unreachable struct{}

func (unreachable) Do(*http.Request) (*http.Response, error) { return nil, errors.New("no network") }

func TestReadsAndWritesOfAStoreAskTheEndpointRulesOnce(t *testing.T) {
	s := New(dynamodb.New(dynamodb.Options{
		Region: "eu-west-1", HTTPClient: unreachable{}, Retryer: aws.NopRetryer{}, Credentials: aws.AnonymousCredentials{},
	}), "jobs")
	rules := &counted{EndpointResolverV2: s.endpoints.rules}
	s.endpoints.rules = rules
	for range 2 {
		_, err := s.Look(t.Context(), aKey)
		require.ErrorContains(t, err, "no network")
		require.ErrorContains(t, s.Expect(t.Context(), aKey, nil), "no network")
	}
	assert.Equal(t, 1, rules.asked)
}

func TestAnEndpointResolverOfTheCallersIsAskedEachTime(t *testing.T) {
	options := dynamodb.Options{Region: "eu-west-1"}
	assert.NotNil(t, endpointsOf(dynamodb.New(options)))
	options.EndpointResolverV2 = &counted{EndpointResolverV2: dynamodb.NewDefaultEndpointResolverV2()}
	assert.Nil(t, endpointsOf(dynamodb.New(options)))
}
