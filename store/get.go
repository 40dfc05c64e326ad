package store

import (
	"errors"
	"log/slog"
	"sync"

	"github.com/merlinmq/merlin/protocol/message"
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

	// The piece of the log that was read last, with its view, if it is one.
	data []byte
	base int64
	view commitlog.View
	// The piece of a mapping that was found last. Records are copied out of it into
	// out, of which fill bytes are taken.
	pages commitlog.Pages
	out   *buffer
	fill  int
	// rotten says that the last record is not what its checksums say.
	rotten bool
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
		s.getEntered(r, res, begin)
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

// getEntered runs a Get and leaves the store, also when a filter panics.
func (s *Store) getEntered(r *GetRequest, res *GetResult, now int64) {
	defer s.leave()
	q := s.queues.Find(r.Topic, r.QueueID)
	if q == nil {
		res.Status, res.Next = NoMessageInQueue, 0
		return
	}
	if res.outside(q, r.Offset) {
		return
	}
	g := getters.Get().(*getter)
	*g = getter{s: s, r: r, res: res, next: r.Offset, maxPhy: s.clog.Max(), maxBytes: r.MaxBytes,
		memory: s.memoryBytes(), now: now}
	if g.maxBytes <= 0 {
		g.maxBytes = 1 << 27
	}
	g.maxBytes = max(g.maxBytes, minPullBytes)
	defer g.done()
	g.run(q)
}

// done gives back what the Get has used and the answer does not hold.
func (g *getter) done() {
	g.pages.Release()
	*g = getter{}
	getters.Put(g)
}

// outside takes the bounds of the queue and says whether offset lies outside them,
// with the status and the next offset of that.
func (res *GetResult) outside(q *consumequeue.Queue, offset int64) bool {
	// Min before Max: both only grow, so Min is not above Max.
	res.Min, res.Max = q.Min(), q.Max()
	switch {
	case res.Max == 0:
		res.Status, res.Next = NoMessageInQueue, 0
	case offset < res.Min:
		res.Status, res.Next = OffsetTooSmall, res.Min
	case offset == res.Max:
		res.Status, res.Next = OffsetOverflowOne, offset
	case offset > res.Max:
		res.Status, res.Next = OffsetOverflowBadly, res.Max
	default:
		return false
	}
	return true
}

// memoryBytes is how far behind the end of the log data counts as in memory.
func (s *Store) memoryBytes() int64 {
	return int64(float64(s.o.PhysicalMemory) * float64(s.tune().AccessInMemoryMaxRatio) / 100)
}

// run reads entries block by block until the answer is full.
func (g *getter) run(q *consumequeue.Queue) {
	res, offset := g.res, g.r.Offset
	scan := int64(max(g.s.tune().MaxFilterMessageSize, g.r.MaxMsgs*consumequeue.EntrySize))
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
			if first && !res.outside(q, offset) { // retention or a deleted topic was faster
				g.err = g.s.unread(errNoEntry, "topic", q.Topic, "queue", q.ID, "queueOffset", offset)
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
	switch {
	case g.err != nil && res.Count == 0:
		res.Status, res.Err = ReadFailed, g.err
	case g.next != offset:
		res.Next = g.next
	}
	res.SuggestSlave = g.maxPhy-g.pulled > g.memory
}

// errNoEntry says that entries inside the bounds of a queue stand nowhere.
var errNoEntry = errors.New("no entry where the queue should have one")

// block takes entries until the answer is full, then it gives false.
func (g *getter) block(es []consumequeue.Entry) bool {
	for i := range es {
		e := es[i]
		hot := g.maxPhy-e.PhyOffset <= g.memory
		if g.full(int(e.Size), hot) {
			return false
		}
		g.pulled = e.PhyOffset
		f := g.r.Filter
		switch {
		case 0 <= e.PhyOffset && e.PhyOffset < g.skipTo:
		case f != nil && !f.MatchTags(e.TagsCode):
			g.none(NoMatchedMessage)
		default:
			rec := g.record(es[i:])
			switch {
			case g.err != nil, g.rotten && g.res.Count > 0:
				return false // the next Get begins here
			case rec == nil:
				g.none(MessageWasRemoving)
			case f != nil && f.NeedsRecord() && !f.MatchRecord(rec):
				g.none(NoMatchedMessage)
			default:
				if g.rotten {
					g.s.rotten(e.PhyOffset, "topic", g.r.Topic, "queue", g.r.QueueID, "queueOffset", e.QueueOffset)
				}
				g.take(rec, hot)
			}
		}
		g.next = e.QueueOffset + 1
		if g.rotten {
			return false // alone: a client may not get past it
		}
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
	o := g.s.tune()
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
	if g.out != nil && g.fill < len(g.out.b) && &g.out.b[g.fill] == &rec[0] {
		g.fill += len(rec)
	}
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

// record gives the record of the first entry, reading those that will probably be
// asked for next along with it. It is nil when the record is gone, or when what
// stands there is none; and when it cannot be read, with the reason in g.err.
func (g *getter) record(es []consumequeue.Entry) []byte {
	e := es[0]
	g.rotten = false
	n := int64(e.Size)
	if n < commitlog.MinRecord || e.PhyOffset < 0 || n > g.maxPhy-e.PhyOffset || e.Filler() {
		if !e.Filler() {
			g.damaged(e, notAnEntry)
		}
		return nil
	}
	rec, checked := g.bytes(es)
	switch {
	case rec == nil:
		return nil
	case int64(totalSize(rec)) != n || commitlog.PhyOffsetOf(rec) != e.PhyOffset:
		g.damaged(e, notARecord)
		return nil
	case !checked:
		return g.check(e, rec)
	case !g.numbered(e, rec): // the entry is wrong, not the record
		return g.misplaced(e, rec)
	}
	return rec
}

// What damaged says.
const (
	notAnEntry = "the entry of the queue cannot be right"
	notARecord = "no whole record stands where the entry of the queue points to"
)

// check looks at a record that came from the disk, and gives it unless it is none. A
// body that is not what its checksum says is served as in Java, but not in silence.
func (g *getter) check(e consumequeue.Entry, rec []byte) []byte {
	body, whole := message.Shape(rec)
	switch {
	case !whole:
		g.damaged(e, notARecord)
		return nil
	case !g.named(e, rec):
		return g.misplaced(e, rec)
	case !g.s.intact(rec, body):
		g.rotten = true
	case g.pages.Holds(e.PhyOffset, len(rec)):
		g.pages.Check(e.PhyOffset)
	case g.view.Holds(e.PhyOffset):
		g.view.Check(e.PhyOffset)
	}
	return rec
}

// damaged reports an entry that leads to no record.
func (g *getter) damaged(e consumequeue.Entry, why string) {
	g.s.faults.records.Add(1)
	g.s.damageLines.write(g.s.log, g.now, slog.LevelError, "store: a message is damaged and left out",
		"why", why, "file", g.s.clog.Path(max(e.PhyOffset, 0)), "offset", e.PhyOffset, "size", e.Size,
		"topic", g.r.Topic, "queue", g.r.QueueID, "queueOffset", e.QueueOffset, "so far", g.s.faults.records.Load())
}

// bytes gives the bytes of the record of the first entry, from what was read last,
// or from the tail of the log, else from the machine's memory when all that follow
// are there, else from the disk. What lies scattered between the records of other
// queues is read there in blocks that all readers share. checked says that the
// record needs no look. nil is as in record.
func (g *getter) bytes(es []consumequeue.Entry) (rec []byte, checked bool) {
	start, n := es[0].PhyOffset, int(es[0].Size)
	if in := start - g.base; in >= 0 && in+int64(n) <= int64(len(g.data)) {
		return g.data[in : in+int64(n)], g.view.Checked(start)
	}
	if g.pages.Holds(start, n) {
		if rec := g.gather(es); rec != nil {
			return rec, g.pages.Checked(start)
		}
	}
	if v, ok := g.s.clog.View(start, n); ok {
		g.hold(held{view: v}, v.Bytes, start)
		return g.data[:n], true
	}
	if first := g.s.clog.Min(); start < first {
		g.skipTo = first
		return nil, false
	}
	if room := g.s.clog.SegmentOf(start) + g.s.clog.SegmentSize() - start; int64(n) > min(room, int64(g.s.o.maxRecord())) {
		g.damaged(es[0], notAnEntry)
		return nil, false
	}
	a := g.ahead(es)
	if p, ok := g.s.clog.Mapped(start, a.all, g.now); ok {
		g.pages.Release()
		g.pages = p
		if rec := g.gather(es); rec != nil {
			return rec, g.pages.Checked(start)
		}
	}
	if a.near >= worthBlock {
		// An error may come from somewhere else in the block.
		if v, ok, err := g.s.clog.Block(start, n); err == nil && ok {
			g.hold(held{view: v}, v.Bytes, start)
			return g.data[:n], v.Checked(start)
		}
	}
	if !g.read(start, int(a.direct-start)) && (int(a.direct-start) == n || !g.read(start, n)) {
		return nil, false
	}
	return g.data[:n], false
}

// gather copies the record of the first entry out of g.pages, which holds it: what
// is given out must not depend on a mapping. nil when a page of it is gone.
func (g *getter) gather(es []consumequeue.Entry) []byte {
	start, n := es[0].PhyOffset, int(es[0].Size)
	if g.out == nil || len(g.out.b)-g.fill < n {
		g.out, g.fill = g.s.bufs.get(max(g.ahead(es).bytes, n)), 0
		g.res.held = append(g.res.held, held{buf: g.out})
	}
	rec := g.out.b[g.fill : g.fill+n]
	if g.pages.Copy(rec, start) {
		return rec
	}
	g.pages.Release()
	g.pages = commitlog.Pages{}
	return nil
}

// hold makes data the piece of the log that was read last.
func (g *getter) hold(h held, data []byte, base int64) {
	g.res.held = append(g.res.held, h)
	g.data, g.base, g.view = data, base, h.view
}

// read reads n bytes from the disk. When it fails, g.err says why unless retention
// was faster.
func (g *getter) read(start int64, n int) bool {
	b := g.s.bufs.get(n)
	err := g.s.clog.Read(b.b, start)
	if err == nil {
		g.err = nil
		g.hold(held{buf: b}, b.b, start)
		return true
	}
	b.release()
	if start >= g.s.clog.Min() {
		g.err = g.s.unread(err, "file", g.s.clog.Path(start), "offset", start, "topic", g.r.Topic, "queue", g.r.QueueID)
	}
	return false
}

// aheads is what the entries say about the records to come.
type aheads struct {
	direct int64 // end of those that follow without a gap
	all    int64 // end of the last that this answer may take
	bytes  int   // of all that it may take
	near   int   // how many lie in the block of the first, but scattered
}

// ahead looks at what else the answer will probably hold of the log.
func (g *getter) ahead(es []consumequeue.Entry) aheads {
	start := es[0].PhyOffset
	a := aheads{direct: start + int64(es[0].Size)}
	a.all, a.bytes = a.direct, int(es[0].Size)
	limit := min(start+maxRange, g.s.clog.SegmentOf(start)+g.s.clog.SegmentSize(), g.maxPhy)
	_, block := g.s.clog.BlockOf(start)
	o := g.s.tune()
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
		a.bytes += int(e.Size)
	}
	return a
}
