package remoting

import (
	"encoding/binary"
	"fmt"

	"github.com/merlinmq/merlin/protocol/wire"
)

// lengthWord is the size of the total length in front of a frame, which it does
// not count.
const lengthWord = 4

// frameSize reads the length word of a frame and says how many bytes the frame
// has with it. It refuses what Java's decoder refuses before anything of the
// frame is kept: more than limit bytes, or too few for a header word.
func frameSize(p []byte, limit int) (int, error) {
	n := binary.BigEndian.Uint32(p)
	if n > 1<<31-1-lengthWord || int(n)+lengthWord > limit {
		return 0, fmt.Errorf("%w: length word %d, limit %d", ErrTooLarge, n, limit)
	}
	if n < 4 {
		return 0, fmt.Errorf("%w: length word %d leaves no room for a header", wire.ErrFrame, n)
	}
	return int(n) + lengthWord, nil
}

// splitter cuts a stream of bytes into frames. Complete frames are given in
// place; the beginning of one that is not complete yet is kept in memory of its
// own, which grows with what was received and not with what the length word
// promises.
type splitter struct {
	limit   int
	partial []byte // the beginning of a frame, from its length word on
	size    int    // of that frame, 0 while not known
	full    []byte // the kept frame that the last split completed
	begun   bool   // keep has begun a frame since somebody reset it
}

// split calls f with each frame that p completes, without its length word. What
// f gets is valid as long as p is, and until done is called, which has to come
// between two splits. It stops at the first error.
func (s *splitter) split(p []byte, f func(frame []byte) error) error {
	if len(s.partial) > 0 {
		var err error
		if p, err = s.complete(p, f); err != nil {
			return err
		}
	}
	for len(p) >= lengthWord {
		n, err := frameSize(p, s.limit)
		if err != nil {
			return err
		}
		if len(p) < n {
			s.size = n
			break
		}
		if err := f(p[lengthWord:n:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	if len(p) > 0 {
		s.keep(p)
	}
	return nil
}

// complete adds to the kept frame what it lacks and gives the rest of p.
func (s *splitter) complete(p []byte, f func([]byte) error) ([]byte, error) {
	if s.size == 0 {
		n := min(lengthWord-len(s.partial), len(p))
		s.keep(p[:n])
		p = p[n:]
		if len(s.partial) < lengthWord {
			return nil, nil
		}
		size, err := frameSize(s.partial, s.limit)
		if err != nil {
			return nil, err
		}
		s.size = size
	}
	n := min(s.size-len(s.partial), len(p))
	s.keep(p[:n])
	if len(s.partial) < s.size {
		return nil, nil
	}
	s.full, s.partial, s.size = s.partial, nil, 0
	return p[n:], f(s.full[lengthWord:])
}

// keep appends to the kept frame, into a buffer of the pool while it is short.
func (s *splitter) keep(p []byte) {
	if s.partial == nil {
		s.partial = getBuf(0)
		s.begun = true
	}
	need := len(s.partial) + len(p)
	if need > cap(s.partial) && s.size > 0 {
		// Twice what has come, so that the sender of a mere length word gets no
		// memory for it, but never more than the frame.
		grown := make([]byte, len(s.partial), min(max(need, 2*cap(s.partial)), max(need, s.size)))
		copy(grown, s.partial)
		putBuf(s.partial)
		s.partial = grown
	}
	s.partial = append(s.partial, p...)
}

// done says that nobody uses the frames of the last split any more.
func (s *splitter) done() {
	if s.full != nil {
		putBuf(s.full)
		s.full = nil
	}
}

// drop forgets everything.
func (s *splitter) drop() {
	s.done()
	if s.partial != nil {
		putBuf(s.partial)
	}
	s.partial, s.size = nil, 0
}
