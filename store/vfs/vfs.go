package vfs

import (
	"io"
	"io/fs"
	"path/filepath"
)

// Mode says how Open treats a file.
type Mode uint8

// Modes of Open.
const (
	// ReadOnly opens an existing file for reading.
	ReadOnly Mode = iota
	// ReadWrite opens an existing file for both.
	ReadWrite
	// Create opens for both and creates the file when it is missing.
	Create
)

// FS is a file system. Paths are the operating system's. All methods may be
// called from any goroutine. A missing file gives an error that is
// fs.ErrNotExist.
type FS interface {
	// Open opens a file.
	Open(path string, mode Mode) (File, error)
	// MkdirAll creates a directory and its missing parents.
	MkdirAll(path string) error
	// Remove removes a file or an empty directory.
	Remove(path string) error
	// RemoveAll removes a file or a directory with all that it holds; a missing
	// one is no error.
	RemoveAll(path string) error
	// Rename replaces to by from.
	Rename(from, to string) error
	// ReadDir lists a directory in the order of the names.
	ReadDir(path string) ([]Entry, error)
	// Stat tells about one file or directory.
	Stat(path string) (Entry, error)
	// SyncDir makes creations, removals and renames inside a directory durable.
	SyncDir(path string) error
	// SyncFS makes everything of the file system that holds path durable. Who
	// depends on its errors opens a Disk.
	SyncFS(path string) error
	// OpenDisk opens the file system that holds path, for syncs of all of it.
	OpenDisk(path string) (Disk, error)
	// Lock takes the exclusive lock of a file, which is created when missing, and
	// holds it until the Closer is closed. It fails at once when another process
	// (also a Java broker) or another store of this process holds it.
	Lock(path string) (io.Closer, error)
	// Usage tells how full the disk that holds path is.
	Usage(path string) (Usage, error)
}

// File is an open file. ReadAt and WriteAt may be called from any goroutine.
type File interface {
	// ReadAt is io.ReaderAt.
	io.ReaderAt
	// WriteAt is io.WriterAt.
	io.WriterAt
	// Sync makes the content and the size durable (fdatasync).
	Sync() error
	// Allocate makes the file at least size bytes long with the blocks reserved,
	// so that writing inside it does not fail for want of space. New bytes are 0.
	Allocate(size int64) error
	// Truncate cuts the file, or extends it by a hole of zeros.
	Truncate(size int64) error
	// Size is the length.
	Size() (int64, error)
	// Close gives the file back. Reads and writes under way are waited for or
	// fail; they never touch another file.
	Close() error
}

// Disk is a file system that is open for syncs.
type Disk interface {
	// Sync makes everything of the file system durable. It fails when anything could
	// not be written since it was opened or since the Sync before, also when somebody
	// else was told of that: SyncFS knows of nothing that was told before its call.
	Sync() error
	// Close gives it back.
	Close() error
}

// Entry is one name of a directory.
type Entry struct {
	Name string
	Dir  bool
	Size int64
}

// Usage is the size of a disk in bytes.
type Usage struct {
	Total int64
	// Free is what an ordinary user may still take.
	Free int64
	// Size and Unused have what is kept for the root user in them, as neither of the
	// others has (File.getTotalSpace, File.getFreeSpace).
	Size, Unused int64
}

// Ratio is the used share, 0 to 1, or -1 when the size is not known.
func (u Usage) Ratio() float64 {
	if u.Total <= 0 {
		return -1
	}
	return float64(u.Total-u.Free) / float64(u.Total)
}

// ReadFile reads a whole small file.
func ReadFile(f FS, path string) ([]byte, error) {
	h, err := f.Open(path, ReadOnly)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	n, err := h.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	got, err := h.ReadAt(b, 0)
	if err == io.EOF && int64(got) == n {
		err = nil
	}
	return b[:got], err
}

// ReadFull fills p from off. A file that ends early gives io.ErrUnexpectedEOF.
func ReadFull(f io.ReaderAt, p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// MkdirDurable is MkdirAll with names that survive a power failure.
func MkdirDurable(f FS, path string) error {
	var made []string // the parents of new directories
	for dir := filepath.Clean(path); !Exists(f, dir); {
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		made = append(made, up)
		dir = up
	}
	if err := f.MkdirAll(path); err != nil {
		return err
	}
	for _, dir := range made {
		if err := f.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// Exists says whether path is there; any other error counts as absent.
func Exists(f FS, path string) bool {
	_, err := f.Stat(path)
	return err == nil
}

var errNotExist = fs.ErrNotExist
