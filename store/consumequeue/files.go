package consumequeue

import (
	"container/list"
	"errors"
	"io/fs"
	"sync"

	"github.com/merlinmq/merlin/store/vfs"
)

type fileKey struct {
	q    *Queue
	base int64
}

// handle is an open file with the number of its users.
type handle struct {
	key   fileKey
	file  vfs.File
	refs  int  // guarded by files.mu
	dead  bool // to be closed by the last user; guarded by files.mu
	round int  // of the last use; guarded by files.mu
}

// files keeps the most recently used files open.
type files struct {
	fs  vfs.FS
	cap int

	mu    sync.Mutex
	open  map[fileKey]*list.Element // of *handle
	used  *list.List                // most recently used first
	round int                       // counts the calls of closeUnused
	late  uint                      // counts the files that were opened
}

// oneInFront is how many files share one that counts as used more than once, so that
// the list goes with the times.
const oneInFront = 32

func newFiles(fs vfs.FS, cap int) *files {
	return &files{fs: fs, cap: cap, open: map[fileKey]*list.Element{}, used: list.New()}
}

// get gives the file that starts at base, which the caller gives back with put.
// With create, a missing one is made.
func (s *files) get(q *Queue, base int64, create bool) (*handle, error) {
	key := fileKey{q, base}
	if h := s.hit(key); h != nil {
		return h, nil
	}
	f, err := s.fs.Open(q.path(base), vfs.ReadWrite)
	if err != nil && create && errors.Is(err, fs.ErrNotExist) {
		f, err = q.create(base)
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	if e := s.open[key]; e != nil { // somebody else was faster
		h := s.useLocked(e)
		s.mu.Unlock()
		_ = f.Close() // nothing was written through it
		return h, nil
	}
	h := &handle{key: key, file: f, refs: 1, round: s.round}
	s.open[key] = s.insertLocked(h)
	idle := s.surplusLocked()
	s.mu.Unlock()
	closeAll(idle)
	return h, nil
}

func (s *files) hit(key fileKey) *handle {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.open[key]
	if e == nil {
		return nil
	}
	return s.useLocked(e)
}

// useLocked takes an open file for one more user. REQUIRES: s.mu.
func (s *files) useLocked(e *list.Element) *handle {
	s.used.MoveToFront(e)
	h := e.Value.(*handle)
	h.refs++
	h.round = s.round
	return h
}

// insertLocked puts a new handle into the list. When all places are taken most go to
// the end, where the next one pushes them out unless they are used again: with a few
// more queues than places, one after the other, the oldest is always the one that is
// needed next. REQUIRES: s.mu.
func (s *files) insertLocked(h *handle) *list.Element {
	s.late++
	if len(s.open) < s.cap || s.late%oneInFront == 0 {
		return s.used.PushFront(h)
	}
	return s.used.PushBack(h)
}

// surplusLocked takes idle files off the end while there are too many. REQUIRES:
// s.mu.
func (s *files) surplusLocked() []vfs.File {
	return s.takeIdleLocked(len(s.open)-s.cap, func(*handle) bool { return true })
}

// takeIdleLocked takes up to n of the idle files that pick agrees to, from the end
// on. REQUIRES: s.mu.
func (s *files) takeIdleLocked(n int, pick func(*handle) bool) []vfs.File {
	var out []vfs.File
	for e := s.used.Back(); e != nil && len(out) < n; {
		prev := e.Prev()
		if h := e.Value.(*handle); h.refs == 0 && pick(h) {
			s.used.Remove(e)
			delete(s.open, h.key)
			out = append(out, h.file)
		}
		e = prev
	}
	return out
}

// closeUnused closes the files that nobody has used since the call before.
func (s *files) closeUnused() {
	s.mu.Lock()
	idle := s.takeIdleLocked(len(s.open), func(h *handle) bool { return h.round < s.round })
	s.round++
	s.mu.Unlock()
	closeAll(idle)
}

// closeAll ignores errors: what these files hold is made durable by the sync of
// the whole file system, and can be built again.
func closeAll(fs []vfs.File) {
	for _, f := range fs {
		_ = f.Close()
	}
}

func (s *files) put(h *handle) {
	s.mu.Lock()
	h.refs--
	last := h.dead && h.refs == 0
	s.mu.Unlock()
	if last {
		closeAll([]vfs.File{h.file})
	}
}

// forget closes one file, at once or when its last user is done.
func (s *files) forget(q *Queue, base int64) {
	s.mu.Lock()
	e := s.open[fileKey{q, base}]
	if e == nil {
		s.mu.Unlock()
		return
	}
	h := e.Value.(*handle)
	s.used.Remove(e)
	delete(s.open, h.key)
	h.dead = true
	idle := h.refs == 0
	s.mu.Unlock()
	if idle {
		closeAll([]vfs.File{h.file})
	}
}

func (s *files) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

func (s *files) closeIdle() {
	s.mu.Lock()
	keep := s.cap
	s.cap = 0
	idle := s.surplusLocked()
	s.cap = keep
	s.mu.Unlock()
	closeAll(idle)
}
