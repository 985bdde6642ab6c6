//go:build unix

package dynamotest

import (
	"archive/tar"
	"compress/gzip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// workbench is an environment in which nothing is installed: an empty PATH, an
// empty cache, and pins of a program made here.
type workbench struct {
	bin, cache string
	packed     string // the package that npm would bring
	program    string // the program in it, as a file
}

func newWorkbench(t *testing.T) workbench {
	t.Helper()
	dir := t.TempDir()
	b := workbench{
		bin:     filepath.Join(dir, "bin"),
		cache:   filepath.Join(dir, "cache"),
		packed:  filepath.Join(dir, "package.tgz"),
		program: filepath.Join(dir, "program"),
	}
	t.Setenv("MILEPOST_TEST_DYNAMODB", "")
	t.Setenv("DYNAMODB_LOCAL_HOME", "")
	t.Setenv("MILEPOST_CACHE", b.cache)
	t.Setenv("PATH", b.bin)

	writeProgram(t, b.program, "echo dynoxide 1.2.1")
	pack(t, b.program, b.packed)
	pins := dynoxidePins
	t.Cleanup(func() { dynoxidePins = pins })
	dynoxidePins = map[string]struct{ pkg, program string }{
		platform(): {pkg: integrityOf(b.packed), program: integrityOf(b.program)},
	}
	return b
}

// installNPM puts an npm on PATH that packs b.packed.
func (b workbench) installNPM(t *testing.T) {
	t.Helper()
	writeProgram(t, filepath.Join(b.bin, "npm"), `test "$1" = pack && exec /bin/cp `+b.packed+` ./dynoxide.tgz`)
}

func writeProgram(t *testing.T, path, script string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755))
}

func pack(t *testing.T, program, path string) {
	t.Helper()
	content, err := os.ReadFile(program)
	require.NoError(t, err)
	file, err := os.Create(path)
	require.NoError(t, err)
	zipped := gzip.NewWriter(file)
	archive := tar.NewWriter(zipped)
	for name, content := range map[string][]byte{"package/package.json": []byte("{}"), "package/dynoxide": content} {
		require.NoError(t, archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}))
		_, err = archive.Write(content)
		require.NoError(t, err)
	}
	require.NoError(t, archive.Close())
	require.NoError(t, zipped.Close())
	require.NoError(t, file.Close())
}

func TestWithoutAnEndpointTheErrorSaysWhatToInstall(t *testing.T) {
	newWorkbench(t)
	_, err := Start(t.Context())
	for _, way := range []string{"apt-get install npm", "dynoxide 1.2.1 on PATH", "DYNAMODB_LOCAL_HOME=", "MILEPOST_TEST_DYNAMODB="} {
		assert.ErrorContains(t, err, way)
	}
}

func TestTheProgramIsDownloadedOnceAndKeptInTheCache(t *testing.T) {
	b := newWorkbench(t)
	b.installNPM(t)
	path, err := findDynoxide(t.Context())
	require.NoError(t, err)
	assert.Equal(t, b.cache, filepath.Dir(path))
	assert.Equal(t, "dynoxide 1.2.1", versionOf(t.Context(), path))

	require.NoError(t, os.Remove(filepath.Join(b.bin, "npm")))
	again, err := findDynoxide(t.Context())
	require.NoError(t, err)
	assert.Equal(t, path, again)
}

func TestManyProcessesMayDownloadTheProgramAtOnce(t *testing.T) {
	b := newWorkbench(t)
	b.installNPM(t)
	var finders sync.WaitGroup
	for range 8 {
		finders.Go(func() {
			_, err := findDynoxide(t.Context())
			assert.NoError(t, err)
		})
	}
	finders.Wait()
	left, err := os.ReadDir(b.cache)
	require.NoError(t, err)
	require.Len(t, left, 1)
	assert.Equal(t, "dynoxide-1.2.1-"+platform(), left[0].Name())
}

func TestAPackageWithAnotherChecksumIsRefused(t *testing.T) {
	b := newWorkbench(t)
	b.installNPM(t)
	other := filepath.Join(t.TempDir(), "other")
	writeProgram(t, other, "echo dynoxide 1.2.1, with something added")
	pack(t, other, b.packed)
	_, err := findDynoxide(t.Context())
	assert.ErrorContains(t, err, "the package has integrity")
	left, err := os.ReadDir(b.cache)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestADamagedProgramInTheCacheIsDownloadedAgain(t *testing.T) {
	b := newWorkbench(t)
	b.installNPM(t)
	path, err := findDynoxide(t.Context())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte("half"), 0o755))
	path, err = findDynoxide(t.Context())
	require.NoError(t, err)
	assert.Equal(t, integrityOf(b.program), integrityOf(path))
}

func TestAProgramOnPathIsUsedIfItIsThePinnedOne(t *testing.T) {
	b := newWorkbench(t)
	onPath := filepath.Join(b.bin, "dynoxide")
	writeProgram(t, onPath, "echo dynoxide 1.2.1")
	path, err := findDynoxide(t.Context())
	require.NoError(t, err)
	assert.Equal(t, onPath, path)

	writeProgram(t, onPath, "echo dynoxide 1.2.1 of my own")
	b.installNPM(t)
	path, err = findDynoxide(t.Context())
	require.NoError(t, err)
	assert.Equal(t, b.cache, filepath.Dir(path))
}

func TestWithoutAKnownChecksumAProgramOnPathMustHaveTheVersion(t *testing.T) {
	b := newWorkbench(t)
	dynoxidePins = nil
	onPath := filepath.Join(b.bin, "dynoxide")
	writeProgram(t, onPath, "echo dynoxide 1.2.1")
	path, err := findDynoxide(t.Context())
	require.NoError(t, err)
	assert.Equal(t, onPath, path)

	writeProgram(t, onPath, "echo dynoxide 1.3.0")
	_, err = findDynoxide(t.Context())
	assert.ErrorContains(t, err, "no checksum of dynoxide 1.2.1 is known for "+platform())
}
