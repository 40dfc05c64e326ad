package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/consumequeue"
)

// ErrNoRecord says that no record begins at an offset of the log.
var ErrNoRecord = errors.New("store: no record at this offset")

// QueueEntry is one entry of a consume queue.
type QueueEntry = consumequeue.Entry

// QueryResult is what Query found.
type QueryResult struct {
	Records [][]byte // in the order of the log; the caller's own
	// The newest entry of the index (indexLastUpdateTimestamp and …Phyoffset).
	LastUpdateTime, LastUpdatePhyOffset int64
}

// MinOffset is the first offset of a queue that can be read, 0 for an unknown one.
func (s *Store) MinOffset(topic string, queueID int32) int64 {
	if q := s.queues.Find(topic, queueID); q != nil {
		return q.Min()
	}
	return 0
}

// MaxOffset is the offset that the next message of a queue gets, as far as
// messages can be read; 0 for an unknown queue.
func (s *Store) MaxOffset(topic string, queueID int32) int64 {
	if q := s.queues.Find(topic, queueID); q != nil {
		return q.Max()
	}
	return 0
}

// MinPhyOffset is where the log begins.
func (s *Store) MinPhyOffset() int64 { return s.clog.Min() }

// MaxPhyOffset is where the log ends.
func (s *Store) MaxPhyOffset() int64 { return s.clog.Max() }

// FlushedOffset is up to where the log is durable.
func (s *Store) FlushedOffset() int64 { return s.clog.Flushed() }

// DispatchBehind is how many bytes of the log are not in the consume queues yet.
func (s *Store) DispatchBehind() int64 {
	return max(s.clog.Max()-s.dispatch.pos.Load(), 0)
}

// Topics lists the topics that have a consume queue.
func (s *Store) Topics() []string { return s.queues.Topics() }

// QueueIDs lists the queues of a topic.
func (s *Store) QueueIDs(topic string) []int32 { return s.queues.IDs(topic) }

// Entries gives up to limit entries of a queue from an offset on; fewer when the
// queue ends, none outside its bounds.
func (s *Store) Entries(topic string, queueID int32, from int64, limit int) []QueueEntry {
	q := s.queues.Find(topic, queueID)
	if q == nil || limit <= 0 || !s.enter() {
		return nil
	}
	defer s.leave()
	if from < q.Min() || from >= q.Max() {
		return nil
	}
	limit = int(min(int64(limit), q.Max()-from))
	raw := make([]byte, limit*consumequeue.EntrySize)
	n, err := q.Read(raw, from)
	if err != nil {
		s.log.Error("store: read of a consume queue failed", "topic", topic, "queue", queueID, "err", err)
	}
	out := make([]QueueEntry, 0, n)
	for i := range n {
		e := consumequeue.Parse(raw[i*consumequeue.EntrySize:])
		e.QueueOffset = from + int64(i)
		out = append(out, e)
	}
	return out
}

// RecordAt gives a copy of the record that begins at an offset of the log
// (VIEW_MESSAGE_BY_ID). An offset that is not the start of a record gives
// ErrNoRecord.
func (s *Store) RecordAt(phy int64) ([]byte, error) {
	if !s.enter() {
		return nil, ErrClosed
	}
	defer s.leave()
	return s.recordAt(phy)
}

func (s *Store) recordAt(phy int64) ([]byte, error) {
	var head [commitlog.MinRecord]byte
	if phy < s.clog.Min() || phy+int64(len(head)) > s.clog.Max() {
		return nil, fmt.Errorf("%w: %d, the log has %d to %d", ErrNoRecord, phy, s.clog.Min(), s.clog.Max())
	}
	if err := s.clog.Read(head[:], phy); err != nil {
		return nil, err
	}
	n := int64(int32(binary.BigEndian.Uint32(head[:])))
	magic := binary.BigEndian.Uint32(head[4:])
	at := int64(binary.BigEndian.Uint64(head[28:]))
	if magic != message.MagicV1 && magic != message.MagicV2 || at != phy || n < commitlog.MinRecord ||
		n > s.clog.SegmentOf(phy)+s.clog.SegmentSize()-phy || phy+n > s.clog.Max() {
		return nil, fmt.Errorf("%w: %d", ErrNoRecord, phy)
	}
	rec := make([]byte, n)
	if err := s.clog.Read(rec, phy); err != nil {
		return nil, err
	}
	return rec, nil
}

// StoreTimeAt is the store time (ms) of the message at a queue offset, -1 when
// there is none.
func (s *Store) StoreTimeAt(topic string, queueID int32, offset int64) int64 {
	q := s.queues.Find(topic, queueID)
	if q == nil || !s.enter() {
		return -1
	}
	defer s.leave()
	return s.storeTime(q, offset)
}

