package store

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/consumequeue"
)

// maxReplays bounds how often a recovery reads the log.
const maxReplays = 3

// recover finds the end of the log, cuts it there, and brings consume queues and
// index in line with it. The log is right; everything else follows.
func (s *Store) recover(clean bool) error {
	known, err := s.queues.Recover(clean)
	if err == nil && clean {
		if clean, err = s.closedWell(known); err == nil && !clean {
			s.log.Warn("store: there is no abort file, but the checkpoint is older than the consume queues: the store was not closed")
			known, err = s.queues.Recover(false)
		}
	}
	if err != nil {
		return err
	}
	indexed := int64(-1)
	if s.idx != nil {
		if indexed, err = s.idx.Recover(clean, s.cp.index); err != nil {
			return err
		}
	}
	segs := s.clog.Segments()
	if len(segs) == 0 {
		return s.recoverEmpty(known)
	}
	from, err := s.recoverFrom(clean, segs, known, indexed)
	if err != nil {
		return err
	}
	r := replay{s: s, clean: clean}
	end, why, err := r.run(from)
	for n := 1; err == nil && len(r.broken) > 0 && n < maxReplays; n++ {
		s.log.Warn("store: consume queues have holes, the whole log is read", "queues", len(r.broken), "from", segs[0])
		if err := s.dropQueues(slices.Collect(maps.Keys(r.broken))); err != nil {
			return err
		}
		r.broken = nil
		if s.idx != nil {
			s.idx.Again()
		}
		end, why, err = r.run(segs[0])
	}
	if err != nil {
		return err
	}
	if why != "" {
		s.log.Warn("store: the log is cut at the first record that is damaged", "offset", end,
			"file", s.clog.Path(end), "reason", why)
	}
	s.log.Info("store: recovered", "clean", clean, "from", from, "end", end)
	return s.settleAt(end, !clean || why != "" || known > end)
}

// closedWell says whether the checkpoint covers the last record that a consume
// queue knows, as it does when the store was closed. Without that some queues may
// have been written further than others, and reading from the last record on
// would not find what the others lack: the abort file was lost.
func (s *Store) closedWell(known int64) (bool, error) {
	for _, q := range s.queues.Queues() {
		if known == 0 || q.MaxPhy() != known || q.Max() == 0 {
			continue
		}
		e, ok, err := q.Get(q.Max() - 1)
		if err != nil || !ok {
			return false, err
		}
		if len(s.clog.Segments()) == 0 {
			return true, nil // the queues mean nothing
		}
		if _, valid, err := s.clog.Valid(e.PhyOffset); err != nil || !valid {
			return false, err
		}
		t, err := s.clog.FirstTime(e.PhyOffset)
		return t <= s.cp.logics, err
	}
	return true, nil
}

// recoverEmpty follows Java: without a commit log the consume queues mean
// nothing.
func (s *Store) recoverEmpty(known int64) error {
	if qs := s.queues.Queues(); len(qs) > 0 {
		s.log.Warn("store: there is no commit log, consume queues and index are deleted", "queues", len(qs))
		if err := s.dropQueues(qs); err != nil {
			return err
		}
	}
	return s.settleAt(0, known > 0)
}

// recoverFrom chooses where reading begins.
func (s *Store) recoverFrom(clean bool, segs []int64, known, indexed int64) (int64, error) {
	if clean {
		return s.fromQueues(segs, known)
	}
	if len(s.queues.Queues()) == 0 {
		return segs[0], nil // they were lost, or never written: all is built again
	}
	i, err := s.segmentBefore(segs, s.cp.minTime())
	if err != nil {
		return 0, err
	}
	from := segs[i]
	if !s.tune().MessageIndexDisable && indexed >= 0 && s.cp.index < s.cp.minTime() {
		// The index is further behind than the queues.
		from = min(from, max(s.clog.SegmentOf(indexed), segs[0]))
	}
	return from, nil
}

// segmentBefore gives the newest segment that begins with a record not younger
// than t.
func (s *Store) segmentBefore(segs []int64, t int64) (int, error) {
	for i := len(segs) - 1; i > 0; i-- {
		first, err := s.clog.FirstTime(segs[i])
		if err != nil {
			return 0, err
		}
		if first > 0 && first <= t {
			return i, nil
		}
	}
	return 0, nil
}

