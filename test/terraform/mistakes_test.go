package terraform_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// This tests the stand-in: each of these mistakes is planted in the module, and validate must find
// it.
func TestPlantedMistakesAreFound(t *testing.T) {
	t.Parallel()
	for _, mistake := range []struct {
		name, file, old, new, finding string
	}{
		{"a misspelt argument", "table.tf", `hash_key                    = "pk"`, `hash_kye = "pk"`, `An argument named "hash_kye" is not expected here`},
		{"a misspelt argument of a block", "table.tf", `attribute_name = "expires_at"`, `attribut_name = "expires_at"`, `An argument named "attribut_name" is not expected here`},
		{"a misspelt block", "table.tf", "point_in_time_recovery {", "point_in_time_recover {", `Blocks of type "point_in_time_recover" are not expected here`},
		{"a misspelt type of resource", "table.tf", `resource "aws_dynamodb_table" "this"`, `resource "aws_dynamo_table" "this"`, "does not support resource type"},
		{"a wrong type", "table.tf", `deletion_protection_enabled = var.deletion_protection`, `deletion_protection_enabled = "perhaps"`, "a bool is required"},
		{"a text for a number", "archive.tf", "days_after_initiation = 7", `days_after_initiation = "a week"`, "a number is required"},
		{"a list for a text", "policies.tf", `policy      = local.policies.reader`, `policy = ["*"]`, "string required"},
		{"a missing argument", "table.tf", "name                        = var.name\n", "\n", `The argument "name" is required`},
		{"a missing argument of a block", "table.tf", `projection_type = "KEYS_ONLY"`, "", `The argument "projection_type" is required`},
		{"a missing block", "monitor.tf", "flexible_time_window {\n    mode = \"OFF\"\n  }", "", "At least 1 \"flexible_time_window\" blocks are required"},
		{"a block too many", "table.tf", "ttl {", "ttl {\n enabled = false\n}\n ttl {", `No more than 1 "ttl" blocks are allowed`},
		{"an argument that only the service sets", "table.tf", `billing_mode                = "PAY_PER_REQUEST"`, `arn = "arn:aws:dynamodb:x"`, `Can't configure a value for "arn"`},
		{"an attribute that does not exist", "outputs.tf", "value       = aws_dynamodb_table.this.arn", "value = aws_dynamodb_table.this.amazon_resource_name", "This object has no argument, nested block, or exported attribute named"},
		{"an attribute of a data source that does not exist", "outputs.tf", "data.aws_region.current.region", "data.aws_region.current.reggion", "This object has no argument, nested block, or exported attribute named"},
	} {
		t.Run(mistake.name, func(t *testing.T) {
			t.Parallel()
			dir := copyModule(t)
			path := filepath.Join(dir, mistake.file)
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Contains(t, string(text), mistake.old, "the module has no place to plant the mistake")
			planted := strings.Replace(string(text), mistake.old, mistake.new, 1)
			require.NoError(t, os.WriteFile(path, []byte(planted), 0o600))

			out, err := terraform(t, dir, "validate", "-json")
			require.Error(t, err, out)
			var found struct {
				Valid       bool `json:"valid"`
				Diagnostics []struct {
					Severity, Summary, Detail string
					Range                     struct{ Filename string }
				} `json:"diagnostics"`
			}
			require.NoError(t, json.Unmarshal([]byte(out), &found), out)
			assert.False(t, found.Valid)
			var errors []string
			for _, d := range found.Diagnostics {
				if d.Severity == "error" {
					errors = append(errors, d.Range.Filename+": "+d.Summary+": "+d.Detail)
				}
			}
			assert.Condition(t, func() bool {
				for _, e := range errors {
					if strings.HasPrefix(e, mistake.file+": ") && strings.Contains(e, mistake.finding) {
						return true
					}
				}
				return false
			}, "found:\n%s\nwant in %s: %s", strings.Join(errors, "\n"), mistake.file, mistake.finding)
		})
	}
}

// A mistake in the module's meaning is found by its own tests, not by the schema.
func TestAPlantedLifecycleForBodiesIsFoundByTheModulesTests(t *testing.T) {
	t.Parallel()
	dir := copyModule(t)
	path := filepath.Join(dir, "archive.tf")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	planted := strings.Replace(string(text), "prefix = local.mirror", "prefix = local.archive_root", 1)
	require.NotEqual(t, string(text), planted)
	require.NoError(t, os.WriteFile(path, []byte(planted), 0o600))

	out, err := terraform(t, dir, "test", "-no-color", "-filter=tests/archive.tftest.hcl")
	require.Error(t, err, out)
	assert.Contains(t, out, "an idle checkpoint would lose its state")
}
