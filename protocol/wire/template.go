package wire

import (
	"encoding/binary"
	"slices"
)

const (
	// templateAfter is how many headers without a template come before one is made: a
	// connection that says little needs none.
	templateAfter = 16
	// templateMisses is how many headers in a row may differ from the template before
	// it is made anew.
	templateMisses = 8
	// maxLearned is how many values a template learns from one header: each costs
	// another pass over it.
	maxLearned = 4
	// maxTemplate bounds the text that a template keeps, in bytes.
	maxTemplate = 2 << 10
)

// Decoder decodes the frames of one connection. A peer writes one header after the
// other that differ in a few values only: the Decoder keeps one of them, compares what
// stays the same as a piece and reads what changes. What it gives is the same as from
// Decode, but strings may also alias memory of the Decoder, which is never changed.
//
// The zero Decoder is ready. It keeps up to 2 KiB of text and some more for the places
// in it. It belongs to one goroutine at a time.
type Decoder struct {
	t      *template
	misses int
}

// Decode is Decode.
func (d *Decoder) Decode(frame []byte, c *Command) error {
	if len(frame) < headerWord {
		return Decode(frame, c)
	}
	word := binary.BigEndian.Uint32(frame)
	size := int(word & 0xFFFFFF)
	if Encoding(word>>24) != JSON || size > len(frame)-headerWord {
		return Decode(frame, c)
	}
	if d.t != nil {
		c.reset()
		if d.t.decode(frame[headerWord:headerWord+size], c) {
			if body := frame[headerWord+size:]; len(body) > 0 {
				c.Body = body
			}
			d.misses = 0
			return nil
		}
	}
	err := Decode(frame, c)
	d.misses++
	if limit := templateAfter; err == nil && size <= maxTemplate && (d.misses > limit || d.t != nil && d.misses > templateMisses) {
		d.t, d.misses = newTemplate(frame[headerWord:headerWord+size]), 0
	}
	return err
}

// template is a header of a connection.
type template struct {
	head  []byte
	cmd   Command // what it says; its strings alias head, or the command's scratch
	spans []span  // values that may change, in the order of the text
}

// span is the place of a value in a header.
type span struct {
	from, to int // without the quotes
	ext      int // index of the extFields entry, -1 for opaque
	hole     bool
}

// newTemplate makes a template of a header, nil when it is not of the usual shape.
func newTemplate(header []byte) *template {
	t := &template{head: slices.Clone(header)}
	s := scanner{b: t.head, c: &t.cmd, spans: &t.spans}
	if !s.command() {
		return nil
	}
	for i := range t.spans {
		p := &t.spans[i]
		if p.ext >= 0 && t.head[p.from-1] != '"' {
			return nil // blanks
		}
		p.hole = p.ext < 0
	}
	return t
}

// decode reads a header that differs from the template in values alone; false says that
// it does not. A value that is met as changed counts as changing from then on.
func (t *template) decode(h []byte, c *Command) bool {
	ext, scratch := c.Ext, c.scratch
	for learned := 0; ; learned++ {
		*c = t.cmd
		c.Ext, c.scratch = append(ext[:0], t.cmd.Ext...), scratch[:0]
		s := scanner{b: h, c: c}
		at, ok := t.values(&s)
		if ok && t.same(&s, at, len(t.head)) {
			return s.i == len(h)
		}
		if learned == maxLearned || !t.learn(&s, at) {
			return false
		}
	}
}

// values reads the values that change, and compares what stands before each. It gives
// the place in the template behind the last one that it read.
func (t *template) values(s *scanner) (at int, ok bool) {
	for i := range t.spans {
		p := &t.spans[i]
		if !p.hole {
			continue
		}
		if !t.same(s, at, p.from) || !s.hole(p) {
			return at, false
		}
		at = p.to
	}
	return at, true
}

// same passes over a piece that is the same in the template.
func (t *template) same(s *scanner, from, to int) bool {
	n := to - from
	if len(s.b)-s.i < n || string(s.b[s.i:s.i+n]) != string(t.head[from:to]) {
		return false
	}
	s.i += n
	return true
}

// learn makes a changing value of the one that differs first from the template's text
// at a place. Each value does so once.
func (t *template) learn(s *scanner, at int) bool {
	rest := s.b[s.i:]
	n := 0
	for n < len(rest) && at+n < len(t.head) && rest[n] == t.head[at+n] {
		n++
	}
	for i := range t.spans {
		if p := &t.spans[i]; p.from <= at+n && at+n <= p.to {
			if p.hole {
				return false
			}
			p.hole = true
			return true
		}
	}
	return false
}

// hole reads a changing value.
func (s *scanner) hole(p *span) bool {
	if p.ext < 0 {
		return s.number(&s.c.Opaque)
	}
	s.i-- // its quote
	v, ok := s.text()
	if !ok {
		return false
	}
	s.i-- // the closing quote is the template's
	s.c.Ext[p.ext].Value = v
	return true
}
