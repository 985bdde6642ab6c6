// Package readme_test compares the README with the code: its program is built and run by a test,
// and its commands exist.
package readme_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	return string(text)
}

// blocks returns the fenced blocks of one language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	var found []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(readme(t), -1) {
		found = append(found, m[1])
	}
	require.NotEmpty(t, found, "the README has no %s block", language)
	return found
}

func milepost(t *testing.T) func(args ...string) (string, error) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "milepost")
	out, err := exec.Command("go", "build", "-o", binary, root+"/cmd/milepost").CombinedOutput()
	require.NoError(t, err, string(out))
	return func(args ...string) (string, error) {
		out, err := exec.Command(binary, args...).CombinedOutput()
		return string(out), err
	}
}

func TestItsProgramIsTheExample(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(root, "examples/orders/main.go"))
	require.NoError(t, err)
	for _, block := range blocks(t, "go") {
		var indented strings.Builder
		for line := range strings.Lines(block) {
			indented.WriteString("\t" + line)
		}
		assert.Contains(t, string(source), indented.String())
	}
}

func TestItsCommandsExistWithTheirFlags(t *testing.T) {
	run := milepost(t)
	seen := 0
	for _, block := range blocks(t, "console") {
		for line := range strings.Lines(block) {
			command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ milepost ")
			if !ok {
				continue
			}
			seen++
			command, _, _ = strings.Cut(command, "#")
			command, _, _ = strings.Cut(command, " -- ")
			var words, flags []string
			for _, word := range strings.Fields(command) {
				if name, isFlag := strings.CutPrefix(word, "--"); isFlag {
					name, _, _ = strings.Cut(name, "=")
					flags = append(flags, name)
				} else {
					words = append(words, word)
				}
			}
			help, err := run(append(words[:min(2, len(words))], "--help")...)
			require.NoError(t, err, "%s: %s", line, help)
			assert.Contains(t, help, "milepost "+words[0], line)
			for _, flag := range flags {
				assert.Contains(t, help, "--"+flag+" ", line)
			}
		}
	}
	assert.GreaterOrEqual(t, seen, 5)
}
