package fastjson

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrSyntax is wrapped by every error of Unmarshal.
var ErrSyntax = errors.New("fastjson: bad document")

const (
	maxDepth    = 128     // nesting of a document
	maxElements = 4 << 20 // array elements and map pairs of a document
	maxGrowth   = 16      // memory of its elements, in multiples of the document's first MiB
	largeGrowth = 4       // and of the rest: what real documents need
	largeFrom   = 1 << 20 // bytes
	freeGrowth  = 1 << 20 // what any document may take, in bytes
)

// scanner walks over a document.
type scanner struct {
	b        []byte
	i        int
	depth    int
	elements int
	used     int // bytes of the elements so far
}

func (s *scanner) errorf(format string, args ...any) error {
	return fmt.Errorf("%w: %s at byte %d", ErrSyntax, fmt.Sprintf(format, args...), s.i)
}

// peek skips blanks and comments and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\r', '\n', '\f', '\b':
			s.i++
		case '/':
			if !s.comment() {
				return c
			}
		case 0xEF: // byte order mark
			if s.i != 0 || len(s.b) < 3 || s.b[1] != 0xBB || s.b[2] != 0xBF {
				return c
			}
			s.i = 3
		default:
			return c
		}
	}
	return 0
}

// comment skips a comment and reports whether there was one.
func (s *scanner) comment() bool {
	rest := s.b[s.i:]
	if len(rest) < 2 {
		return false
	}
	switch rest[1] {
	case '/':
		for s.i < len(s.b) && s.b[s.i] != '\n' {
			s.i++
		}
		return true
	case '*':
		for j := 2; j+1 < len(rest); j++ {
			if rest[j] == '*' && rest[j+1] == '/' {
				s.i += j + 2
				return true
			}
		}
	}
	return false
}

// take consumes the byte c, after blanks.
func (s *scanner) take(c byte) bool {
	if s.peek() == c && s.i < len(s.b) {
		s.i++
		return true
	}
	return false
}

// enter and leave count the nesting.
func (s *scanner) enter() error {
	if s.depth++; s.depth > maxDepth {
		return s.errorf("nested deeper than %d", maxDepth)
	}
	return nil
}

func (s *scanner) leave() { s.depth-- }

// element counts one more element.
func (s *scanner) element() error {
	if s.elements++; s.elements > maxElements {
		return s.errorf("more than %d elements", maxElements)
	}
	return nil
}

// grow counts the memory of one more element of n bytes: a few bytes of text
// ("{},") can stand for a large struct.
func (s *scanner) grow(n uintptr) error {
	head := min(len(s.b), largeFrom)
	limit := freeGrowth + maxGrowth*head + largeGrowth*(len(s.b)-head)
	if s.used += int(n); s.used > limit {
		return s.errorf("elements take more than %d bytes, for a document of %d", limit, len(s.b))
	}
	return nil
}

