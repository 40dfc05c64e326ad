package commitlog

import (
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/compat/offheap"
)

// chunkSize is the unit in which the tail of the log is kept in memory.
const chunkSize = 1 << 20

// chunk is a piece of the log. Its bytes up to used never change until the last
// reference is gone. Its memory is offheap's.
type chunk struct {
	home *chunks
	refs atomic.Int32
	base int64
	used int // guarded by the lock of its owner: tail, or blocks
	buf  []byte
	// checked has the marks of what was read from the disk; nil for the tail, whose
	// bytes never left the memory.
	checked marks
}

func (c *chunk) release() {
	if c.refs.Add(-1) == 0 {
		c.home.put(c)
	}
}

// chunks lends chunks of one size and keeps a few of those that came back.
type chunks struct {
	size, keep int

	mu   sync.Mutex
	free []*chunk
	over bool // nothing is kept any more
}

func (p *chunks) get() *chunk {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		c := p.free[n-1]
		p.free = p.free[:n-1]
		return c
	}
	return &chunk{home: p, buf: offheap.Bytes(p.size)}
}

func (p *chunks) put(c *chunk) {
	p.mu.Lock()
	kept := !p.over && len(p.free) < p.keep
	if kept {
		p.free = append(p.free, c)
	}
	p.mu.Unlock()
	if !kept {
		offheap.Free(c.buf)
		c.buf = nil
	}
}

// end gives back what is kept; what is still lent follows as it comes back.
func (p *chunks) end() {
	p.mu.Lock()
	free := p.free
	p.free, p.over = nil, true
	p.mu.Unlock()
	for _, c := range free {
		offheap.Free(c.buf)
	}
}

// tail keeps the newest bytes of the log in memory, so that consumers that keep
// up and the dispatcher read without a system call.
type tail struct {
	pool chunks

	// mu guards chunks and used of each.
	mu     sync.Mutex
	chunks []*chunk // oldest first
	keep   int
}

func newTail(bytes int) *tail {
	return &tail{keep: max(bytes/chunkSize, 2), pool: chunks{size: chunkSize, keep: 2}}
}

// room lends the rest of a chunk for what will be written at off, at least n
// bytes, nil when no chunk is that large. One caller at a time.
func (t *tail) room(off int64, n int) []byte {
	if n > chunkSize {
		return nil
	}
	c := t.last()
	if c == nil || c.base+int64(c.used) != off || len(c.buf)-c.used < n {
		c = t.push(off)
	}
	return c.buf[c.used:c.used]
}

// add makes data readable, which was written at off, when it stands in the room
// that was lent last; anything else is not kept. One caller at a time.
func (t *tail) add(data []byte, off int64) {
	c := t.last()
	if len(data) == 0 || c == nil || c.base+int64(c.used) != off || len(c.buf)-c.used < len(data) || &c.buf[c.used] != &data[0] {
		return
	}
	t.mu.Lock()
	c.used += len(data)
	t.mu.Unlock()
}

// last is the chunk that grows.
func (t *tail) last() *chunk {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.chunks) == 0 {
		return nil
	}
	return t.chunks[len(t.chunks)-1]
}

func (t *tail) push(off int64) *chunk {
	c := t.pool.get()
	c.refs.Store(1)
	c.base = off
	t.mu.Lock()
	c.used = 0
	var old *chunk
	if len(t.chunks) >= t.keep {
		old = t.chunks[0]
		copy(t.chunks, t.chunks[1:])
		t.chunks = t.chunks[:len(t.chunks)-1]
	}
	t.chunks = append(t.chunks, c)
	t.mu.Unlock()
	if old != nil {
		old.release()
	}
	return c
}

// view gives the bytes from off to the end of its chunk, at least n; nil when
// they are not in memory. The caller releases the chunk.
func (t *tail) view(off int64, n int) ([]byte, *chunk) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := len(t.chunks) - 1; i >= 0; i-- {
		c := t.chunks[i]
		if off < c.base {
			continue
		}
		in := off - c.base
		if in+int64(n) > int64(c.used) {
			return nil, nil
		}
		c.refs.Add(1)
		return c.buf[in:c.used:c.used], c
	}
	return nil, nil
}

// forget takes away what was written at off and behind. REQUIRES: the appender, and
// that nobody was given it.
func (t *tail) forget(off int64) {
	var gone []*chunk
	t.mu.Lock()
	for n := len(t.chunks); n > 0 && t.chunks[n-1].base+int64(t.chunks[n-1].used) > off; n-- {
		// A chunk that was lent keeps its bytes, so it cannot be written again.
		gone = append(gone, t.chunks[n-1])
		t.chunks = t.chunks[:n-1]
	}
	t.mu.Unlock()
	for _, c := range gone {
		c.release()
	}
}

// drop forgets everything.
func (t *tail) drop() {
	t.mu.Lock()
	cs := t.chunks
	t.chunks = nil
	t.mu.Unlock()
	for _, c := range cs {
		c.release()
	}
	t.pool.end()
}
