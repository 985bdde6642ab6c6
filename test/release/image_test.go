//go:build linux

package release_test

import (
	"crypto/x509"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
)

const imageUser = 65532

// rootfs lays the image's root filesystem by the script that the Dockerfile runs.
func rootfs(t *testing.T, version string) string {
	t.Helper()
	dockerfile, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	require.NoError(t, err)
	for _, step := range []string{
		`RUN .*packaging/rootfs\.sh /rootfs "\$VERSION"`, `FROM scratch`, `COPY --from=build /rootfs/ /`,
		`ENV XDG_STATE_HOME=/state`, `USER 65532:65532`, `ENTRYPOINT \["/usr/bin/milepost"\]`,
	} {
		require.Regexp(t, `(?m)^`+step+`$`, string(dockerfile), "the test does what the Dockerfile does")
	}
	dir := filepath.Join(t.TempDir(), "rootfs")
	cmd := exec.Command("packaging/rootfs.sh", dir, version)
	cmd.Dir = root
	must(t, start(t, cmd))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755), "its user enters")
	require.NoError(t, os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755))
	return dir
}

func TestTheImagesRootFilesystemIsEnoughForTheCommand(t *testing.T) {
	dir := rootfs(t, "v9.8.7")
	env := []string{"XDG_STATE_HOME=/state"}

	t.Run("with the default store in its volume", func(t *testing.T) {
		milepost := func(args ...string) string { return must(t, inside(t, dir, imageUser, env, args...)) }
		assert.Contains(t, milepost("version"), "milepost v9.8.7, ")
		milepost("set", "flights", "--cursor", "7", "--execute")
		assert.Contains(t, milepost("check"), "store sqlite:/state/milepost/milepost.db")
		assert.FileExists(t, filepath.Join(dir, "state/milepost/milepost.db"))
	})
	t.Run("with a table", func(t *testing.T) {
		table := dynamotest.Table(t)
		require.NoError(t, dynamostore.CreateTable(t.Context(), dynamotest.Client(t), table, &dynamostore.CreateOptions{NoDeletionProtection: true}))
		env := append(dynamotest.Env(t), "MILEPOST_STORE=dynamodb://"+table+"?endpoint="+dynamotest.Endpoint(t))
		must(t, inside(t, dir, imageUser, env, "set", "flights", "--cursor", "7", "--execute"))
		assert.Contains(t, must(t, inside(t, dir, imageUser, env, "get", "flights")), "7")
		checked := inside(t, dir, imageUser, env, "check")
		assert.Zero(t, checked.exit, checked.stdout+checked.stderr)
	})
	t.Run("and without a volume it warns of the default store", func(t *testing.T) {
		said := inside(t, dir, imageUser, append(env, "KUBERNETES_SERVICE_HOST=10.0.0.1"), "set", "flights", "--cursor", "8", "--execute")
		assert.Zero(t, said.exit, said.stderr)
		assert.Contains(t, said.stderr, "/state/milepost is not on a volume")
	})
	t.Run("it has what it needs and no more", func(t *testing.T) {
		binary, err := elf.Open(filepath.Join(dir, "usr/bin/milepost"))
		require.NoError(t, err)
		defer binary.Close()
		libraries, err := binary.ImportedLibraries()
		require.NoError(t, err)
		assert.Empty(t, libraries)
		pem, err := os.ReadFile(filepath.Join(dir, "etc/ssl/certs/ca-certificates.crt"))
		require.NoError(t, err)
		assert.True(t, x509.NewCertPool().AppendCertsFromPEM(pem))
	})
}
