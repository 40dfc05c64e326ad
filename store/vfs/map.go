package vfs

import (
	"errors"
	"runtime/debug"
)

// Mapper is a File that can be looked at without being read. Not every file
// system has it: ask by a type assertion.
type Mapper interface {
	// Map maps the first size bytes of the file for reading. An error that is
	// errors.ErrUnsupported will not go away.
	Map(size int64) (Mapping, error)
}

// Mapping is the content of a file as memory. It outlives the File it came from.
// Nobody gets hold of the memory itself: a page of it may go at any time, when the
// file is cut by somebody or the disk fails, and who looks at it then ends the
// program.
type Mapping interface {
	// ReadAt fills p from off, or gives ErrFault when a page cannot be had; p holds
	// anything then. What is not in the machine's memory blocks the processor, not
	// just the goroutine: ask Resident first.
	ReadAt(p []byte, off int64) error
	// Resident says whether [from, to) is in the machine's memory now. It looks
	// at MaxResident bytes at most; a longer range is not.
	Resident(from, to int64) bool
	// Close unmaps it. ReadAt must not be called any more.
	Close() error
}

// MaxResident is the longest range that Mapping.Resident looks at.
const MaxResident = 2 << 20

// ErrFault says that a page of a mapping cannot be had: the file became shorter, or
// the disk failed. Reading the file says which.
var ErrFault = errors.New("vfs: a page of a mapped file cannot be read")

// copyMapped copies from memory that may not be there.
func copyMapped(dst, src []byte) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			if _, fault := r.(interface{ Addr() uintptr }); !fault {
				panic(r)
			}
			err = ErrFault
		}
	}()
	copy(dst, src)
	return nil
}
