package vfs

import (
	"fmt"
	"io"
	"os"
)

type osFS struct{}

// OS is the machine's file system.
func OS() FS { return osFS{} }

// Or gives f, or the machine's file system when f is nil.
func Or(f FS) FS {
	if f == nil {
		return osFS{}
	}
	return f
}

type osFile struct{ f *os.File }

func (osFS) Open(path string, mode Mode) (File, error) {
	flag := os.O_RDONLY
	switch mode {
	case ReadWrite:
		flag = os.O_RDWR
	case Create:
		flag = os.O_RDWR | os.O_CREATE
	}
	f, err := os.OpenFile(path, flag, 0o644)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) MkdirAll(path string) error   { return os.MkdirAll(path, 0o755) }
func (osFS) Remove(path string) error     { return os.Remove(path) }
func (osFS) RemoveAll(path string) error  { return os.RemoveAll(path) }
func (osFS) Rename(from, to string) error { return os.Rename(from, to) }

func (osFS) ReadDir(path string) ([]Entry, error) {
	es, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	out := make([]Entry, 0, len(es))
	for _, e := range es {
		en := Entry{Name: e.Name(), Dir: e.IsDir()}
		if !en.Dir {
			fi, err := e.Info()
			if os.IsNotExist(err) {
				continue // removed between the two calls
			}
			if err != nil {
				return nil, err
			}
			en.Size = fi.Size()
		}
		out = append(out, en)
	}
	return out, nil
}

func (osFS) Stat(path string) (Entry, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Name: fi.Name(), Dir: fi.IsDir(), Size: fi.Size()}, nil
}

func (osFS) SyncDir(path string) error { return withDir(path, (*os.File).Sync) }
func (osFS) SyncFS(path string) error  { return withDir(path, syncFS) }

func (osFS) OpenDisk(path string) (Disk, error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return osDisk{d}, nil
}

// osDisk is a directory that stays open: the kernel keeps for each open file how far
// it was told of errors.
type osDisk struct{ d *os.File }

func (d osDisk) Sync() error  { return syncFS(d.d) }
func (d osDisk) Close() error { return d.d.Close() }

func withDir(path string, do func(*os.File) error) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return do(d)
}

func (osFS) Lock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	c, err := lock(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	// Java writes "lock"; the process id behind it is for who finds it locked.
	text := fmt.Appendf(nil, "lock %d\n", os.Getpid())
	_, err = f.WriteAt(text, 0)
	if err == nil {
		err = f.Truncate(int64(len(text)))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return c, nil
}

func (osFS) Usage(path string) (Usage, error) { return usage(path) }

func (f osFile) ReadAt(p []byte, off int64) (int, error)  { return f.f.ReadAt(p, off) }
func (f osFile) WriteAt(p []byte, off int64) (int, error) { return f.f.WriteAt(p, off) }
func (f osFile) Sync() error                              { return fdatasync(f.f) }
func (f osFile) Allocate(size int64) error                { return fallocate(f.f, size) }
func (f osFile) Truncate(size int64) error                { return f.f.Truncate(size) }
func (f osFile) Close() error                             { return f.f.Close() }
func (f osFile) Size() (int64, error) {
	fi, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}
