package vfs

import (
	"errors"
	"io"
	"sync/atomic"
)

// Op names an operation for Inject.
type Op struct {
	// Name is the method: Open, WriteAt, Sync, Allocate, …
	Name string
	// Path is the file or directory.
	Path string
	// N counts all operations from 1.
	N int64
}

// Inject passes everything on to FS and asks Fail before each operation that can
// change or read the disk; what Fail returns is the operation's error and the
// operation does not happen. A failing WriteAt that gives ErrShort writes half. Map
// is mapping a file, MapReadAt reading of a mapping, which gives ErrFault whatever the
// error. A
// Sync, SyncDir or SyncFS that gives ErrSkip does nothing and says that it worked.
type Inject struct {
	FS   FS
	Fail func(Op) error
	n    atomic.Int64
}

// ErrSkip makes a sync a lie: nothing becomes durable, and no error tells so.
var ErrSkip = errors.New("vfs: skipped")

// ErrShort makes a WriteAt write only the first half of its bytes and fail.
type ErrShort struct{ Err error }

// Error implements error.
func (e ErrShort) Error() string { return "short write: " + e.Err.Error() }

// Unwrap gives the cause.
func (e ErrShort) Unwrap() error { return e.Err }

// Count is the number of operations so far.
func (i *Inject) Count() int64 { return i.n.Load() }

// sync asks for one of the syncs; skipped means that it is done.
func (i *Inject) sync(name, path string) (skipped bool, err error) {
	err = i.ask(name, path)
	if errors.Is(err, ErrSkip) {
		return true, nil
	}
	return false, err
}

func (i *Inject) ask(name, path string) error {
	return i.Fail(Op{Name: name, Path: path, N: i.n.Add(1)})
}

// Open implements FS.
func (i *Inject) Open(path string, mode Mode) (File, error) {
	if err := i.ask("Open", path); err != nil {
		return nil, err
	}
	f, err := i.FS.Open(path, mode)
	if err != nil {
		return nil, err
	}
	file := &injectFile{i, f, path}
	if m, ok := f.(Mapper); ok {
		return injectMapper{file, m}, nil
	}
	return file, nil
}

// MkdirAll implements FS.
func (i *Inject) MkdirAll(path string) error {
	if err := i.ask("MkdirAll", path); err != nil {
		return err
	}
	return i.FS.MkdirAll(path)
}

// Remove implements FS.
func (i *Inject) Remove(path string) error {
	if err := i.ask("Remove", path); err != nil {
		return err
	}
	return i.FS.Remove(path)
}

// RemoveAll implements FS.
func (i *Inject) RemoveAll(path string) error {
	if err := i.ask("RemoveAll", path); err != nil {
		return err
	}
	return i.FS.RemoveAll(path)
}

// Rename implements FS.
func (i *Inject) Rename(from, to string) error {
	if err := i.ask("Rename", from); err != nil {
		return err
	}
	return i.FS.Rename(from, to)
}

// ReadDir implements FS.
func (i *Inject) ReadDir(path string) ([]Entry, error) {
	if err := i.ask("ReadDir", path); err != nil {
		return nil, err
	}
	return i.FS.ReadDir(path)
}

// Stat implements FS.
func (i *Inject) Stat(path string) (Entry, error) {
	if err := i.ask("Stat", path); err != nil {
		return Entry{}, err
	}
	return i.FS.Stat(path)
}

// SyncDir implements FS.
func (i *Inject) SyncDir(path string) error {
	if skipped, err := i.sync("SyncDir", path); skipped || err != nil {
		return err
	}
	return i.FS.SyncDir(path)
}

// SyncFS implements FS.
func (i *Inject) SyncFS(path string) error {
	if skipped, err := i.sync("SyncFS", path); skipped || err != nil {
		return err
	}
	return i.FS.SyncFS(path)
}

// OpenDisk implements FS. The operation of its Sync is named SyncFS.
func (i *Inject) OpenDisk(path string) (Disk, error) {
	if err := i.ask("OpenDisk", path); err != nil {
		return nil, err
	}
	d, err := i.FS.OpenDisk(path)
	if err != nil {
		return nil, err
	}
	return injectDisk{d, i, path}, nil
}

type injectDisk struct {
	Disk
	i    *Inject
	path string
}

// Sync implements Disk.
func (d injectDisk) Sync() error {
	if skipped, err := d.i.sync("SyncFS", d.path); skipped || err != nil {
		return err
	}
	return d.Disk.Sync()
}

// Lock implements FS.
func (i *Inject) Lock(path string) (io.Closer, error) {
	if err := i.ask("Lock", path); err != nil {
		return nil, err
	}
	return i.FS.Lock(path)
}

// Usage implements FS; it is not counted.
func (i *Inject) Usage(path string) (Usage, error) { return i.FS.Usage(path) }

type injectFile struct {
	i    *Inject
	f    File
	path string
}

func (f *injectFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.i.ask("ReadAt", f.path); err != nil {
		return 0, err
	}
	return f.f.ReadAt(p, off)
}

func (f *injectFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.i.ask("WriteAt", f.path); err != nil {
		if _, short := err.(ErrShort); short {
			n, _ := f.f.WriteAt(p[:len(p)/2], off)
			return n, err
		}
		return 0, err
	}
	return f.f.WriteAt(p, off)
}

func (f *injectFile) Sync() error {
	if skipped, err := f.i.sync("Sync", f.path); skipped || err != nil {
		return err
	}
	return f.f.Sync()
}

func (f *injectFile) Allocate(size int64) error {
	if err := f.i.ask("Allocate", f.path); err != nil {
		return err
	}
	return f.f.Allocate(size)
}

func (f *injectFile) Truncate(size int64) error {
	if err := f.i.ask("Truncate", f.path); err != nil {
		return err
	}
	return f.f.Truncate(size)
}

// injectMapper is a file that can be mapped.
type injectMapper struct {
	*injectFile
	m Mapper
}

// Map implements Mapper.
func (f injectMapper) Map(size int64) (Mapping, error) {
	if err := f.i.ask("Map", f.path); err != nil {
		return nil, err
	}
	m, err := f.m.Map(size)
	if err != nil {
		return nil, err
	}
	return injectMapping{m, f.i, f.path}, nil
}

type injectMapping struct {
	Mapping
	i    *Inject
	path string
}

// ReadAt implements Mapping.
func (m injectMapping) ReadAt(p []byte, off int64) error {
	if m.i.ask("MapReadAt", m.path) != nil {
		return ErrFault
	}
	return m.Mapping.ReadAt(p, off)
}

func (f *injectFile) Size() (int64, error) { return f.f.Size() }
func (f *injectFile) Close() error         { return f.f.Close() }
