package store

import (
	"encoding/binary"
	"sync"

	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/consumequeue"
)

const (
	// blockEntries is how many entries of a consume queue are looked at in one go.
	blockEntries = 64
	// worthBlock is from how many scattered records in a block on it is cheaper
	// to read the block than each of them.
	worthBlock = 3
	// maxRange bounds one read of the log.
	maxRange = 1 << 20
	// minPullBytes is the least MaxBytes that counts, as in Java.
	minPullBytes = 100
)

// getter is the scratch of one Get.
type getter struct {
	s   *Store
	r   *GetRequest
	res *GetResult

	now      int64 // ms
	maxPhy   int64 // end of the log
	memory   int64 // bytes behind the end that count as in memory
	maxBytes int
	pulled   int64 // log offset of the last entry that was looked at
	skipTo   int64 // entries before it point to a deleted file
	next     int64

	err error // of the read that ends this Get

	entries [blockEntries]consumequeue.Entry
	raw     [blockEntries * consumequeue.EntrySize]byte

	// The piece of the log that was read last.
	data []byte
	base int64
}

var getters = sync.Pool{New: func() any { return &getter{} }}

// Get reads messages of one queue into res, which is overwritten; call
// res.Release when its records are no longer needed. The limits of a read
// (maxTransferBytesOnMessageInMemory and its kin) hold beside those of r; one
// message is always given.
func (s *Store) Get(r *GetRequest, res *GetResult) {
	res.Release()
	*res = GetResult{Records: res.Records[:0], held: res.held[:0], Next: r.Offset}
	begin := s.clock.NowMillis()
	if s.enter() {
		s.get(r, res, begin)
		s.leave()
	} else {
		res.Status, res.Err = ReadFailed, ErrClosed
	}
	if res.Status == Found {
		s.stats.found.Add(1)
		s.stats.transferred.Add(int64(res.Count))
	} else {
		s.stats.missed.Add(1)
	}
	raise(&s.stats.getMax, s.clock.NowMillis()-begin)
}

func (s *Store) get(r *GetRequest, res *GetResult, now int64) {
	q := s.queues.Find(r.Topic, r.QueueID)
	if q == nil {
		res.Status, res.Next = NoMessageInQueue, 0
		return
	}
	// Min before Max: both only grow, so Min is not above Max.
	res.Min, res.Max = q.Min(), q.Max()
	switch {
	case res.Max == 0:
		res.Status, res.Next = NoMessageInQueue, 0
	case r.Offset < res.Min:
		res.Status, res.Next = OffsetTooSmall, res.Min
	case r.Offset == res.Max:
		res.Status, res.Next = OffsetOverflowOne, r.Offset
	case r.Offset > res.Max:
		res.Status, res.Next = OffsetOverflowBadly, res.Max
	default:
		g := getters.Get().(*getter)
		*g = getter{s: s, r: r, res: res, next: r.Offset, maxPhy: s.clog.Max(), maxBytes: r.MaxBytes,
			memory: s.memoryBytes(), now: now}
		if g.maxBytes <= 0 {
			g.maxBytes = 1 << 27
		}
		g.maxBytes = max(g.maxBytes, minPullBytes)
		g.run(q)
		*g = getter{}
		getters.Put(g)
	}
}

// memoryBytes is how far behind the end of the log data counts as in memory.
func (s *Store) memoryBytes() int64 {
	return int64(float64(s.o.PhysicalMemory) * float64(s.o.AccessInMemoryMaxRatio) / 100)
}

