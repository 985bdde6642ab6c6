package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/internal/kinds"
)

func TestEachCommandHasAManualPageThatIsTheSameEachTime(t *testing.T) {
	dirs := []string{filepath.Join(t.TempDir(), "man1"), t.TempDir()}
	for _, dir := range dirs {
		must(t, []string{"SOURCE_DATE_EPOCH=1700000000"}, "man", dir)
	}
	pages := 0
	var look func(cmd *cobra.Command, name string)
	look = func(cmd *cobra.Command, name string) {
		if !cmd.Hidden && !cmd.IsAdditionalHelpTopicCommand() {
			page, err := os.ReadFile(filepath.Join(dirs[0], name+".1"))
			require.NoError(t, err)
			again, err := os.ReadFile(filepath.Join(dirs[1], name+".1"))
			require.NoError(t, err)
			assert.Equal(t, string(page), string(again))
			assert.Contains(t, string(page), `"Nov 2023"`)
			pages++
		}
		for _, c := range cmd.Commands() {
			look(c, name+"-"+c.Name())
		}
	}
	look((&app{}).root(), "milepost")
	assert.Greater(t, pages, 30)

	root, err := os.ReadFile(filepath.Join(dirs[0], "milepost.1"))
	require.NoError(t, err)
	for _, k := range kinds.Table {
		assert.Contains(t, string(root), k.When)
	}
	run, err := os.ReadFile(filepath.Join(dirs[0], "milepost-run.1"))
	require.NoError(t, err)
	assert.Contains(t, string(run), "\n  milepost save --cursor ord-88123 --state FILE", "columns keep their layout")

	assert.Equal(t, 2, milepost(t, []string{"SOURCE_DATE_EPOCH=today"}, "man", dirs[0]).exit)
	assert.Equal(t, 2, milepost(t, nil, "man").exit)
}

func TestTheVersionIsOfTheReleaseOrTheModuleOrTheCommit(t *testing.T) {
	checkout := &debug.BuildInfo{
		Main: debug.Module{Version: "v1.2.4-0.20261128205859-175c411b30a7+dirty"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "175c411b30a7f00d"}, {Key: "vcs.time", Value: "2026-11-28T20:58:59Z"}, {Key: "vcs.modified", Value: "true"},
		},
	}
	for name, c := range map[string]struct {
		released string
		info     *debug.BuildInfo
		want     string
	}{
		"a release":         {"v1.2.3", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "milepost v1.2.3, go"},
		"go install":        {"", &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, "milepost v1.2.3, go"},
		"a checkout":        {"", checkout, "milepost v1.2.4-0.20261128205859-175c411b30a7+dirty, go"},
		"no version at all": {"", &debug.BuildInfo{}, "milepost (unknown), go"},
	} {
		assert.Contains(t, versionOf(c.released, c.info).String(), c.want, name)
	}
	assert.Regexp(t, `, commit 175c411b30a7 of 2026-11-28T20:58:59Z with changes$`, versionOf("", checkout).String())
	assert.Contains(t, must(t, nil, "version", "-o", "json"), `"platform":`)
}
