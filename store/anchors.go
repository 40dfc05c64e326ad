package store

import (
	"container/heap"

	"github.com/merlinmq/merlin/store/consumequeue"
)

// anchors tell where records begin, by what the consume queues know: the broker
// wrote their entries, no client did. They are asked in ascending order.
type anchors struct {
	s     *Store
	heap  anchorHeap
	ready bool
	above int64 // entries must end behind it
}

// anchor walks the entries of one queue.
type anchor struct {
	q   *consumequeue.Queue
	at  consumequeue.Entry // the first one that ends behind above
	raw []byte             // entries from at.QueueOffset on
}

type anchorHeap []*anchor

func (h anchorHeap) Len() int           { return len(h) }
func (h anchorHeap) Less(i, j int) bool { return h[i].at.PhyOffset < h[j].at.PhyOffset }
func (h anchorHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *anchorHeap) Push(x any) { *h = append(*h, x.(*anchor)) }

// Pop implements heap.Interface.
func (h *anchorHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// known gives the first record that ends behind off (commitlog.ScanOptions.Known).
func (a *anchors) known(off int64) (at, size int64, ok bool, err error) {
	a.above = off
	if !a.ready {
		a.ready = true
		for _, q := range a.s.queues.Queues() {
			n := &anchor{q: q}
			if ok, err := n.seek(q.Min(), off); err != nil {
				return 0, 0, false, err
			} else if ok {
				a.heap = append(a.heap, n)
			}
		}
		heap.Init(&a.heap)
	}
	for len(a.heap) > 0 {
		n := a.heap[0]
		if n.at.PhyOffset+int64(n.at.Size) > off {
			return n.at.PhyOffset, int64(n.at.Size), true, nil
		}
		ok, err := n.seek(n.at.QueueOffset+1, off)
		if err != nil {
			return 0, 0, false, err
		}
		if ok {
			heap.Fix(&a.heap, 0)
		} else {
			heap.Pop(&a.heap)
		}
	}
	return 0, 0, false, nil
}

// seek finds the first entry at or behind a queue offset that ends behind off.
func (n *anchor) seek(from, off int64) (bool, error) {
	low, high := from, n.q.Max()
	if e, ok := n.buffered(from); ok && e.PhyOffset+int64(e.Size) > off {
		n.at = e
		return true, nil
	}
	for low < high { // as a rule the next entry is not far
		mid := low + (high-low)/2
		e, ok, err := n.q.Get(mid)
		if err != nil {
			return false, err
		}
		if ok && !e.Filler() && e.PhyOffset+int64(e.Size) > off {
			high = mid
		} else {
			low = mid + 1
		}
	}
	if low >= n.q.Max() {
		return false, nil
	}
	n.raw = make([]byte, nearCount*consumequeue.EntrySize)
	k, err := n.q.Read(n.raw, low)
	if err != nil || k == 0 {
		return false, err
	}
	n.raw = n.raw[:k*consumequeue.EntrySize]
	n.at = consumequeue.Parse(n.raw)
	n.at.QueueOffset = low
	return true, nil
}

// buffered is the entry at a queue offset when it was read already.
func (n *anchor) buffered(offset int64) (consumequeue.Entry, bool) {
	in := (offset - n.at.QueueOffset) * consumequeue.EntrySize
	if in <= 0 || in >= int64(len(n.raw)) {
		return consumequeue.Entry{}, false
	}
	n.raw = n.raw[in:]
	e := consumequeue.Parse(n.raw)
	e.QueueOffset = offset
	return e, !e.Filler()
}
