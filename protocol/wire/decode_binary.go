package wire

import "encoding/binary"

// binaryFixed is the size of a binary header without remark and entries.
const binaryFixed = 2 + 1 + 2 + 4 + 4 + 4 + 4

// decodeBinary reads a ROCKETMQ header. Code and version are signed 16-bit
// numbers there, so codes above 32767 do not survive it. A string of zero length
// is null in Java: an empty remark is absent and an entry with an empty key or
// value is left out.
func (c *Command) decodeBinary(h []byte) error {
	if len(h) < binaryFixed {
		return frameError("binary header of %d bytes", len(h))
	}
	c.Code = int32(int16(binary.BigEndian.Uint16(h)))
	c.Language = languageByNumber(int64(int8(h[2])))
	c.Version = int32(int16(binary.BigEndian.Uint16(h[3:])))
	c.Opaque = int32(binary.BigEndian.Uint32(h[5:]))
	c.Flag = int32(binary.BigEndian.Uint32(h[9:]))
	remark, rest, ok := text32(h[13:])
	if !ok || len(rest) < 4 {
		return frameError("remark runs over the end of a binary header of %d bytes", len(h))
	}
	c.Remark, c.HasRemark = view(remark), len(remark) > 0
	size := int32(binary.BigEndian.Uint32(rest))
	rest = rest[4:]
	if size <= 0 {
		return nil
	}
	if int(size) > len(rest) {
		return frameError("extFields of %d bytes in a rest of %d", size, len(rest))
	}
	c.HasExt = true
	return c.decodeEntries(rest[:size])
}

// decodeEntries reads the key and value pairs of a binary header.
func (c *Command) decodeEntries(b []byte) error {
	for len(b) > 0 {
		key, rest, ok := text16(b)
		if !ok {
			return frameError("key runs over the end of the extFields")
		}
		value, rest, ok := text32(rest)
		if !ok {
			return frameError("value runs over the end of the extFields")
		}
		if len(key) > 0 && len(value) > 0 && !c.addExt(view(key), view(value)) {
			return tooManyFields()
		}
		b = rest
	}
	return nil
}

// text16 cuts a text with a 2-byte signed length off b.
func text16(b []byte) (text, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(int16(binary.BigEndian.Uint16(b)))
	if n < 0 || n > len(b)-2 {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}

// text32 cuts a text with a 4-byte signed length off b.
func text32(b []byte) (text, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := int(int32(binary.BigEndian.Uint32(b)))
	if n < 0 || n > len(b)-4 {
		return nil, nil, false
	}
	return b[4 : 4+n], b[4+n:], true
}
