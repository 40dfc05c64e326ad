package servers

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill the child when the test process ends, so
// that a test that was interrupted leaves no server behind.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