func (s *Store) storeTime(q *consumequeue.Queue, offset int64) int64 {
	e, ok, err := q.Get(offset)
	if err != nil || !ok || e.Filler() || e.PhyOffset < s.clog.Min() {
		return -1
	}
	return s.clog.StoreTime(e.PhyOffset)
}

// EarliestStoreTime is the store time (ms) of the first message of a queue, -1
// when there is none (GET_EARLIEST_MSG_STORETIME).
func (s *Store) EarliestStoreTime(topic string, queueID int32) int64 {
	return s.StoreTimeAt(topic, queueID, s.MinOffset(topic, queueID))
}

// EarliestTime is the store time (ms) of the first record of the log, -1 when it
// is empty (earliestMessageTimeStamp).
func (s *Store) EarliestTime() int64 {
	if !s.enter() {
		return -1
	}
	defer s.leave()
	return s.clog.StoreTime(s.clog.Min())
}

// Query finds messages by topic and key (QUERY_MESSAGE) with store times inside
// [begin, end] ms. Other keys with the same hash are among them.
func (s *Store) Query(topic, key string, limit int, begin, end int64) (QueryResult, error) {
	var out QueryResult
	if s.idx == nil {
		return out, nil
	}
	if !s.enter() {
		return out, ErrClosed
	}
	defer s.leave()
	limit = min(limit, s.o.MaxMsgsNumBatch)
	for range 3 { // older ones when those found are gone already
		phys, t, phy, err := s.idx.Query(topic, key, limit, begin, end)
		out.LastUpdateTime, out.LastUpdatePhyOffset = t, phy
		if err != nil || len(phys) == 0 {
			return out, err
		}
		slices.Sort(phys)
		for _, p := range slices.Compact(phys) {
			rec, err := s.recordAt(p)
			if errors.Is(err, ErrNoRecord) || errors.Is(err, commitlog.ErrOutOfRange) {
				continue
			}
			if err != nil {
				return out, err
			}
			out.Records = append(out.Records, rec)
		}
		if len(out.Records) > 0 {
			return out, nil
		}
		if end = s.clog.StoreTime(phys[0]); end < begin {
			return out, nil
		}
	}
	return out, nil
}

// OffsetByTime finds a queue offset by store time in ms
// (SEARCH_OFFSET_BY_TIMESTAMP): the first message not older than t, or with
// upper the last one not younger. Beyond the ends of the queue it follows the
// Java broker, which looks into one consume queue file.
func (s *Store) OffsetByTime(topic string, queueID int32, t int64, upper bool) int64 {
	q := s.queues.Find(topic, queueID)
	if q == nil || !s.enter() {
		return 0
	}
	defer s.leave()
	lo, hi := q.Min(), q.Max()
	return min(max(s.searchTime(q, t, upper), lo), hi)
}

func (s *Store) searchTime(q *consumequeue.Queue, t int64, upper bool) int64 {
	first, last, ok := s.fileByTime(q, t, upper)
	if !ok {
		return 0
	}
	floor, ceiling := max(q.Min(), first), last
	if floor > ceiling {
		return 0
	}
	if s.storeTime(q, ceiling) < t {
		if upper {
			return ceiling
		}
		return ceiling + 1
	}
	if s.storeTime(q, floor) > t {
		if upper {
			return 0
		}
		return first
	}
	low, high, left, right := floor, ceiling, first-1, first-1
	for low <= high {
		mid := low + (high-low)/2
		at := s.storeTime(q, mid)
		switch {
		case at == t:
			return s.sameTime(q, mid, floor, ceiling, t, upper)
		case at > t:
			high, right = mid-1, mid
		default:
			low, left = mid+1, mid
		}
	}
	if upper {
		return left
	}
	return right
}

// sameTime walks over neighbours with the same store time.
func (s *Store) sameTime(q *consumequeue.Queue, at, floor, ceiling, t int64, upper bool) int64 {
	step := int64(-1)
	if upper {
		step = 1
	}
	for next := at + step; next >= floor && next <= ceiling && s.storeTime(q, next) == t; next += step {
		at = next
	}
	return at
}

// fileByTime gives the first and last offset of the consume queue file that Java
// would search.
func (s *Store) fileByTime(q *consumequeue.Queue, t int64, upper bool) (int64, int64, bool) {
	files := q.Files()
	if len(files) == 0 {
		return 0, 0, false
	}
	per := q.NextFile(0)
	end := func(i int) int64 { return min(files[i]+per, q.Max()) - 1 }
	if !upper {
		for i := range len(files) - 1 {
			if s.storeTime(q, end(i)) >= t {
				return files[i], end(i), true
			}
		}
		i := len(files) - 1
		return files[i], end(i), true
	}
	for i := len(files) - 1; i >= 0; i-- {
		if s.storeTime(q, files[i]) <= t {
			return files[i], end(i), true
		}
	}
	return 0, 0, false
}
