package store

import (
	"math/bits"
	"sync"
)

const (
	minBufferBits = 12 // 4 KiB
	maxBufferBits = 22 // 4 MiB; larger ones are not kept
)

// buffer is pooled memory for one read of the log.
type buffer struct {
	b    []byte
	pool *sync.Pool
}

func (b *buffer) release() {
	if b != nil && b.pool != nil {
		b.pool.Put(b)
	}
}

// buffers are pools of memory by powers of two.
type buffers struct {
	pools [maxBufferBits - minBufferBits + 1]sync.Pool
}

func (p *buffers) get(n int) *buffer {
	k := max(bits.Len(uint(max(n, 1)-1)), minBufferBits)
	if k > maxBufferBits {
		return &buffer{b: make([]byte, n)}
	}
	pool := &p.pools[k-minBufferBits]
	if b, ok := pool.Get().(*buffer); ok {
		b.b = b.b[:n]
		return b
	}
	return &buffer{b: make([]byte, n, 1<<k), pool: pool}
}
