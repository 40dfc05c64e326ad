package wire

import (
	"math"
	"unicode/utf8"
)

// decodeJSON reads a JSON header. The hand-written scanner knows the shape that
// all official clients write; whatever it does not know is read again, from the
// start, by the slow reader.
func (c *Command) decodeJSON(h []byte) error {
	s := scanner{b: h, c: c}
	if s.command() {
		return nil
	}
	if len(c.Ext) == MaxFields { // the slow reader would find no less
		return tooManyFields()
	}
	body, enc := c.Body, c.Encoding
	c.reset()
	c.Body, c.Encoding = body, enc
	return c.decodeJSONSlow(h)
}

// scanner walks over a JSON header. Its methods return false when the text is not
// of the usual shape, which need not mean that it is wrong.
type scanner struct {
	b []byte
	i int
	c *Command
	// spans gets the places of values that may change, when somebody wants to know.
	spans *[]span
}

// peek skips blanks and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.i < len(s.b) {
		ch := s.b[s.i]
		if ch > ' ' || (ch != ' ' && ch != '\n' && ch != '\t' && ch != '\r') {
			return ch
		}
		s.i++
	}
	return 0
}

// take consumes the byte ch, after blanks.
func (s *scanner) take(ch byte) bool {
	if s.i < len(s.b) && s.b[s.i] == ch {
		s.i++
		return true
	}
	return s.takeLater(ch)
}

// takeLater is take where something else, perhaps blanks, comes first.
func (s *scanner) takeLater(ch byte) bool {
	if s.peek() != ch || s.i == len(s.b) {
		return false
	}
	s.i++
	return true
}

// command reads the whole object.
func (s *scanner) command() bool {
	if !s.take('{') {
		return false
	}
	if s.take('}') {
		return s.end()
	}
	for {
		key, ok := s.text()
		if !ok || !s.take(':') || !s.member(key) {
			return false
		}
		if s.take(',') {
			continue
		}
		return s.take('}') && s.end()
	}
}

// end reports whether only blanks are left.
func (s *scanner) end() bool {
	s.peek()
	return s.i == len(s.b)
}

// member reads the value of one key of the command.
func (s *scanner) member(key string) bool {
	switch key {
	case "code":
		return s.number(&s.c.Code)
	case "opaque":
		s.peek()
		from := s.i
		ok := s.number(&s.c.Opaque)
		s.place(from, s.i, -1)
		return ok
	case "flag":
		return s.number(&s.c.Flag)
	case "version":
		return s.number(&s.c.Version)
	case "language":
		name, ok := s.text()
		s.c.Language = LanguageByName(name)
		return ok
	case "remark":
		if s.null() {
			s.c.Remark, s.c.HasRemark = "", false
			return true
		}
		remark, ok := s.text()
		s.c.Remark, s.c.HasRemark = remark, true
		return ok
	case "serializeTypeCurrentRPC":
		_, ok := s.text()
		return ok
	case "extFields":
		return s.extFields()
	}
	return false
}

// extFields reads the object of strings, or null.
func (s *scanner) extFields() bool {
	if s.spans != nil && len(s.c.Ext) > 0 {
		return false // twice
	}
	s.c.Ext = s.c.Ext[:0]
	if s.null() {
		s.c.HasExt = false
		return true
	}
	if !s.take('{') {
		return false
	}
	s.c.HasExt = true
	if s.take('}') {
		return true
	}
	for {
		key, ok := s.letter()
		if !ok {
			if key, ok = s.text(); !ok || !s.take(':') {
				return false
			}
		}
		if !s.null() { // a null value is an absent field
			from := s.i + 1
			value, ok := s.text()
			if !ok {
				return false
			}
			s.place(from, s.i-1, len(s.c.Ext))
			if !s.c.addExt(key, value) {
				return false
			}
		}
		if s.take(',') {
			continue
		}
		return s.take('}')
	}
}

// place notes where a value stands.
func (s *scanner) place(from, to, ext int) {
	if s.spans != nil {
		*s.spans = append(*s.spans, span{from: from, to: to, ext: ext})
	}
}

// letter reads a key of one letter and its colon, as SendMessageRequestHeaderV2 has
// them; false leaves everything as it is.
func (s *scanner) letter() (string, bool) {
	if len(s.b)-s.i < 4 {
		return "", false
	}
	b := s.b[s.i : s.i+4]
	if b[0] != '"' || b[2] != '"' || b[3] != ':' || stops[b[1]] {
		return "", false
	}
	s.i += 4
	return view(b[1:2]), true
}

// null consumes the word null.
func (s *scanner) null() bool {
	if s.i < len(s.b) && s.b[s.i] == '"' {
		return false
	}
	if s.peek() == 'n' && len(s.b)-s.i >= 4 && string(s.b[s.i:s.i+4]) == "null" {
		s.i += 4
		return true
	}
	return false
}

