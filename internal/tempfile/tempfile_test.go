package tempfile_test

import (
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/internal/tempfile"
)

// asReader makes the test's binary copy its standard input to its standard output.
const asReader = "TEST_AS_READER"

func TestMain(m *testing.M) {
	if os.Getenv(asReader) != "" {
		_, err := io.Copy(os.Stdout, os.Stdin)
		if err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestATemporaryFileIsReadByAnotherProcessAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir) // on Windows
	file, err := tempfile.New("milepost-test-*.jsonl")
	require.NoError(t, err)
	_, err = file.WriteString("one\ntwo\n")
	require.NoError(t, err)
	_, err = file.Seek(0, io.SeekStart)
	require.NoError(t, err)

	self, err := os.Executable()
	require.NoError(t, err)
	reader := exec.Command(self)
	reader.Env = append(os.Environ(), asReader+"=1")
	reader.Stdin = file
	out, err := reader.Output()
	require.NoError(t, err)
	assert.Equal(t, "one\ntwo\n", string(out))

	require.NoError(t, file.Close())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestADirectoryThatIsNotThereIsAnErrorThatNamesIt(t *testing.T) {
	none := t.TempDir() + "/none"
	t.Setenv("TMPDIR", none)
	t.Setenv("TMP", none)
	_, err := tempfile.New("milepost-test-*")
	assert.ErrorContains(t, err, "none")
	assert.ErrorIs(t, err, os.ErrNotExist)
}
