package javastr

import "unicode/utf8"

// Hash returns Java's String.hashCode of s: h = 31*h + unit over the UTF-16
// units, starting at 0. Bytes that are not UTF-8 count as U+FFFD, as in a Java
// string that was decoded from them.
func Hash(s string) int32 {
	var h uint32
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= utf8.RuneSelf {
			return hashTail(h, s[i:])
		}
		h = 31*h + uint32(c)
	}
	return int32(h)
}

// HashBytes is Hash of the string that b holds, without building it.
func HashBytes(b []byte) int32 {
	var h uint32
	for i, c := range b {
		if c >= utf8.RuneSelf {
			return hashTailBytes(h, b[i:])
		}
		h = 31*h + uint32(c)
	}
	return int32(h)
}

func hashTail(h uint32, s string) int32 {
	for _, r := range s {
		h = addRune(h, r)
	}
	return int32(h)
}

func hashTailBytes(h uint32, b []byte) int32 {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		h = addRune(h, r)
		b = b[n:]
	}
	return int32(h)
}

// addRune adds one code point, as one unit or as a surrogate pair.
func addRune(h uint32, r rune) uint32 {
	if r < 0x10000 {
		return 31*h + uint32(r)
	}
	r -= 0x10000
	h = 31*h + uint32(0xD800+r>>10)
	return 31*h + uint32(0xDC00+r&0x3FF)
}
