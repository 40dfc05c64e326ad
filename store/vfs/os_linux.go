package vfs

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"syscall"
	"unsafe"

	"github.com/merlinmq/merlin/compat/budget"
)

const (
	ofdGetLock = 36 // F_OFD_GETLK
	ofdSetLock = 37 // F_OFD_SETLK: like Java's FileChannel lock, but per open file
	sysSyncFS  = 306
)

func fdatasync(f *os.File) error {
	return control(f, func(fd int) error { return retry(func() error { return syscall.Fdatasync(fd) }) })
}

func fallocate(f *os.File, size int64) error {
	err := control(f, func(fd int) error {
		return retry(func() error { return syscall.Fallocate(fd, 0, 0, size) })
	})
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		// The disk cannot reserve; a hole of the right size has to do.
		fi, serr := f.Stat()
		if serr != nil {
			return serr
		}
		if fi.Size() >= size {
			return nil
		}
		return f.Truncate(size)
	}
	return err
}

func syncFS(dir *os.File) error {
	return control(dir, func(fd int) error {
		return retry(func() error {
			if _, _, e := syscall.Syscall(syncFSNumber(), uintptr(fd), 0, 0); e != 0 {
				return e
			}
			return nil
		})
	})
}

func lock(f *os.File) (io.Closer, error) {
	err := control(f, func(fd int) error {
		return syscall.FcntlFlock(uintptr(fd), ofdSetLock, &syscall.Flock_t{
			Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: 0, Len: 1,
		})
	})
	if err != nil {
		return nil, fmt.Errorf("vfs: %s is locked by %s: %w", f.Name(), holder(f), err)
	}
	return f, nil
}

// holder says who holds the lock of a file: the kernel knows a Java process, whose
// lock is the process's; ours belongs to the open file, and its holder wrote its
// process id into it.
func holder(f *os.File) string {
	l := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: 0, Len: 1}
	err := control(f, func(fd int) error { return syscall.FcntlFlock(uintptr(fd), ofdGetLock, &l) })
	if err == nil && l.Pid > 0 {
		return fmt.Sprintf("process %d", l.Pid)
	}
	text := make([]byte, 64)
	n, _ := f.ReadAt(text, 0)
	var pid int
	if _, err := fmt.Sscanf(string(text[:n]), "lock %d", &pid); err == nil && pid > 0 {
		return fmt.Sprintf("process %d", pid)
	}
	return "another store"
}

func usage(path string) (Usage, error) {
	var s syscall.Statfs_t
	if err := retry(func() error { return syscall.Statfs(path, &s) }); err != nil {
		return Usage{}, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	b := int64(s.Bsize)
	// The root user's reserve counts as neither used nor free, as in df.
	used := int64(s.Blocks-s.Bfree) * b
	free := int64(s.Bavail) * b
	return Usage{Total: used + free, Free: free, Size: int64(s.Blocks) * b, Unused: int64(s.Bfree) * b}, nil
}

// PhysicalMemory is the memory in bytes that the process has: that of the machine or,
// when it is less, of its control group, which counts the pages of files too; 0 when
// not known.
func PhysicalMemory() int64 { return physicalMemory(os.ReadFile) }

func physicalMemory(readFile func(string) ([]byte, error)) int64 {
	m := budget.Machine{ReadFile: readFile, GoLimit: math.MaxInt64} // the heap's limit is none of files
	if n := m.Memory(); n > 0 {
		return n
	}
	var s syscall.Sysinfo_t
	if err := syscall.Sysinfo(&s); err != nil {
		return 0
	}
	return int64(uint64(s.Totalram) * uint64(s.Unit))
}

// OpenFiles is how many files the process may have open, 0 when not known.
func OpenFiles() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	return int(min(l.Cur, 1<<30))
}

func control(f *os.File, do func(fd int) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := c.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
		return err
	}
	if inner != nil {
		return &os.PathError{Op: "syscall", Path: f.Name(), Err: inner}
	}
	return nil
}

func retry(do func() error) error {
	for {
		if err := do(); err != syscall.EINTR {
			return err
		}
	}
}

func syncFSNumber() uintptr {
	if unsafe.Sizeof(uintptr(0)) == 8 && isARM64 {
		return 267
	}
	return sysSyncFS
}
