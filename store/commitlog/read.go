package commitlog

import (
	"encoding/binary"
	"fmt"

	"github.com/merlinmq/merlin/store/vfs"
)

// View is a piece of the log in memory. It is valid until Release.
type View struct {
	Bytes []byte
	c     *chunk
}

// Release gives the memory back. The zero View may be released.
func (v View) Release() {
	if v.c != nil {
		v.c.release()
	}
}

// View gives the bytes from off, at least n and perhaps many more, when they are
// in memory: no copy is made.
func (l *Log) View(off int64, n int) (View, bool) {
	b, c := l.tail.view(off, n)
	return View{b, c}, c != nil
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
		return fmt.Errorf("commitlog: read %d bytes at %d: %w", len(p), off, err)
	}
	return nil
}

// HeadSize is enough of a record for StoreTimeOf.
const HeadSize = 76

const (
	posSysFlag   = 36
	posBornHost  = 48
	flagBornIPv6 = 0x10
)

// StoreTimeOf is the store timestamp in the first HeadSize bytes of a record.
func StoreTimeOf(head []byte) int64 {
	born := 8
	if binary.BigEndian.Uint32(head[posSysFlag:])&flagBornIPv6 != 0 {
		born = 20
	}
	return int64(binary.BigEndian.Uint64(head[posBornHost+born:]))
}

// StoreTime is the store timestamp of the record at off, or -1 when there is
// none.
func (l *Log) StoreTime(off int64) int64 {
	var head [HeadSize]byte
	if off < 0 {
		return -1
	}
	if v, ok := l.View(off, HeadSize); ok {
		copy(head[:], v.Bytes)
		v.Release()
	} else if l.Read(head[:], off) != nil {
		return -1
	}
	if !isRecord(head[:]) {
		return -1
	}
	return StoreTimeOf(head[:])
}
