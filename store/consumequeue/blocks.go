package consumequeue

import "sync"

const (
	// blockBytes is how much of a file is read at a time for readers that are
	// behind: the entries of some six pulls.
	blockBytes = 4096 / EntrySize * EntrySize
	// blockSlots bounds the blocks in memory, half a MiB.
	blockSlots = 128
	// worthBlock is the shortest read that brings a whole block.
	worthBlock = 16 * EntrySize
)

// block is a piece of a file in memory.
type block struct {
	// mu guards all of it, also while the file is read: who does not get it at
	// once reads past it.
	mu       sync.Mutex
	q        *Queue // nil without content
	from     int64  // byte of the queue
	rewrites int64  // q.rewrites before it was read
	data     []byte
}

// blocks are the pieces that were read last, each at the one place where its
// queue and position put it.
type blocks [blockSlots]block

// blockRead is what a reader knows of the place that it wants. Positions are in
// bytes of the queue.
type blockRead struct {
	q        *Queue
	at       int64 // of the first entry
	base     int64 // where the file begins
	end      int64 // where the entries in the files end
	rewrites int64 // q.rewrites from before the others were looked at
}

// read copies entries into dst, as far as their block goes. ok is false when the
// block is not full yet, crosses the end of its file or is in use; then the file
// has to be asked.
func (bs *blocks) read(r blockRead, dst []byte) (n int, ok bool, err error) {
	from := r.at - (r.at-r.base)%blockBytes
	if to := from + blockBytes; to > r.end || to > r.base+r.q.set.o.FileSize || len(dst) < worthBlock {
		return 0, false, nil
	}
	b := &bs[(uint64(r.q.serial)*31+uint64(from/blockBytes))%blockSlots]
	if !b.mu.TryLock() {
		return 0, false, nil
	}
	defer b.mu.Unlock()
	if b.q != r.q || b.from != from || b.rewrites != r.rewrites {
		b.q = nil
		if b.data == nil {
			b.data = make([]byte, blockBytes)
		}
		n, err := r.q.readFile(b.data, r.base, from-r.base)
		if err != nil || n == 0 {
			return 0, false, err
		}
		b.q, b.from, b.rewrites = r.q, from, r.rewrites
	}
	return copy(dst, b.data[r.at-from:]), true, nil
}
