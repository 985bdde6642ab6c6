package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Forwarded are the signals that [Attached.Wait] can forward on this system. SIGTERM stands for the
// end of the console's window or of the user's session, a few seconds before Windows ends the
// process.
var Forwarded = []os.Signal{os.Interrupt, syscall.SIGTERM}

// group is a command's job object. It ends the command's children as well, and ends them all when
// this process dies.
type group struct {
	cmd *exec.Cmd
	job windows.Handle
}

// newGroup makes cmd start suspended. So it cannot end, and start others, before it is in the job
// object.
func newGroup(cmd *exec.Cmd) *group {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.CREATE_SUSPENDED}
	return &group{cmd: cmd}
}

// started puts the command into a job object and lets it run.
func (g *group) started() error {
	if err := g.assign(); err != nil {
		return fmt.Errorf("put it into a job object: %w", err)
	}
	if err := resume(uint32(g.cmd.Process.Pid)); err != nil {
		return fmt.Errorf("resume it in its job object: %w", err)
	}
	return nil
}

func (g *group) assign() error {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return err
	}
	g.job = job
	limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE},
	}
	if _, err := windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits))); err != nil {
		return err
	}
	process, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(g.cmd.Process.Pid))
	if err != nil {
		return err
	}
	defer func() { _ = windows.CloseHandle(process) }()
	return windows.AssignProcessToJobObject(job, process)
}

// resume resumes the threads of a process.
func resume(pid uint32) error {
	threads, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPTHREAD, 0)
	if err != nil {
		return err
	}
	defer func() { _ = windows.CloseHandle(threads) }()
	resumed := false
	t := windows.ThreadEntry32{Size: uint32(unsafe.Sizeof(windows.ThreadEntry32{}))}
	for err = windows.Thread32First(threads, &t); err == nil; err = windows.Thread32Next(threads, &t) {
		if t.OwnerProcessID != pid {
			continue
		}
		thread, err := windows.OpenThread(windows.THREAD_SUSPEND_RESUME, false, t.ThreadID)
		if err != nil {
			return err
		}
		_, err = windows.ResumeThread(thread)
		_ = windows.CloseHandle(thread)
		if err != nil {
			return err
		}
		resumed = true
	}
	switch {
	case !errors.Is(err, windows.ERROR_NO_MORE_FILES):
		return err
	case !resumed:
		return errors.New("the process has no thread")
	}
	return nil
}

// terminate sends CTRL_BREAK: Windows has no SIGTERM. Without a console, as in a service, there is
// no way to ask the command, so it is ended.
func (g *group) terminate() {
	if windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(g.cmd.Process.Pid)) != nil {
		g.kill()
	}
}

func (g *group) kill() {
	if g.job == 0 {
		_ = g.cmd.Process.Kill()
		return
	}
	_ = windows.TerminateJobObject(g.job, 1)
}

func (g *group) close() {
	if g.job != 0 {
		_ = windows.CloseHandle(g.job)
	}
}

// forward sends CTRL_BREAK: another process group gets no CTRL_C.
func (g *group) forward(os.Signal) { g.terminate() }

// accounting is JOBOBJECT_BASIC_ACCOUNTING_INFORMATION.
type accounting struct {
	totalUserTime, totalKernelTime, thisPeriodUserTime, thisPeriodKernelTime int64
	totalPageFaults, totalProcesses, activeProcesses, terminatedProcesses    uint32
}

// alive reports whether a process of the job object is left.
func (g *group) alive() bool {
	var a accounting
	err := windows.QueryInformationJobObject(g.job, windows.JobObjectBasicAccountingInformation,
		uintptr(unsafe.Pointer(&a)), uint32(unsafe.Sizeof(a)), nil)
	return err == nil && a.activeProcesses > 0
}

func lendTerminal(*exec.Cmd) (takeBack func()) { return nil }

// startKeeper starts nothing: the job object does its work.
func startKeeper(*group, string) *exec.Cmd { return nil }
