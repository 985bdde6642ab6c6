//go:build linux

package archive_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The command's archive objects and exports must match their published schemas.
func TestArchiveObjectsAndExportsMatchTheirSchemas(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	dir := t.TempDir()
	state := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	for _, args := range [][]string{
		{"--cursor", "x<&>é", "--processed", "9223372036854775807", "--failed", "3", "--reason", "by hand"},
		{"--state", state("inline", `{"n":0.10}`)},
		{"--state", state("blanks", "{ \"n\": 0.10 }\n")},
		{"--state", state("bytes", "\x00\xff"), "--content-type", "application/octet-stream"},
		{"--state", state("compressed", `"`+strings.Repeat("again ", 2000)+`"`)},
		{"--state", state("parts", string(noise(2<<20, 1))), "--content-type", "application/octet-stream"},
		{"--state", state("null", "null")},
	} {
		must(t, p.env, append([]string{"set", "orders/eu", "--execute"}, args...)...)
	}
	must(t, p.env, "rollback", "orders/eu", "--to", "2", "--execute")
	must(t, p.env, "pin", "orders/eu", "--version", "3", "--label", "good", "--execute")
	must(t, p.env, "set", "deleted", "--cursor", "1", "--execute")
	must(t, p.env, "delete", "deleted", "--execute")

	fits := func(schema *jsonschema.Schema, what, text string) {
		t.Helper()
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		require.NoError(t, err, what)
		assert.NoError(t, schema.Validate(value), what)
	}
	mirror, err := jsonschema.NewCompiler().Compile("../../docs/schema/mirror.schema.json")
	require.NoError(t, err)
	objects := keys(t, p.archive, "v/")
	require.Len(t, objects, 12)
	for object := range objects {
		fits(mirror, object, p.text(object))
	}
	export, err := jsonschema.NewCompiler().Compile("../../docs/schema/export.schema.json")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(must(t, p.env, "export"), "\n"), "\n")
	require.Len(t, lines, 8+4+1, "the versions, one state in parts, and the end")
	for _, line := range lines {
		fits(export, line[:min(200, len(line))], line)
	}
}
