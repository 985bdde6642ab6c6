package main

import (
	"os"
	"os/exec"
)

const maxSocketPath = 107

var forwarded = []os.Signal{os.Interrupt}

// forward sends CTRL_BREAK: another process group gets no CTRL_C.
func (g *group) forward(os.Signal) { g.terminate() }

// alive is false: closing the job object ends what is left.
func (g *group) alive() bool { return false }

func lendTerminal(*exec.Cmd) (takeBack func()) { return nil }

// startKeeper starts nothing: the job object does it.
func startKeeper(*group, string) *exec.Cmd { return nil }
