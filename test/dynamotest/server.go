package dynamotest

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
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/milepost-dev/milepost/test/childserver"
)

// Credentials for a local endpoint, which does not check them. DynamoDB Local takes letters and
// digits only.
const (
	localRegion = "us-east-1"
	localKey    = "milepost"
)

// Server is a DynamoDB endpoint to test against.
type Server struct {
	URL  string // without a slash at its end; empty for AWS itself
	Name string // what it is, for people
	aws  bool   // wants real credentials

	child *childserver.Child // nil if Start did not start it
}

// Start finds an endpoint as the package comment says, or starts one, and
// returns when it answers. Tests need not call it; it is for a program that
// serves several of them. The caller stops it; if the process ends first, a
// server that Start has started ends too.
func Start(ctx context.Context) (*Server, error) {
	if named := os.Getenv("MILEPOST_TEST_DYNAMODB"); named != "" {
		return existing(ctx, named)
	}
	if home := os.Getenv("DYNAMODB_LOCAL_HOME"); home != "" {
		return startDynamoDBLocal(ctx, home)
	}
	return startDynoxide(ctx)
}

// Stop ends the server if Start started it. It may be called more than once.
func (s *Server) Stop() {
	if s.child != nil {
		s.child.Stop()
	}
}

// Env returns the variables with which another process reaches the endpoint.
func (s *Server) Env() []string {
	if s.URL == "" {
		return []string{"MILEPOST_TEST_DYNAMODB=aws"}
	}
	env := []string{"MILEPOST_TEST_DYNAMODB=" + s.URL}
	if s.aws {
		return env
	}
	return append(env,
		"AWS_ACCESS_KEY_ID="+localKey,
		"AWS_SECRET_ACCESS_KEY="+localKey,
		"AWS_SESSION_TOKEN=",
		"AWS_REGION="+localRegion,
		"AWS_EC2_METADATA_DISABLED=true",
	)
}

func (s *Server) client(ctx context.Context, httpClient *http.Client) (*dynamodb.Client, error) {
	if !s.aws {
		return dynamodb.New(dynamodb.Options{
			BaseEndpoint: &s.URL,
			Region:       localRegion,
			HTTPClient:   httpClient,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: localKey, SecretAccessKey: localKey}, nil
			}),
		}), nil
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	if s.URL != "" {
		cfg.BaseEndpoint = &s.URL
	}
	// Set the client only here: the request for credentials must not meet injected faults, and the
	// configuration refuses a client together with AWS_CA_BUNDLE.
	return dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.HTTPClient = httpClient }), nil
}

func existing(ctx context.Context, named string) (*Server, error) {
	if named == "aws" {
		return &Server{Name: "AWS", aws: true}, nil
	}
	u, err := url.Parse(named)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf(`MILEPOST_TEST_DYNAMODB=%q is neither "aws" nor an URL such as http://127.0.0.1:8000`, named)
	}
	s := &Server{
		URL:  strings.TrimRight(named, "/"),
		Name: named,
		aws:  strings.HasSuffix(u.Hostname(), ".amazonaws.com"),
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := childserver.AwaitAnswer(ctx, s.URL); err != nil {
		return nil, fmt.Errorf("MILEPOST_TEST_DYNAMODB=%s does not answer: %w", named, err)
	}
	return s, nil
}

func startDynamoDBLocal(ctx context.Context, home string) (*Server, error) {
	jar := filepath.Join(home, "DynamoDBLocal.jar")
	if _, err := os.Stat(jar); err != nil {
		return nil, fmt.Errorf("DYNAMODB_LOCAL_HOME=%s holds no DynamoDB Local: %w", home, err)
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, fmt.Errorf("DYNAMODB_LOCAL_HOME is set, and DynamoDB Local needs java "+
			"(Debian: apt-get install default-jre-headless): %w", err)
	}
	return startServer(ctx, "DynamoDB Local", "", func(port string) *exec.Cmd {
		cmd := exec.Command(java, "-Djava.library.path="+filepath.Join(home, "DynamoDBLocal_lib"),
			"-jar", jar, "-inMemory", "-sharedDb", "-port", port)
		cmd.Dir = home
		cmd.Env = append(os.Environ(), "DDB_LOCAL_TELEMETRY=0")
		return cmd
	})
}

// startServer starts the command on a free port, and waits until the server has printed ready and
// answers.
func startServer(ctx context.Context, name, ready string, command func(port string) *exec.Cmd) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	var errs []error
	// Another process may take the free port before the server does.
	for range 3 {
		port, err := childserver.FreePort()
		if err != nil {
			return nil, err
		}
		dir, err := os.MkdirTemp("", "dynamotest-")
		if err != nil {
			return nil, err
		}
		child, err := childserver.Start(command(port), dir)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
		s := &Server{URL: "http://127.0.0.1:" + port, Name: name, child: child}
		if err = child.AwaitSaid(ctx, ready); err == nil {
			err = childserver.AwaitAnswer(ctx, s.URL)
		}
		if err == nil {
			return s, nil
		}
		errs = append(errs, fmt.Errorf("start %s: %w; its output: %s", name, err, child.Said()))
		s.Stop()
	}
	return nil, errors.Join(errs...)
}
