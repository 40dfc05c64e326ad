package commitlog

import (
	"encoding/binary"
	"fmt"

	"github.com/merlinmq/merlin/store/vfs"
)

// View is a piece of the log in memory of the process. It is valid until Release.
type View struct {
	Bytes []byte
	of    *chunk
}

// Release gives the memory back. The zero View may be released.
func (v View) Release() {
	if v.of != nil {
		v.of.release()
	}
}

// Holds says whether off lies in the view.
func (v View) Holds(off int64) bool {
	return v.of != nil && off >= v.of.base && off-v.of.base < int64(len(v.of.buf))
}

// Checked says whether the record at an offset of the view needs no look: it never
// left the memory, or it was looked at since it was read. The zero View is not
// checked.
func (v View) Checked(off int64) bool {
	return v.of != nil && (v.of.checked == nil || v.of.checked.has(off-v.of.base))
}

// Check notes that the record at an offset of the view is what its checksum says.
func (v View) Check(off int64) {
	if v.of.checked != nil {
		v.of.checked.set(off - v.of.base)
	}
}

// Pages is a piece of a segment that is mapped, to be copied from. It is valid until
// Release; the zero Pages hold nothing.
type Pages struct {
	m        *mapped
	from, to int64 // in the log
}

// Holds says whether [off, off+n) lies in the piece.
func (p Pages) Holds(off int64, n int) bool { return off >= p.from && off+int64(n) <= p.to }

// Copy fills dst from off, which the piece holds, or gives false when a page of it
// cannot be had any more: then Read says why.
func (p Pages) Copy(dst []byte, off int64) bool {
	if p.m.m.ReadAt(dst, off-p.m.base) == nil {
		return true
	}
	p.m.lost(off - p.m.base)
	return false
}

// Checked is View.Checked.
func (p Pages) Checked(off int64) bool {
	in := off - p.m.base
	return p.m.marks(in).has(in % pieceSize)
}

// Check is View.Check.
func (p Pages) Check(off int64) {
	in := off - p.m.base
	p.m.marks(in).set(in % pieceSize)
}

// Release gives the mapping back.
func (p Pages) Release() {
	if p.m != nil {
		p.m.release()
	}
}

// View gives the bytes from off, at least n and perhaps many more, when they are
// in memory: no copy is made.
func (l *Log) View(off int64, n int) (View, bool) {
	b, c := l.tail.view(off, n)
	if c == nil {
		return View{}, false
	}
	return View{b, c}, true
}

// Mapped gives [off, end) when it lies in one segment and in the machine's memory,
// as far as that is known at now (ms).
func (l *Log) Mapped(off, end, now int64) (Pages, bool) {
	last := l.max.Load()
	if end > last || end-off > vfs.MaxResident {
		return Pages{}, false
	}
	s := l.find(off)
	if s == nil {
		return Pages{}, false
	}
	defer s.release()
	if end > s.base+s.size {
		return Pages{}, false
	}
	m := l.maps.take(s, now)
	if m == nil {
		return Pages{}, false
	}
	if !m.resident(off-s.base, end-s.base, last-s.base, now) {
		m.release()
		return Pages{}, false
	}
	return Pages{m, off, end}, true
}

// BlockOf gives the block that offset lies in: what Block gives never crosses it.
func (l *Log) BlockOf(offset int64) (base, end int64) {
	seg := l.SegmentOf(offset)
	base = max(offset-offset%blockSize, seg)
	end = offset - offset%blockSize + blockSize
	return base, min(end, seg+l.o.SegmentSize, l.max.Load())
}

// Block gives the bytes from off to the end of its block, at least n, reading the
// whole block unless it is in memory. ok is false when the range crosses blocks
// or the end of the log: then Read has to do.
func (l *Log) Block(off int64, n int) (v View, ok bool, err error) {
	base, end := l.BlockOf(off)
	b, c, err := l.blocks.view(base, end, off, n)
	if c == nil {
		return View{}, false, err
	}
	return View{b, c}, true, nil
}

// Read fills p from off. The range lies in one segment and below Max.
func (l *Log) Read(p []byte, off int64) error {
	if off+int64(len(p)) > l.max.Load() {
		return fmt.Errorf("%w: %d bytes at %d, the end is %d", ErrOutOfRange, len(p), off, l.max.Load())
	}
	return l.read(p, off)
}

func (l *Log) read(p []byte, off int64) error {
	s := l.find(off)
	if s == nil {
		return fmt.Errorf("%w: %d, the log begins at %d", ErrOutOfRange, off, l.Min())
	}
	defer s.release()
	if off+int64(len(p)) > s.base+s.size {
		return fmt.Errorf("%w: %d bytes at %d cross the end of a segment", ErrOutOfRange, len(p), off)
	}
	f, err := s.open()
	if err == nil {
		err = vfs.ReadFull(f, p, off-s.base)
	}
	if err != nil {
		return fmt.Errorf("commitlog: read %d bytes at %d of %s: %w", len(p), off-s.base, s.path, err)
	}
	return nil
}

// HeadSize is enough of a record for StoreTimeOf.
const HeadSize = 76

const (
	posPhyOffset = 28
	posSysFlag   = 36
	posBornHost  = 48
	flagBornIPv6 = 0x10
)

// PhyOffsetOf is where the first HeadSize bytes of a record say that it lies.
func PhyOffsetOf(head []byte) int64 { return int64(binary.BigEndian.Uint64(head[posPhyOffset:])) }

// StoreTimeOf is the store timestamp in the first HeadSize bytes of a record.
func StoreTimeOf(head []byte) int64 {
	born := 8
	if binary.BigEndian.Uint32(head[posSysFlag:])&flagBornIPv6 != 0 {
		born = 20
	}
	return int64(binary.BigEndian.Uint64(head[posBornHost+born:]))
}

// StoreTime is the store timestamp of the record at off, or -1 when no record
// stands there. Errors are those of Read.
func (l *Log) StoreTime(off int64) (int64, error) {
	var head [HeadSize]byte
	if off < 0 || off+HeadSize > min(l.max.Load(), l.SegmentOf(off)+l.o.SegmentSize) {
		return -1, nil
	}
	if v, ok := l.View(off, HeadSize); ok {
		copy(head[:], v.Bytes)
		v.Release()
	} else if err := l.Read(head[:], off); err != nil {
		return -1, err
	}
	if !isRecord(head[:]) {
		return -1, nil
	}
	return StoreTimeOf(head[:]), nil
}
