package message

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
)

// upperHex are the digits of message ids.
const upperHex = "0123456789ABCDEF"

// OffsetMessageID is the message id that names a place: address and port of the
// broker and commit log offset, in 32 (IPv4) or 56 upper-case hex digits.
func OffsetMessageID(host netip.AddrPort, phy int64) string {
	return string(AppendOffsetMessageID(make([]byte, 0, 56), host, phy))
}

// AppendOffsetMessageID appends OffsetMessageID(host, phy) to dst.
func AppendOffsetMessageID(dst []byte, host netip.AddrPort, phy int64) []byte {
	var raw [28]byte
	b := appendHost(raw[:0], host, isV6(host, false))
	b = binary.BigEndian.AppendUint64(b, uint64(phy))
	for _, c := range b {
		dst = append(dst, upperHex[c>>4], upperHex[c&15])
	}
	return dst
}

// ParseOffsetMessageID reads an offset message id; lower-case digits are taken,
// too. An error wraps ErrMessageID. A message id made by a client has the same
// length and reads as some host and offset: only asking there tells.
func ParseOffsetMessageID(id string) (host netip.AddrPort, phy int64, err error) {
	if len(id) != 32 && len(id) != 56 {
		return host, 0, fmt.Errorf("%w: %d characters", ErrMessageID, len(id))
	}
	var raw [28]byte
	n, err := hex.Decode(raw[:], []byte(id))
	if err != nil {
		return host, 0, fmt.Errorf("%w: %w", ErrMessageID, err)
	}
	r := reader{b: raw[:n]}
	var addr netip.Addr
	if n == 28 {
		addr = netip.AddrFrom16([16]byte(r.bytes(16)))
	} else {
		addr = netip.AddrFrom4([4]byte(r.bytes(4)))
	}
	port := r.uint32()
	if port > 0xFFFF {
		return host, 0, fmt.Errorf("%w: port %d", ErrMessageID, port)
	}
	return netip.AddrPortFrom(addr, uint16(port)), int64(r.uint64()), nil
}
