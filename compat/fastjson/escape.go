package fastjson

import "unicode/utf8"

// upperHex are the digits of fastjson's \u escapes.
const upperHex = "0123456789ABCDEF"

// Classes of the bytes of a string.
const (
	asIs     = iota // written as it is
	escaped         // control character, quote or backslash
	nonASCII        // start of a longer UTF-8 sequence
)

// class says what to do with each byte.
var class = classes()

func classes() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= utf8.RuneSelf:
			t[c] = nonASCII
		case c < 0x20 || c == '"' || c == '\\' || c == 0x7F:
			t[c] = escaped
		}
	}
	return t
}

// AppendString appends s as a double-quoted string with fastjson's escapes: \b \t
// \n \f \r \" \\, upper-case \u00XX for the other control characters up to U+009F,
// and \u2028 \u2029. Bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if class[c] == asIs {
			i++
			continue
		}
		if class[c] == escaped {
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, rune(c))
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if needsEscape(r, n) {
			dst = append(dst, s[start:i]...)
			if r == utf8.RuneError {
				dst = utf8.AppendRune(dst, r)
			} else {
				dst = appendEscape(dst, r)
			}
			start = i + n
		}
		i += n
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// needsEscape reports whether a rune of n bytes is not copied as it is.
func needsEscape(r rune, n int) bool {
	return r <= 0x9F || r == 0x2028 || r == 0x2029 || (r == utf8.RuneError && n == 1)
}

func appendEscape(dst []byte, r rune) []byte {
	switch r {
	case '\b':
		return append(dst, '\\', 'b')
	case '\t':
		return append(dst, '\\', 't')
	case '\n':
		return append(dst, '\\', 'n')
	case '\f':
		return append(dst, '\\', 'f')
	case '\r':
		return append(dst, '\\', 'r')
	case '"', '\\':
		return append(dst, '\\', byte(r))
	}
	return append(dst, '\\', 'u', upperHex[r>>12&15], upperHex[r>>8&15], upperHex[r>>4&15], upperHex[r&15])
}
