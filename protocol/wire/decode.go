package wire

import (
	"encoding/binary"
	"slices"
	"strings"
	"unsafe"
)

// MaxFrame is the largest frame that peers accept, in bytes and with its length
// word (com.rocketmq.remoting.frameMaxLength): a length word may say MaxFrame-4 at
// most. Readers of a connection check it before they make room for a frame.
const MaxFrame = 16 << 20

// MaxFields is how many extFields a frame may have. No request of RocketMQ has a
// hundred; a field without content costs the reader many times what it costs the
// sender. Java has no bound.
const MaxFields = 4096

// What a Command keeps for the next frame: a single odd frame must not pin the
// memory it needed.
const (
	keptExt     = 256
	keptScratch = 64 << 10
)

// headerWord is the size of the word before the header: its top byte is the
// encoding, the other three are the length of the header.
const headerWord = 4

// Decode reads one frame, from the header word on (without the total length in
// front), into c. Everything of c is overwritten; its slices are reused. Strings
// and Body alias frame, which must stay unchanged as long as c is in use.
//
// What Decode allocates is bounded by the frame: the list of extFields and the
// scratch space for unescaped values. An error wraps ErrFrame.
func Decode(frame []byte, c *Command) error {
	c.reset()
	if len(frame) < headerWord {
		return frameError("%d bytes are too short for a header word", len(frame))
	}
	word := binary.BigEndian.Uint32(frame)
	size := int(word & 0xFFFFFF)
	if size > len(frame)-headerWord {
		return frameError("header of %d bytes in a frame of %d", size, len(frame))
	}
	header := frame[headerWord : headerWord+size]
	if body := frame[headerWord+size:]; len(body) > 0 {
		c.Body = body
	}
	switch c.Encoding = Encoding(word >> 24); c.Encoding {
	case JSON:
		return c.decodeJSON(header)
	case Binary:
		return c.decodeBinary(header)
	}
	return frameError("unknown header encoding %d", word>>24)
}

// reset clears c for the next frame and keeps its memory.
func (c *Command) reset() {
	ext, scratch := c.Ext, c.scratch
	*c = Command{}
	if cap(ext) <= keptExt && ext != nil {
		c.Ext = ext[:0]
	}
	if cap(scratch) <= keptScratch {
		c.scratch = scratch[:0]
	}
}

// view returns the string that b holds, without a copy.
func view(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// addExt keeps an extFields entry. Empty keys stay: Java keeps them, too. It
// reports false when there are too many.
func (c *Command) addExt(key, value string) bool {
	if len(c.Ext) == MaxFields {
		return false
	}
	c.Ext = append(c.Ext, Field{Key: key, Value: value})
	return true
}

// tooManyFields is the error of a frame with more than MaxFields.
func tooManyFields() error { return frameError("more than %d extFields", MaxFields) }

// Clone returns a command that shares no memory with c or its frame: strings, body
// and list are the clone's own, in two allocations for all texts and the rest.
func (c *Command) Clone() *Command {
	n := len(c.Remark)
	for _, f := range c.Ext {
		n += len(f.Key) + len(f.Value)
	}
	var text strings.Builder
	text.Grow(n)
	own := func(s string) string {
		start := text.Len()
		text.WriteString(s)
		return text.String()[start:]
	}
	d := *c
	d.scratch = nil
	d.Remark = own(c.Remark)
	d.Ext = slices.Clone(c.Ext)
	for i, f := range d.Ext {
		d.Ext[i] = Field{Key: own(f.Key), Value: own(f.Value)}
	}
	d.Body = slices.Clone(c.Body)
	return &d
}
