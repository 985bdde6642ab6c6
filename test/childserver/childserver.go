// Package childserver runs a server for tests in a process that does not outlive this one.
package childserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Child is such a process. It uses no goroutine, so tests that look for leaked goroutines find
// none.
type Child struct {
	Dir string // the child's own, removed with it

	cmd   *exec.Cmd
	alive *os.File // this process holds it open while the child may live
}

// Start starts cmd. From then on the child owns dir, which keeps its output, even if cmd cannot be
// started.
func Start(cmd *exec.Cmd, dir string) (*Child, error) {
	output, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	alive, err := startBound(cmd, dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &Child{Dir: dir, cmd: cmd, alive: alive}, nil
}

// Said returns the child's output so far; nothing once the child is stopped.
func (c *Child) Said() string {
	output, err := os.Open(filepath.Join(c.Dir, "output"))
	if err != nil {
		return ""
	}
	defer output.Close()
	text, _ := io.ReadAll(io.LimitReader(output, 1<<20))
	return string(text)
}

// AwaitSaid returns when the child has printed text. It returns an error if the child has printed
// an error, or if ctx ends.
func (c *Child) AwaitSaid(ctx context.Context, text string) error {
	for !strings.Contains(c.Said(), text) {
		if strings.Contains(c.Said(), "error:") {
			return errors.New("the child printed an error")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil
}

// Stop kills the child and waits for its end. It may be called more than once.
func (c *Child) Stop() {
	if c.cmd.ProcessState != nil {
		return
	}
	_ = c.cmd.Process.Kill()
	if c.alive != nil {
		_ = c.alive.Close()
	}
	_ = c.cmd.Wait()
	_ = os.RemoveAll(c.Dir)
}

// FreePort returns a loopback port that was free just now; another process may take it before a
// server does.
func FreePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port), nil
}

// AwaitAnswer returns at the first answer of any kind, or when ctx ends.
func AwaitAnswer(ctx context.Context, url string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err == nil {
			return res.Body.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}
