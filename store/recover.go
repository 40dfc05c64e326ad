package store

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"syscall"

	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/consumequeue"
)

// maxReplays bounds how often a recovery reads the log.
const maxReplays = 3

// Damage is what a recovery found in that part of the log which was durable before.
type Damage struct {
	// Pieces is the number of places.
	Pieces int
	// Bytes is how much of the log they take.
	Bytes int64
}

// Damage tells what the recovery of Open had to pass over. It is in the files still.
func (s *Store) Damage() Damage { return s.damage }

// toldDamage bounds what a recovery says about single pieces of damage.
const toldDamage = 100

// damaged is told of each piece.
func (s *Store) damaged(from, to int64, why string) {
	s.damage.Pieces++
	s.lastDamage = [2]int64{from, to}
	s.damage.Bytes += to - from
	if s.damage.Pieces <= toldDamage {
		s.log.Error("store: the log is damaged, messages are lost", "file", s.clog.Path(from), "at", from-s.clog.SegmentOf(from),
			"offset", from, "bytes", to-from, "reason", why)
	}
}

// plan is what a recovery knows before it reads the log.
type plan struct {
	clean bool
	from  int64 // reading begins here
	// floor is where the part of the log begins that may be torn.
	floor int64
	// ours is the offset from which on the log was written by a Merlin that told so.
	ours int64
}

// recover finds the end of the log, cuts it there, and brings consume queues and
// index in line with it. The log is right; everything else follows.
func (s *Store) recover(owner lastOwner) error {
	clean := owner.closed
	known, err := s.queues.Recover(clean)
	if err == nil {
		err = s.loadEnds()
	}
	if err == nil {
		err = s.checkFloor(known)
	}
	if err == nil && clean {
		if clean, err = s.closedWell(known); err == nil && !clean {
			s.log.Warn("store: there is no abort file, but the checkpoint is older than the consume queues: the store was not closed")
			known, err = s.queues.Recover(false)
		}
	}
	if err == nil {
		err = s.verifyDeleted()
	}
	if err == nil {
		err = s.buryQueues()
	}
	if err != nil {
		return err
	}
	indexed := int64(-1)
	if s.idx != nil {
		if err := s.checkIndex(clean); err != nil {
			return err
		}
		if indexed, err = s.idx.Recover(clean, s.cp.index); err != nil {
			return err
		}
	}
	segs := s.clog.Segments()
	if len(segs) == 0 {
		return s.recoverEmpty(known)
	}
	p, err := s.plan(owner, clean, segs, known, indexed)
	if err != nil {
		return err
	}
	if err := s.refill(&p, segs[0]); err != nil {
		return err
	}
	for _, o := range s.o.Dispatchers {
		p.from = min(p.from, s.readFrom(max(o.From(), segs[0])))
	}
	if at := s.o.TruncateAt; at > 0 {
		p.from = min(p.from, max(s.clog.SegmentOf(at-1), segs[0]))
	}
	if s.idx.Short() {
		p.from = min(p.from, max(s.clog.SegmentOf(max(indexed, 0)), segs[0]))
	}
	end, why, err := s.replay(p, segs[0])
	if err != nil {
		return err
	}
	s.tellEnd(p, end, known, why)
	if n := s.damage.Pieces; n > toldDamage {
		s.log.Error("store: the log is damaged, not every place was told", "places", n, "bytes", s.damage.Bytes)
	}
	s.log.Info("store: recovered", "clean", p.clean, "from", p.from, "floor", p.floor, "end", end)
	s.replayFrom, s.ends = min(p.from, end), nil
	return s.settleAt(end, !p.clean || why != "" || known > end || !s.cp.known || s.o.TruncateAt > 0)
}

// tellEnd says where the log ends when it might have been further.
func (s *Store) tellEnd(p plan, end, known int64, why string) {
	at := []any{"offset", end, "file", s.clog.Path(end), "at", end - s.clog.SegmentOf(end), "durable", p.floor}
	switch {
	case why != "":
		s.log.Warn("store: the log is cut at a record that was not written whole", append(at, "reason", why)...)
	case known > end:
		s.log.Warn("store: the log ends before the last record that a consume queue knows", append(at, "known", known)...)
	}
}

