package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/consumequeue"
	"github.com/merlinmq/merlin/store/vfs"
)

// A deleted queue leaves a mark: the records of the queue that lie before the mark's
// place in the log belong to no queue any more, whenever the log is read again. The
// marks stand in one file that is appended to, docs/format/deleted.md.
const (
	deletedName    = "deletedqueues"
	deletedMagic   = 0x4D4C4451 // "MLDQ"
	deletedVersion = 2
	deletedHead    = 8 // magic, version
	deletedFixed   = 2 + 4 + 3*8 + 4
	oldFixed       = 2 + 4 + 8 + 4 // of version 1
	allQueues      = int32(-1)
	maxTopicBytes  = 255
)

// mark says that a queue, or all queues of a topic, begin anew at a place of the log.
type mark struct {
	topic string
	queue int32 // allQueues for the whole topic
	place
}

// place is a place of a log, with what tells that log from others: the record before
// it.
type place struct {
	at     int64
	before int64 // where that record begins, -1 when it is not known
	time   int64 // its store time, ms
}

type markKey struct {
	topic string
	queue int32
}

// deleted is the table of marks. It belongs to the dispatcher.
type deleted struct {
	fs   vfs.FS
	path string
	at   map[markKey]place
	// high is behind all marks: what lies there needs no look into the table.
	high int64
	size int64 // of the file, 0 without one
	// whole says that the file was read to its end.
	whole bool
}

// loadDeleted reads the marks. A mark that a crash tore was not in force yet.
func loadDeleted(f vfs.FS, path string) (*deleted, string, error) {
	d := &deleted{fs: f, path: path, at: map[markKey]place{}}
	b, err := vfs.ReadFile(f, path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(b) == 0 {
		d.whole = true
		return d, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("store: deleted queues: %w", err)
	}
	be := binary.BigEndian
	if len(b) < deletedHead || be.Uint32(b) != deletedMagic || be.Uint32(b[4:]) < 1 || be.Uint32(b[4:]) > deletedVersion {
		return d, fmt.Sprintf("%s does not begin as such a file", path), nil
	}
	old := be.Uint32(b[4:]) < deletedVersion
	d.size = deletedHead
	for rest := b[deletedHead:]; len(rest) > 0; {
		m, n := parseMark(rest, old)
		if n == 0 {
			return d, fmt.Sprintf("%s is damaged at %d of %d bytes", path, d.size, len(b)), nil
		}
		d.note(m)
		rest, d.size = rest[n:], d.size+int64(n)
	}
	d.whole = true
	if old {
		return d, "", d.rewrite()
	}
	return d, "", nil
}

func parseMark(b []byte, old bool) (mark, int) {
	be, fixed := binary.BigEndian, deletedFixed
	if old {
		fixed = oldFixed
	}
	if len(b) < 2 {
		return mark{}, 0
	}
	n := int(be.Uint16(b))
	if n > maxTopicBytes || len(b) < n+fixed || be.Uint32(b[n+fixed-4:]) != crc32.ChecksumIEEE(b[:n+fixed-4]) {
		return mark{}, 0
	}
	m := mark{string(b[2 : 2+n]), int32(be.Uint32(b[2+n:])), place{at: int64(be.Uint64(b[6+n:])), before: -1}}
	if !old {
		m.before, m.time = int64(be.Uint64(b[14+n:])), int64(be.Uint64(b[22+n:]))
	}
	return m, n + fixed
}

func (m mark) append(b []byte) []byte {
	be, from := binary.BigEndian, len(b)
	b = append(be.AppendUint16(b, uint16(len(m.topic))), m.topic...)
	b = be.AppendUint32(b, uint32(m.queue))
	for _, v := range []int64{m.at, m.before, m.time} {
		b = be.AppendUint64(b, uint64(v))
	}
	return be.AppendUint32(b, crc32.ChecksumIEEE(b[from:]))
}

func (d *deleted) note(m mark) {
	if k := (markKey{m.topic, m.queue}); d.at[k].at <= m.at {
		d.at[k] = m.place
	}
	d.high = max(d.high, m.at)
}

// place is where the newest life of a queue begins in the log, 0 when it has only one.
func (d *deleted) place(topic string, queue int32) int64 {
	if len(d.at) == 0 {
		return 0
	}
	return max(d.at[markKey{topic, allQueues}].at, d.at[markKey{topic, queue}].at)
}

// covers says whether a message is of an earlier life of its queue.
func (d *deleted) covers(m *message.Message) bool {
	return m.PhyOffset < d.high && m.PhyOffset < d.place(m.Topic, m.QueueID)
}

// add makes marks durable. Nothing may be deleted for them before.
func (d *deleted) add(ms ...mark) error {
	b := make([]byte, 0, deletedHead+len(ms)*64)
	if d.size == 0 {
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, deletedMagic), deletedVersion)
	}
	for _, m := range ms {
		b = m.append(b)
	}
	made := !vfs.Exists(d.fs, d.path)
	f, err := d.fs.Open(d.path, vfs.Create)
	if err == nil {
		if err = f.Truncate(d.size); err == nil { // what an attempt that failed left
			_, err = f.WriteAt(b, d.size)
		}
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
	}
	if err == nil && made {
		err = d.fs.SyncDir(filepath.Dir(d.path))
	}
	if err != nil {
		return fmt.Errorf("store: deleted queues: %w", err)
	}
	d.size += int64(len(b))
	for _, m := range ms {
		d.note(m)
	}
	return nil
}

