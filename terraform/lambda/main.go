// Command lambda builds the zip file for the module's variable monitor_package: this repository's
// milepost for Lambda's provided.al2023, and the bootstrap that runs it. The same source gives the
// same file, so that Terraform sees a change only if there is one.
//
//	go run ./terraform/lambda monitor.zip          # for arm64
//	go run ./terraform/lambda monitor.zip x86_64
package main

import (
	"archive/zip"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

//go:embed bootstrap
var bootstrap []byte

func main() {
	log.SetFlags(0)
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return errors.New("usage: go run ./terraform/lambda FILE [arm64|x86_64]")
	}
	architecture := "arm64"
	if len(args) == 2 {
		architecture = args[1]
	}
	goarch, ok := map[string]string{"arm64": "arm64", "x86_64": "amd64"}[architecture]
	if !ok {
		return fmt.Errorf("%q is not an architecture of Lambda: use arm64 or x86_64", architecture)
	}
	binary, err := build(goarch)
	if err != nil {
		return fmt.Errorf("build milepost for linux/%s: %w", goarch, err)
	}
	file, err := os.Create(args[0])
	if err != nil {
		return err
	}
	err = pack(file, binary)
	return errors.Join(err, file.Close())
}

func build(goarch string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "milepost-lambda-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "milepost")
	command := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, "github.com/milepost-dev/milepost/cmd/milepost")
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch)
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}

// pack writes both files as executables, with one fixed time.
func pack(w io.Writer, binary []byte) error {
	z := zip.NewWriter(w)
	for _, file := range []struct {
		name string
		data []byte
	}{{"bootstrap", bootstrap}, {"milepost", binary}} {
		header := &zip.FileHeader{Name: file.name, Method: zip.Deflate, Modified: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}
		header.SetMode(0o755)
		entry, err := z.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := entry.Write(file.data); err != nil {
			return err
		}
	}
	return z.Close()
}
