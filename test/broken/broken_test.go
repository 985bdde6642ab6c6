package broken

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mutant is the code broken in one way.
type mutant struct {
	name   string // what is wrong with it
	breaks string // the sentence of docs/design.md (†) or the peers' fault that it stands for
	edits  []edit
	caught by
}

// edit replaces a text that occurs exactly once in a file of the module.
type edit struct{ file, old, new string }

// by names the subtest that must fail.
type by struct{ pkg, test string }

func onMemory(rule string) by { return by{"./store/memstore", "TestConformance/" + rule} }

func onSQLite(rule string) by {
	return by{"./store/sqlitestore", "TestTheEngineHoldsTheContract/" + rule}
}

func onDynamoDB(rule string) by { return by{"./store/dynamostore", "TestConformance/" + rule} }

// inRealTime is for what would stop virtual time, such as a lock.
func inRealTime(rule string) by { return by{"./store/storetest", "TestRunInRealTime/" + rule} }

func TestBroken(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	all := slices.Concat(storeMutants, engineMutants, leaseMutants, checkpointMutants, archiveMutants, peerMutants)
	names := map[string]bool{}
	tests := map[string][]string{} // by package
	for _, m := range all {
		require.False(t, names[m.name], "two mutants are called %q", m.name)
		names[m.name] = true
		if test := testName(m.caught.test); !slices.Contains(tests[m.caught.pkg], test) {
			tests[m.caught.pkg] = append(tests[m.caught.pkg], test)
		}
	}
	assert.GreaterOrEqual(t, len(names), 25)
	for pkg, tests := range tests {
		t.Run("not broken: "+pkg, func(t *testing.T) {
			t.Parallel()
			passes(t, root, pkg, tests)
		})
	}
	for _, m := range all {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			m.isCaught(t, root)
		})
	}
}

// passes requires that the subtests pass on the code as it is: else their failing would prove nothing.
func passes(t *testing.T, root, pkg string, tests []string) {
	patterns := make([]string, len(tests))
	for i, test := range tests {
		patterns[i] = pattern(test)
	}
	output, err := goTest(t, root, "-v", "-run="+strings.Join(patterns, "|"), pkg)
	require.NoError(t, err, output)
	for _, test := range tests {
		assert.Contains(t, output, "--- PASS: "+test+" (", "there is no such subtest in %s", pkg)
	}
}

func goTest(t *testing.T, root string, args ...string) (output string, err error) {
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"test", "-vet=off", "-count=1", "-timeout=120s"}, args...)...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (m *mutant) isCaught(t *testing.T, root string) {
	t.Logf("breaks: %s", m.breaks)
	test := testName(m.caught.test)
	output, err := goTest(t, root, "-overlay="+m.overlay(t, root), "-run="+pattern(test), m.caught.pkg)
	require.NotContains(t, output, "[build failed]", "the mutant must compile:\n%s", output)
	require.NotContains(t, output, "[setup failed]", output)
	require.Error(t, err, "nobody noticed; the subtest that should have: %s\n%s", test, output)
	require.Contains(t, output, "--- FAIL: "+test, "another test noticed than the one named for it:\n%s", output)
}

// overlay writes the mutant's files, and the JSON that puts them in the place of the real ones.
func (m *mutant) overlay(t *testing.T, root string) string {
	t.Helper()
	dir := t.TempDir()
	texts := map[string]string{}
	for _, e := range m.edits {
		file := filepath.Join(root, filepath.FromSlash(e.file))
		if _, read := texts[file]; !read {
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			texts[file] = string(source)
		}
		require.Equal(t, 1, strings.Count(texts[file], e.old), "in %s, occurrences of:\n%s", e.file, e.old)
		texts[file] = strings.Replace(texts[file], e.old, e.new, 1)
	}
	replace := map[string]string{}
	for file, text := range texts {
		mutated := filepath.Join(dir, filepath.Base(file))
		require.NoError(t, os.WriteFile(mutated, []byte(text), 0o600))
		replace[file] = mutated
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	file := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, overlay, 0o600))
	return file
}

// testName is a subtest's name as package testing writes it.
func testName(name string) string { return strings.ReplaceAll(name, " ", "_") }

// pattern selects that test alone.
func pattern(test string) string {
	parts := strings.Split(test, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}
