package s3test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/milepost-dev/milepost/test/childserver"
)

// The credentials of the local server, which checks them.
const (
	localRegion = "us-east-1"
	localKey    = "milepost"
	localSecret = "milepost-secret"
)

// Server is an S3 endpoint to test against.
type Server struct {
	URL  string // without a slash at its end; empty for AWS itself
	Name string // what it is, for people

	child *childserver.Child // nil if it is not ours
}

// Start finds an endpoint as the package comment says, or starts one, and
// returns when it answers. Tests need not call it; it is for a program that
// serves several of them. The caller stops it; if the process ends first, a
// server that Start has started ends too.
func Start(ctx context.Context) (*Server, error) {
	if named := os.Getenv("MILEPOST_TEST_S3"); named != "" {
		return existing(ctx, named)
	}
	return startVersitygw(ctx)
}

// Stop ends the server if Start started it, and removes its directory. It may be called more than
// once.
func (s *Server) Stop() {
	if s.child != nil {
		s.child.Stop()
	}
}

// Env returns the variables with which another process reaches the endpoint.
func (s *Server) Env() []string {
	switch {
	case s.URL == "":
		return []string{"MILEPOST_TEST_S3=aws"}
	case s.child == nil: // the credentials are the environment's own
		return []string{"MILEPOST_TEST_S3=" + s.URL}
	}
	return []string{
		"MILEPOST_TEST_S3=" + s.URL,
		"AWS_ACCESS_KEY_ID=" + localKey,
		"AWS_SECRET_ACCESS_KEY=" + localSecret,
		"AWS_SESSION_TOKEN=",
		"AWS_REGION=" + localRegion,
		"AWS_EC2_METADATA_DISABLED=true",
	}
}

func (s *Server) client(ctx context.Context, httpClient *http.Client) (*s3.Client, error) {
	if s.child != nil {
		return s3.New(s3.Options{
			BaseEndpoint: &s.URL,
			UsePathStyle: true,
			Region:       localRegion,
			HTTPClient:   httpClient,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: localKey, SecretAccessKey: localSecret}, nil
			}),
		}), nil
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.HTTPClient = httpClient // only here: credentials are not asked for over faults
		if s.URL != "" {
			o.BaseEndpoint, o.UsePathStyle = &s.URL, true
		}
	}), nil
}

func existing(ctx context.Context, named string) (*Server, error) {
	if named == "aws" {
		return &Server{Name: "AWS"}, nil
	}
	u, err := url.Parse(named)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf(`MILEPOST_TEST_S3=%q is neither "aws" nor an URL such as http://127.0.0.1:9000`, named)
	}
	s := &Server{URL: strings.TrimRight(named, "/"), Name: named}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := childserver.AwaitAnswer(ctx, s.URL); err != nil {
		return nil, fmt.Errorf("MILEPOST_TEST_S3=%s does not answer: %w", named, err)
	}
	return s, nil
}

func startVersitygw(ctx context.Context) (*Server, error) {
	program, err := findVersitygw(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, whatToInstall)
	}
	ctx, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	var errs []error
	// Another process may take the free port before the server does.
	for range 3 {
		s, err := startVersitygwOnce(ctx, program)
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func startVersitygwOnce(ctx context.Context, program string) (*Server, error) {
	port, err := childserver.FreePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "s3test-")
	if err != nil {
		return nil, err
	}
	objects := filepath.Join(dir, "objects")
	if err := os.Mkdir(objects, 0o700); err != nil {
		return nil, err
	}
	// Not with --sidecar, which would do without extended attributes: of writers with
	// If-Match at once, several succeed then.
	cmd := exec.Command(program,
		"--port", "127.0.0.1:"+port, "--access", localKey, "--secret", localSecret, "--region", localRegion,
		"--quiet", "--keep-alive", "--health", "/health",
		"posix", objects)
	child, err := childserver.Start(cmd, dir)
	if err != nil {
		return nil, fmt.Errorf("start versitygw: %w", err)
	}
	s := &Server{URL: "http://127.0.0.1:" + port, Name: "versitygw " + versitygwVersion, child: child}
	if err := childserver.AwaitAnswer(ctx, s.URL+"/health"); err != nil {
		err = fmt.Errorf("start versitygw: %w; its output: %s", err, child.Said())
		s.Stop()
		return nil, err
	}
	return s, nil
}