// number reads a plain 32-bit integer.
func (s *scanner) number(v *int32) bool {
	neg := false
	if s.peek() == '-' {
		neg = true
		s.i++
	}
	start := s.i
	var n int64
	for s.i < len(s.b) && s.i-start <= 10 {
		d := s.b[s.i] - '0'
		if d > 9 {
			break
		}
		n = n*10 + int64(d)
		s.i++
	}
	if neg {
		n = -n
	}
	if s.i == start || n < math.MinInt32 || n > math.MaxInt32 {
		return false
	}
	*v = int32(n)
	if s.i == len(s.b) {
		return false
	}
	switch s.b[s.i] {
	case ',', '}', ' ', '\t', '\r', '\n':
		return true
	}
	return false // a fraction, an exponent, too many digits
}

// stops marks the bytes that end a plain run of a string.
var stops = func() (t [256]bool) {
	for c := range ' ' {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

// text reads a string in double quotes. Without escapes it aliases the header.
func (s *scanner) text() (string, bool) {
	if !s.take('"') {
		return "", false
	}
	rest := s.b[s.i:]
	for i, ch := range rest {
		if !stops[ch] {
			continue
		}
		switch ch {
		case '"':
			s.i += i + 1
			return view(rest[:i]), true
		case '\\':
			return s.escapedText(s.i, s.i+i)
		}
		return "", false // a control character: let the slow reader decide
	}
	return "", false
}

// escapedText reads on from the first backslash, at i, of a string that began at
// start, into the scratch space. The scratch space gets room for the rest of the
// header first, and unescaped text is never longer, so it does not move while
// strings alias it.
func (s *scanner) escapedText(start, i int) (string, bool) {
	c := s.c
	if need := len(s.b) - start; cap(c.scratch)-len(c.scratch) < need {
		c.scratch = make([]byte, 0, len(s.b))
	}
	from := len(c.scratch)
	out := append(c.scratch, s.b[start:i]...)
	for i < len(s.b) {
		ch := s.b[i]
		switch {
		case ch == '"':
			c.scratch = out
			s.i = i + 1
			return view(out[from:]), true
		case ch < ' ':
			return "", false
		case ch != '\\':
			end := i + 1
			for end < len(s.b) && !stops[s.b[end]] {
				end++
			}
			out = append(out, s.b[i:end]...)
			i = end
			continue
		}
		if n := separator(s.b[i:]); n != 0 {
			out = append(out, n)
			i += 6
			continue
		}
		var ok bool
		if out, i, ok = unescape(out, s.b, i+1); !ok {
			return "", false
		}
	}
	return "", false
}

// separator gives the control character below 8 whose escape b begins with, 0 without
// one: names and values of properties are parted by 1 and 2.
func separator(b []byte) byte {
	if len(b) < 6 || string(b[:5]) != `\u000` {
		return 0
	}
	if n := b[5] - '0'; n < 8 {
		return n
	}
	return 0
}

// unescape appends the character of the escape whose letter is at b[i].
func unescape(out, b []byte, i int) ([]byte, int, bool) {
	if i >= len(b) {
		return out, i, false
	}
	switch b[i] {
	case '"', '\\', '/':
		return append(out, b[i]), i + 1, true
	case 'n':
		return append(out, '\n'), i + 1, true
	case 't':
		return append(out, '\t'), i + 1, true
	case 'r':
		return append(out, '\r'), i + 1, true
	case 'b':
		return append(out, '\b'), i + 1, true
	case 'f':
		return append(out, '\f'), i + 1, true
	case 'u':
		r, ok := hex4(b, i+1)
		if !ok {
			return out, i, false
		}
		i += 5
		if r >= 0xDC00 && r < 0xE000 {
			return append(out, '?'), i, true // half a pair: Java's encoder writes ?
		}
		if r >= 0xD800 && r < 0xDC00 {
			if i+1 < len(b) && b[i] == '\\' && b[i+1] == 'u' {
				if low, ok := hex4(b, i+2); ok && low >= 0xDC00 && low < 0xE000 {
					return utf8.AppendRune(out, 0x10000+(r-0xD800)<<10+(low-0xDC00)), i + 6, true
				}
			}
			return append(out, '?'), i, true
		}
		return utf8.AppendRune(out, r), i, true
	}
	return out, i, false
}

// hex4 reads four hexadecimal digits at b[i].
func hex4(b []byte, i int) (rune, bool) {
	if len(b)-i < 4 {
		return 0, false
	}
	var r rune
	for _, ch := range b[i : i+4] {
		switch {
		case ch >= '0' && ch <= '9':
			r = r<<4 | rune(ch-'0')
		case ch|0x20 >= 'a' && ch|0x20 <= 'f':
			r = r<<4 | rune(ch|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
