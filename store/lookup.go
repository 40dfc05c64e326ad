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

// ErrNoRecord says that no record begins at an offset of the log, and that asking
// again will not change that: the offset lies outside the log, which retention has
// shortened, or what stands there is no record. Every other error of a read says that
// the disk or the process cannot read now, or that the store closes: nothing is known
// about the message, so no offset may move over it, and the caller asks again later.
var ErrNoRecord = errors.New("store: no record at this offset")

// QueueEntry is one entry of a consume queue.
type QueueEntry = consumequeue.Entry

// maxQueryBytes bounds the records of a QueryResult when it has more than one.
// Java's answer to QUERY_MESSAGE has no such bound, and beyond 16 MiB its clients
// close the connection on it.
const maxQueryBytes = 8 << 20

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
// queue ends, none outside its bounds. An error means that more may be there: the
// entries before the place that could not be read come with it.
func (s *Store) Entries(topic string, queueID int32, from int64, limit int) ([]QueueEntry, error) {
	if !s.enter() {
		return nil, ErrClosed
	}
	defer s.leave()
	q := s.queues.Find(topic, queueID)
	if q == nil || limit <= 0 || from < q.Min() || from >= q.Max() {
		return nil, nil
	}
	limit = int(min(int64(limit), q.Max()-from))
	raw := make([]byte, limit*consumequeue.EntrySize)
	n, err := q.Read(raw, from)
	if err != nil {
		err = s.unread(err, "topic", topic, "queue", queueID, "queueOffset", from+int64(n))
	}
	out := make([]QueueEntry, 0, n)
	for i := range n {
		e := consumequeue.Parse(raw[i*consumequeue.EntrySize:])
		e.QueueOffset = from + int64(i)
		out = append(out, e)
	}
	return out, err
}

// RecordAt gives a copy of the record that begins at an offset of the log
// (VIEW_MESSAGE_BY_ID). An offset that is not the start of a record gives
// ErrNoRecord; any other error is one of reading.
func (s *Store) RecordAt(phy int64) ([]byte, error) {
	if !s.enter() {
		return nil, ErrClosed
	}
	defer s.leave()
	return s.recordAt(phy)
}

func (s *Store) recordAt(phy int64) ([]byte, error) {
	var head [commitlog.MinRecord]byte
	if phy < s.clog.Min() || phy > s.clog.Max()-int64(len(head)) { // phy is a peer's, and may be any number
		return nil, fmt.Errorf("%w: %d, the log has %d to %d", ErrNoRecord, phy, s.clog.Min(), s.clog.Max())
	}
	if err := s.readLog(head[:], phy); err != nil {
		return nil, err
	}
	n := int64(int32(binary.BigEndian.Uint32(head[:])))
	if commitlog.PhyOffsetOf(head[:]) != phy || n < commitlog.MinRecord || n > int64(s.o.maxRecord()) ||
		n > min(s.clog.SegmentOf(phy)+s.clog.SegmentSize(), s.clog.Max())-phy {
		return nil, fmt.Errorf("%w: %d", ErrNoRecord, phy)
	}
	rec := make([]byte, n)
	if err := s.readLog(rec, phy); err != nil {
		return nil, err
	}
	body, whole := message.Shape(rec)
	if !whole {
		return nil, fmt.Errorf("%w: %d", ErrNoRecord, phy)
	}
	if !s.intact(rec, body) {
		s.rotten(phy)
	}
	return rec, nil
}

// readLog fills p from phy; ErrNoRecord when retention was faster.
func (s *Store) readLog(p []byte, phy int64) error {
	err := s.clog.Read(p, phy)
	switch first := s.clog.Min(); {
	case err == nil:
		return nil
	case phy < first:
		return fmt.Errorf("%w: %d, the log begins at %d", ErrNoRecord, phy, first)
	}
	return s.unread(err, "file", s.clog.Path(phy), "offset", phy)
}

// StoreTimeAt is the store time (ms) of the message at a queue offset, -1 when
// there is none. Errors are those of reading.
func (s *Store) StoreTimeAt(topic string, queueID int32, offset int64) (int64, error) {
	if !s.enter() {
		return -1, ErrClosed
	}
	defer s.leave()
	q := s.queues.Find(topic, queueID)
	if q == nil {
		return -1, nil
	}
	return s.storeTime(q, offset)
}

func (s *Store) storeTime(q *consumequeue.Queue, offset int64) (int64, error) {
	e, ok, err := q.Get(offset)
	if err != nil {
		return -1, s.unread(err, "topic", q.Topic, "queue", q.ID, "queueOffset", offset)
	}
	if !ok || e.Filler() {
		return -1, nil
	}
	return s.logTime(e.PhyOffset)
}

// logTime is the store time of the record at phy, -1 when there is none.
func (s *Store) logTime(phy int64) (int64, error) {
	if phy < s.clog.Min() {
		return -1, nil
	}
	t, err := s.clog.StoreTime(phy)
	if err == nil {
		return t, nil
	}
	if phy < s.clog.Min() { // retention was faster
		return -1, nil
	}
	return -1, s.unread(err, "file", s.clog.Path(phy), "offset", phy)
}

// EarliestStoreTime is the store time (ms) of the first message of a queue, -1
// when there is none (GET_EARLIEST_MSG_STORETIME). Errors are those of reading.
func (s *Store) EarliestStoreTime(topic string, queueID int32) (int64, error) {
	return s.StoreTimeAt(topic, queueID, s.MinOffset(topic, queueID))
}

// EarliestTime is the store time (ms) of the first record of the log, -1 when it
// is empty (earliestMessageTimeStamp). Errors are those of reading.
func (s *Store) EarliestTime() (int64, error) {
	if !s.enter() {
		return -1, ErrClosed
	}
	defer s.leave()
	return s.logTime(s.clog.Min())
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
	limit = min(limit, s.tune().MaxMsgsNumBatch)
	for range 3 { // older ones when those found are gone already
		phys, t, phy, err := s.idx.Query(topic, key, limit, begin, end)
		out.LastUpdateTime, out.LastUpdatePhyOffset = t, phy
		if err != nil || len(phys) == 0 {
			return out, err
		}
		slices.Sort(phys)
		size := 0
		for _, p := range slices.Compact(phys) {
			rec, err := s.recordAt(p)
			if errors.Is(err, ErrNoRecord) {
				continue
			}
			if err != nil {
				return out, err
			}
			if size += len(rec); size > maxQueryBytes && len(out.Records) > 0 {
				break
			}
			out.Records = append(out.Records, rec)
		}
		if len(out.Records) > 0 {
			return out, nil
		}
		if end, err = s.logTime(phys[0]); err != nil || end < begin {
			return out, err
		}
	}
	return out, nil
}

// OffsetByTime finds a queue offset by store time in ms
// (SEARCH_OFFSET_BY_TIMESTAMP): the first message not older than t, or with
// upper the last one not younger. Beyond the ends of the queue it follows the
// Java broker, which looks into one consume queue file. Messages that cannot be
// read any more are passed over; an error means that one cannot be read now.
func (s *Store) OffsetByTime(topic string, queueID int32, t int64, upper bool) (int64, error) {
	if !s.enter() {
		return 0, ErrClosed
	}
	defer s.leave()
	q := s.queues.Find(topic, queueID)
	if q == nil {
		return 0, nil
	}
	lo, hi := q.Min(), q.Max()
	at, err := (&timeSearch{s: s, q: q, t: t, upper: upper}).run()
	if err != nil {
		return 0, err
	}
	return min(max(at, lo), hi), nil
}
