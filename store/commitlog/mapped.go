package commitlog

import (
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/store/vfs"
)

// maxMapped is how many segments are mapped at a time: the page tables of a
// mapping that was looked at take memory of their own.
const maxMapped = 16

// mapped is a segment as memory. It is unmapped with its last reference.
type mapped struct {
	m    vfs.Mapping
	base int64
	last int64 // clock of the last use, guarded by maps.mu
	refs atomic.Int32
}

func (m *mapped) release() {
	if m.refs.Add(-1) == 0 {
		_ = m.m.Close() // of memory that is only read
	}
}

// maps keeps the segments that were looked at last mapped.
type maps struct {
	// mu guards all of it. A segment is mapped under it, once.
	mu    sync.Mutex
	list  []*mapped
	clock int64
	none  bool // the file system has no mappings, or the machine no more
}

// take gives a segment with a reference, nil when it cannot be mapped. s is held
// by the caller.
func (ms *maps) take(s *segment) *mapped {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.none {
		return nil
	}
	ms.clock++
	oldest := 0
	for i, m := range ms.list {
		if m.base == s.base {
			m.last = ms.clock
			m.refs.Add(1)
			return m
		}
		if m.last < ms.list[oldest].last {
			oldest = i
		}
	}
	m := ms.open(s)
	if m == nil {
		return nil
	}
	if len(ms.list) < maxMapped {
		ms.list = append(ms.list, m)
	} else {
		ms.list[oldest].release()
		ms.list[oldest] = m
	}
	return m
}

func (ms *maps) open(s *segment) *mapped {
	f, err := s.open()
	if err != nil {
		return nil // the read that follows reports it
	}
	mapper, ok := f.(vfs.Mapper)
	if !ok {
		ms.none = true
		return nil
	}
	m, err := mapper.Map(s.size)
	if err != nil {
		ms.none = true
		return nil
	}
	x := &mapped{m: m, base: s.base, last: ms.clock}
	x.refs.Store(2) // the list's and the caller's
	return x
}

// cut forgets the segments that lie before min.
func (ms *maps) cut(min int64) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	kept := ms.list[:0]
	for _, m := range ms.list {
		if m.base < min {
			m.release()
		} else {
			kept = append(kept, m)
		}
	}
	clear(ms.list[len(kept):])
	ms.list = kept
}
