package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"path/filepath"
	"sort"

	"github.com/merlinmq/merlin/store/consumequeue"
	"github.com/merlinmq/merlin/store/index"
	"github.com/merlinmq/merlin/store/vfs"
)

// Beside each checkpoint stands where every consume queue ended at its floor. A queue
// that a start finds shorter was damaged. docs/format/checkpoint.md.
const (
	endsName    = "queueends"
	endsMagic   = 0x4D4C5145 // "MLQE"
	endsVersion = 2
	endsHead    = 4 + 4 + 24 + 4 // magic, version, floor, last record before it, start of the log, index files
	endsIndex   = 8 + 4 + 8
	endsFixed   = 2 + 4 + 24
)

// queueEnd is where a queue ended.
type queueEnd struct {
	topic string
	id    int32
	min   int64 // first queue offset whose record was in the log
	max   int64 // queue offset behind the last entry
	phy   int64 // where the record of the last entry ends in the log
}

// queueEnds is the content of the file for the queues as they are. REQUIRES: the
// dispatcher, between two messages.
func (s *Store) queueEnds(floor, last int64, ps []index.Pending) []byte {
	be, qs := binary.BigEndian, s.queues.Queues()
	b := be.AppendUint32(be.AppendUint32(make([]byte, 0, endsHead+len(qs)*64), endsMagic), endsVersion)
	for _, v := range []int64{floor, last, s.clog.Min()} {
		b = be.AppendUint64(b, uint64(v))
	}
	files := s.idx.Ends(ps)
	b = be.AppendUint32(b, uint32(len(files)))
	for _, f := range files {
		b = be.AppendUint64(be.AppendUint32(be.AppendUint64(b, uint64(f.Name)), uint32(f.Count)), uint64(f.EndPhy))
	}
	for _, q := range qs {
		if q.Max() == 0 {
			continue
		}
		b = append(be.AppendUint16(b, uint16(len(q.Topic))), q.Topic...)
		b = be.AppendUint32(b, uint32(q.ID))
		for _, v := range []int64{q.Min(), q.Max(), q.MaxPhy()} {
			b = be.AppendUint64(b, uint64(v))
		}
	}
	return be.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// ends is the content of the file.
type ends struct {
	first  int64 // where the log began
	files  []index.End
	queues []byte
}

// loadEnds reads the file. One that is not of the checkpoint's floor says nothing, like
// none; bad tells when it is damaged.
func loadEnds(f vfs.FS, path string, cp *checkpoint) (e *ends, bad string, err error) {
	b, err := vfs.ReadFile(f, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("store: ends of the queues: %w", err)
	}
	be, n := binary.BigEndian, len(b)-4
	if n >= 8 && be.Uint32(b) == endsMagic && be.Uint32(b[4:]) == endsVersion-1 {
		return nil, "", nil // of an earlier version: the next checkpoint writes another
	}
	if n < endsHead || be.Uint32(b) != endsMagic || be.Uint32(b[4:]) != endsVersion || be.Uint32(b[n:]) != crc32.ChecksumIEEE(b[:n]) {
		return nil, fmt.Sprintf("%s of %d bytes is damaged", path, len(b)), nil
	}
	if int64(be.Uint64(b[8:])) != cp.floor || int64(be.Uint64(b[16:])) != cp.last {
		return nil, "", nil
	}
	e = &ends{first: int64(be.Uint64(b[24:])), files: []index.End{}}
	files := int64(be.Uint32(b[32:]))
	if b = b[endsHead:n]; files*endsIndex > int64(len(b)) {
		return nil, path + " is damaged", nil
	}
	for range files {
		e.files = append(e.files, index.End{Name: int64(be.Uint64(b)), Count: int32(be.Uint32(b[8:])), EndPhy: int64(be.Uint64(b[12:]))})
		b = b[endsIndex:]
	}
	e.queues = b
	return e, "", nil
}

// eachQueue calls fn for each queue; first is where the log begins now. bad tells when
// what is there are no queues.
func (t *ends) eachQueue(first int64, fn func(queueEnd) error) (bad string, err error) {
	be := binary.BigEndian
	for b := t.queues; len(b) > 0; {
		k := 0
		if len(b) >= 2 {
			k = int(be.Uint16(b))
		}
		if len(b) < k+endsFixed {
			return endsName + " is damaged", nil
		}
		e := queueEnd{topic: string(b[2 : 2+k])}
		b = b[2+k:]
		e.id, e.min, e.max, e.phy = int32(be.Uint32(b)), int64(be.Uint64(b[4:])), int64(be.Uint64(b[12:])), int64(be.Uint64(b[20:]))
		if b = b[28:]; t.first != first {
			e.min = math.MaxInt64 // the queue may begin later now
		}
		if err := fn(e); err != nil {
			return "", err
		}
	}
	return "", nil
}

// loadEnds reads the file for the floor of the checkpoint, if that is believed.
func (s *Store) loadEnds() (err error) {
	if !s.cp.known {
		return nil
	}
	bad := ""
	s.ends, bad, err = loadEnds(s.fs, s.path(endsName), &s.cp)
	if bad != "" {
		s.log.Warn("store: damage of consume queues and index files is not noticed by this start", "reason", bad)
	}
	return err
}

// lacking finds the queues that end before the place where they ended at the floor,
// and says so.
func (s *Store) lacking() (qs []*consumequeue.Queue, err error) {
	if qs, err = s.askew(); err != nil || !s.cp.known {
		return qs, err
	}
	qs = nil // what they lack stands behind the floor
	if s.ends == nil {
		return nil, nil
	}
	bad, err := s.ends.eachQueue(s.clog.Min(), func(e queueEnd) error {
		if !s.counts(e) {
			return nil
		}
		q := s.queues.FindOrCreate(e.topic, e.id)
		if e.phy <= s.clog.Min() {
			return s.expired(q, e)
		}
		began := q.Min() <= e.min
		if began && q.Max() == e.max && q.MaxPhy() == e.phy {
			return nil
		}
		if began && q.Max() >= e.max {
			last, ok, err := q.Get(e.max - 1)
			if err != nil || ok && last.PhyOffset+int64(last.Size) == e.phy || ok && last.Filler() {
				return err
			}
		}
		s.log.Warn("store: a consume queue is damaged, it is built again from the log", "topic", e.topic, "queue", e.id,
			"file", s.queueDir(e.topic, e.id), "from", q.Min(), "queueOffset", q.Max(), "was", e.max)
		if qs = append(qs, q); !began {
			return s.queues.Rewind(q, 0) // its first files are gone
		}
		return s.rewind(q, min(e.max, q.Max())-1) // what is before the damage may be torn
	})
	if bad != "" {
		s.log.Warn("store: damage of consume queues is not noticed by this start", "reason", bad)
	}
	return qs, err
}

// counts says whether what is known of a queue at the floor holds still.
func (s *Store) counts(e queueEnd) bool {
	place := s.deleted.place(e.topic, e.id)
	return (place == 0 || e.phy > place) && consumequeue.ValidTopic(e.topic) && e.id >= 0 && e.max > 0
}

// expired sees to it that a queue whose messages have all expired goes on where it
// ended: nothing but its entries, and the ends, tell that.
func (s *Store) expired(q *consumequeue.Queue, e queueEnd) error {
	if q.Max() >= e.max {
		last, ok, err := q.Get(e.max - 1)
		if err != nil || ok && (last.Filler() || last.PhyOffset+int64(last.Size) == e.phy) || q.Max() > e.max && q.MaxPhy() >= e.phy {
			return err
		}
	}
	s.log.Warn("store: a consume queue whose messages have expired is damaged, it goes on where it ended", "topic", e.topic,
		"queue", e.id, "file", s.queueDir(e.topic, e.id), "queueOffset", q.Max(), "was", e.max)
	if err := s.queues.Rewind(q, 0); err != nil {
		return err
	}
	return q.Pad(e.max, e.phy)
}

// pad lets every queue end at least where it ended at the floor: what it lacks there
// are messages that are damaged. It is called when a replay has come to the floor.
func (s *Store) pad() error {
	if s.ends == nil || !s.cp.known {
		return nil
	}
	_, err := s.ends.eachQueue(s.clog.Min(), func(e queueEnd) error {
		if !s.counts(e) {
			return nil
		}
		q := s.queues.FindOrCreate(e.topic, e.id)
		if q.Max() < e.max {
			s.log.Error("store: messages at the end of a consume queue are lost", "topic", e.topic, "queue", e.id,
				"from", q.Max(), "to", e.max)
		}
		return q.Pad(e.max, e.phy)
	})
	return err
}

func (s *Store) queueDir(topic string, id int32) string {
	return filepath.Join(s.o.StorePathRootDir, "consumequeue", topic, fmt.Sprint(id))
}

// askew finds the queues that end behind the floor, with an entry that leads to no
// record, or before something that is no entry, and takes it off: it would hide from a
// replay what the log has before the place that it names.
func (s *Store) askew() (qs []*consumequeue.Queue, err error) {
	return qs, s.queues.Each(func(q *consumequeue.Queue) error {
		first := q.Files()
		if q.Max() == 0 || len(first) == 0 || s.cp.known && q.MaxPhy() <= s.cp.floor {
			return nil
		}
		end := q.Max()
		whole, err := s.wholeAt(q, end-1)
		if err != nil || whole && !q.Odd() {
			return err
		}
		if !whole {
			low, failed := first[0], error(nil)
			if s.cp.known { // what lies below the floor is compared with the ends
				low += int64(sort.Search(int(end-low), func(i int) bool {
					e, ok, err := q.Get(low + int64(i))
					failed = errors.Join(failed, err)
					return ok && e.PhyOffset+int64(e.Size) > s.cp.floor && !e.Filler()
				}))
			}
			end = low + int64(sort.Search(int(end-low), func(i int) bool {
				whole, err := s.wholeAt(q, low+int64(i))
				failed = errors.Join(failed, err)
				return !whole
			}))
			if failed != nil {
				return failed
			}
		} else {
			end-- // it may be torn
		}
		s.log.Warn("store: a consume queue ends with an entry that leads to no message, it is built again from the log",
			"topic", q.Topic, "queue", q.ID, "file", s.queueDir(q.Topic, q.ID), "queueOffset", end, "to", q.Max())
		qs = append(qs, q)
		return s.queues.Rewind(q, end)
	})
}

// wholeAt says whether an entry leads to a whole record, or to what has expired, or
// stands for no message.
func (s *Store) wholeAt(q *consumequeue.Queue, offset int64) (bool, error) {
	e, ok, err := q.Get(offset)
	if err != nil || !ok || e.Filler() || 0 <= e.PhyOffset && e.PhyOffset < s.clog.Min() {
		return ok, err
	}
	size, valid, err := s.clog.Valid(e.PhyOffset)
	return valid && size == int(e.Size), err
}

// rewind takes off the entries of a queue from end on, and those before whose records
// are not there.
func (s *Store) rewind(q *consumequeue.Queue, end int64) error {
	end = min(end, q.Max())
	for n := 0; n < nearCount && end > q.Min(); n++ {
		e, ok, err := q.Get(end - 1)
		if err != nil {
			return err
		}
		if ok && !e.Filler() {
			if size, valid, err := s.clog.Valid(e.PhyOffset); err != nil || valid && size == int(e.Size) {
				return errors.Join(err, s.queues.Rewind(q, end))
			}
		}
		end--
	}
	return s.queues.Rewind(q, 0)
}

// replaceFile gives a small file a new content, all or nothing.
func replaceFile(f vfs.FS, path string, b []byte) error {
	next := path + ".tmp"
	h, err := f.Open(next, vfs.Create)
	if err == nil {
		if err = h.Truncate(0); err == nil {
			_, err = h.WriteAt(b, 0)
		}
		if err == nil {
			err = h.Sync()
		}
		err = errors.Join(err, h.Close())
	}
	if err == nil {
		err = f.Rename(next, path)
	}
	if err == nil {
		err = f.SyncDir(filepath.Dir(path))
	}
	return err
}
