package commitlog

import (
	"encoding/binary"
	"math"

	"github.com/merlinmq/merlin/protocol/message"
)

// gap joins neighbouring pieces of damage, so that each is told once.
type gap struct {
	from, to int64
	why      string
	open     bool
}

func (g *gap) add(from, to int64, why string, o *ScanOptions) {
	if why == "" {
		why = "zeros"
	}
	if g.open && g.to == from {
		g.to = to
		return
	}
	g.end(o)
	*g = gap{from, to, why, true}
}

func (g *gap) end(o *ScanOptions) {
	if g.open && o.Damaged != nil {
		o.Damaged(g.from, g.to, g.why)
	}
	g.open = false
}

// beyond gives where reading goes on behind damage at off, which lies below the
// floor. Nothing is searched for in the bytes of records: they are a client's, who
// may have put there what looks like a record that names its own place. What tells
// is, in this order:
//
//   - a consume queue that knows how long the record at off is,
//   - the record's own lengths, of which there are two: where they differ, the
//     checksum of the body says which is right,
//   - the next record that a consume queue knows,
//   - the floor and the end of the segment, where records begin for certain.
func (s *scanner) beyond(off int64, o *ScanOptions) (int64, error) {
	limit := min(s.l.SegmentOf(off)+s.l.o.SegmentSize, o.Floor)
	next, size, ok, err := limit, int64(0), false, error(nil)
	if o.Known != nil {
		var at int64
		if at, size, ok, err = o.Known(off); err != nil {
			return 0, err
		}
		switch {
		case !ok:
		case at == off && size >= MinRecord && off+size <= limit:
			return off + size, nil
		case at > off && at < limit:
			next = at
		}
	}
	if to, ok, err := s.byLengths(off, next); ok || err != nil {
		return to, err
	}
	return next, nil
}

// Beyond gives where reading goes on behind damage at off, when nothing but the log
// itself can tell: by the lengths of the record, or else at the end of its segment or at
// limit, where a record begins or the log ends. Everything before limit was written.
func (l *Log) Beyond(off, limit int64) (int64, error) {
	s := scanner{l: l, crc: true, ours: math.MaxInt64, buf: make([]byte, 64<<10)}
	return s.beyond(off, &ScanOptions{Floor: limit})
}

// byLengths follows the lengths of the damaged record at off, not beyond limit.
func (s *scanner) byLengths(off, limit int64) (int64, bool, error) {
	if limit-off < MinRecord {
		return 0, false, nil
	}
	head, err := s.bytes(off, MinRecord, limit)
	if err != nil {
		return 0, false, err
	}
	outer := int64(int32(binary.BigEndian.Uint32(head)))
	inner, sound, err := s.innerLength(off, limit)
	if err != nil {
		return 0, false, err
	}
	for _, size := range []int64{inner, outer} {
		if size < MinRecord || size > limit-off || size > int64(s.l.o.MaxRecord) || size == inner && !sound && outer != inner {
			continue
		}
		ok, err := s.lands(off+size, limit)
		if ok || err != nil {
			return off + size, ok, err
		}
	}
	return 0, false, nil
}

// lands says whether a record can begin at to: one does, or the segment ends there,
// or it is the limit, where one begins for certain.
func (s *scanner) lands(to, limit int64) (bool, error) {
	if to == limit {
		return true, nil
	}
	n, _, err := s.at(to)
	return n > 0, err
}

// innerLength adds up the lengths of the parts of the record at off, and says
// whether the checksum of its body is right. It is 0 when the parts go beyond limit.
func (s *scanner) innerLength(off, limit int64) (int64, bool, error) {
	head, err := s.bytes(off, MinRecord, limit)
	if err != nil {
		return 0, false, err
	}
	be := binary.BigEndian
	sysFlag, wide := int32(be.Uint32(head[posSysFlag:])), be.Uint32(head[4:]) == message.MagicV2
	crc := be.Uint32(head[8:])
	at := off + 84
	for _, v6 := range []int32{message.SysFlagBornHostV6, message.SysFlagStoreHostV6} {
		if sysFlag&v6 != 0 {
			at += 12
		}
	}
	if limit-at < 4 {
		return 0, false, nil
	}
	field, err := s.bytes(at, 4, limit)
	if err != nil {
		return 0, false, err
	}
	body := int64(int32(be.Uint32(field)))
	at += 4
	if body < 0 || body > int64(s.l.o.MaxRecord) || limit-at < body+2 {
		return 0, false, nil
	}
	b, err := s.bytes(at, int(body+2), limit)
	if err != nil {
		return 0, false, err
	}
	sound := message.CRC(b[:body]) == crc
	topic := int64(b[body])
	at += body + 1
	if wide {
		topic = int64(be.Uint16(b[body:]))
		at++
	}
	if at += topic; limit-at < 2 {
		return 0, false, nil
	}
	if field, err = s.bytes(at, 2, limit); err != nil {
		return 0, false, err
	}
	return at + 2 + int64(be.Uint16(field)) - off, sound, nil
}
