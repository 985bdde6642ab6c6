package terraform_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

const policiesFile = "testdata/policies.json"

// policiesFile has the policies as documents, for table milepost and bucket milepost-archive in an
// account that does not exist. Tests without Terraform compare the permitted with the used
// permissions.
func TestThePoliciesAreThoseOfTheFile(t *testing.T) {
	t.Parallel()
	s := apply(t, copyModule(t), "archive_bucket_name=milepost-archive", "monitor_package=README.md")
	policies := decoded(t, s.Values.Outputs["policy_documents"].Value).(map[string]any)
	policies["monitor"] = decoded(t, s.attribute(t, "aws_iam_role_policy.monitor[0]", "policy"))
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	require.NoError(t, encoder.Encode(policies))
	isFile(t, policiesFile, buffer.Bytes())
}

// decoded is v with each text in it, which is a policy, as a document.
func decoded(t *testing.T, v any) any {
	t.Helper()
	switch v := v.(type) {
	case string:
		var document any
		require.NoError(t, json.Unmarshal([]byte(v), &document))
		return document
	case map[string]any:
		for name := range v {
			v[name] = decoded(t, v[name])
		}
	}
	return v
}
