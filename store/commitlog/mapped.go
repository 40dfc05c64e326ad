package commitlog

import (
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
	// reader wait for the disk with its processor, and a disk that fails just then
	// ends the program: the shorter the better.
	askAgain = 20
)

// mapped is a segment as memory. It is unmapped with its last reference.
type mapped struct {
	m    vfs.Mapping
	base int64
	last int64 // clock of the last use, guarded by maps.mu
	refs atomic.Int32
	// seen has, for each piece, the time of the last answer (ms) shifted left by
	// one, and whether all of it was in memory as the lowest bit; 0 before.
	seen []atomic.Int64
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
	from, to := p*pieceSize, min((p+1)*pieceSize, int64(len(m.m.Bytes())))
	if to > end {
		return false // its end is in no memory yet
	}
	seen := m.seen[p].Load()
	if age := now - seen>>1; seen == 0 || age < 0 || age >= askAgain {
		seen = now << 1
		if m.m.Resident(from, to) {
			seen |= 1
		}
		m.seen[p].Store(seen)
	}
	return seen&1 == 1
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
	x := &mapped{m: m, base: s.base, last: ms.clock, seen: make([]atomic.Int64, (s.size+pieceSize-1)/pieceSize)}
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
