package dynamotest

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const dynoxideVersion = "1.2.1"

// dynoxidePins holds, for each platform (named as npm names it) for which the
// package @dynoxide/<platform> could be checked, the integrity of that package
// and of the program in it, in npm's form.
var dynoxidePins = map[string]struct{ pkg, program string }{
	"linux-x64": {
		pkg:     "sha512-sBHqlxJ9ANkLluFkYRfd5r8Y0ApFew4FhOrlhgRAgD4XzEoFOukEo1nuBTQ1+jTtofqwn4NWQ2k0Tn5mNTjgUg==",
		program: "sha512-2GNNxv2hiSddrCl/24yNApfSXd4ZbNCdMLYPUZ6t0MbTB5deVLKuL4++M4bCBw/xcGMze36Ip3VXUKKY1mpHbA==",
	},
}

var npmNames = map[string]string{"amd64": "x64", "windows": "win32"}

func platform() string {
	name := func(s string) string {
		if npm, ok := npmNames[s]; ok {
			return npm
		}
		return s
	}
	return name(runtime.GOOS) + "-" + name(runtime.GOARCH)
}

func startDynoxide(ctx context.Context) (*Server, error) {
	program, err := findDynoxide(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, whatToInstall)
	}
	return startServer(ctx, "dynoxide "+dynoxideVersion, "listening on", func(port string) *exec.Cmd {
		return exec.Command(program, "--host", "127.0.0.1", "--port", port)
	})
}

const whatToInstall = `Any one of these will do:
  - npm (Debian: apt-get install npm), which brings dynoxide ` + dynoxideVersion + ` on Linux x86-64;
  - dynoxide ` + dynoxideVersion + ` on PATH;
  - DynamoDB Local: DYNAMODB_LOCAL_HOME=<directory of DynamoDBLocal.jar>, and java;
  - any running endpoint: MILEPOST_TEST_DYNAMODB=<its URL>, for example after "docker compose up -d".`

// findDynoxide returns the path of the pinned program: on PATH, in the cache, or downloaded to the
// cache.
func findDynoxide(ctx context.Context) (string, error) {
	pin, pinned := dynoxidePins[platform()]
	if path, err := exec.LookPath("dynoxide"); err == nil {
		if pinned && integrityOf(path) == pin.program {
			return path, nil
		}
		// Without a known checksum, the version must be the pinned one.
		if !pinned && versionOf(ctx, path) == "dynoxide "+dynoxideVersion {
			return path, nil
		}
	}
	if !pinned {
		return "", fmt.Errorf("no checksum of dynoxide %s is known for %s", dynoxideVersion, platform())
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "dynoxide-"+dynoxideVersion+"-"+platform())
	if integrityOf(path) == pin.program {
		return path, nil
	}
	if err := fetchDynoxide(ctx, cache, path, pin.pkg); err != nil {
		return "", fmt.Errorf("bring dynoxide %s into %s: %w", dynoxideVersion, cache, err)
	}
	if got := integrityOf(path); got != pin.program {
		return "", fmt.Errorf("%s has integrity %q, want %q", path, got, pin.program)
	}
	return path, nil
}

// cacheDir is where the project keeps downloads from registries. The Makefile sets it by the
// variable.
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

// fetchDynoxide downloads the package with npm and moves its program to path atomically, so that
// any number of processes may do so at once.
func fetchDynoxide(ctx context.Context, cache, path, integrity string) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(cache, "dynoxide-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "pack", "--silent", "@dynoxide/"+platform()+"@"+dynoxideVersion)
	cmd.Dir = dir
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, out)
	}
	packed, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(packed) != 1 {
		return fmt.Errorf("npm pack left %d packages, want 1", len(packed))
	}
	if got := integrityOf(packed[0]); got != integrity {
		return fmt.Errorf("the package has integrity %q, want %q", got, integrity)
	}
	program := filepath.Join(dir, "dynoxide")
	if err := unpackProgram(packed[0], program); err != nil {
		return fmt.Errorf("unpack %s: %w", filepath.Base(packed[0]), err)
	}
	return os.Rename(program, path)
}

// unpackProgram copies package/dynoxide out of a package to the new file path.
func unpackProgram(packed, path string) (err error) {
	file, err := os.Open(packed)
	if err != nil {
		return err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	archive := tar.NewReader(unzipped)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return errors.New("no program in it")
		}
		if err != nil {
			return err
		}
		if name := header.Name; name == "package/dynoxide" || name == "package/dynoxide.exe" {
			break
		}
	}
	program, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, program.Close()) }()
	_, err = io.Copy(program, archive)
	return err
}

// integrityOf returns a file's checksum in npm's form, or nothing if it cannot be read.
func integrityOf(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	sum := sha512.New()
	if _, err := io.Copy(sum, file); err != nil {
		return ""
	}
	return "sha512-" + base64.StdEncoding.EncodeToString(sum.Sum(nil))
}

func versionOf(ctx context.Context, program string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