// prune forgets the marks that the start of the log has passed. The file goes with
// the last of them, or is written anew when few are left in it.
func (d *deleted) prune(first int64) error {
	maps.DeleteFunc(d.at, func(_ markKey, p place) bool { return p.at <= first })
	switch {
	case d.size == 0:
		return nil
	case len(d.at) == 0:
		if err := d.fs.Remove(d.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("store: deleted queues: %w", err)
		}
		d.size, d.high = 0, 0
		return nil // should the file come back, its marks mean nothing
	case d.size < 64<<10 || d.size < int64(len(d.at)*2*(deletedFixed+maxTopicBytes)):
		return nil
	}
	return d.rewrite()
}

// clamp moves marks behind the end of the log there. The log was cut, and what is
// appended from now on lies behind the deletion.
func (d *deleted) clamp(end place) error {
	if d.high <= end.at {
		return nil
	}
	for k, p := range d.at {
		if p.at > end.at {
			d.at[k] = end
		}
	}
	d.high = end.at
	return d.rewrite()
}

// verify forgets the marks of another log: is says of each whether it is of this one.
func (d *deleted) verify(is func(place) (bool, error)) (gone []mark, err error) {
	for k, p := range d.at {
		ok, err := is(p)
		if err != nil {
			return nil, err
		}
		if !ok {
			gone = append(gone, mark{k.topic, k.queue, p})
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	d.high = 0
	for _, m := range gone {
		delete(d.at, markKey{m.topic, m.queue})
	}
	for _, p := range d.at {
		d.high = max(d.high, p.at)
	}
	return gone, d.rewrite()
}

// rewrite replaces the file.
func (d *deleted) rewrite() error {
	b := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, deletedMagic), deletedVersion)
	for k, p := range d.at {
		b = mark{k.topic, k.queue, p}.append(b)
	}
	if err := replaceFile(d.fs, d.path, b); err != nil {
		return fmt.Errorf("store: deleted queues: %w", err)
	}
	d.size = int64(len(b))
	return nil
}

// verifyDeleted forgets the marks of deleted queues that are of another log. Marks are
// believed while the checkpoint is Merlin's own and fits the log. When another broker had
// the store, it may have begun a log of its own, or have cut this one and gone on: then
// the record before the mark has to be there still.
func (s *Store) verifyDeleted() error {
	if s.cp.known {
		return nil
	}
	gone, err := s.deleted.verify(func(p place) (bool, error) {
		if p.before >= 0 && p.before < s.clog.Min() {
			return true, nil // a log that is begun anew begins at 0
		}
		return s.clog.Holds(p.before, p.time)
	})
	for _, m := range gone {
		s.log.Warn("store: the mark of a deleted topic is of another log and forgotten: what that log has of the topic can be read",
			"topic", m.topic, "queue", m.queue, "offset", m.at, "record", m.before)
	}
	return err
}

