//go:build !linux

package vfs

import (
	"io"
	"os"
)

func fdatasync(f *os.File) error { return f.Sync() }

func fallocate(f *os.File, size int64) error {
	fi, err := f.Stat()
	if err != nil || fi.Size() >= size {
		return err
	}
	return f.Truncate(size)
}

// syncFS: without the Linux call there is no cheap way to sync many files; other
// systems are for development.
func syncFS(dir *os.File) error { return dir.Sync() }

// lock only keeps the file open: other systems are for development.
func lock(f *os.File) (io.Closer, error) { return f, nil }

func usage(string) (Usage, error) { return Usage{}, nil }

// PhysicalMemory is the memory of the machine in bytes, 0 when not known.
func PhysicalMemory() int64 { return 0 }

// OpenFiles is how many files the process may have open, 0 when not known.
func OpenFiles() int { return 0 }
