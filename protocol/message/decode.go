package message

import (
	"encoding/binary"
	"net/netip"
)

// Decode reads the record at the start of rec into m and returns its size. Topic,
// Body and Properties alias rec. With checkCRC the checksum of the body is
// compared; the checksum property is CheckCRC's.
//
// A blank record gives ErrBlank and the number of bytes it covers, a size of 0
// (nothing was written here) and everything else that is not a record gives an
// error that wraps ErrCorrupt.
func Decode(rec []byte, m *Message, checkCRC bool) (n int, err error) {
	if len(rec) < 8 {
		return 0, corrupt("%d bytes are too short for a record", len(rec))
	}
	b := binary.BigEndian
	size, magic := int(int32(b.Uint32(rec))), b.Uint32(rec[posMagic:])
	if magic == MagicBlank && size >= 8 {
		return size, ErrBlank
	}
	if magic != MagicV1 && magic != MagicV2 {
		return 0, corrupt("magic %#08x", magic)
	}
	if size < minRecord || size > len(rec) {
		return 0, corrupt("record of %d bytes in %d", size, len(rec))
	}
	*m = Message{StoreSize: int32(size)}
	r := reader{b: rec[posBodyCRC:size]}
	m.BodyCRC = r.uint32()
	m.QueueID = int32(r.uint32())
	m.Flag = int32(r.uint32())
	m.QueueOffset = int64(r.uint64())
	m.PhyOffset = int64(r.uint64())
	m.SysFlag = int32(r.uint32())
	m.BornTimestamp = int64(r.uint64())
	m.BornHost = r.host(m.SysFlag&SysFlagBornHostV6 != 0)
	m.StoreTimestamp = int64(r.uint64())
	m.StoreHost = r.host(m.SysFlag&SysFlagStoreHostV6 != 0)
	m.ReconsumeTimes = int32(r.uint32())
	m.PreparedTransactionOffset = int64(r.uint64())
	m.Body = r.bytes(int(int32(r.uint32())))
	if magic == MagicV2 {
		m.Topic = text(r.bytes(int(int16(r.uint16()))))
	} else {
		m.Topic = text(r.bytes(int(int8(r.uint8()))))
	}
	m.Properties = r.bytes(int(int16(r.uint16())))
	if r.bad || len(r.b) > 0 {
		return 0, corrupt("parts of a record do not add up to its %d bytes", size)
	}
	if checkCRC && CRC(m.Body) != m.BodyCRC {
		return 0, corrupt("body of a record at %d fails its checksum", m.PhyOffset)
	}
	return size, nil
}

// reader cuts fields off a record. After the first field that is not there it
// answers zeros and is bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.b, r.bad = nil, true
		return nil
	}
	cut := r.b[:n:n]
	r.b = r.b[n:]
	return cut
}

func (r *reader) uint8() uint8 {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// host reads an address and its port, of which Java keeps 16 bits as well.
func (r *reader) host(v6 bool) netip.AddrPort {
	var addr netip.Addr
	if v6 {
		var a [16]byte
		copy(a[:], r.bytes(16))
		addr = netip.AddrFrom16(a)
	} else {
		var a [4]byte
		copy(a[:], r.bytes(4))
		addr = netip.AddrFrom4(a)
	}
	return netip.AddrPortFrom(addr, uint16(r.uint32()))
}