// fromQueues begins behind the last record that a consume queue knows, when that
// record is really there, and with its segment otherwise.
func (s *Store) fromQueues(segs []int64, known int64) (int64, error) {
	for _, q := range s.queues.Queues() {
		if known == 0 || q.MaxPhy() != known || q.Max() == 0 {
			continue
		}
		e, ok, err := q.Get(q.Max() - 1)
		if err != nil {
			return 0, err
		}
		if !ok {
			continue
		}
		n, valid, err := s.clog.Valid(e.PhyOffset)
		if err != nil {
			return 0, err
		}
		if valid && n == int(e.Size) {
			return known, nil
		}
	}
	from := s.clog.SegmentOf(max(known-1, 0))
	return min(max(from, segs[0]), segs[len(segs)-1]), nil
}

func (s *Store) dropQueues(qs []*consumequeue.Queue) error {
	for _, q := range qs {
		s.queues.DetachQueue(q)
	}
	return s.queues.Drop(qs)
}

// replay reads the log from an offset to its end and builds what is missing.
type replay struct {
	s     *Store
	clean bool
	whole bool // all of the log is read
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
	r.whole = from == s.clog.Min()
	end, why, err := s.clog.Scan(from, !s.o.CheckCRCOnRecoverOff, !r.clean, func(_ []byte, m *message.Message) error {
		if err := r.compare(m); err != nil {
			return err
		}
		if err := s.dispatch.record(m, false); err != nil {
			return err
		}
		s.appendedTime.Store(m.StoreTimestamp)
		if s.o.Recovered != nil {
			s.o.Recovered(m)
		}
		return nil
	})
	if err != nil {
		return end, why, fmt.Errorf("store: recovery: %w", err)
	}
	return end, why, nil
}

// compare looks whether the queue of a message fits it: either its entry is
// there, or it is the next one. Entries that are written in any order may be lost
// in a crash while later ones survive.
func (r *replay) compare(m *message.Message) error {
	kind := message.TransactionType(m.SysFlag)
	if kind != 0 && kind != message.SysFlagCommit {
		return nil
	}
	q := r.s.queues.Find(m.Topic, m.QueueID)
	if q == nil || q.Max() == 0 {
		if m.QueueOffset > 0 && !r.whole && consumequeue.ValidTopic(m.Topic) && m.QueueID >= 0 {
			r.mark(r.s.queues.FindOrCreate(m.Topic, m.QueueID)) // its files were lost
		}
		return nil
	}
	if r.broken[q] {
		return nil
	}
	if m.PhyOffset+int64(m.StoreSize) > q.MaxPhy() {
		if m.QueueOffset > q.Max() {
			r.mark(q)
		}
		return nil
	}
	if r.clean {
		return nil
	}
	if m.QueueOffset < 0 || m.QueueOffset >= q.Max() {
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
		r.mark(q)
	}
	return nil
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

// repair writes an entry again whose tags code was torn off.
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
	if e.TagsCode == want || e.TagsCode != 0 && e.TagsCode != want>>32<<32 {
		return nil // what another configuration made of it stays
	}
	e.TagsCode = want
	return q.Repair(e)
}

func (r *replay) mark(q *consumequeue.Queue) {
	if r.broken == nil {
		r.broken = map[*consumequeue.Queue]bool{}
	}
	r.broken[q] = true
}

// settleAt makes end the end of everything. What was changed is made durable
// before anything new is written: entries that came back after another crash
// would point to records that are not the same any more.
func (s *Store) settleAt(end int64, changed bool) error {
	if err := s.clog.Cut(end); err != nil {
		return err
	}
	if err := s.queues.Truncate(end); err != nil {
		return err
	}
	if s.idx != nil {
		if err := s.idx.Truncate(end); err != nil {
			return err
		}
	}
	if changed {
		if err := s.queues.WriteTails(math.MaxInt); err != nil {
			return err
		}
		if s.idx != nil {
			ps, err := s.idx.Prepare()
			if err != nil {
				return err
			}
			if err := s.idx.Commit(ps); err != nil {
				return err
			}
		}
		for _, dir := range []string{s.o.StorePathCommitLog, s.o.StorePathRootDir} {
			if err := s.fs.SyncFS(dir); err != nil {
				return fmt.Errorf("store: recovery: %w", err)
			}
		}
	}
	first := s.clog.Min()
	err := s.queues.Each(func(q *consumequeue.Queue) error {
		q.Next = q.Max()
		return s.queues.CorrectMin(q, first)
	})
	if err != nil {
		return err
	}
	s.dispatch.pos.Store(end)
	if s.appendedTime.Load() == 0 {
		s.appendedTime.Store(min(s.cp.physical, s.cp.logics))
	}
	s.dispatch.time.Store(s.appendedTime.Load())
	s.flushedTime.Store(s.appendedTime.Load())
	return nil
}
