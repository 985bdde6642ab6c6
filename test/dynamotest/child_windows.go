package dynamotest

import (
	"os"
	"os/exec"
)

// startBound starts cmd. Nothing ends it with this process but [Server.Stop].
func startBound(cmd *exec.Cmd) (*os.File, error) { return nil, cmd.Start() }
