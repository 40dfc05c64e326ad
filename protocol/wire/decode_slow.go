package wire

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	jsoniter "github.com/json-iterator/go"
)

// decodeJSONSlow reads a JSON header of unusual shape, with fastjson's leniency
// where peers may lean on it: unknown keys, numbers in quotes, numbers, booleans
// and whole objects as extFields values (kept as their text), a language given by
// number. It allocates and is bounded by the size of the header.
func (c *Command) decodeJSONSlow(h []byte) error {
	if deeper(h, maxDepth) {
		return frameError("JSON header: nested more than %d deep", maxDepth)
	}
	h = mendSurrogates(bytes.TrimLeft(h, " \t\r\n"))
	it := jsoniter.ConfigDefault.BorrowIterator(h)
	defer jsoniter.ConfigDefault.ReturnIterator(it)
	if it.WhatIsNext() != jsoniter.ObjectValue {
		return frameError("JSON header is not an object")
	}
	object := it.SkipAndReturnBytes()
	if it.Error != nil {
		return frameError("JSON header: %v", it.Error)
	}
	if len(bytes.TrimLeft(h[len(object):], " \t\r\n")) > 0 {
		return frameError("text after the JSON header")
	}
	it.ResetBytes(object)
	it.ReadObjectCB(func(it *jsoniter.Iterator, key string) bool {
		c.slowMember(it, key)
		return it.Error == nil
	})
	if it.Error != nil {
		return frameError("JSON header: %v", it.Error)
	}
	return nil
}

// maxDepth is how deep a JSON header may be nested: no client writes more than two, and
// reading depth takes a stack that grows with it, which costs many times what the bytes do.
const maxDepth = 64

// deeper says whether objects and arrays of a text are nested more than so many deep. It
// may be wrong about what is no JSON.
func deeper(h []byte, limit int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(h); i++ {
		switch c := h[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
			if c == '\\' {
				i++
			}
		case c == '[' || c == '{':
			if depth++; depth > limit {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}

// mendSurrogates writes a question mark for each escape that is half a surrogate
// pair, as Java's encoder does with such a string and as the fast reader does;
// json-iterator would make it U+FFFD. The common text without one is returned as
// it is.
func mendSurrogates(h []byte) []byte {
	var out []byte
	done := 0 // h is copied up to here, once something was mended
	for i := 0; i < len(h); i++ {
		if h[i] != '\\' {
			continue
		}
		r, ok := hex4(h, i+2)
		if i+1 >= len(h) || h[i+1] != 'u' || !ok {
			i++ // the escaped character may be a backslash
			continue
		}
		if r >= 0xD800 && r < 0xDC00 && i+7 < len(h) && h[i+6] == '\\' && h[i+7] == 'u' {
			if low, ok := hex4(h, i+8); ok && low >= 0xDC00 && low < 0xE000 {
				i += 11
				continue
			}
		}
		if r >= 0xD800 && r < 0xE000 {
			out = append(append(out, h[done:i]...), '?')
			done = i + 6
		}
		i += 5
	}
	if done == 0 {
		return h
	}
	return append(out, h[done:]...)
}

// slowMember reads the value of one key of the command.
func (c *Command) slowMember(it *jsoniter.Iterator, key string) {
	switch key {
	case "code":
		c.Code = slowInt32(it, key)
	case "opaque":
		c.Opaque = slowInt32(it, key)
	case "flag":
		c.Flag = slowInt32(it, key)
	case "version":
		c.Version = slowInt32(it, key)
	case "language":
		if it.WhatIsNext() == jsoniter.NumberValue {
			c.Language = languageByNumber(int64(slowInt32(it, key)))
			return
		}
		name, _ := slowText(it)
		c.Language = LanguageByName(name)
	case "remark":
		c.Remark, c.HasRemark = slowText(it)
	case "extFields":
		c.slowExt(it)
	default:
		it.Skip()
	}
}

// slowExt reads extFields.
func (c *Command) slowExt(it *jsoniter.Iterator) {
	c.Ext, c.HasExt = c.Ext[:0], false
	switch it.WhatIsNext() {
	case jsoniter.NilValue:
		it.ReadNil()
		return
	case jsoniter.ObjectValue:
	default:
		it.ReportError("extFields", "not an object")
		return
	}
	c.HasExt = true
	it.ReadObjectCB(func(it *jsoniter.Iterator, key string) bool {
		if value, ok := slowText(it); ok && !c.addExt(key, value) {
			it.ReportError("extFields", "too many")
		}
		return it.Error == nil
	})
}

// slowText reads any value as text: null is absent, a string is itself, numbers
// and booleans are their text, objects and arrays their JSON.
func slowText(it *jsoniter.Iterator) (string, bool) {
	switch it.WhatIsNext() {
	case jsoniter.NilValue:
		it.ReadNil()
		return "", false
	case jsoniter.StringValue:
		return it.ReadString(), true
	case jsoniter.InvalidValue:
		it.ReportError("value", "not JSON")
		return "", false
	}
	return strings.TrimSpace(string(it.SkipAndReturnBytes())), true
}

// slowInt32 reads an integer that may stand in quotes or have a fraction, which
// is cut off; null, the empty string and false are 0, true is 1.
func slowInt32(it *jsoniter.Iterator, key string) int32 {
	text, _ := slowText(it)
	switch text {
	case "", "false":
		return 0
	case "true":
		return 1
	}
	if v, err := ParseInt32(text); err == nil {
		return v
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || f <= math.MinInt32-1 || f >= math.MaxInt32+1 {
		it.ReportError(key, "not a 32-bit number")
		return 0
	}
	return int32(f)
}
