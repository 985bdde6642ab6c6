package terraform_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryFileIsFormatted(t *testing.T) {
	out, err := terraform(t, moduleDir, "fmt", "-recursive", "-check", "-diff", "-no-color")
	assert.NoError(t, err, "run terraform fmt -recursive terraform\n%s", out)
}

func TestTheModuleIsValid(t *testing.T) {
	mustTerraform(t, copyModule(t), "validate", "-no-color")
}

func TestTheModulesOwnTestsPass(t *testing.T) {
	t.Parallel()
	out := mustTerraform(t, copyModule(t), "test", "-no-color")
	assert.Regexp(t, `Success! \d\d+ passed, 0 failed`, out)
}

func TestEveryExampleApplies(t *testing.T) {
	t.Parallel()
	examples, err := os.ReadDir(filepath.Join(moduleDir, "examples"))
	require.NoError(t, err)
	variables := map[string][]string{
		"minimal": nil,
		"full":    {"monitor_package=main.tf", "kms_key_arn=arn:aws:kms:eu-west-1:123456789012:key/1234"},
		"glue":    {"wheel=main.tf", "script=main.tf", "code_bucket=example-code"},
	}
	require.Len(t, examples, len(variables))
	for _, example := range examples {
		t.Run(example.Name(), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(copyModule(t), "examples", example.Name())
			mustTerraform(t, dir, "get")
			s := apply(t, dir, variables[example.Name()]...)
			assert.NotEmpty(t, s.Values.Root.Children, "the example does not use the module")
		})
	}
}

func TestEachAlarmNamesASectionOfTheRunbookThatHasItsName(t *testing.T) {
	t.Parallel()
	runbook, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	var named []string
	for _, r := range apply(t, copyModule(t)).Values.Root.Resources {
		if r.Type != "aws_cloudwatch_metric_alarm" {
			continue
		}
		var alarm struct {
			Name        string `json:"alarm_name"`
			Description string `json:"alarm_description"`
		}
		require.NoError(t, json.Unmarshal(r.Values, &alarm))
		file, section, ok := strings.Cut(alarm.Description[strings.LastIndexByte(alarm.Description, ' ')+1:], "#")
		require.True(t, ok, alarm.Description)
		assert.Equal(t, "docs/operations.md", file)
		assert.True(t, strings.HasSuffix(alarm.Name, "-"+section), "%s leads to %s", alarm.Name, section)
		assert.NoError(t, sectionOf(runbook, section))
		named = append(named, section)
	}
	assert.ElementsMatch(t, []string{"overdue", "failures", "losses", "heartbeat", "archive-gaps", "throttles"}, named)
	assert.Error(t, sectionOf(runbook, "over-due"), "a section that is not there")
	assert.Error(t, sectionOf([]byte("## overdue\n## failures\n"), "overdue"), "a section that says nothing")
}

// sectionOf finds a section by its anchor, which has to say where to look.
func sectionOf(runbook []byte, anchor string) error {
	text := string(runbook)
	_, rest, ok := strings.Cut(text, "\n## "+anchor+"\n")
	if !ok && !strings.HasPrefix(text, "## "+anchor+"\n") {
		return fmt.Errorf("docs/operations.md has no section %s", anchor)
	}
	body, _, _ := strings.Cut(rest, "\n## ")
	if !strings.Contains(body, "Look") {
		return fmt.Errorf("section %s of docs/operations.md does not say where to look", anchor)
	}
	return nil
}

func TestTheReadmeSaysWhatTheModuleTakes(t *testing.T) {
	dir := copyModule(t)
	out, err := exec.CommandContext(t.Context(), readmeTool, dir).CombinedOutput()
	require.NoError(t, err, string(out))
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	require.NoError(t, err)
	isFile(t, filepath.Join(moduleDir, "README.md"), readme)
}

func TestEveryInputIsDescribedAndEveryNumberChecked(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(moduleDir, "variables.tf"))
	require.NoError(t, err)
	variables := strings.Split(string(text), "\nvariable ")
	require.Greater(t, len(variables), 20)
	for _, v := range variables {
		name, _, _ := strings.Cut(strings.TrimPrefix(v, "variable "), " {")
		assert.Contains(t, v, "  description = ", name)
		if strings.Contains(v, "= number") {
			assert.Contains(t, v, "  validation {", name)
		}
	}
}

func TestWithoutTerraformTheTestsSayWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	assert.ErrorContains(t, findTerraform(), "install HashiCorp's package terraform, 1.9 or later")
}

func TestAnOldTerraformIsRefused(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\necho '{\"terraform_version\": \"1.5.7\"}'\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "terraform"), []byte(script), 0o755))
	t.Setenv("PATH", dir)
	assert.ErrorContains(t, findTerraform(), "terraform 1.5.7 is on PATH: install")
}
