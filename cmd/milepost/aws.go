package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"

	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/store"
)

// How long a request may wait for its connection, and then for its reply.
const (
	connectWithin = 5 * time.Second
	answerWithin  = 10 * time.Second
)

// awsSettings returns the settings that the AWS SDK finds by itself, with the region and profile
// that are named. Credentials that a service refuses are found again.
func awsSettings(ctx context.Context, region, profile string) (aws.Config, error) {
	// The SDK's default client waits 30 s for a connection, and forever for a reply.
	client := awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = connectWithin }).
		WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = answerWithin })
	// The SDK would write warnings between our lines, and between lines of JSON.
	options := []func(*config.LoadOptions) error{config.WithHTTPClient(client), config.WithLogger(logging.Nop{})}
	if region != "" {
		options = append(options, config.WithRegion(region))
	}
	if profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	settings, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		if _, missing := errors.AsType[config.SharedConfigProfileNotExistError](err); missing {
			return settings, kinds.Usage(err)
		}
		return settings, fmt.Errorf("load the AWS configuration: %w: %w", store.ErrCredentials, err)
	}
	credentials := &rereading{found: settings.Credentials, find: func(ctx context.Context) (aws.CredentialsProvider, error) {
		again, err := config.LoadDefaultConfig(ctx, options...)
		return again.Credentials, err
	}}
	settings.Credentials = credentials
	settings.APIOptions = append(settings.APIOptions, credentials.watch)
	return settings, nil
}
