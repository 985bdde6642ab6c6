package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal with a shell on it.
type terminal struct {
	t       *testing.T
	master  *os.File
	shell   *exec.Cmd
	printed chan string
	all     strings.Builder
}

func onTerminal(t *testing.T, env []string, text string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	fd := int(master.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	term := &terminal{t: t, master: master, shell: exec.Command("sh", "-c", text), printed: make(chan string, 1000)}
	term.shell.Env = append(os.Environ(), env...)
	term.shell.Stdin, term.shell.Stdout, term.shell.Stderr = slave, slave, slave
	term.shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, term.shell.Start())
	require.NoError(t, slave.Close())
	go func() {
		defer close(term.printed)
		for buffer := make([]byte, 4096); ; {
			n, err := master.Read(buffer)
			if err != nil { // EIO: no process has the other end open any more
				return
			}
			term.printed <- string(buffer[:n])
		}
	}()
	t.Cleanup(func() { _ = master.Close() })
	return term
}

// waits until the terminal shows text.
func (term *terminal) waits(text string) {
	term.t.Helper()
	timeout := time.After(30 * time.Second)
	for !strings.Contains(term.all.String(), text) {
		select {
		case more, open := <-term.printed:
			term.all.WriteString(more)
			require.True(term.t, open || strings.Contains(term.all.String(), text), "want %q on the terminal, got %q", text, term.all.String())
		case <-timeout:
			require.FailNow(term.t, "nothing came", "want %q on the terminal, got %q", text, term.all.String())
		}
	}
}

func (term *terminal) types(text string) {
	term.t.Helper()
	_, err := term.master.WriteString(text)
	require.NoError(term.t, err)
}

func TestTheCommandGetsTheTerminalAndThenTheShellGetsItBack(t *testing.T) {
	env := insideRun(t, sqliteStore(t))
	term := onTerminal(t, env, `
milepost run a -- sh -c 'echo ready; read line; echo "command: $line"; exit 4'
echo "exit: $?"; read line; echo "shell: $line"`)
	term.waits("ready")
	term.types("one\n")
	term.waits("command: one")
	term.waits("exit: 9")
	term.types("two\n")
	term.waits("shell: two")
	require.NoError(t, term.shell.Wait())
}

func TestAnInterruptFromTheTerminalStopsTheCommandWithoutAFailure(t *testing.T) {
	env := insideRun(t, sqliteStore(t))
	term := onTerminal(t, env, `trap : INT; milepost run a -- sh -c 'milepost mark --cursor 7; echo ready; exec sleep 60'; echo "exit: $?"`) // exec: a shell may miss the signal while it starts a child
	term.waits("ready")
	term.types("\x03")
	term.waits("exit: 130")
	require.NoError(t, term.shell.Wait())
	cp := newest(t, env, "a")
	assert.Equal(t, "7", cp["cursor"])
	assert.Equal(t, "stopped", cp["ended"])
}
