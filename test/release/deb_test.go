//go:build linux

package release_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The package is installed on a root that has nothing but dpkg's own records.
func TestTheDebianPackageInstallsOnACleanRootAndIsRemovedCompletely(t *testing.T) {
	deb := one(t, "*_"+runtime.GOARCH+".deb")
	clean := t.TempDir()
	admin := filepath.Join(clean, "var/lib/dpkg")
	for _, dir := range []string{"info", "updates", "triggers"} {
		require.NoError(t, os.MkdirAll(filepath.Join(admin, dir), 0o755))
	}
	for _, file := range []string{"status", "available"} {
		require.NoError(t, os.WriteFile(filepath.Join(admin, file), nil, 0o644))
	}
	dpkg := func(args ...string) string {
		return asRoot(t, "dpkg", append([]string{"--root=" + clean, "--log=/dev/null"}, args...)...)
	}

	dpkg("--install", deb)
	assert.Contains(t, dpkg("--status", "milepost"), "Status: install ok installed")
	version := dpkg("--status", "milepost")
	assert.Contains(t, version, "Architecture: "+runtime.GOARCH)
	assert.Empty(t, dpkg("--verify", "milepost"), "the installed files match the package")

	said := must(t, inside(t, clean, 0, nil, "version"))
	_, number, ok := strings.Cut(version, "\nVersion: ")
	require.True(t, ok, version)
	number, _, _ = strings.Cut(number, "\n")
	assert.Contains(t, said, "milepost v"+strings.ReplaceAll(number, "~", "-"))

	page := gunzip(t, filepath.Join(clean, "usr/share/man/man1/milepost.1.gz"))
	assert.Contains(t, page, ".SH NAME")
	pages, err := filepath.Glob(filepath.Join(clean, "usr/share/man/man1/milepost-*.1.gz"))
	require.NoError(t, err)
	assert.Greater(t, len(pages), 30)
	assert.Contains(t, gunzip(t, filepath.Join(clean, "usr/share/doc/milepost/changelog.gz")), "## Unreleased")
	copyright, err := os.ReadFile(filepath.Join(clean, "usr/share/doc/milepost/copyright"))
	require.NoError(t, err)
	assert.Contains(t, string(copyright), "Apache-2.0")

	for shell, path := range map[string]string{
		"bash": "usr/share/bash-completion/completions/milepost",
		"zsh":  "usr/share/zsh/vendor-completions/_milepost",
		"fish": "usr/share/fish/vendor_completions.d/milepost.fish",
	} {
		installed, err := os.ReadFile(filepath.Join(clean, path))
		require.NoError(t, err)
		assert.Equal(t, inside(t, clean, 0, nil, "completion", shell).stdout, string(installed), shell)
	}
	assert.Equal(t, []string{"rollback"}, completed(t, clean, "ro"))

	dpkg("--purge", "milepost")
	require.NoError(t, filepath.WalkDir(clean, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			assert.True(t, strings.HasPrefix(path, admin), "%s is left", path)
		}
		return err
	}))
}

// completed is what bash offers where the word is typed after the command, with what is installed
// below dir.
func completed(t *testing.T, dir, word string) []string {
	t.Helper()
	// What bash-completion gives a script that completes: the words.
	script := fmt.Sprintf(`
		_get_comp_words_by_ref() { cur=%[1]q prev=milepost words=(milepost %[1]q) cword=1; }
		source usr/share/bash-completion/completions/milepost
		complete -p milepost >/dev/null || exit 1
		COMP_WORDS=(milepost %[1]q) COMP_CWORD=1 COMP_TYPE=9 COMP_LINE="milepost %[1]s"
		COMP_POINT=${#COMP_LINE}
		__start_milepost
		printf '%%s\n' "${COMPREPLY[@]}"`, word)
	cmd := exec.Command("bash", "--norc", "-c", script)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + filepath.Join(dir, "usr/bin") + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	var offered []string
	for line := range strings.Lines(must(t, start(t, cmd))) {
		offered = append(offered, strings.TrimSpace(line))
	}
	return offered
}

func gunzip(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	text, err := io.ReadAll(z)
	require.NoError(t, err)
	return string(text)
}
