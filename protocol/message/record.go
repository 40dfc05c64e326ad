package message

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"net/netip"
	"unsafe"
)

// Magic numbers, the second word of a record.
const (
	MagicV1    uint32 = 0xDAA320A7 // topic length in 1 byte
	MagicV2    uint32 = 0xDAA320AB // topic length in 2 bytes
	MagicBlank uint32 = 0xCBD43194 // the rest of a commit log file is empty
)

// Places in a record; those up to bornHost are the same in every record.
const (
	posMagic          = 4
	posBodyCRC        = 8
	posQueueID        = 12
	posFlag           = 16
	posQueueOffset    = 20
	posPhyOffset      = 28
	posSysFlag        = 36
	posBornTimestamp  = 40
	posBornHost       = 48
	minRecord         = 91 // V1, IPv4 hosts, empty body, topic and properties
	maxTopicV1        = math.MaxInt8
	maxProperties     = math.MaxInt16
	maxBody           = math.MaxInt32 - 1<<17
	hostV4, hostV6    = 8, 20
	crcPropertyLength = 20 // name 0x01 ten digits 0x02
)

// Errors of this package. What is wrapped with them says where and what.
var (
	// ErrCorrupt: the bytes are not a whole record, entry or property text.
	ErrCorrupt = errors.New("message: corrupt")
	// ErrBlank: the record marks the unused end of a commit log file. Decode
	// returns the bytes that are left in the file with it.
	ErrBlank = errors.New("message: blank record")
	// ErrTooLarge: a part of the message is longer than its length field can say.
	ErrTooLarge = errors.New("message: too large")
	// ErrMessageID: the text is not a message id.
	ErrMessageID = errors.New("message: bad message id")
)

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// CRC is the checksum of bodies and records: CRC-32 (IEEE) without its top bit.
func CRC(b []byte) uint32 { return crc32.ChecksumIEEE(b) & math.MaxInt32 }

// Layout is the shape of a message's record and the checksum of its body, worked
// out ahead, so that the record can be written later into room that is just large
// enough.
type Layout struct {
	sysFlag      int32 // with the host bits that fit the hosts
	magic        uint32
	crc          uint32 // of the body; Measure's alone
	size         int
	reserved     int  // bytes kept for the checksum property
	addSeparator bool // the properties lack their last separator
}

// isV6 reports whether a host takes 20 bytes. An IPv4 address in IPv6 form does
// only when its record said so.
func isV6(host netip.AddrPort, flagged bool) bool {
	a := host.Addr()
	return a.Is6() && (!a.Is4In6() || flagged)
}

// measure works out the layout of m, with or without the checksum property.
func measure(m *Message, withCRC bool) (l Layout, err error) {
	l.sysFlag = m.SysFlag &^ (SysFlagBornHostV6 | SysFlagStoreHostV6)
	l.size = minRecord + len(m.Body) + len(m.Topic) + len(m.Properties)
	if isV6(m.BornHost, m.SysFlag&SysFlagBornHostV6 != 0) {
		l.sysFlag |= SysFlagBornHostV6
		l.size += hostV6 - hostV4
	}
	if isV6(m.StoreHost, m.SysFlag&SysFlagStoreHostV6 != 0) {
		l.sysFlag |= SysFlagStoreHostV6
		l.size += hostV6 - hostV4
	}
	l.magic = MagicV1
	if len(m.Topic) > maxTopicV1 {
		l.magic = MagicV2
		l.size++
	}
	if withCRC {
		l.reserved = crcPropertyLength
		n := len(m.Properties)
		l.addSeparator = n > 0 && m.Properties[n-1] != propertySeparator
		l.size += l.reserved
		if l.addSeparator {
			l.size++
		}
	}
	properties := len(m.Properties) + l.reserved
	if l.addSeparator {
		properties++
	}
	switch {
	case properties > maxProperties:
		return l, fmt.Errorf("%w: properties of %d bytes", ErrTooLarge, properties)
	case len(m.Topic) > math.MaxInt16:
		return l, fmt.Errorf("%w: topic of %d bytes", ErrTooLarge, len(m.Topic))
	case len(m.Body) > maxBody:
		return l, fmt.Errorf("%w: body of %d bytes", ErrTooLarge, len(m.Body))
	}
	return l, nil
}

// Measure gives the layout of m's record, with or without the checksum property
// (enabledAppendPropCRC). An error wraps ErrTooLarge.
func Measure(m *Message, withCRC bool) (Layout, error) {
	l, err := measure(m, withCRC)
	if err == nil {
		l.crc = CRC(m.Body)
	}
	return l, err
}

// CRC says whether the record gets the checksum property, for PatchCRC to fill in.
func (l Layout) CRC() bool { return l.reserved > 0 }

