package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/consumequeue"
)

// errTruncate ends a scan at the place at which the log is to be cut.
var errTruncate = errors.New("store: the log is cut here")

// truncated checks that the log may be cut where TruncateAt says, and that the replay
// has come there.
func (r *replay) truncated(end int64) error {
	s := r.s
	at := s.o.TruncateAt
	if at > end {
		return fmt.Errorf("store: TruncateAt %d lies behind the end of the log, %d", at, end)
	}
	if !r.cut {
		return nil
	}
	if r.cutEnd != at && (at != s.clog.SegmentOf(at) || s.clog.SegmentOf(r.cutEnd) != at-s.clog.SegmentSize()) {
		return fmt.Errorf("store: TruncateAt %d is no place at which a record of the log ends; the last one before ends at %d", at, r.cutEnd)
	}
	s.dispatch.last = r.cutLast
	s.log.Warn("store: the log is cut where it was asked to be", "offset", at, "file", s.clog.Path(at), "at", at-s.clog.SegmentOf(at))
	return nil
}

// replay reads the log from an offset to its end and builds what is missing.
type replay struct {
	s *Store
	plan
	whole bool // all of the log is read
	// atFloor says that the replay has come to the floor of the checkpoint.
	atFloor bool
	ends    map[markKey]queueEnd // see endOf
	// cutLast and cutEnd are where the last record before TruncateAt begins and ends.
	cutLast, cutEnd int64
	cut             bool // there are more behind it
	// broken are the queues that lack entries before the place where the replay
	// began, or in between.
	broken map[*consumequeue.Queue]bool
	// near keeps the next entries of each queue, so that its file is not opened
	// for every record.
	near map[*consumequeue.Queue]*nearEntries
}

const (
	nearCount  = 64
	nearQueues = 16384
)

// nearEntries are entries of one queue from an offset on.
type nearEntries struct {
	from int64
	raw  []byte
}

func (r *replay) run(from int64) (int64, string, error) {
	s := r.s
	r.whole, r.atFloor = from == s.clog.Min(), false
	s.damage, s.lastDamage = Damage{}, [2]int64{}
	at := anchors{s: s}
	end, why, err := s.clog.Scan(from, commitlog.ScanOptions{
		CheckCRC: !s.o.CheckCRCOnRecoverOff, Ours: r.ours, Floor: r.floor, Known: at.known, Damaged: s.damaged,
	}, func(_ []byte, m *message.Message) error {
		if to := m.PhyOffset + int64(m.StoreSize); to <= s.o.TruncateAt {
			r.cutLast, r.cutEnd = m.PhyOffset, to
		} else if s.o.TruncateAt > 0 {
			return errTruncate
		}
		if !r.atFloor && m.PhyOffset >= s.cp.floor {
			if err := r.reachFloor(); err != nil {
				return err
			}
		}
		fits, err := r.fits(m)
		if err == nil && fits {
			err = s.dispatch.record(m, false)
		}
		if err != nil {
			return err
		}
		s.dispatch.last = m.PhyOffset // also when it was left out: the floor may stand behind it
		s.appendedTime.Store(m.StoreTimestamp)
		if !fits {
			return nil
		}
		if s.o.Recovered != nil {
			s.o.Recovered(m)
		}
		return nil
	})
	if errors.Is(err, errTruncate) {
		end, why, err, r.cut = s.o.TruncateAt, "", nil, true
	}
	if err == nil && !r.atFloor {
		err = r.reachFloor()
	}
	if err == nil {
		err = s.queues.Settle(r.believeAbove)
	}
	if err != nil {
		return end, why, fmt.Errorf("store: recovery: %w", err)
	}
	return end, why, nil
}

// reachFloor ends that part of a replay of which the checkpoint knows.
func (r *replay) reachFloor() error {
	r.atFloor = true
	if !r.s.cp.known || r.s.ends == nil {
		return nil
	}
	if err := r.s.queues.Settle(r.believeBelow); err != nil {
		return err
	}
	return r.s.pad()
}

// believeBelow says whether a message below the floor is put though no other confirms
// its queue offset.
func (r *replay) believeBelow(q *consumequeue.Queue, e consumequeue.Entry) bool {
	end, ok := r.endOf(q.Topic, q.ID)
	if ok && e.QueueOffset == end.max-1 && e.PhyOffset+int64(e.Size) == end.phy {
		return true // the queue ended with it, in whichever life
	}
	return ok && e.QueueOffset >= q.Max() && e.QueueOffset < end.max
}

