package wire

import (
	"math"
	"strconv"
	"strings"
)

// ParseInt32 reads a number as Java's Integer.parseInt does: an optional sign and
// decimal digits, nothing else. The error says what was found.
func ParseInt32(s string) (int32, error) {
	v, ok := parseInt(s)
	if !ok || v < math.MinInt32 || v > math.MaxInt32 {
		return 0, numberError(s)
	}
	return int32(v), nil
}

// ParseInt64 reads a number as Java's Long.parseLong does.
func ParseInt64(s string) (int64, error) {
	v, ok := parseInt(s)
	if !ok {
		return 0, numberError(s)
	}
	return v, nil
}

// ParseBool reads a boolean as Java's Boolean.parseBoolean does: "true" in any
// case is true, everything else false.
func ParseBool(s string) bool {
	return len(s) == 4 && s[0]|0x20 == 't' && s[1]|0x20 == 'r' && s[2]|0x20 == 'u' && s[3]|0x20 == 'e'
}

// parseInt reads a signed 64-bit decimal number.
func parseInt(s string) (int64, bool) {
	neg := false
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		neg = s[0] == '-'
		s = s[1:]
	}
	if len(s) == 0 {
		return 0, false
	}
	var u uint64
	for i := 0; i < len(s); i++ {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		if u > (1<<63)/10 {
			return 0, false
		}
		u = u*10 + uint64(d)
	}
	switch {
	case neg && u <= 1<<63:
		return -int64(u), true
	case !neg && u < 1<<63:
		return int64(u), true
	}
	return 0, false
}

// numberError quotes at most 64 bytes of the text, in the words of Java's
// NumberFormatException.
func numberError(s string) error {
	if len(s) > 64 {
		s = s[:64]
	}
	return &NumberError{Text: strings.Clone(s)}
}

// NumberError is a header field that should have been a number. Java answers it
// with code 1 where a header class has a hand-written codec, and keeps the
// field's default everywhere else.
type NumberError struct{ Text string }

// Error gives the text in Java's words.
func (e *NumberError) Error() string {
	return `For input string: ` + strconv.Quote(e.Text)
}