// Size is the number of bytes that Append will write.
func (l Layout) Size() int { return l.size }

// Append appends the record of m, the message that was measured, as the function
// Append or AppendCRC does. Offsets and times may have changed since.
func (l Layout) Append(dst []byte, m *Message) []byte { return appendRecord(dst, m, l) }

// Append appends the record of m, with the offsets and times m has. The layout is
// V2 when the topic is longer than 127 bytes, otherwise V1; the host bits of the
// sysFlag follow the hosts, and the body checksum is worked out here. On an error,
// which wraps ErrTooLarge, dst is returned as it was.
func Append(dst []byte, m *Message) ([]byte, error) {
	l, err := Measure(m, false)
	if err != nil {
		return dst, err
	}
	return l.Append(dst, m), nil
}

// AppendCRC is Append with the checksum property (enabledAppendPropCRC) at the end
// of the properties. Its digits are still empty: PatchCRC fills them in when the
// offsets and the store time stand.
func AppendCRC(dst []byte, m *Message) ([]byte, error) {
	l, err := Measure(m, true)
	if err != nil {
		return dst, err
	}
	return l.Append(dst, m), nil
}

func appendRecord(dst []byte, m *Message, l Layout) []byte {
	b := binary.BigEndian
	dst = b.AppendUint32(dst, uint32(l.size))
	dst = b.AppendUint32(dst, l.magic)
	dst = b.AppendUint32(dst, l.crc)
	dst = b.AppendUint32(dst, uint32(m.QueueID))
	dst = b.AppendUint32(dst, uint32(m.Flag))
	dst = b.AppendUint64(dst, uint64(m.QueueOffset))
	dst = b.AppendUint64(dst, uint64(m.PhyOffset))
	dst = b.AppendUint32(dst, uint32(l.sysFlag))
	dst = b.AppendUint64(dst, uint64(m.BornTimestamp))
	dst = appendHost(dst, m.BornHost, l.sysFlag&SysFlagBornHostV6 != 0)
	dst = b.AppendUint64(dst, uint64(m.StoreTimestamp))
	dst = appendHost(dst, m.StoreHost, l.sysFlag&SysFlagStoreHostV6 != 0)
	dst = b.AppendUint32(dst, uint32(m.ReconsumeTimes))
	dst = b.AppendUint64(dst, uint64(m.PreparedTransactionOffset))
	dst = b.AppendUint32(dst, uint32(len(m.Body)))
	dst = append(dst, m.Body...)
	if l.magic == MagicV2 {
		dst = b.AppendUint16(dst, uint16(len(m.Topic)))
	} else {
		dst = append(dst, byte(len(m.Topic)))
	}
	dst = append(dst, m.Topic...)
	properties := len(m.Properties) + l.reserved
	if l.addSeparator {
		properties++
	}
	dst = b.AppendUint16(dst, uint16(properties))
	dst = append(dst, m.Properties...)
	if l.addSeparator {
		dst = append(dst, propertySeparator)
	}
	if l.reserved > 0 {
		dst = append(dst, crcProperty...)
	}
	return dst
}

// crcProperty is the checksum property with its digits empty.
const crcProperty = PropertyCRC32 + "\x010000000000\x02"

// appendHost appends address and port.
func appendHost(dst []byte, host netip.AddrPort, v6 bool) []byte {
	if v6 {
		a := host.Addr().As16()
		dst = append(dst, a[:]...)
	} else {
		var a [4]byte // an absent host is 0.0.0.0:0
		if host.IsValid() {
			a = host.Addr().Unmap().As4()
		}
		dst = append(dst, a[:]...)
	}
	return binary.BigEndian.AppendUint32(dst, uint32(host.Port()))
}

// PatchOffsets overwrites the three fields of an appended record that are known
// only when it gets its place: queue offset, physical offset and store time (ms).
// rec is a record that Append wrote.
func PatchOffsets(rec []byte, queueOffset, phyOffset, storeTimestamp int64) {
	b := binary.BigEndian
	b.PutUint64(rec[posQueueOffset:], uint64(queueOffset))
	b.PutUint64(rec[posPhyOffset:], uint64(phyOffset))
	b.PutUint64(rec[posStoreTimestamp(rec):], uint64(storeTimestamp))
}

// posStoreTimestamp depends on the size of the born host.
func posStoreTimestamp(rec []byte) int {
	if int32(binary.BigEndian.Uint32(rec[posSysFlag:]))&SysFlagBornHostV6 != 0 {
		return posBornHost + hostV6
	}
	return posBornHost + hostV4
}

// BodyCRC is the checksum of the body that a record carries: what CRC gives of the
// body of a record that is not damaged. rec has at least the size of the smallest
// record.
func BodyCRC(rec []byte) uint32 { return binary.BigEndian.Uint32(rec[posBodyCRC:]) }

