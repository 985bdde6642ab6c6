//go:build linux

package release_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAnArchiveHasTheCommandItsManualAndTheLicence(t *testing.T) {
	packed := one(t, "milepost_*_linux_"+runtime.GOARCH+".tar.gz")
	dir := strings.TrimSuffix(filepath.Base(packed), ".tar.gz")
	files := untar(t, packed)
	for _, name := range []string{
		"LICENSE", "README.md", "CHANGELOG.md", "man/milepost.1.gz", "man/milepost-batch.1.gz",
		"completions/milepost.bash", "completions/milepost.zsh", "completions/milepost.fish",
	} {
		assert.Contains(t, files, dir+"/"+name)
	}
	licence, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	require.NoError(t, err)
	assert.Equal(t, string(licence), string(files[dir+"/LICENSE"]))
	assert.Contains(t, string(licence), "END OF TERMS AND CONDITIONS")

	info, err := buildinfo.Read(bytes.NewReader(files[dir+"/milepost"]))
	require.NoError(t, err)
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	assert.Equal(t, "0", settings["CGO_ENABLED"])
	assert.Equal(t, "true", settings["-trimpath"])
}

func TestTheChecksumsCoverAllReleasedFiles(t *testing.T) {
	sums, err := os.ReadFile(one(t, "checksums.txt"))
	require.NoError(t, err)
	listed := map[string]string{}
	for line := range strings.Lines(string(sums)) {
		sum, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		require.True(t, ok, line)
		listed[name] = sum
	}
	var released int
	for _, path := range append(built(t, "*.tar.gz"), built(t, "*.deb")...) {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		sum := sha256.Sum256(content)
		assert.Equal(t, hex.EncodeToString(sum[:]), listed[filepath.Base(path)], path)
		released++
	}
	assert.Len(t, listed, released)
	assert.Equal(t, 2, released)
}

// The image's script builds the command with the release's flags.
func TestTheImageHasTheCommandOfTheRelease(t *testing.T) {
	packed := one(t, "milepost_*_linux_"+runtime.GOARCH+".tar.gz")
	dir := strings.TrimSuffix(filepath.Base(packed), ".tar.gz")
	version, _, ok := strings.Cut(strings.TrimPrefix(dir, "milepost_"), "_linux")
	require.True(t, ok, dir)
	image, err := os.ReadFile(filepath.Join(rootfs(t, "v"+version), "usr/bin/milepost"))
	require.NoError(t, err)
	assert.Equal(t, sha256.Sum256(untar(t, packed)[dir+"/milepost"]), sha256.Sum256(image), "byte for byte")
}

func untar(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	files := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		require.NoError(t, err)
		files[h.Name], err = io.ReadAll(r)
		require.NoError(t, err)
	}
}
