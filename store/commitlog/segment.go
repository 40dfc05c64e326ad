package commitlog

import (
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/store/vfs"
)

// segment is one file of the log. It stays open while refs is above 0; the list
// of the log holds one reference.
type segment struct {
	fs   vfs.FS
	path string
	base int64
	size int64
	refs atomic.Int32
	used atomic.Bool // since the last CloseUnused

	mu sync.Mutex
	// file is opened at the first use. Guarded by mu.
	file vfs.File
	// ready mirrors file for the path without a lock.
	ready atomic.Pointer[vfs.File]
}

func newSegment(fs vfs.FS, dir string, base, size int64) *segment {
	s := &segment{fs: fs, path: filepath.Join(dir, FileName(base)), base: base, size: size}
	s.refs.Store(1)
	return s
}

// FileName is the 20-digit name of the file that starts at offset.
func FileName(offset int64) string { return fmt.Sprintf("%020d", offset) }

// ParseFileName is the inverse of FileName; it fails for other names.
func ParseFileName(name string) (int64, bool) {
	if len(name) != 20 {
		return 0, false
	}
	n, err := strconv.ParseInt(name, 10, 64)
	return n, err == nil && n >= 0
}

// acquire takes a reference; it fails when the segment is on its way out.
func (s *segment) acquire() bool {
	for {
		n := s.refs.Load()
		if n <= 0 {
			return false
		}
		if s.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release gives a reference back; the last one closes the file.
func (s *segment) release() {
	if s.refs.Add(-1) != 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		_ = s.file.Close() // nothing unsynced is promised by a segment that nobody holds
		s.file = nil
		s.ready.Store(nil)
	}
}

// open gives the file. REQUIRES: the caller holds a reference.
func (s *segment) open() (vfs.File, error) {
	if !s.used.Load() {
		s.used.Store(true)
	}
	if f := s.ready.Load(); f != nil {
		return *f, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		return s.file, nil
	}
	f, err := s.fs.Open(s.path, vfs.ReadWrite)
	if err != nil {
		return nil, fmt.Errorf("commitlog: open segment: %w", err)
	}
	s.setLocked(f)
	return f, nil
}

// idle says whether the file is open and nobody has asked for it since the last
// call.
func (s *segment) idle() bool { return !s.used.Swap(false) && s.ready.Load() != nil }

// setLocked installs the file. REQUIRES: s.mu, or a segment nobody else knows.
func (s *segment) setLocked(f vfs.File) {
	s.file = f
	s.ready.Store(&f)
}

// create makes the file in its full size with a durable name.
func (s *segment) create() error {
	f, err := s.fs.Open(s.path, vfs.Create)
	if err == nil {
		if err = f.Allocate(s.size); err == nil {
			err = f.Sync()
		}
		if err == nil {
			err = s.fs.SyncDir(filepath.Dir(s.path))
		}
		if err != nil {
			_ = f.Close()
			_ = s.fs.Remove(s.path) // best effort: a short file is completed at the next start
		}
	}
	if err != nil {
		return fmt.Errorf("commitlog: create segment %s of %d bytes: %w", s.path, s.size, err)
	}
	s.setLocked(f)
	return nil
}
