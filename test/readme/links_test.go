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

var (
	fenced   = regexp.MustCompile("(?ms)^```.*?^```")
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInURL = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// TestEachLinkOfTheDocumentsWorks follows each link of a Markdown file to a file of the
// repository, and to a heading in it.
func TestEachLinkOfTheDocumentsWorks(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules"):
			return filepath.SkipDir
		case filepath.Ext(path) != ".md":
			return nil
		}
		for _, l := range link.FindAllStringSubmatch(markdown(t, path), -1) {
			if strings.Contains(l[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(l[1], "#")
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			_, err := os.Stat(target)
			if assert.NoError(t, err, "%s links to it", path) && anchor != "" {
				assert.Contains(t, anchors(t, target), anchor, "%s links to %s", path, l[1])
			}
			seen++
		}
		return nil
	})
	require.NoError(t, err)
	assert.Greater(t, seen, 100)
}

// markdown is the text of a file without its blocks of code.
func markdown(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return fenced.ReplaceAllString(string(text), "")
}

// anchors are those that GitHub gives to the headings of a file.
func anchors(t *testing.T, path string) []string {
	t.Helper()
	var all []string
	for _, h := range heading.FindAllStringSubmatch(markdown(t, path), -1) {
		title := link.ReplaceAllString(strings.ToLower(h[1]), "")
		all = append(all, strings.ReplaceAll(notInURL.ReplaceAllString(title, ""), " ", "-"))
	}
	return all
}
