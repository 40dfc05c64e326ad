package main

import (
	"io/fs"
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill the child when this process ends.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// settle writes what is still dirty, so that no server pays for the one before,
// and gives the free bytes of a directory's disk.
func settle(dir string) (free int64, err error) {
	syscall.Sync()
	var s syscall.Statfs_t
	err = syscall.Statfs(dir, &s)
	return int64(s.Bavail) * s.Bsize, err
}

// allocated is the room that a file takes on the disk, in bytes.
func allocated(info fs.FileInfo) int64 { return info.Sys().(*syscall.Stat_t).Blocks * 512 }
