package commitlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/merlinmq/merlin/protocol/message"
)

// MinRecord is the smallest record: no body, no topic, no properties.
const MinRecord = 91

const scanBuffer = 1 << 20

func isRecord(head []byte) bool {
	m := binary.BigEndian.Uint32(head[4:])
	return m == message.MagicV1 || m == message.MagicV2
}

// Scan reads records from off on, which is the start of a record or of a
// segment, until the first place that is no valid record; fn sees each one, the
// bytes and the message being valid during the call. It gives the end of the
// valid part and what was found there (empty for zeros, the usual end). Errors
// are those of the disk or of fn: an unreadable log is not a short one.
//
// torn looks for what a power failure leaves of a record that was not synced: the
// checksum covers the body alone.
func (l *Log) Scan(off int64, checkCRC, torn bool, fn func(rec []byte, m *message.Message) error) (int64, string, error) {
	s := scanner{l: l, crc: checkCRC, torn: torn, buf: make([]byte, scanBuffer)}
	for {
		n, why, err := s.at(off)
		if err != nil {
			return off, "", err
		}
		switch {
		case n == 0:
			return off, why, nil
		case s.blank:
			off = l.SegmentOf(off) + l.o.SegmentSize
			if l.absent(off) {
				return off, "", nil
			}
		default:
			if err := fn(s.rec, &s.m); err != nil {
				return off, "", err
			}
			off += int64(n)
		}
	}
}

func (l *Log) absent(off int64) bool {
	s := l.find(off)
	if s == nil {
		return true
	}
	s.release()
	return false
}

type scanner struct {
	l     *Log
	crc   bool
	torn  bool
	buf   []byte
	start int64 // what buf holds
	have  int

	rec   []byte
	m     message.Message
	blank bool
}

// at looks at one place: the size of the record there, or 0 and why not.
func (s *scanner) at(off int64) (int, string, error) {
	s.blank = false
	end := s.l.SegmentOf(off) + s.l.o.SegmentSize
	if end-off < BlankSize {
		return 0, "no room for a record", nil
	}
	head, err := s.bytes(off, BlankSize, end)
	if err != nil {
		return 0, "", err
	}
	size := int64(int32(binary.BigEndian.Uint32(head)))
	magic := binary.BigEndian.Uint32(head[4:])
	switch {
	case magic == message.MagicBlank:
		s.blank = true
		return BlankSize, "", nil
	case size == 0 && magic == 0:
		return 0, "", nil
	case !isRecord(head):
		return 0, fmt.Sprintf("magic 0x%08X is none of a record", magic), nil
	case size < MinRecord || size > end-off-BlankSize || size > int64(s.l.o.MaxRecord):
		return 0, fmt.Sprintf("size %d is impossible", size), nil
	}
	if head, err = s.bytes(off, MinRecord, end); err != nil {
		return 0, "", err
	}
	// Before a large buffer is spent: a record says where it lies.
	if phy := int64(binary.BigEndian.Uint64(head[28:])); phy != off {
		return 0, fmt.Sprintf("the record says that it lies at %d", phy), nil
	}
	if s.rec, err = s.bytes(off, int(size), end); err != nil {
		return 0, "", err
	}
	n, err := message.Decode(s.rec, &s.m, s.crc)
	if err != nil {
		return 0, err.Error(), nil
	}
	if n != int(size) {
		return 0, fmt.Sprintf("size %d, but the fields make %d", size, n), nil
	}
	if s.torn && isTorn(s.rec, off, &s.m) {
		return 0, "sectors of the record were never written", nil
	}
	return n, "", nil
}

// sectorSize is what a disk writes as a whole.
const sectorSize = 512

// isTorn says whether the topic has a zero byte or the properties lack a sector
// or their end: the segment was zeros before, and no broker writes such
// properties.
func isTorn(rec []byte, off int64, m *message.Message) bool {
	if strings.IndexByte(m.Topic, 0) >= 0 || len(m.Properties) > 0 && rec[len(rec)-1] == 0 {
		return true
	}
	for at := len(rec) - len(m.Properties); at < len(rec); {
		end := min(len(rec), at+sectorSize-int((off+int64(at))%sectorSize))
		if len(bytes.Trim(rec[at:end], "\x00")) == 0 {
			return true
		}
		at = end
	}
	return false
}

// bytes gives n bytes at off, reading ahead up to end.
func (s *scanner) bytes(off int64, n int, end int64) ([]byte, error) {
	if off < s.start || off+int64(n) > s.start+int64(s.have) {
		if n > len(s.buf) {
			s.buf = make([]byte, n)
		}
		s.start, s.have = off, 0
		want := min(int64(len(s.buf)), end-off)
		if err := s.l.read(s.buf[:want], off); err != nil {
			return nil, err
		}
		s.have = int(want)
	}
	in := off - s.start
	return s.buf[in : in+int64(n)], nil
}

// Valid says whether a record with a right CRC lies at off, and its size.
func (l *Log) Valid(off int64) (int, bool, error) {
	if off < l.Min() || l.absent(off) {
		return 0, false, nil
	}
	s := scanner{l: l, crc: true, buf: make([]byte, 4096)}
	n, _, err := s.at(off)
	return n, n > 0 && !s.blank, err
}

// Cut makes end the end of the log: the rest of its segment becomes zeros, later
// segments are deleted, and writing goes on there. REQUIRES: the appender,
// nobody reads.
func (l *Log) Cut(end int64) error {
	segs := *l.segs.Load()
	keep := slices.IndexFunc(segs, func(s *segment) bool { return s.base > end })
	if keep < 0 {
		keep = len(segs)
	}
	// One after the other from the end, so that a crash in between leaves no gap;
	// and for good before the segment is shortened: only the last one may ever be
	// found short.
	for i := len(segs) - 1; i >= keep; i-- {
		err := l.o.FS.Remove(segs[i].path)
		if err == nil {
			err = l.o.FS.SyncDir(l.o.Dir)
		}
		if err != nil {
			return fmt.Errorf("commitlog: cut: %w", err)
		}
		segs[i].release()
	}
	kept := slices.Clone(segs[:keep])
	l.segs.Store(&kept)
	l.cur = nil
	if keep > 0 && end < kept[keep-1].base+l.o.SegmentSize {
		l.cur = kept[keep-1]
		f, err := l.cur.open()
		if err == nil {
			err = f.Truncate(end - l.cur.base)
		}
		if err == nil {
			err = f.Allocate(l.o.SegmentSize)
		}
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			return fmt.Errorf("commitlog: cut %s at %d: %w", l.cur.path, end, err)
		}
	}
	l.pos = end
	l.max.Store(end)
	l.flushed.Store(end)
	return nil
}

// FirstTime is the store timestamp of the first record of the segment that
// starts at base, 0 when it has none.
func (l *Log) FirstTime(base int64) (int64, error) {
	var head [HeadSize]byte
	if err := l.read(head[:], base); err != nil {
		return 0, err
	}
	if !isRecord(head[:]) {
		return 0, nil
	}
	return StoreTimeOf(head[:]), nil
}
