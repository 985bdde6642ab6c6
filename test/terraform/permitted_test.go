package terraform_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// policy is an IAM policy, as far as the module's go: lists of actions, ARNs that end
// in a star or not, and the conditions that meets knows.
type policy struct {
	Statement []struct {
		Sid       string
		Effect    string
		Action    []string
		Resource  []string
		Condition map[string]map[string]values
	}
}

// values is a text or a list of them.
type values []string

func (v *values) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		*v = values{""}
		return json.Unmarshal(data, &(*v)[0])
	}
	return json.Unmarshal(data, (*[]string)(v))
}

// request is what a service asks IAM about.
type request struct {
	Action   string
	Resource string
	Keys     map[string][]string // the values of each condition key that the request has
}

// permission is one action on one resource of a policy.
type permission struct{ Sid, Action, Resource string }

// permissions are all that a policy allows.
func (p policy) permissions() []permission {
	var all []permission
	for _, s := range p.Statement {
		for _, action := range s.Action {
			for _, resource := range s.Resource {
				all = append(all, permission{s.Sid, action, resource})
			}
		}
	}
	return all
}

// allows returns what permits a request; none: it is denied.
func (p policy) allows(r request) []permission {
	var by []permission
	for _, s := range p.Statement {
		if s.Effect != "Allow" || !slices.Contains(s.Action, r.Action) {
			continue
		}
		for _, resource := range s.Resource {
			if like(resource, r.Resource) && meets(s.Condition, r.Keys) {
				by = append(by, permission{s.Sid, r.Action, resource})
			}
		}
	}
	return by
}

func meets(condition map[string]map[string]values, has map[string][]string) bool {
	for operator, keys := range condition {
		for key, allowed := range keys {
			present := has[key]
			match := func(value string) bool {
				return slices.ContainsFunc(allowed, func(a string) bool {
					return a == value || strings.HasSuffix(operator, "StringLike") && like(a, value)
				})
			}
			var ok bool
			switch operator {
			case "StringEquals", "StringLike":
				ok = slices.ContainsFunc(present, match)
			case "ForAllValues:StringEquals", "ForAllValues:StringLike": // which holds of none
				ok = !slices.ContainsFunc(present, func(value string) bool { return !match(value) })
			case "Null":
				ok = (len(present) == 0) == (allowed[0] == "true")
			default:
				panic(fmt.Sprintf("a condition that this test does not know: %s", operator))
			}
			if !ok {
				return false
			}
		}
	}
	return true
}

// like matches as IAM does: a star is any text, slashes included.
func like(pattern, text string) bool {
	// path.Match has stars that stop at a slash, and nothing else that a policy of ours holds.
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(text, "/", "\x00"))
	return ok && err == nil
}

func TestThePoliciesOfTheFileKeepJobsApart(t *testing.T) {
	job := policies(t)["job"]
	const table = "arn:aws:dynamodb:eu-west-1:123456789012:table/milepost"
	const bucket = "arn:aws:s3:::milepost-archive"
	leading := func(keys ...string) map[string][]string { return map[string][]string{"dynamodb:LeadingKeys": keys} }
	prefix := func(p string) map[string][]string { return map[string][]string{"s3:prefix": {p}} }
	for _, r := range []request{
		{"dynamodb:PutItem", table, leading("default#orders/eu")},
		{"dynamodb:BatchGetItem", table, leading("default#a", "default#b")},
		{"dynamodb:Query", table + "/index/names", leading("default")},
		{"s3:PutObject", bucket + "/body/default/a/1-x", nil},
		{"s3:ListBucket", bucket, prefix("body/default/a/")},
		{"s3:ListBucket", bucket, prefix("v/default/a/latest.json")}, // how S3 asks whether it may say that there is none
	} {
		assert.NotEmpty(t, job.allows(r), "%+v is denied", r)
	}
	for _, r := range []request{
		{"dynamodb:PutItem", table, leading("default2#orders")},
		{"dynamodb:PutItem", table, leading("other#default#x")},
		{"dynamodb:PutItem", table, nil}, // no key at all
		{"dynamodb:BatchGetItem", table, leading("default#a", "other#b")},
		{"dynamodb:DeleteItem", table, leading("default#a")},
		{"dynamodb:Scan", table, nil},
		{"dynamodb:Query", table + "/index/names", leading("other")},
		{"dynamodb:Query", table + "/index/names", leading("default#a")},
		{"dynamodb:PutItem", table + "2", leading("default#a")},
		{"s3:PutObject", bucket + "/body/default2/a/1-x", nil},
		{"s3:DeleteObject", bucket + "/v/default/a/latest.json", nil},
		{"s3:ListBucket", bucket, prefix("")},
		{"s3:ListBucket", bucket, prefix("body/")},
		{"s3:ListBucket", bucket, nil},
		{"cloudwatch:PutMetricData", "*", map[string][]string{"cloudwatch:namespace": {"AWS/EC2"}}},
	} {
		assert.Empty(t, job.allows(r), "%+v is allowed", r)
	}
}

// policies are those of testdata/policies.json, with the job's of namespace default.
func policies(t *testing.T) map[string]policy {
	t.Helper()
	var file struct {
		Job                       map[string]policy
		Monitor, Operator, Reader policy
	}
	text, err := os.ReadFile(policiesFile)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &file))
	require.Contains(t, file.Job, "default")
	return map[string]policy{"job": file.Job["default"], "monitor": file.Monitor, "operator": file.Operator, "reader": file.Reader}
}