// believeAbove is believeBelow for what lies behind the floor, or when there is none.
// A queue of which nothing is there may begin anywhere when it is not known to be new;
// one that begins again without a mark is a Java broker's.
func (r *replay) believeAbove(q *consumequeue.Queue, e consumequeue.Entry) bool {
	switch known := r.s.cp.known && r.s.ends != nil; {
	case q.Max() == 0:
		return !known || e.PhyOffset < r.s.cp.floor
	case e.QueueOffset == 0:
		return e.PhyOffset < r.ours
	}
	return e.QueueOffset > q.Max()
}

// endOf is where a queue ended at the floor.
func (r *replay) endOf(topic string, queue int32) (queueEnd, bool) {
	if r.ends == nil {
		r.ends = map[markKey]queueEnd{}
		_, _ = r.s.ends.eachQueue(r.s.clog.Min(), func(e queueEnd) error { // damage is told elsewhere
			r.ends[markKey{e.topic, e.id}] = e
			return nil
		})
	}
	e, ok := r.ends[markKey{topic, queue}]
	return e, ok
}

// fits says whether a message may be put into its queue.
func (r *replay) fits(m *message.Message) (bool, error) {
	kind := message.TransactionType(m.SysFlag)
	if kind != 0 && kind != message.SysFlagCommit || r.s.deleted.covers(m) || !consumequeue.ValidTopic(m.Topic) || m.QueueID < 0 {
		return true, nil
	}
	if r.s.cp.known && r.s.ends != nil && m.PhyOffset < r.s.cp.floor {
		return r.below(m)
	}
	return true, r.above(m)
}

// below compares a message below the floor. There every queue is known to have had all
// of its entries: when the two differ it is the message, or an entry, that is damaged,
// and never a reason to give a queue up.
func (r *replay) below(m *message.Message) (bool, error) {
	if _, ok := r.endOf(m.Topic, m.QueueID); !ok {
		r.leftOut(m, "no such queue was there")
		return false, nil
	}
	q := r.s.queues.Find(m.Topic, m.QueueID)
	if q == nil || m.PhyOffset+int64(m.StoreSize) > q.MaxPhy() {
		return true, nil // the queue is built again
	}
	if r.clean {
		return true, nil
	}
	if m.QueueOffset < 0 || m.QueueOffset >= q.Max() {
		r.leftOut(m, "its queue offset is not in the queue")
		return false, nil
	}
	e, ok, err := r.entry(q, m.QueueOffset)
	if err != nil || !ok {
		return true, err
	}
	if e.PhyOffset == m.PhyOffset {
		return true, r.repair(q, e, m)
	}
	right, err := r.s.wholeAt(q, m.QueueOffset)
	if err == nil && (e.Filler() || !right) {
		if right, err = r.between(q, m); err == nil && right {
			return true, r.repair(q, e, m)
		}
	}
	if err == nil {
		r.leftOut(m, "the queue has another message at its offset")
	}
	return false, err
}

// between says whether a message lies in the log between the neighbours of its place in
// the queue, so that the entry there can be its own.
func (r *replay) between(q *consumequeue.Queue, m *message.Message) (bool, error) {
	for _, d := range []int64{-1, 1} {
		e, ok, err := q.Get(m.QueueOffset + d)
		if err != nil {
			return false, err
		}
		if ok && !e.Filler() && (e.PhyOffset > m.PhyOffset) != (d > 0) {
			return false, nil
		}
	}
	return true, nil
}

// leftOut tells of a message whose head is damaged.
func (r *replay) leftOut(m *message.Message, why string) {
	r.s.damage.Pieces++
	if r.s.damage.Pieces > toldDamage {
		return
	}
	r.s.log.Error("store: the head of a message is damaged, it is left out", "file", r.s.clog.Path(m.PhyOffset),
		"at", m.PhyOffset-r.s.clog.SegmentOf(m.PhyOffset), "offset", m.PhyOffset, "topic", m.Topic, "queue", m.QueueID,
		"queueOffset", m.QueueOffset, "reason", why)
}

