package store

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/consumequeue"
)

// ErrFollows says that the store is a copy of another broker's (BrokerRole SLAVE):
// messages come with AppendRaw only.
var ErrFollows = errors.New("store: it follows another broker and takes no messages of its own")

// ErrLeads says that the store takes messages, so nothing can be copied into it.
var ErrLeads = errors.New("store: it takes messages of its own and cannot follow another broker's log")

// LogPiece is a piece of the log as it stands in its file, whatever begins and ends in
// it. It is valid until Release.
type LogPiece struct {
	Bytes []byte
	view  commitlog.View
}

// Release gives the memory back; the zero LogPiece may be released.
func (p LogPiece) Release() { p.view.Release() }

// ReadLog gives up to most bytes of the log from an offset on, for a copy of it. They
// never cross the end of a file, and there are none at the end of the log. An offset
// outside of the log is ErrNoRecord; any other error says that the disk cannot read now.
func (s *Store) ReadLog(from int64, most int) (LogPiece, error) {
	if !s.enter() {
		return LogPiece{}, ErrClosed
	}
	defer s.leave()
	end := s.clog.Max()
	if from < s.clog.Min() || from > end {
		return LogPiece{}, fmt.Errorf("%w: %d, the log has %d to %d", ErrNoRecord, from, s.clog.Min(), end)
	}
	n := min(int64(most), end-from, s.clog.SegmentOf(from)+s.clog.SegmentSize()-from)
	if n <= 0 {
		return LogPiece{}, nil
	}
	if v, ok := s.clog.View(from, 1); ok {
		return LogPiece{v.Bytes[:min(n, int64(len(v.Bytes)))], v}, nil
	}
	p := LogPiece{Bytes: make([]byte, n)}
	if err := s.clog.Read(p.Bytes, from); err != nil {
		if from < s.clog.Min() { // retention was faster
			return LogPiece{}, fmt.Errorf("%w: %w", ErrNoRecord, err)
		}
		return LogPiece{}, err
	}
	return p, nil
}

// growth lets others wait until the log is longer.
type growth struct{ c atomic.Pointer[chan struct{}] }

// grown ends the wait of everybody.
func (g *growth) grown() {
	if g.c.Load() == nil { // as a rule
		return
	}
	if c := g.c.Swap(nil); c != nil {
		close(*c)
	}
}

// next is closed by the next call of grown.
func (g *growth) next() chan struct{} {
	for {
		if c := g.c.Load(); c != nil {
			return *c
		}
		c := make(chan struct{})
		if g.c.CompareAndSwap(nil, &c) {
			return c
		}
	}
}

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Grown gives a channel that is closed when the log goes beyond an offset, or perhaps
// earlier: who waits looks again. Nobody is told that the store closes.
func (s *Store) Grown(beyond int64) <-chan struct{} {
	c := s.growth.next()
	if s.clog.Max() > beyond {
		return closedChan
	}
	return c
}

// Follow lets the store take the log of another broker by AppendRaw, and no messages
// until Lead is called. Messages that are being stored are stored.
func (s *Store) Follow() {
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	s.follows.Store(true)
}

// Follows says whether the store follows another broker.
func (s *Store) Follows() bool { return s.follows.Load() }

// RawEnd is where the next bytes of AppendRaw have to come from: what a slave reports.
func (s *Store) RawEnd() int64 {
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	return s.clog.RawEnd()
}

// AppendRaw writes bytes of the log of another broker, whose files have the same size,
// at the offset that they have there, which is RawEnd; a store without a log begins
// with any of its files. Messages are seen, and counted by FinalOffset, when they are
// whole. Errors are ErrLeads, ErrClosed, commitlog.ErrOutOfRange for another offset,
// and those of the disk. One caller at a time; the bytes are the caller's again.
func (s *Store) AppendRaw(data []byte, offset int64) error {
	if !s.enter() {
		return ErrClosed
	}
	defer s.leave()
	if offset == s.clog.SegmentOf(offset) && s.follows.Load() && len(s.clog.Segments()) == 0 {
		s.dispatch.do(func() { s.dispatch.pos.Store(offset) })
	}
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	if !s.follows.Load() {
		return ErrLeads
	}
	now := s.clock.NowMillis()
	s.lockSince.Store(now)
	defer s.lockSince.Store(0)
	err := s.clog.AppendRaw(data, offset)
	if t := s.clog.RawTime(); t > 0 {
		s.appendedTime.Store(t)
	}
	wake(s.wake)
	s.growth.grown()
	return err
}

// Lead lets the store take messages again: what has come of a record that is not whole
// is taken away, and queue offsets go on behind what the log holds. It returns when
// everything is in its queues. After an error the store still follows.
func (s *Store) Lead() error {
	if !s.enter() {
		return ErrClosed
	}
	defer s.leave()
	if err := s.dropPart(); err != nil {
		return err
	}
	err := ErrClosed
	s.dispatch.do(func() { err = s.lead() })
	return err
}

func (s *Store) dropPart() error {
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	return s.clog.DropPart()
}

// lead dispatches what is left, whoever may see it yet, and numbers queues behind it.
// REQUIRES: the dispatcher.
func (s *Store) lead() error {
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	if err := s.dispatch.upTo(s.clog.Max()); err != nil {
		return err
	}
	err := s.queues.Each(func(q *consumequeue.Queue) error { q.Next = q.Max(); return nil })
	if err == nil {
		s.follows.Store(false)
	}
	return err
}

// upTo dispatches the log up to an offset. REQUIRES: the dispatcher.
func (d *dispatcher) upTo(end int64) error {
	for d.pos.Load() < end {
		next, err := d.one(d.pos.Load(), end)
		if err != nil {
			return err
		}
		d.pos.Store(next)
	}
	return nil
}
