package commitlog

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/store/vfs"
)

// maxMapped is how many segments are mapped at a time: the page tables of a
// mapping that was looked at take memory of their own.
const maxMapped = 16

const (
	// pieceSize is how much of a mapping is asked for at a time whether it is in
	// memory: it serves all who read there in the next moments.
	pieceSize = 1 << 20
	// askAgain is for how long (ms) the answer counts, a few times as long as
	// readers need for a piece. A page that leaves the memory meanwhile makes a
	// reader wait for the disk with its processor: the shorter the better.
	askAgain = 20
	// mapAgain is how long (ms) nothing is mapped after a failure.
	mapAgain = 10_000
)

// mapped is a segment as memory. It is unmapped with its last reference.
type mapped struct {
	m    vfs.Mapping
	base int64
	size int64
	last int64 // clock of the last use, guarded by maps.mu
	refs atomic.Int32
	// seen has, for each piece, the time of the last answer (ms) shifted left by
	// one, and whether all of it was in memory as the lowest bit; 0 before.
	seen []atomic.Int64
	// checked has, for each piece, the marks of its records, nil before the first.
	// A piece that is not in memory as a whole has none: what comes from the disk
	// again is checked again.
	checked []atomic.Pointer[marks]
}

func newMapped(m vfs.Mapping, base, size int64) *mapped {
	n := (size + pieceSize - 1) / pieceSize
	return &mapped{m: m, base: base, size: size, seen: make([]atomic.Int64, n), checked: make([]atomic.Pointer[marks], n)}
}

// resident says whether [from, to) is in memory. The segment is written up to end.
func (m *mapped) resident(from, to, end, now int64) bool {
	for p := from / pieceSize; p*pieceSize < to; p++ {
		if !m.piece(p, end, now) {
			return m.m.Resident(from, to)
		}
	}
	return true
}

// piece says whether a whole piece was in memory a moment ago.
func (m *mapped) piece(p, end, now int64) bool {
	from, to := p*pieceSize, min((p+1)*pieceSize, m.size)
	if to > end {
		return false // its end is in no memory yet
	}
	seen := m.seen[p].Load()
	if age := now - seen>>1; seen == 0 || age < 0 || age >= askAgain {
		seen = now << 1
		if m.m.Resident(from, to) {
			seen |= 1
		} else {
			m.checked[p].Store(nil)
		}
		m.seen[p].Store(seen)
	}
	return seen&1 == 1
}

// lost notes that a page of the piece at byte in could not be had.
func (m *mapped) lost(in int64) {
	m.seen[in/pieceSize].And(^1)
	m.checked[in/pieceSize].Store(nil)
}

// marks gives those of the piece that byte in lies in.
func (m *mapped) marks(in int64) marks {
	at := &m.checked[in/pieceSize]
	if p := at.Load(); p != nil {
		return *p
	}
	fresh := newMarks(pieceSize)
	at.CompareAndSwap(nil, &fresh) // whoever else was faster has as few
	return fresh
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
	none  bool  // the file system has no mappings
	until int64 // ms, nothing is mapped before: the machine had no more mappings
	log   *slog.Logger
}

// take gives a segment with a reference, nil when it cannot be mapped at now (ms).
// s is held by the caller.
func (ms *maps) take(s *segment, now int64) *mapped {
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
	if now < ms.until && ms.until-now <= mapAgain {
		return nil
	}
	m := ms.open(s, now)
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

func (ms *maps) open(s *segment, now int64) *mapped {
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
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		ms.log.Info("commitlog: files cannot be mapped here, they are read", "file", s.path, "err", err)
		ms.none = true
		return nil
	case err != nil:
		ms.log.Warn("commitlog: a file cannot be mapped, it is read; the next try comes later",
			"file", s.path, "after ms", int64(mapAgain), "err", err)
		ms.until = now + mapAgain
		return nil
	case ms.until != 0:
		ms.log.Info("commitlog: files can be mapped again", "file", s.path)
		ms.until = 0
	}
	x := newMapped(m, s.base, s.size)
	x.last = ms.clock
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