// Shape looks at the lengths in a record and gives the body, which aliases rec. whole
// says that rec is one record from its first to its last byte: one that Decode takes.
func Shape(rec []byte) (body []byte, whole bool) {
	if len(rec) < minRecord {
		return nil, false
	}
	b := binary.BigEndian
	magic := b.Uint32(rec[posMagic:])
	if b.Uint32(rec) != uint32(len(rec)) || magic != MagicV1 && magic != MagicV2 {
		return nil, false
	}
	at := posBodyLength(rec)
	if at+4 > len(rec) {
		return nil, false
	}
	n := int(int32(b.Uint32(rec[at:])))
	at += 4
	if n < 0 || n > len(rec)-at {
		return nil, false
	}
	body = rec[at : at+n : at+n]
	rest := rec[at+n:]
	if magic == MagicV2 {
		rest = after(rest, 2)
	} else {
		rest = after(rest, 1)
	}
	rest = after(rest, 2)
	return body, rest != nil && len(rest) == 0
}

// posBodyLength is where the length of the body stands in a record.
func posBodyLength(rec []byte) int {
	at := posStoreTimestamp(rec) + 8 + hostV4
	if int32(binary.BigEndian.Uint32(rec[posSysFlag:]))&SysFlagStoreHostV6 != 0 {
		at += hostV6 - hostV4
	}
	return at + 4 + 8 // times it was consumed, place of the half message
}

// Place tells which queue and offset a record names, without decoding it; topic aliases
// rec. rec is whole in the sense of Shape.
func Place(rec []byte) (topic []byte, queueID int32, queueOffset int64) {
	b := binary.BigEndian
	at := posBodyLength(rec)
	rest := rec[at+4+int(b.Uint32(rec[at:])):]
	if b.Uint32(rec[posMagic:]) == MagicV2 {
		topic = rest[2 : 2+int(b.Uint16(rest))]
	} else {
		topic = rest[1 : 1+int(rest[0])]
	}
	queueID, queueOffset = Numbers(rec)
	return topic, queueID, queueOffset
}

// Numbers are the queue and the offset in it that a record names. rec has at least the
// size of the smallest record.
func Numbers(rec []byte) (queueID int32, queueOffset int64) {
	return int32(binary.BigEndian.Uint32(rec[posQueueID:])), int64(binary.BigEndian.Uint64(rec[posQueueOffset:]))
}

// SetPlace makes a record name a queue and an offset of it.
func SetPlace(rec []byte, queueID int32, queueOffset int64) {
	binary.BigEndian.PutUint32(rec[posQueueID:], uint32(queueID))
	binary.BigEndian.PutUint64(rec[posQueueOffset:], uint64(queueOffset))
}

// after cuts off a text behind its length, which takes n bytes; nil when it is not
// there.
func after(b []byte, n int) []byte {
	if len(b) < n {
		return nil
	}
	length := int(int8(b[0]))
	if n == 2 {
		length = int(int16(binary.BigEndian.Uint16(b)))
	}
	if b = b[n:]; length < 0 || length > len(b) {
		return nil
	}
	return b[length:]
}

// PatchCRC fills in the checksum property of a record that AppendCRC wrote: the
// checksum of everything before the property, least significant digit first.
func PatchCRC(rec []byte) {
	n := len(rec) - crcPropertyLength
	crc := CRC(rec[:n])
	digits := rec[n+len(PropertyCRC32)+1 : len(rec)-1]
	for i := range digits {
		digits[i] = byte('0' + crc%10)
		crc /= 10
	}
}

// HasCRC says whether a property text ends with a checksum property. Whether the
// broker made it or a client sent it is not seen: CheckCRC is for those who know.
func HasCRC(properties []byte) bool {
	n := len(properties) - crcPropertyLength
	return n >= 0 && string(properties[n:n+len(PropertyCRC32)+1]) == PropertyCRC32+"\x01"
}

// CheckCRC verifies the checksum property of a record. A record without one
// passes; an error wraps ErrCorrupt.
func CheckCRC(rec []byte) error {
	var m Message
	if _, err := Decode(rec, &m, false); err != nil {
		return err
	}
	if !HasCRC(m.Properties) {
		return nil // also when the body has such an end
	}
	n := len(rec) - crcPropertyLength
	crc := CRC(rec[:n])
	for _, d := range rec[n+len(PropertyCRC32)+1 : len(rec)-1] {
		if d != byte('0'+crc%10) {
			return corrupt("record of %d bytes fails its checksum property", len(rec))
		}
		crc /= 10
	}
	return nil
}

// text returns the string that b holds, without a copy.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
