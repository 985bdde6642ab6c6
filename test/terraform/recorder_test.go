package terraform_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// services is a proxy for a DynamoDB and an S3 endpoint, and a stand-in for CloudWatch. It records
// what IAM would be asked about each request that passes, in the words of testdata/policies.json.
type services struct {
	dynamo, s3     string // where to send requests
	cloudwatch     string
	table          string // what is milepost there
	bucket, prefix string // what is milepost-archive there, without a prefix

	mu       sync.Mutex
	recorded []request
	unknown  []string
}

// serve starts them.
func (s *services) serve(t *testing.T, dynamo, s3 string) {
	t.Helper()
	s.dynamo = recording(t, dynamo, func(r *http.Request, body []byte) bool {
		s.keep(s.dynamoRequests(r, body))
		return true
	})
	s.s3 = recording(t, s3, func(r *http.Request, _ []byte) bool {
		s.keep(s.s3Requests(r))
		return !strings.Contains(r.URL.Path, "/refused/") || !r.URL.Query().Has("partNumber")
	})
	cloudwatch := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.keep(cloudwatchRequests(r))
		w.Header().Set("X-Amzn-Requestid", "recorded")
		fmt.Fprint(w, "<PutMetricDataResponse><ResponseMetadata/></PutMetricDataResponse>")
	}))
	t.Cleanup(cloudwatch.Close)
	s.cloudwatch = cloudwatch.URL
}

func cloudwatchRequests(r *http.Request) ([]request, error) {
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = body
	}
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	if action := r.PostForm.Get("Action"); action != "PutMetricData" {
		return nil, fmt.Errorf("CloudWatch's %q", action)
	}
	return []request{{"cloudwatch:PutMetricData", "*", map[string][]string{"cloudwatch:namespace": {r.PostForm.Get("Namespace")}}}}, nil
}

// recording forwards the requests that record lets pass.
func recording(t *testing.T, endpoint string, record func(r *http.Request, body []byte) bool) string {
	t.Helper()
	target, err := url.Parse(endpoint)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // as signed
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		if !record(r, body) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func (s *services) keep(requests []request, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recorded = append(s.recorded, requests...)
	if err != nil {
		s.unknown = append(s.unknown, err.Error())
	}
}

// take returns the requests recorded since its last call, each once.
func (s *services) take(t *testing.T) []request {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Empty(t, s.unknown, "requests that this test does not know")
	var once []request
	for _, r := range s.recorded {
		if !slices.ContainsFunc(once, func(o request) bool { return fmt.Sprint(o) == fmt.Sprint(r) }) {
			once = append(once, r)
		}
	}
	s.recorded = nil
	return once
}

const (
	tableARN  = "arn:aws:dynamodb:eu-west-1:123456789012:table/"
	bucketARN = "arn:aws:s3:::milepost-archive"
)

// dynamoBody is the part of a DynamoDB request that says what it touches.
type dynamoBody struct {
	TableName     string
	IndexName     string
	Key, Item     map[string]textValue
	Values        map[string]textValue `json:"ExpressionAttributeValues"`
	RequestItems  map[string]struct{ Keys []map[string]textValue }
	TransactItems []map[string]dynamoBody
}

type textValue struct{ S string }

func (s *services) dynamoRequests(r *http.Request, data []byte) ([]request, error) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var body dynamoBody
	if err := json.Unmarshal(data, &body); err != nil {
		return nil, fmt.Errorf("%s: %w", operation, err)
	}
	return s.dynamoRequest(operation, body)
}

func (s *services) dynamoRequest(operation string, body dynamoBody) ([]request, error) {
	about := func(action, table, index string, leading ...string) request {
		if table == s.table {
			table = "milepost"
		}
		r := request{Action: "dynamodb:" + action, Resource: tableARN + table}
		if index != "" {
			r.Resource += "/index/" + index
		}
		if len(leading) > 0 {
			slices.Sort(leading)
			r.Keys = map[string][]string{"dynamodb:LeadingKeys": slices.Compact(leading)}
		}
		return r
	}
	var all []request
	switch operation {
	case "GetItem", "UpdateItem", "DeleteItem", "ConditionCheckItem":
		return append(all, about(operation, body.TableName, "", body.Key["pk"].S)), nil
	case "PutItem":
		return append(all, about(operation, body.TableName, "", body.Item["pk"].S)), nil
	case "Query":
		leading := body.Values[":pk"].S
		if body.IndexName != "" {
			leading = body.Values[":ns"].S
		}
		return append(all, about(operation, body.TableName, body.IndexName, leading)), nil
	case "BatchGetItem":
		for table, items := range body.RequestItems {
			var leading []string
			for _, key := range items.Keys {
				leading = append(leading, key["pk"].S)
			}
			all = append(all, about(operation, table, "", leading...))
		}
		return all, nil
	case "TransactWriteItems": // IAM is asked about each item
		for _, item := range body.TransactItems {
			for kind, write := range item {
				one, err := s.dynamoRequest(map[string]string{
					"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem",
				}[kind], write)
				if err != nil {
					return nil, err
				}
				all = append(all, one...)
			}
		}
		return all, nil
	case "DescribeTable", "DescribeTimeToLive", "DescribeContinuousBackups":
		return append(all, about(operation, body.TableName, "")), nil
	}
	return nil, fmt.Errorf("DynamoDB's %q", operation)
}

func (s *services) s3Requests(r *http.Request) ([]request, error) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	relative := func(key string) string {
		if rest, ok := strings.CutPrefix(key, s.prefix+"/"); ok {
			return rest
		}
		return "not below the prefix: " + key
	}
	if bucket != s.bucket {
		return nil, fmt.Errorf("S3's %s %s, of another bucket", r.Method, r.URL)
	}
	if key == "" {
		if r.Method == http.MethodGet && query.Get("list-type") == "2" {
			return []request{{"s3:ListBucket", bucketARN, map[string][]string{"s3:prefix": {relative(query.Get("prefix"))}}}}, nil
		}
		return nil, fmt.Errorf("S3's %s %s", r.Method, r.URL)
	}
	object := func(action string) ([]request, error) {
		return []request{{Action: "s3:" + action, Resource: bucketARN + "/" + relative(key)}}, nil
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return object("GetObject")
	case http.MethodPut, http.MethodPost: // parts, and the begin and end of an upload, too
		return object("PutObject")
	case http.MethodDelete:
		if query.Has("uploadId") {
			return object("AbortMultipartUpload")
		}
		return object("DeleteObject")
	}
	return nil, fmt.Errorf("S3's %s %s", r.Method, r.URL)
}
