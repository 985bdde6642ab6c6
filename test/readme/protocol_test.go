package readme_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheTestsThatTheDocumentsNameExist finds each test that docs/protocol.md names after
// "*Tests:*", and docs/traps.md in a table's last column: a Test function by its declaration, a
// subtest by its text in quotes.
func TestTheTestsThatTheDocumentsNameExist(t *testing.T) {
	source := goSource(t)
	for document, lists := range map[string]string{
		"protocol.md": `(?s)\*Tests:\*(.*?)\n(?:\n|\d+\. |$)`,
		"traps.md":    `(?m)^\|.*\|(.*)\|$`,
	} {
		text, err := os.ReadFile(filepath.Join(root, "docs", document))
		require.NoError(t, err)
		seen := 0
		for _, list := range regexp.MustCompile(lists).FindAllStringSubmatch(string(text)+"\n", -1) {
			for _, span := range regexp.MustCompile("(?s)`(.*?)`").FindAllStringSubmatch(list[1], -1) {
				name := strings.Join(strings.Fields(span[1]), " ")
				code := `"` + name + `"`
				if strings.HasPrefix(name, "Test") {
					code = "func " + name + "("
				}
				if !strings.Contains(source, code) { // testify would print the source
					t.Errorf("docs/%s names the test %q, and there is none", document, name)
				}
				seen++
			}
		}
		assert.Greater(t, seen, 30, document)
	}
}

// goSource returns the text of all Go files of the module.
func goSource(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	require.NoError(t, err)
	return all.String()
}

// TestTheFunctionsThatTheModelsStandForExist finds each function that docs/model.md names in a
// table: the model's own in the first column, the product's in the second.
func TestTheFunctionsThatTheModelsStandForExist(t *testing.T) {
	source := goSource(t)
	text, err := os.ReadFile(filepath.Join(root, "docs", "model.md"))
	require.NoError(t, err)
	seen := 0
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*) \\| (.*) \\| .*\\|$").FindAllStringSubmatch(string(text), -1) {
		for _, span := range regexp.MustCompile("`([a-zA-Z.]+)`").FindAllStringSubmatch(row[1]+row[2], -1) {
			path := strings.Split(span[1], ".")
			name := path[len(path)-1]
			declared := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type |\t)` + name + `(\(| struct| interface)`)
			if !declared.MatchString(source) {
				t.Errorf("docs/model.md names %s, and there is none", span[1])
			}
			seen++
		}
	}
	assert.Greater(t, seen, 30)
}
