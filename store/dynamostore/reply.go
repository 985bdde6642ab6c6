package dynamostore

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/milepost-dev/milepost/internal/connections"
)

// This file owns what proves that a reply is DynamoDB's. A proxy, a captive portal or a box that
// opens TLS can answer in its place: 200 with an empty body, or a page with any status. To the SDK
// the first is a success.

// ours returns a client like client that takes no other reply for one of DynamoDB's, and that does
// not wait on connections that have gone silent.
func ours(client *dynamodb.Client) *dynamodb.Client {
	return dynamodb.New(client.Options(), func(o *dynamodb.Options) {
		o.HTTPClient = connections.Watched(o.HTTPClient)
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			if err := stack.Deserialize.Insert(refusals{}, "OperationDeserializer", middleware.After); err != nil {
				return err
			}
			return stack.Deserialize.Add(successes{}, middleware.Before)
		})
	})
}

// foreignError says that a reply is not DynamoDB's, so nothing is known of its request.
type foreignError struct {
	status  string
	missing string // what each reply of DynamoDB's has
}

func (e *foreignError) Error() string {
	return fmt.Sprintf("the reply %q has no %s, so it is not DynamoDB's", e.status, e.missing)
}

// RetryableError makes the SDK send a read again.
func (*foreignError) RetryableError() bool { return true }

// successes is the middleware that requires proof of a success. It sees the reply as the SDK
// decoded it.
type successes struct{}

// ID names the middleware.
func (successes) ID() string { return "MilepostSuccesses" }

// HandleDeserialize implements the middleware.
func (successes) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	if err == nil {
		if missing := unproven(out.Result); missing != "" {
			err = &foreignError{status: statusOf(out.RawResponse), missing: missing}
		}
	}
	return out, metadata, err
}

// unproven returns the name of the field that DynamoDB always sends and that is missing in a reply,
// or "". Each request for items asks for its consumed capacity.
func unproven(reply any) string {
	const capacity = "ConsumedCapacity"
	var name string
	var has bool
	switch out := reply.(type) {
	case *dynamodb.PutItemOutput:
		name, has = capacity, out.ConsumedCapacity != nil
	case *dynamodb.UpdateItemOutput:
		name, has = capacity, out.ConsumedCapacity != nil
	case *dynamodb.DeleteItemOutput:
		name, has = capacity, out.ConsumedCapacity != nil
	case *dynamodb.GetItemOutput:
		name, has = capacity, out.ConsumedCapacity != nil
	case *dynamodb.QueryOutput:
		name, has = capacity, out.ConsumedCapacity != nil
	case *dynamodb.TransactWriteItemsOutput: // some endpoints for tests send an empty list
		name, has = capacity, out.ConsumedCapacity != nil
	case *dynamodb.BatchGetItemOutput:
		name, has = capacity, out.ConsumedCapacity != nil
	case *dynamodb.CreateTableOutput:
		name, has = "TableDescription", out.TableDescription != nil
	case *dynamodb.DescribeTableOutput:
		name, has = "Table", out.Table != nil
	case *dynamodb.DescribeTimeToLiveOutput:
		name, has = "TimeToLiveDescription", out.TimeToLiveDescription != nil
	case *dynamodb.UpdateTimeToLiveOutput:
		name, has = "TimeToLiveSpecification", out.TimeToLiveSpecification != nil
	case *dynamodb.DescribeContinuousBackupsOutput:
		name, has = "ContinuousBackupsDescription", out.ContinuousBackupsDescription != nil
	case *dynamodb.UpdateContinuousBackupsOutput:
		name, has = "ContinuousBackupsDescription", out.ContinuousBackupsDescription != nil
	default:
		name, has = fmt.Sprintf("known form (%T)", reply), false
	}
	if has {
		return ""
	}
	return name
}

// refusals is the middleware that requires proof of a refusal: the type of an error, in the body.
// The SDK would also take it from a header, or from a field of another name.
type refusals struct{}

// ID names the middleware.
func (refusals) ID() string { return "MilepostRefusals" }

// HandleDeserialize implements the middleware.
func (refusals) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	reply, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok || reply.StatusCode < 400 || reply.StatusCode >= 500 {
		return out, metadata, err
	}
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		return out, metadata, &smithy.DeserializationError{Err: err}
	}
	reply.Body = struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(body), reply.Body}
	var named struct {
		Type string `json:"__type"`
	}
	if json.Unmarshal(body, &named) != nil || named.Type == "" {
		return out, metadata, &foreignError{status: statusOf(reply), missing: "type of an error"}
	}
	return out, metadata, nil
}

func statusOf(raw any) string {
	if reply, ok := raw.(*smithyhttp.Response); ok {
		return fmt.Sprintf("%d %s", reply.StatusCode, http.StatusText(reply.StatusCode))
	}
	return ""
}
