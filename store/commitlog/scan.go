package commitlog

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/merlinmq/merlin/protocol/message"
)

// MinRecord is the smallest record: no body, no topic, no properties.
const MinRecord = 91

const scanBuffer = 1 << 20

func isRecord(head []byte) bool {
	m := binary.BigEndian.Uint32(head[4:])
	return m == message.MagicV1 || m == message.MagicV2
}

// ScanOptions say what a scan believes.
type ScanOptions struct {
	// CheckCRC verifies the checksum of bodies.
	CheckCRC bool
	// Ours is the offset from which on every record was appended with
	// NeedsSeal in mind: there the scan looks for what a power failure leaves of a record
	// that was not synced, which the checksum of the body does not tell. It is
	// math.MaxInt64 when that is not known of any.
	Ours int64
	// Floor is where what may be torn begins: below, everything was written and
	// synced, and what is no valid record is damage, which is passed over.
	Floor int64
	// Known tells where records begin from the consume queues' point of view: the
	// first one that ends behind off. Only what damage hides is asked for, in
	// ascending order. It may be nil.
	Known func(off int64) (at, size int64, ok bool, err error)
	// Damaged is told of each piece that is passed over. It may be nil.
	Damaged func(from, to int64, why string)
}

// Scan reads records from off on, which is the start of a record or of a
// segment, until the first place at or behind the floor that is no valid record;
// fn sees each one, the bytes and the message being valid during the call. It
// gives the end of the valid part and what was found there (empty for zeros, the
// usual end). Errors are those of the disk or of fn: an unreadable log is not a
// short one.
func (l *Log) Scan(off int64, o ScanOptions, fn func(rec []byte, m *message.Message) error) (int64, string, error) {
	s := scanner{l: l, crc: o.CheckCRC, ours: o.Ours, buf: make([]byte, scanBuffer)}
	var bad gap
	for {
		if off == l.SegmentOf(off) && l.absent(off) {
			bad.end(&o)
			return off, "", nil
		}
		n, why, err := s.at(off)
		if err != nil {
			return off, "", err
		}
		switch {
		case n == 0 && off < o.Floor:
			next, err := s.beyond(off, &o)
			if err != nil {
				return off, "", err
			}
			bad.add(off, next, why, &o)
			off = next
		case n == 0:
			bad.end(&o)
			return off, why, nil
		case s.blank:
			off = l.SegmentOf(off) + l.o.SegmentSize
		default:
			bad.end(&o)
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
	ours  int64 // see ScanOptions
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
	case magic == message.MagicBlank && size == end-off:
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
	if off >= s.ours {
		if err := checkSeal(s.rec, off, &s.m); err != nil {
			return 0, err.Error(), nil
		}
	}
	return n, "", nil
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
	rec, ok, err := l.Whole(off)
	return len(rec), ok, err
}

// Whole gives the record at off when one with a right CRC lies there. The bytes are the
// caller's.
func (l *Log) Whole(off int64) (rec []byte, ok bool, err error) {
	if off < l.Min() || l.absent(off) {
		return nil, false, nil
	}
	s := scanner{l: l, crc: true, ours: math.MaxInt64, buf: make([]byte, 4096)}
	n, _, err := s.at(off)
	if n == 0 || s.blank || err != nil {
		return nil, false, err
	}
	return s.rec, true, nil
}

// Holds says whether a record begins at off whose head names its place and has a store
// time (ms).
func (l *Log) Holds(off, time int64) (bool, error) {
	var head [HeadSize]byte
	if off < l.Min() || l.absent(off) || l.SegmentOf(off)+l.o.SegmentSize-off < MinRecord {
		return false, nil
	}
	if err := l.read(head[:], off); err != nil {
		return false, err
	}
	return isRecord(head[:]) && PhyOffsetOf(head[:]) == off && StoreTimeOf(head[:]) == time, nil
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