// above looks whether the queue of a message fits it: either its entry is there, or it
// is the next one. Entries that are written in any order may be lost in a crash while
// later ones survive.
func (r *replay) above(m *message.Message) error {
	q := r.s.queues.Find(m.Topic, m.QueueID)
	if q == nil || q.Max() == 0 {
		if m.QueueOffset > 0 && !r.whole {
			r.mark(r.s.queues.FindOrCreate(m.Topic, m.QueueID), m, "the queue is not there")
		}
		return nil
	}
	if r.broken[q] {
		return nil
	}
	if m.PhyOffset+int64(m.StoreSize) > q.MaxPhy() {
		if m.QueueOffset > q.Max() && !r.whole {
			r.mark(q, m, "the queue ends before")
		}
		return nil
	}
	if r.clean || m.QueueOffset < 0 || m.QueueOffset >= q.Max() {
		return nil
	}
	e, ok, err := r.entry(q, m.QueueOffset)
	if err != nil {
		return err
	}
	if ok && e.PhyOffset == m.PhyOffset {
		return r.repair(q, e, m)
	}
	// A younger entry belongs to the next life of a deleted topic, and so does a
	// queue that has not come so far.
	if !ok || e.PhyOffset < m.PhyOffset || e.Filler() {
		r.mark(q, m, "the queue has another message at its offset")
		return nil
	}
	if size, valid, err := r.s.clog.Valid(e.PhyOffset); err != nil || valid && size == int(e.Size) {
		return err
	}
	return r.repair(q, e, m)
}

// entry reads one entry and keeps those behind it.
func (r *replay) entry(q *consumequeue.Queue, offset int64) (consumequeue.Entry, bool, error) {
	n := r.near[q]
	if n == nil {
		if len(r.near) >= nearQueues || r.near == nil {
			r.near = map[*consumequeue.Queue]*nearEntries{}
		}
		n = &nearEntries{}
		r.near[q] = n
	}
	in := (offset - n.from) * consumequeue.EntrySize
	if in < 0 || in >= int64(len(n.raw)) {
		n.from, in = offset, 0
		n.raw = slices.Grow(n.raw[:0], nearCount*consumequeue.EntrySize)[:nearCount*consumequeue.EntrySize]
		k, err := q.Read(n.raw, offset)
		n.raw = n.raw[:k*consumequeue.EntrySize]
		if err != nil || k == 0 {
			return consumequeue.Entry{}, false, err
		}
	}
	e := consumequeue.Parse(n.raw[in:])
	e.QueueOffset = offset
	return e, true, nil
}

// repair writes an entry again that is not what its message says.
func (r *replay) repair(q *consumequeue.Queue, e consumequeue.Entry, m *message.Message) error {
	var tags, delay []byte
	for name, value := range message.Each(m.Properties) {
		switch string(name) {
		case message.PropertyTags:
			tags = value
		case message.PropertyDelayLevel:
			delay = value
		}
	}
	want := r.s.tagsCode(m, tags, delay)
	tagged := e.TagsCode == want
	if m.Topic == scheduleTopic && e.TagsCode != 0 && e.TagsCode != want>>32<<32 {
		tagged = true // what another configuration made of it stays
	}
	if tagged && e.Size == m.StoreSize && e.PhyOffset == m.PhyOffset {
		return nil
	}
	r.s.log.Warn("store: an entry of a consume queue is not what its message says, it is written again", "topic", q.Topic, "queue", q.ID,
		"file", r.s.queueDir(q.Topic, q.ID), "queueOffset", e.QueueOffset, "offset", e.PhyOffset,
		"log", r.s.clog.Path(m.PhyOffset), "size", e.Size, "size of the message", m.StoreSize)
	if e.PhyOffset, e.Size = m.PhyOffset, m.StoreSize; !tagged {
		e.TagsCode = want
	}
	return q.Repair(e)
}

// mark gives a queue up: it is built again from the whole log. The first message at
// which it and the log differ is told.
func (r *replay) mark(q *consumequeue.Queue, m *message.Message, why string) {
	if r.broken == nil {
		r.broken = map[*consumequeue.Queue]bool{}
	}
	if !r.broken[q] && len(r.broken) < toldDamage {
		r.s.log.Warn("store: a consume queue and the log differ, the queue is built again", "topic", q.Topic, "queue", q.ID,
			"file", r.s.clog.Path(m.PhyOffset), "at", m.PhyOffset-r.s.clog.SegmentOf(m.PhyOffset), "offset", m.PhyOffset,
			"queueOffset", m.QueueOffset, "queue ends at", q.Max(), "reason", why)
	}
	r.broken[q] = true
}
