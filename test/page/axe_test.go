package page_test

import (
	"archive/tar"
	"bytes"
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
	"sync"
	"time"
)

// axe-core, pinned: npm brings it once, into Milepost's cache.
const (
	axeVersion   = "4.14.1"
	axeIntegrity = "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
)

// axe is the source of axe-core.
var axe = sync.OnceValues(func() (string, error) {
	source, err := findAxe()
	if err != nil {
		return "", fmt.Errorf("axe-core %s could not be downloaded: this test needs npm, and the npm registry once: %w", axeVersion, err)
	}
	return source, nil
})

func findAxe() (string, error) {
	cache := os.Getenv("MILEPOST_CACHE")
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find a cache directory (set MILEPOST_CACHE): %w", err)
		}
		cache = filepath.Join(dir, "milepost")
	}
	kept := filepath.Join(cache, "axe-core-"+axeVersion+".tgz")
	if source, err := unpackAxe(kept); err == nil {
		return source, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(cache, "axe-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	pack := exec.CommandContext(ctx, "npm", "pack", "--silent", "axe-core@"+axeVersion)
	pack.Dir, pack.WaitDelay = dir, 5*time.Second
	if out, err := pack.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm pack: %w: %s", err, out)
	}
	brought := filepath.Join(dir, "axe-core-"+axeVersion+".tgz")
	source, err := unpackAxe(brought)
	if err != nil {
		return "", err
	}
	return source, os.Rename(brought, kept)
}

// unpackAxe reads axe out of its package, which has to be the pinned one.
func unpackAxe(packed string) (string, error) {
	content, err := os.ReadFile(packed)
	if err != nil {
		return "", err
	}
	sum := sha512.Sum512(content)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != axeIntegrity {
		return "", fmt.Errorf("%s has integrity %s, want %s", packed, got, axeIntegrity)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return "", err
	}
	for files := tar.NewReader(unzipped); ; {
		header, err := files.Next()
		if err != nil {
			return "", errors.Join(errors.New("no axe.min.js in it"), err)
		}
		if header.Name == "package/axe.min.js" {
			source, err := io.ReadAll(files)
			return string(source), err
		}
	}
}
