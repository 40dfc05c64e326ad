package commitlog

import (
	"math"
	"sync"
)

const (
	// blockSize is the unit in which the log is read ahead for consumers that
	// are behind. It divides every usual segment size, and blocks do not cross
	// segments anyway.
	blockSize = 128 << 10
	// blockCount is how many blocks are kept.
	blockCount = 32
)

// blocks keeps the pieces of the log that were read last. Consumers that catch
// up on different queues of the same part of the log would otherwise each read
// every record of theirs by itself.
type blocks struct {
	pool chunks
	read func(p []byte, off int64) error

	// mu guards list, the fields of each block, and used of their chunks.
	mu    sync.Mutex
	list  []*block
	clock int64
}

// block is a chunk with the log from its base on.
type block struct {
	c      *chunk
	last   int64         // clock of the last use
	loaded chan struct{} // closed when the chunk is filled, or err is set
	err    error
}

func newBlocks(read func(p []byte, off int64) error) *blocks {
	return &blocks{pool: chunks{size: blockSize, keep: 4}, read: read}
}

// view gives the bytes from off to end, at least n, of the block [base, end) that
// off lies in; the chunk is nil when the block does not hold them. The caller
// releases the chunk.
func (bs *blocks) view(base, end, off int64, n int) ([]byte, *chunk, error) {
	if off+int64(n) > end {
		return nil, nil, nil
	}
	b, fresh := bs.take(base, int(off-base)+n, int(end-base))
	if fresh {
		b.err = bs.read(b.c.buf[:end-base], base)
		close(b.loaded)
		if b.err != nil {
			bs.forget(b)
		}
	} else {
		<-b.loaded
	}
	if b.err != nil {
		b.c.release()
		return nil, nil, b.err
	}
	return b.c.buf[off-base : b.c.used : b.c.used], b.c, nil
}

// take gives the block at base with a reference to its chunk. fresh says that the
// caller has to fill it with size bytes: there was none, or none with need bytes,
// because the log has grown since.
func (bs *blocks) take(base int64, need, size int) (b *block, fresh bool) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	bs.clock++
	oldest := -1
	for i, b := range bs.list {
		if b.c.base == base {
			if b.c.used >= need {
				b.last = bs.clock
				b.c.refs.Add(1)
				return b, false
			}
			oldest = i
			break
		}
		if oldest < 0 || b.last < bs.list[oldest].last {
			oldest = i
		}
	}
	b = &block{c: bs.pool.get(), last: bs.clock, loaded: make(chan struct{})}
	b.c.base, b.c.used = base, size
	if b.c.checked == nil {
		b.c.checked = newMarks(blockSize)
	}
	b.c.checked.clear() // nobody else has the chunk yet
	b.c.refs.Store(2)   // the list's and the caller's
	if len(bs.list) < blockCount && (oldest < 0 || bs.list[oldest].c.base != base) {
		bs.list = append(bs.list, b)
		return b, true
	}
	bs.list[oldest].c.release()
	bs.list[oldest] = b
	return b, true
}

// forget takes a block off the list.
func (bs *blocks) forget(b *block) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	for i, other := range bs.list {
		if other == b {
			bs.removeLocked(i)
			return
		}
	}
}

// removeLocked takes the block at i off the list. REQUIRES: bs.mu.
func (bs *blocks) removeLocked(i int) {
	bs.list[i].c.release()
	n := len(bs.list) - 1
	bs.list[i] = bs.list[n]
	bs.list[n] = nil
	bs.list = bs.list[:n]
}

// cut forgets the blocks that lie before min.
func (bs *blocks) cut(min int64) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	for i := len(bs.list) - 1; i >= 0; i-- {
		if bs.list[i].c.base < min {
			bs.removeLocked(i)
		}
	}
}

// drop forgets everything.
func (bs *blocks) drop() {
	bs.cut(math.MaxInt64)
	bs.pool.end()
}
