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

// TestTheTestsThatTheProtocolNamesExist finds each name after "*Tests:*" in docs/protocol.md and
// docs/traps.md: a Test function by its declaration, a subtest by its text in quotes.
func TestTheTestsThatTheProtocolNamesExist(t *testing.T) {
	source := goSource(t)
	seen := 0
	for _, document := range []string{"protocol.md"} {
		text, err := os.ReadFile(filepath.Join(root, "docs", document))
		require.NoError(t, err)
		for _, list := range regexp.MustCompile(`(?s)\*Tests:\*(.*?)\n(\n|\d+\. |$)`).FindAllStringSubmatch(string(text)+"\n", -1) {
			for _, span := range regexp.MustCompile("(?s)`(.*?)`").FindAllStringSubmatch(list[1], -1) {
				name := strings.Join(strings.Fields(span[1]), " ")
				code := `"` + name + `"`
				if strings.HasPrefix(name, "Test") {
					code = "func " + name + "("
				}
				assert.True(t, strings.Contains(source, code), "docs/%s names the test %q, and there is none", document, name)
				seen++
			}
		}
	}
	assert.Greater(t, seen, 150)
}

// goSource returns the text of all Go files of the module.
func goSource(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
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
