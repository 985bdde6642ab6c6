package s3test

import (
	"os"
	"os/exec"
)

// startBound starts cmd. Nothing ends it with this process but [Server.Stop].
func startBound(cmd *exec.Cmd, _ string) (*os.File, error) { return nil, cmd.Start() }

// lock opens a file and locks nothing: two processes at once build twice.
func lock(path string) (*os.File, error) { return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644) }
