package configfile

import (
	"os"
	"syscall"
)

// syncData makes overwritten bytes durable. The times of the file are not, which
// spares the file system's journal a write.
func syncData(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