// readFrom is where reading may begin for what is wanted from an offset on: there, when
// a whole record begins at it or the floor is there, else at the start of its segment.
func (s *Store) readFrom(offset int64) int64 {
	if _, valid, err := s.clog.Valid(offset); err == nil && valid || s.cp.known && offset == s.cp.floor {
		return offset
	}
	return s.clog.SegmentOf(offset)
}

// refill lets the replay begin early enough for queues that are short of entries.
func (s *Store) refill(p *plan, first int64) error {
	lack, err := s.lacking()
	if err != nil {
		return err
	}
	short := s.queues.Short()
	for _, q := range short {
		s.log.Warn("store: a file of a consume queue is too short, its entries are built again from the log",
			"file", q.ShortFile(), "topic", q.Topic, "queue", q.ID, "from", q.Max())
	}
	for _, q := range append(lack, short...) {
		from, err := s.endsWhole(q)
		if err != nil {
			return err
		}
		p.from = min(p.from, max(from, first))
	}
	return nil
}

// endsWhole is where the record of a queue's last entry ends, 0 when that record is
// not there.
func (s *Store) endsWhole(q *consumequeue.Queue) (int64, error) {
	e, ok, err := q.Get(q.Max() - 1)
	if err != nil || !ok || e.Filler() {
		return 0, err
	}
	n, valid, err := s.clog.Valid(e.PhyOffset)
	if err != nil || !valid || n != int(e.Size) {
		return 0, err
	}
	return e.PhyOffset + int64(e.Size), nil
}

// replay reads the log, and all of it when queues turn out to lack something.
func (s *Store) replay(p plan, first int64) (end int64, why string, err error) {
	r := replay{s: s, plan: p}
	s.queues.Marked = s.cp.known && s.ends != nil && s.deleted.whole
	end, why, err = r.run(p.from)
	for n := 1; err == nil && len(r.broken) > 0 && n < maxReplays; n++ {
		s.log.Warn("store: consume queues have holes, the whole log is read", "queues", len(r.broken), "from", first)
		if err := s.dropQueues(slices.Collect(maps.Keys(r.broken))); err != nil {
			return 0, "", err
		}
		r.broken, r.near = nil, nil
		if s.idx != nil {
			s.idx.Again()
		}
		end, why, err = r.run(first)
	}
	if err == nil {
		err = r.truncated(end)
	}
	return end, why, err
}

