package broken

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mutant breaks the code in one way.
type mutant struct {
	name   string // what is wrong with it
	breaks string // the sentence of docs/protocol.md (†) or the peers' fault that it stands for
	edits  []edit
	caught by
}

// edit replaces a text that occurs exactly once in a file of the module.
type edit struct{ file, old, new string }

// by names the subtest that must fail.
type by struct{ pkg, test string }

// A rule of the contract, which an engine holds.

func onMemory(rule string) by { return by{"./store/memstore", "TestConformance/" + rule} }

func onSQLite(rule string) by { return by{"./store/sqlitestore", "TestConformance/" + rule} }

func onDynamoDB(rule string) by { return by{"./store/dynamostore", "TestConformance/" + rule} }

// A rule of the protocol, which packages lease and checkpoint hold over an engine.

func overMemory(rule string) by { return by{"./store/memstore", "TestProtocol/" + rule} }

func overSQLite(rule string) by { return by{"./store/sqlitestore", "TestProtocol/" + rule} }

// inRealTime runs tests of what would stop virtual time, such as a lock.
func inRealTime(rule string) by { return by{"./internal/protocoltest", "TestRunInRealTime/" + rule} }

// chosen is the environment variable that names the mutant which a process is.
const chosen = "MILEPOST_BROKEN"

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
	together, alone := weave(t, root, all)
	built := build(t, root, together, slices.Sorted(maps.Keys(tests)))
	for pkg, tests := range tests {
		t.Run("not broken: "+pkg, func(t *testing.T) {
			t.Parallel()
			built.passes(t, pkg, tests)
		})
	}
	for _, m := range all {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			t.Logf("breaks: %s", m.breaks)
			program := built
			if slices.Contains(alone, m) {
				program = build(t, root, m.files(t, root), []string{m.caught.pkg})
			}
			program.isCaught(t, m)
		})
	}
}

// programs are the compiled tests of some packages.
type programs struct{ root, dir string }

// build compiles the tests of the packages, with the files of an overlay instead of the real files.
func build(t *testing.T, root string, overlay map[string]string, pkgs []string) programs {
	t.Helper()
	p := programs{root: root, dir: t.TempDir()}
	replace := map[string]string{}
	for file, text := range overlay {
		at := filepath.Join(p.dir, fmt.Sprintf("%d.go", len(replace)))
		require.NoError(t, os.WriteFile(at, []byte(text), 0o600))
		replace[file] = at
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	file := filepath.Join(p.dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, list, 0o600))
	cmd := exec.CommandContext(t.Context(), "go",
		append([]string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay=" + file, "-o=" + p.dir + string(filepath.Separator)}, pkgs...)...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "a mutant must compile:\n%s", out)
	return p
}

// run runs tests of a package as the mutant of that name, or unbroken as "".
func (p programs) run(t *testing.T, mutant, pkg string, tests ...string) (output string, err error) {
	t.Helper()
	patterns := make([]string, len(tests))
	for i, test := range tests {
		patterns[i] = pattern(test)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(p.dir, path.Base(pkg)+".test"),
		"-test.v", "-test.timeout=120s", "-test.run="+strings.Join(patterns, "|"))
	cmd.Dir = filepath.Join(p.root, filepath.FromSlash(pkg))
	cmd.Env = append(os.Environ(), chosen+"="+mutant)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// passes requires that the subtests pass on the unbroken code: otherwise their failure proves
// nothing.
func (p programs) passes(t *testing.T, pkg string, tests []string) {
	t.Helper()
	output, err := p.run(t, "", pkg, tests...)
	require.NoError(t, err, output)
	for _, test := range tests {
		assert.Contains(t, output, "--- PASS: "+test+" (", "there is no such subtest in %s", pkg)
	}
}

func (p programs) isCaught(t *testing.T, m *mutant) {
	t.Helper()
	test := testName(m.caught.test)
	output, err := p.run(t, m.name, m.caught.pkg, test)
	require.Error(t, err, "no test noticed; this subtest should have: %s\n%s", test, output)
	require.Contains(t, output, "--- FAIL: "+test, "the wrong test noticed:\n%s", output)
}

// files returns the texts of the files that the mutant edits, by path.
func (m *mutant) files(t *testing.T, root string) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, e := range m.edits {
		file := filepath.Join(root, filepath.FromSlash(e.file))
		if _, read := texts[file]; !read {
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			texts[file] = string(source)
		}
		require.Equal(t, 1, strings.Count(texts[file], e.old), "%s: in %s, occurrences of:\n%s", m.name, e.file, e.old)
		texts[file] = strings.Replace(texts[file], e.old, e.new, 1)
	}
	return texts
}

// testName returns a subtest's name as package testing writes it.
func testName(name string) string { return strings.ReplaceAll(name, " ", "_") }

// pattern returns a pattern that matches only that test.
func pattern(test string) string {
	parts := strings.Split(test, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}
