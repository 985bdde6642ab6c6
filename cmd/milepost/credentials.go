package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// rereading gives credentials, and finds them again once a service has refused them: the SDK reads
// a file of credentials once, and jobs that run for weeks outlive the keys in it.
type rereading struct {
	find func(context.Context) (aws.CredentialsProvider, error)

	mu      sync.Mutex
	found   aws.CredentialsProvider
	refused bool
	foundAt time.Time
}

// rereadEvery bounds how often the credentials are found again. Many sessions may share them.
const rereadEvery = time.Second

// Retrieve implements [aws.CredentialsProvider].
func (r *rereading) Retrieve(ctx context.Context) (aws.Credentials, error) {
	return r.current(ctx).Retrieve(ctx)
}

func (r *rereading) current(ctx context.Context) aws.CredentialsProvider {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.refused || time.Since(r.foundAt) < rereadEvery {
		return r.found
	}
	// A file that is being written cannot be read: the next attempt finds it whole.
	if again, err := r.find(ctx); err == nil && again != nil {
		r.found, r.refused = again, false
	}
	r.foundAt = time.Now()
	return r.found
}

// refusedKeys are the codes with which services refuse keys or tokens, as DynamoDB, S3 and
// CloudWatch spell them. AccessDenied is not among them: there the keys are known.
var refusedKeys = []string{
	"UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignatureException", "ExpiredTokenException",
	"InvalidClientTokenId", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
}

// watch is a middleware of the SDK for every client of a service. It notices that keys are refused.
func (r *rereading) watch(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("MilepostRereading", func(
		ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
	) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		var api smithy.APIError
		if errors.As(err, &api) && slices.Contains(refusedKeys, api.ErrorCode()) {
			r.mu.Lock()
			r.refused = true
			r.mu.Unlock()
		}
		return out, metadata, err
	}), middleware.Before)
}