// buryQueues removes what a crash left of the queues that were deleted: their files
// are removed after the mark is durable.
func (s *Store) buryQueues() error {
	for _, q := range s.queues.Queues() {
		at := s.deleted.place(q.Topic, q.ID)
		if at == 0 {
			continue
		}
		n, err := s.queues.Bury(q, at)
		if err != nil {
			return err
		}
		if n > 0 {
			s.log.Info("store: what was left of a deleted queue is removed", "topic", q.Topic, "queue", q.ID, "entries", n)
		}
	}
	return nil
}

// DeleteTopic deletes the consume queues of a topic; its records stay in the log
// until they expire. Offsets of the topic begin at 0 again, for every message that
// is stored after the call began its work; a message that is stored while it runs is
// wholly in the old or wholly in the new life of the topic. Once it has returned
// without an error no restart brings the queues back.
func (s *Store) DeleteTopic(topic string) error {
	var err error
	if !s.dispatch.do(func() {
		s.appendMu.Lock()
		qs, at := s.queues.Detach(topic), s.clog.End()
		s.appendMu.Unlock()
		err = s.dropDeleted(qs, mark{topic, allQueues, s.placeAt(at)})
	}) {
		return ErrClosed
	}
	if err != nil {
		return fmt.Errorf("store: delete topic %s: %w", topic, err)
	}
	return nil
}

// placeAt is a place at or behind the last record dispatched. REQUIRES: the dispatcher.
func (s *Store) placeAt(at int64) place {
	p := place{at: at, before: s.dispatch.last}
	var err error
	if p.time, err = s.clog.StoreTime(p.before); err != nil || p.time < 0 {
		p.before, p.time = -1, 0
	}
	return p
}

// dropDeleted deletes the files of queues that were detached while the log ended at
// the marks. REQUIRES: the dispatcher.
func (s *Store) dropDeleted(qs []*consumequeue.Queue, ms ...mark) error {
	if len(qs) == 0 {
		return nil
	}
	for _, m := range ms { // in force for what is not dispatched yet, whatever the disk does
		s.deleted.note(m)
	}
	// A power failure must not take what lies before a mark that it leaves: another
	// broker may go on there.
	err := s.committer.upToNow()
	// Without the marks a restart may bring the queues back; the files go anyway, so
	// that the queues' next life does not meet them.
	return errors.Join(err, s.deleted.add(ms...), s.queues.Drop(qs))
}

// CleanExpiredQueues deletes the consume queues all of whose messages are gone
// from the log (CLEAN_EXPIRED_CONSUMEQUEUE); keep spares topics. A queue that
// gets a message later begins at 0 again.
func (s *Store) CleanExpiredQueues(keep func(topic string) bool) error {
	qs := slices.DeleteFunc(s.queues.Queues(), func(q *consumequeue.Queue) bool { return keep != nil && keep(q.Topic) })
	for len(qs) > 0 {
		n := min(len(qs), queueStep)
		var err error
		if !s.dispatch.do(func() { err = s.dropExpired(qs[:n]) }) {
			return ErrClosed
		}
		if err != nil {
			return err
		}
		qs = qs[n:]
	}
	return nil
}

// dropExpired deletes those of some queues that have no message left. REQUIRES: the
// dispatcher.
func (s *Store) dropExpired(qs []*consumequeue.Queue) error {
	var gone []*consumequeue.Queue
	var ms []mark
	first, end := s.clog.Min(), s.placeAt(0)
	s.appendMu.Lock()
	end.at = s.clog.End()
	for _, q := range qs {
		if q.Max() > 0 && q.Next == q.Max() && q.MaxPhy() <= first && !q.Gone() {
			s.queues.DetachQueue(q)
			gone, ms = append(gone, q), append(ms, mark{q.Topic, q.ID, end})
		}
	}
	s.appendMu.Unlock()
	return s.dropDeleted(gone, ms...)
}