// run reads entries block by block until the answer is full.
func (g *getter) run(q *consumequeue.Queue) {
	res, offset := g.res, g.r.Offset
	scan := int64(max(g.s.o.MaxFilterMessageSize, g.r.MaxMsgs*consumequeue.EntrySize))
	last := min(res.Max, offset+(scan+consumequeue.EntrySize-1)/consumequeue.EntrySize)
	res.Status = NoMatchedMessage
	for first := true; g.next < last; first = false {
		want := min(last-g.next, blockEntries)
		n, err := q.Read(g.raw[:want*consumequeue.EntrySize], g.next)
		if err != nil && n == 0 {
			g.err = g.s.unread(err, "topic", q.Topic, "queue", q.ID, "queueOffset", g.next)
			break
		}
		if n == 0 {
			if first {
				res.Status = OffsetFoundNull
				g.next = q.NextFile(g.next)
			}
			break
		}
		for i := range n {
			g.entries[i] = consumequeue.Parse(g.raw[i*consumequeue.EntrySize:])
			g.entries[i].QueueOffset = g.next + int64(i)
		}
		if !g.block(g.entries[:n]) {
			break
		}
	}
	if g.err != nil && res.Count == 0 {
		res.Status, res.Err, g.next = ReadFailed, g.err, offset
	}
	res.Next = g.next
	res.SuggestSlave = g.maxPhy-g.pulled > g.memory
}

// block takes entries until the answer is full, then it gives false.
func (g *getter) block(es []consumequeue.Entry) bool {
	for i := range es {
		e := es[i]
		hot := g.maxPhy-e.PhyOffset <= g.memory
		if g.full(int(e.Size), hot) {
			return false
		}
		g.pulled = e.PhyOffset
		if e.PhyOffset < g.skipTo {
			g.next = e.QueueOffset + 1
			continue
		}
		f := g.r.Filter
		if f != nil && !f.MatchTags(e.TagsCode) {
			g.next = e.QueueOffset + 1
			g.none(NoMatchedMessage)
			continue
		}
		rec := g.record(es[i:])
		if g.err != nil {
			return false
		}
		g.next = e.QueueOffset + 1
		if rec == nil {
			g.none(MessageWasRemoving)
			g.skipTo = g.s.clog.SegmentOf(e.PhyOffset) + g.s.clog.SegmentSize()
			if e.PhyOffset >= g.s.clog.Min() {
				g.skipTo = 0 // damaged, not deleted: what follows may be readable
			}
			continue
		}
		if f != nil && f.NeedsRecord() && !f.MatchRecord(rec) {
			g.none(NoMatchedMessage)
			continue
		}
		g.take(rec, hot)
	}
	return true
}

func (g *getter) none(status GetStatus) {
	if g.res.Count == 0 {
		g.res.Status = status
	}
}

// full says whether a message of size no longer fits (isTheBatchFull).
func (g *getter) full(size int, hot bool) bool {
	n, have := g.res.Count, g.res.Bytes
	if n == 0 {
		return false
	}
	o := &g.s.o
	if n+1 > g.r.MaxMsgs || have+size > g.maxBytes {
		return true
	}
	if hot {
		return have+size > o.MaxTransferBytesMemory || n >= o.MaxTransferCountMemory
	}
	return have+size > o.MaxTransferBytesDisk || n >= o.MaxTransferCountDisk
}

// take adds a record, joined with the one before when they are neighbours.
func (g *getter) take(rec []byte, hot bool) {
	res := g.res
	res.Status = Found
	res.Count++
	res.Bytes += len(rec)
	res.InMemory = hot
	if n := len(res.Records); n > 0 {
		last := res.Records[n-1]
		if cap(last) >= len(last)+len(rec) {
			if joined := last[:len(last)+len(rec)]; &joined[len(last)] == &rec[0] {
				res.Records[n-1] = joined
				return
			}
		}
	}
	res.Records = append(res.Records, rec)
}