// closedWell says whether the checkpoint covers the last record that a consume
// queue knows, as it does when the store was closed. Without that some queues may
// have been written further than others, and reading from the last record on
// would not find what the others lack: the abort file was lost.
func (s *Store) closedWell(known int64) (bool, error) {
	if s.cp.known {
		_, more, err := s.clog.Valid(s.cp.floor)
		return known <= s.cp.floor && !more, err
	}
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

// plan chooses where reading begins and what may be torn.
func (s *Store) plan(owner lastOwner, clean bool, segs []int64, known, indexed int64) (p plan, err error) {
	p = plan{clean: clean, ours: math.MaxInt64}
	since, tooFar := owner.since, false
	if owner.merlin {
		p.ours = owner.since
		if !s.cp.known && max(known, since) > segs[len(segs)-1] {
			// Files may be missing: no place in them is given out again.
			since, err = s.clog.Restore(since)
			var bad *commitlog.CorruptError
			if tooFar = errors.As(err, &bad); tooFar {
				err = nil
			}
		}
		if err != nil {
			return p, err
		}
	}
	switch {
	case s.cp.known:
		p.floor, err = s.clog.Restore(s.cp.floor)
		if p.from = s.cp.replay; clean || p.floor > s.cp.floor {
			p.from = p.floor
		}
		if s.hurt {
			p.from = min(p.from, s.clog.SegmentOf(s.cp.last))
		}
	case owner.merlin && !tooFar:
		p.floor, p.from = since, since
		s.log.Warn("store: the checkpoint says nothing of the log, it is read from where the last start found its end", "offset", p.from)
	case clean:
		if p.from, err = s.fromQueues(segs, known); err == nil {
			p.floor, err = s.evidence()
		}
	default:
		if p.from, err = s.fromTimes(segs, known, indexed); err == nil {
			p.floor, err = s.evidence()
		}
		why := "another broker, or an older one, had the store last and did not close it"
		if owner.merlin {
			why = "too many files at the end of the log are missing, and the checkpoint says nothing of them"
		}
		s.log.Warn("store: "+why, "from", p.from, "durable", p.floor)
	}
	if len(s.queues.Queues()) == 0 {
		p.from = segs[0] // they were lost, or never written: all is built again
	}
	p.from = max(p.from, segs[0])
	return p, err
}

// fromTimes chooses where to begin when only the times of a checkpoint are there.
// The clock may have been set back meanwhile, so they are not believed alone: a
// segment is passed over when it and all before it began in order and not later than
// the checkpoint, when a queue knows what lies behind it, and when it does not lie
// among the bytes that a broker writes between two checkpoints.
func (s *Store) fromTimes(segs []int64, known, indexed int64) (int64, error) {
	t, last, i := s.cp.minTime(), int64(0), 0
	for ; i+1 < len(segs); i++ {
		first, err := s.clog.FirstTime(segs[i+1])
		if err != nil {
			return 0, err
		}
		if first < last || first <= 0 || first > t {
			break
		}
		last = first
	}
	end := segs[len(segs)-1] + s.clog.SegmentSize()
	from := min(segs[i], s.clog.SegmentOf(max(known-1, 0)), s.clog.SegmentOf(max(end-s.o.CheckpointBytes, 0)))
	if !s.tune().MessageIndexDisable && indexed >= 0 && s.cp.index < s.cp.minTime() {
		// The index is further behind than the queues.
		from = min(from, s.clog.SegmentOf(indexed))
	}
	return max(from, segs[0]), nil
}

// evidence is the end of the last record that a consume queue knows and that is
// whole: so far the log was written, by whomever.
func (s *Store) evidence() (int64, error) {
	end := int64(0)
	return end, s.queues.Each(func(q *consumequeue.Queue) error {
		for n, tries := q.Max()-1, 0; n >= q.Min() && tries < nearCount; n, tries = n-1, tries+1 {
			e, ok, err := q.Get(n)
			if err != nil {
				return err
			}
			if !ok || e.Filler() || e.PhyOffset+int64(e.Size) <= end {
				return nil
			}
			k, valid, err := s.clog.Valid(e.PhyOffset)
			if err != nil {
				return err
			}
			if valid && k == int(e.Size) {
				end, s.dispatch.last = e.PhyOffset+int64(e.Size), e.PhyOffset
				return nil
			}
		}
		return nil
	})
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

// settleAt makes end the end of everything. What was changed is made durable
// before anything new is written: entries that came back after another crash
// would point to records that are not the same any more.
func (s *Store) settleAt(end int64, changed bool) error {
	if err := s.clog.Cut(end); err != nil {
		return err
	}
	if err := s.deleted.clamp(s.placeAt(end)); err != nil {
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
	for _, o := range s.o.Dispatchers {
		if err := o.Truncate(end); err != nil {
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
	if s.lastDamage[1] == end && end > 0 {
		s.dispatch.last = s.lastDamage[0] // what stands before the end, and is no record
	}
	s.dispatch.pos.Store(end)
	if s.appendedTime.Load() == 0 {
		s.appendedTime.Store(min(s.cp.physical, s.cp.logics))
	}
	s.dispatch.time.Store(s.appendedTime.Load())
	s.flushedTime.Store(s.appendedTime.Load())
	if err := s.deleted.prune(first); err != nil {
		return err
	}
	return s.takeOver(end, changed)
}

// takeOver says on the disk that everything up to end is durable, and that what
// comes from now on is Merlin's. A disk without room does not keep the store from
// opening.
func (s *Store) takeOver(end int64, changed bool) error {
	var err error
	if changed || !s.cp.known || s.cp.floor != end {
		p := s.point(nil)
		p.replay = min(s.replayFrom, p.floor)
		err = s.saveCheckpoint(p, nil)
	}
	if err == nil {
		err = s.signAbort(end)
	}
	if errors.Is(err, syscall.ENOSPC) {
		s.log.Warn("store: the disk is full, the next start has to read more of the log", "err", err)
		return nil
	}
	return err
}