// list walks over a list between two brackets, with commas between and perhaps
// behind its parts; f reads one part.
func (s *scanner) list(open, end byte, f func() error) error {
	if !s.take(open) {
		return s.errorf("no %q", open)
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	for {
		for s.take(',') {
		}
		if s.take(end) {
			return nil
		}
		if err := s.element(); err != nil {
			return err
		}
		if err := f(); err != nil {
			return err
		}
		if c := s.peek(); c != ',' && c != end {
			return s.errorf("no comma or %q", end)
		}
	}
}

// isQuote reports whether a string starts here.
func isQuote(c byte) bool { return c == '"' || c == '\'' }

// text reads a string in double or single quotes.
func (s *scanner) text() (string, error) {
	q := s.peek()
	if !isQuote(q) {
		return "", s.errorf("no string")
	}
	start := s.i + 1
	for i := start; i < len(s.b); i++ {
		switch s.b[i] {
		case q:
			s.i = i + 1
			return string(s.b[start:i]), nil
		case '\\':
			return s.escapedText(start, i, q)
		}
	}
	return "", s.errorf("string without an end")
}

// escapedText reads on from the first backslash, at i.
func (s *scanner) escapedText(start, i int, q byte) (string, error) {
	out := append([]byte(nil), s.b[start:i]...)
	for i < len(s.b) {
		switch c := s.b[i]; {
		case c == q:
			s.i = i + 1
			return string(out), nil
		case c != '\\':
			out = append(out, c)
			i++
			continue
		case i+1 == len(s.b):
			return "", s.errorf("string without an end")
		}
		n := 0
		if out, n = unescape(out, s.b[i+1:]); n == 0 {
			s.i = i
			return "", s.errorf("unknown escape")
		}
		i += 1 + n
	}
	return "", s.errorf("string without an end")
}

// simpleEscapes maps the letters of fastjson's one-letter escapes.
var simpleEscapes = map[byte]byte{'0': 0, '1': 1, '2': 2, '3': 3, '4': 4, '5': 5, '6': 6, '7': 7, 'b': '\b', 't': '\t',
	'n': '\n', 'v': '\v', 'f': '\f', 'F': '\f', 'r': '\r', '"': '"', '\'': '\'', '/': '/', '\\': '\\'}

// unescape appends the character whose escape letter is b[0] and returns the
// number of bytes used, 0 for an unknown escape.
func unescape(out, b []byte) ([]byte, int) {
	switch b[0] {
	case 'u':
		r, ok := hexRune(b[1:], 4)
		switch {
		case !ok:
			return out, 0
		case r >= 0xD800 && r < 0xDC00 && len(b) > 6 && b[5] == '\\' && b[6] == 'u':
			if low, ok := hexRune(b[7:], 4); ok && low >= 0xDC00 && low < 0xE000 {
				return utf8.AppendRune(out, 0x10000+(r-0xD800)<<10+(low-0xDC00)), 11
			}
			fallthrough
		case r >= 0xD800 && r < 0xE000:
			return append(out, '?'), 5 // half a pair, as Java encodes it
		}
		return utf8.AppendRune(out, r), 5
	case 'x':
		r, ok := hexRune(b[1:], 2)
		if !ok {
			return out, 0
		}
		return utf8.AppendRune(out, r), 3
	}
	if c, ok := simpleEscapes[b[0]]; ok {
		return append(out, c), 1
	}
	return out, 0
}

// hexRune reads n hexadecimal digits.
func hexRune(b []byte, n int) (rune, bool) {
	if len(b) < n {
		return 0, false
	}
	var r rune
	for _, c := range b[:n] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// word reads a number, a literal or a name without quotes.
func (s *scanner) word() (string, error) {
	s.peek()
	start := s.i
	for s.i < len(s.b) {
		c := s.b[s.i]
		if c <= ' ' || c == ',' || c == ':' || c == '{' || c == '}' || c == '[' || c == ']' || isQuote(c) || c == '/' {
			break
		}
		s.i++
	}
	if s.i == start {
		return "", s.errorf("no value")
	}
	return string(s.b[start:s.i]), nil
}

// null consumes the word null.
func (s *scanner) null() bool {
	if s.peek() != 'n' || len(s.b)-s.i < 4 || string(s.b[s.i:s.i+4]) != "null" {
		return false
	}
	s.i += 4
	return true
}

// skip passes over any value.
func (s *scanner) skip() error {
	switch c := s.peek(); {
	case isQuote(c):
		_, err := s.text()
		return err
	case c == '[':
		return s.list('[', ']', s.skip)
	case c == '{':
		return s.list('{', '}', s.skipPair)
	}
	_, err := s.word()
	return err
}

// skipPair passes over a name or object key and its value.
func (s *scanner) skipPair() error {
	if err := s.skip(); err != nil {
		return err
	}
	if !s.take(':') {
		return s.errorf("no colon")
	}
	return s.skip()
}
