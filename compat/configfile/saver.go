package configfile

import (
	"errors"
	"sync"
)

// errWriteDied is what those get who waited for a write that panicked.
var errWriteDied = errors.New("configfile: the write did not end")

// Saver writes one file for many who change what is in it: changes that come
// while a write is under way share the next one. It owns no goroutine: the first
// who waits for a write makes it. The zero value is not usable, see NewSaver. Its
// methods may be called from any goroutine.
type Saver struct {
	write func() error

	writing sync.Mutex // one write at a time; held while the file is written

	mu   sync.Mutex // guards next; a leaf
	next *round     // the write that has not begun yet, nil when nobody waits for one
}

// round is one write and those who wait for it.
type round struct {
	done chan struct{}
	err  error // set before done is closed
}

// NewSaver makes a Saver of a function that takes a snapshot of everything there
// is to write and replaces the file with it. The function is never called twice
// at a time, and it must not call Save.
func NewSaver(write func() error) *Saver { return &Saver{write: write} }

// Save returns when everything that was changed before the call stands in the
// file, with the error of the write that took it along. It must be called without
// locks that the write takes. n callers that come together cost at most two
// writes: the one under way, which may have missed the change, and the next.
func (s *Saver) Save() error {
	s.mu.Lock()
	r := s.next
	first := r == nil
	if first {
		r = &round{done: make(chan struct{}), err: errWriteDied}
		s.next = r
	}
	s.mu.Unlock()
	if !first {
		<-r.done
		return r.err
	}
	defer close(r.done)
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	s.next = nil // who comes from here on may come too late for the snapshot
	s.mu.Unlock()
	r.err = s.write()
	return r.err
}
