package s3test

import (
	"context"
	"debug/buildinfo"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

const (
	versitygwVersion = "1.8.0"
	versitygwModule  = "github.com/versity/versitygw"
	versitygwCommand = versitygwModule + "/cmd/versitygw"
)

// The module that the server is built from. It is a separate module, so that the server's
// dependencies do not become Milepost's. It is not a nested module, which programs that import this
// package would not get. To move to another version: copy the two to go.mod and go.sum in an empty
// directory, go get -tool, go mod tidy, and copy them back.
var (
	//go:embed versitygw.mod
	versitygwMod []byte
	//go:embed versitygw.sum
	versitygwSum []byte
)

const whatToInstall = `Any one of these will do:
  - the go command on PATH, which builds versitygw ` + versitygwVersion + ` once, from the module proxy, into Milepost's cache;
  - versitygw ` + versitygwVersion + ` on PATH;
  - any running endpoint: MILEPOST_TEST_S3=<its URL>, with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION.`

// findVersitygw returns the path of the program: on PATH, in the cache, or built there.
func findVersitygw(ctx context.Context) (string, error) {
	if path, err := exec.LookPath("versitygw"); err == nil && isVersitygw(path) {
		return path, nil
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "versitygw-"+versitygwVersion+"-"+runtime.GOOS+"-"+runtime.GOARCH)
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	if isVersitygw(path) {
		return path, nil
	}
	if err := buildVersitygw(ctx, cache, path); err != nil {
		return "", fmt.Errorf("build versitygw %s into %s: %w", versitygwVersion, cache, err)
	}
	return path, nil
}

// isVersitygw reports whether a file is that program in that version.
func isVersitygw(path string) bool {
	info, err := buildinfo.ReadFile(path)
	return err == nil && info.Path == versitygwCommand && info.Main.Version == "v"+versitygwVersion
}

// buildVersitygw has the go command build the program and puts it at path in one
// step. Of several processes at once one builds, and the others wait for it.
func buildVersitygw(ctx context.Context, cache, path string) (err error) {
	gocmd, err := exec.LookPath("go")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	locked, err := lock(filepath.Join(cache, "versitygw.lock"))
	if err != nil {
		return err
	}
	defer locked.Close()
	if isVersitygw(path) {
		return nil
	}
	dir, err := os.MkdirTemp(cache, "versitygw-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "go.mod"), versitygwMod, 0o644),
		os.WriteFile(filepath.Join(dir, "go.sum"), versitygwSum, 0o644))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	program := filepath.Join(dir, "versitygw")
	cmd := exec.CommandContext(ctx, gocmd, "build", "-C", dir, "-mod=readonly", "-trimpath", "-o", program, versitygwCommand)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd, err, out)
	}
	if !isVersitygw(program) {
		return fmt.Errorf("%s made something else", cmd)
	}
	return os.Rename(program, path)
}

// cacheDir is where the project keeps downloads from registries; the Makefile uses the same.
func cacheDir() (string, error) {
	if dir := os.Getenv("MILEPOST_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a cache directory (set MILEPOST_CACHE): %w", err)
	}
	return filepath.Join(dir, "milepost"), nil
}
