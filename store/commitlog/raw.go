package commitlog

import (
	"encoding/binary"
	"fmt"

	"github.com/merlinmq/merlin/protocol/message"
)

// tracker follows the records in bytes that are copied from another log, in pieces of
// any size: readers may see whole records only.
type tracker struct {
	head  [HeadSize]byte // of the record that has begun
	have  int            // bytes of head
	size  int64          // of the record, 0 while its length is not known
	seen  int64          // bytes of the record so far
	time  int64          // store time of the last whole record, 0 without one
	start int64          // where the record begins in the log
}

// follow takes bytes that stand at start+seen and gives the end of the last whole
// record, or the start of the one that has begun. end is where their file ends. What is
// no record is left to who reads the log: it is taken for one that goes up to end.
func (t *tracker) follow(data []byte, end int64) int64 {
	for len(data) > 0 {
		if t.have < HeadSize && (t.size == 0 || int64(t.have) < t.size) {
			n := copy(t.head[t.have:], data)
			t.have += n
		}
		if t.size == 0 && t.have >= BlankSize {
			t.size = t.length(end)
		}
		n := int64(len(data))
		if t.size == 0 { // not even its length
			t.seen += n
			return t.start
		}
		n = min(n, t.size-t.seen)
		t.seen += n
		data = data[n:]
		if t.seen == t.size {
			if t.size >= MinRecord && isRecord(t.head[:]) {
				t.time = StoreTimeOf(t.head[:])
			}
			t.begin(t.start + t.size)
		}
	}
	return t.start
}

// length is how long the thing is that head begins.
func (t *tracker) length(end int64) int64 {
	size := int64(int32(binary.BigEndian.Uint32(t.head[:])))
	rest := end - t.start
	if isRecord(t.head[:]) && size >= MinRecord && size <= rest-BlankSize {
		return size
	}
	return rest // a blank record, or damage
}

func (t *tracker) begin(start int64) { t.start, t.size, t.seen, t.have = start, 0, 0, 0 }

// RawEnd is where the next bytes of AppendRaw go: the end of the log and of what has
// come of a record that is not whole. REQUIRES: the appender.
func (l *Log) RawEnd() int64 { return l.pos }

// RawTime is the store time (ms) of the last whole record that AppendRaw wrote, 0
// without one. REQUIRES: the appender.
func (l *Log) RawTime() int64 { return l.raw.time }

// AppendRaw writes bytes of another log at the same offset, which is RawEnd; an empty
// log begins at any segment. Segments end where they end there. Readers see the whole
// records. The bytes are the caller's again. A failed write is final, ErrNoSegment is
// not: then what was written before stays, and RawEnd says how much. REQUIRES: the
// appender, and no Append since the log was opened or DropPart was called.
func (l *Log) AppendRaw(data []byte, offset int64) error {
	if err := l.Failed(); err != nil {
		return err
	}
	if len(*l.segs.Load()) == 0 && l.cur == nil && offset != l.pos && offset == l.SegmentOf(offset) {
		l.pos = offset
		l.max.Store(offset)
		l.flushed.Store(offset)
	}
	if offset != l.pos {
		return fmt.Errorf("%w: bytes for %d, the log ends at %d", ErrOutOfRange, offset, l.pos)
	}
	if l.raw.start+l.raw.seen != l.pos {
		l.raw.begin(l.pos)
	}
	for len(data) > 0 {
		if l.cur == nil || l.pos == l.cur.base+l.cur.size {
			if err := l.next(l.pos); err != nil {
				return err
			}
		}
		n := min(int64(len(data)), chunkSize, l.cur.base+l.cur.size-l.pos)
		if err := l.appendRaw(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// appendRaw writes a piece that stands in one segment.
func (l *Log) appendRaw(data []byte) error {
	room := append(l.tail.room(l.pos, len(data)), data...)
	if err := l.write(room); err != nil {
		return err
	}
	l.tail.add(room, l.pos)
	l.pos += int64(len(data))
	l.max.Store(l.raw.follow(data, l.cur.base+l.cur.size))
	l.askAhead()
	return nil
}

// DropPart takes away what has come of a record that is not whole, so that Append may
// follow: nothing of it may be found behind what is appended, as it may look like
// anything. REQUIRES: the appender.
func (l *Log) DropPart() error {
	end := l.max.Load()
	if l.pos == end {
		return nil
	}
	if err := l.Failed(); err != nil {
		return err
	}
	zeros := make([]byte, min(l.pos-end, chunkSize))
	l.tail.forget(end)
	for at := end; at < l.pos; at += int64(len(zeros)) {
		zeros = zeros[:min(l.pos-at, int64(len(zeros)))]
		if err := l.writeAt(zeros, at); err != nil {
			return err
		}
	}
	f, err := l.cur.open()
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return l.Fail(fmt.Errorf("sync %s: %w", l.cur.path, err))
	}
	l.pos = end
	l.raw.begin(end)
	return nil
}

// blankRecord is what closes a segment at pos.
func blankRecord(left int64) (b [BlankSize]byte) {
	binary.BigEndian.PutUint32(b[:], uint32(left))
	binary.BigEndian.PutUint32(b[4:], message.MagicBlank)
	return b
}
