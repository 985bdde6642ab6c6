// Package terraform_test tests that the Terraform module agrees with the rest of the repository. It
// needs no network and no account, and is never skipped.
//
// Terraform comes from PATH. The AWS provider is a stand-in (package provider, a separate module),
// which serves the published schema of the resources used.
package terraform_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const moduleDir = "../../terraform"

var update = flag.Bool("update", false, "write the files that are made from the module")

// isFile compares a file with the text made from the module, or writes the file.
func isFile(t *testing.T, path string, made []byte) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, made, 0o644))
	}
	is, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(made), string(is), "run go test ./test/terraform -update")
}

// Where TestMain puts what the tests share.
var (
	readmeTool string // writes the inputs into a README
	cliConfig  string // makes Terraform use the stand-in
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	log.SetFlags(0)
	dir, err := os.MkdirTemp("", "milepost-terraform-")
	if err != nil {
		log.Print(err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := setUp(dir); err != nil {
		log.Print(err)
		return 1
	}
	return m.Run()
}

func setUp(dir string) error {
	if err := findTerraform(); err != nil {
		return err
	}
	for name, pkg := range map[string]string{"terraform-provider-aws": ".", "readme": "./readme"} {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, name), pkg)
		build.Dir = "provider"
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build the provider that stands in for the real one: %w\n%s", err, out)
		}
	}
	readmeTool, cliConfig = filepath.Join(dir, "readme"), filepath.Join(dir, "terraformrc")
	return os.WriteFile(cliConfig, fmt.Appendf(nil, "provider_installation {\n  dev_overrides { \"hashicorp/aws\" = %q }\n}\n", dir), 0o600)
}

// findTerraform says what to install where there is no Terraform, or one that
// cannot run the tests.
func findTerraform() error {
	const remedy = "install HashiCorp's package terraform, 1.9 or later (apt and dnf: from HashiCorp's own repository; " +
		"brew: hashicorp/tap/terraform; winget: Hashicorp.Terraform), and put it on PATH"
	out, err := exec.Command("terraform", "version", "-json").Output()
	if err != nil {
		return fmt.Errorf("the module's tests need terraform: %s (%w)", remedy, err)
	}
	var version struct {
		Terraform string `json:"terraform_version"`
	}
	var major, minor int
	if err := json.Unmarshal(out, &version); err != nil {
		return fmt.Errorf("terraform version -json: %w", err)
	}
	if _, err := fmt.Sscanf(version.Terraform, "%d.%d", &major, &minor); err != nil {
		return fmt.Errorf("terraform says that its version is %q: %w", version.Terraform, err)
	}
	if major < 1 || major == 1 && minor < 9 {
		return fmt.Errorf("terraform %s is on PATH: %s", version.Terraform, remedy)
	}
	return nil
}

// copyModule returns a copy of the module, examples and tests included, that the
// test may change.
func copyModule(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "terraform")
	require.NoError(t, os.CopyFS(dir, os.DirFS(moduleDir)))
	return dir
}

// terraform runs a command in a directory, and returns what it printed on both
// outputs.
func terraform(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "terraform", args...)
	command.Dir = dir
	for _, variable := range os.Environ() { // the user's Terraform settings are not for this one
		if !strings.HasPrefix(variable, "TF_") && !strings.HasPrefix(variable, "AWS_") {
			command.Env = append(command.Env, variable)
		}
	}
	command.Env = append(command.Env, "TF_CLI_CONFIG_FILE="+cliConfig, "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1")
	out, err := command.CombinedOutput()
	if context.Cause(t.Context()) != nil {
		err = context.Cause(t.Context())
	}
	return string(out), err
}

// mustTerraform is terraform where it may not fail.
func mustTerraform(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := terraform(t, dir, args...)
	require.NoError(t, err, "terraform %s\n%s", strings.Join(args, " "), out)
	return out
}

// state is what terraform show -json prints of a state.
type state struct {
	Values struct {
		Outputs map[string]struct {
			Value any `json:"value"`
		} `json:"outputs"`
		Root stateModule `json:"root_module"`
	} `json:"values"`
}

type stateModule struct {
	Resources []struct {
		Address string          `json:"address"`
		Type    string          `json:"type"`
		Values  json.RawMessage `json:"values"`
	} `json:"resources"`
	Children []stateModule `json:"child_modules"`
}

// apply applies the configuration in a directory, by the stand-in, which makes
// nothing, and returns the state.
func apply(t *testing.T, dir string, variables ...string) state {
	t.Helper()
	args := []string{"apply", "-auto-approve", "-no-color", "-compact-warnings"}
	for _, v := range variables {
		args = append(args, "-var", v)
	}
	mustTerraform(t, dir, args...)
	var s state
	out := mustTerraform(t, dir, "show", "-json")
	start := strings.Index(out, "{") // warnings come before
	require.NotEqual(t, -1, start, out)
	require.NoError(t, json.Unmarshal([]byte(out[start:]), &s))
	return s
}

// resource decodes the one resource of a type.
func (s state) resource(t *testing.T, kind string, into any) {
	t.Helper()
	found := 0
	for _, r := range s.Values.Root.Resources {
		if r.Type == kind {
			found++
			require.NoError(t, json.Unmarshal(r.Values, into))
		}
	}
	require.Equal(t, 1, found, "resources of type %s", kind)
}

// attribute is that of the resource at an address.
func (s state) attribute(t *testing.T, address, name string) any {
	t.Helper()
	for _, r := range s.Values.Root.Resources {
		if r.Address == address {
			var values map[string]any
			require.NoError(t, json.Unmarshal(r.Values, &values))
			require.Contains(t, values, name)
			return values[name]
		}
	}
	require.Fail(t, "there is no "+address)
	return nil
}