// record gives the record of the first entry, reading those that will probably
// be asked for next along with it; nil when it is gone or damaged.
func (g *getter) record(es []consumequeue.Entry) []byte {
	e := es[0]
	n := int64(e.Size)
	if n < commitlog.MinRecord || e.PhyOffset < 0 || e.PhyOffset+n > g.maxPhy || n > g.s.o.FileSizeCommitLog {
		return nil
	}
	if e.PhyOffset < g.base || e.PhyOffset+n > g.base+int64(len(g.data)) {
		if !g.fetch(es) {
			return nil
		}
	}
	in := e.PhyOffset - g.base
	rec := g.data[in : in+n]
	if int64(binary.BigEndian.Uint32(rec)) != n || int64(binary.BigEndian.Uint64(rec[28:])) != e.PhyOffset {
		g.s.log.Error("store: a consume queue entry does not point to its record",
			"topic", g.r.Topic, "queue", g.r.QueueID, "offset", e.QueueOffset, "log", e.PhyOffset)
		return nil
	}
	return rec
}

// fetch brings the record of the first entry into g.data, with as many of the
// following ones as is cheap: from the tail of the log, else from the machine's
// memory when all of them are there, else from the disk. What lies scattered
// between the records of other queues is read there in blocks that all readers
// share.
func (g *getter) fetch(es []consumequeue.Entry) bool {
	start, size := es[0].PhyOffset, int(es[0].Size)
	if v, ok := g.s.clog.View(start, size); ok {
		g.hold(held{view: v}, v.Bytes, start)
		return true
	}
	a := g.ahead(es)
	if v, ok := g.s.clog.Mapped(start, a.all, g.now); ok {
		g.hold(held{view: v}, v.Bytes, start)
		return true
	}
	if a.near >= worthBlock {
		if v, ok, err := g.s.clog.Block(start, size); err != nil {
			return g.unread(start, err)
		} else if ok {
			g.hold(held{view: v}, v.Bytes, start)
			return true
		}
	}
	b := g.s.bufs.get(int(a.direct - start))
	if err := g.s.clog.Read(b.b, start); err != nil {
		b.release()
		return g.unread(start, err)
	}
	g.hold(held{buf: b}, b.b, start)
	return true
}

// hold makes data the piece of the log that was read last.
func (g *getter) hold(h held, data []byte, base int64) {
	g.res.held = append(g.res.held, h)
	g.data, g.base = data, base
}

// unread ends the Get with a failed read, unless retention was faster.
func (g *getter) unread(offset int64, err error) bool {
	if offset >= g.s.clog.Min() {
		g.err = g.s.unread(err, "file", g.s.clog.Path(offset), "offset", offset,
			"topic", g.r.Topic, "queue", g.r.QueueID)
	}
	return false
}

// aheads is what the entries say about the records to come.
type aheads struct {
	direct int64 // end of those that follow without a gap
	all    int64 // end of the last that this answer may take
	near   int   // how many lie in the block of the first, but scattered
}

// ahead looks at what else the answer will probably hold of the log.
func (g *getter) ahead(es []consumequeue.Entry) aheads {
	start := es[0].PhyOffset
	a := aheads{direct: start + int64(es[0].Size)}
	a.all = a.direct
	limit := min(start+maxRange, g.s.clog.SegmentOf(start)+g.s.clog.SegmentSize(), g.maxPhy)
	_, block := g.s.clog.BlockOf(start)
	o := &g.s.o
	count, room := min(g.r.MaxMsgs, o.MaxTransferCountDisk), min(g.maxBytes, o.MaxTransferBytesDisk)
	if g.maxPhy-start <= g.memory {
		count, room = min(g.r.MaxMsgs, o.MaxTransferCountMemory), min(g.maxBytes, o.MaxTransferBytesMemory)
	}
	count -= g.res.Count + 1
	room -= g.res.Bytes + int(es[0].Size)
	for _, e := range es[1:] {
		if g.r.Filter != nil && !g.r.Filter.MatchTags(e.TagsCode) {
			continue
		}
		count--
		room -= int(e.Size)
		to := e.PhyOffset + int64(e.Size)
		if count < 0 || room < 0 || e.Size <= 0 || e.PhyOffset < a.all || to > limit {
			break
		}
		if a.direct == a.all && e.PhyOffset == a.direct {
			a.direct = to
		} else if to <= block {
			a.near++
		}
		a.all = to
	}
	return a
}
