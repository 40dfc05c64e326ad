// Package hold parks requests that wait for a message (long polling) and is the
// only place where a request runs a second time. It knows nothing of pulling:
// a parked request is a Wait, a value with a function to run.
//
// Goroutines: one sweeper and a few runners, started by Start and joined by
// Shutdown. Locks: one per shard, leaves; nothing is called under them but
// Wait.Match and Wait.Alive. ownersMu is a leaf, too.
package hold

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/store"
)

const (
	// shards spreads the parked requests; a power of two.
	shards = 64
	// keepReady is how much room for woken requests is kept when there are none.
	keepReady = 4096
)

// Wait says what a request waits for. The strings are the wait's own.
type Wait struct {
	// Topic and QueueID name the queue.
	Topic   string
	QueueID int32
	// Offset is the queue offset the request wants: a message at it, or after
	// it, wakes the request.
	Offset int64
	// Timeout is how long to wait at the most.
	Timeout time.Duration
	// Match says whether an arrived message is one the request would get; nil
	// takes every message. It must be quick and take no lock.
	Match func(tagsCode int64, properties []byte) bool
	// Alive reports whether anybody still waits for the answer; nil means yes.
	// When nobody does, Drop is called instead of Run.
	Alive func() bool
	// Owner is who asked (a connection); nil counts for nobody. What one owner
	// parks is bounded.
	Owner any
	// Refuse answers that there is no room after all: others need it more. nil
	// means Run.
	Refuse func()
	// Run runs the request a last time and answers it. Drop gives it up. One of
	// the two, or Refuse, is called, once, from a runner goroutine. Drop may be nil.
	Run, Drop func()
}

// Options configure a Service.
type Options struct {
	Clock clock.Clock
	// MaxOffset is the next offset of a queue (Store.MaxOffset).
	MaxOffset func(topic string, queueID int32) int64
	// Limit bounds the parked requests, 0 means 100,000.
	Limit int
	// Runners is the number of goroutines that run woken requests, 0 means 4.
	Runners int
	// Sweep is the time between looks at deadlines, 0 means 1 s (Java: 5 s).
	Sweep time.Duration
}

// Service parks and wakes.
type Service struct {
	opts   Options
	seed   maphash.Seed
	parked atomic.Int64
	shard  [shards]shard

	ownersMu sync.Mutex // guards owners and what its owners say of their requests; a leaf
	owners   owners

	readyMu sync.Mutex // guards ready, next and closed
	ready   []*parked
	next    int // where in ready the next one to run stands
	closed  bool
	wake    chan struct{} // a token per bunch of ready work

	stop chan struct{}
	done sync.WaitGroup
}

type shard struct {
	mu     sync.Mutex // guards queues and where their requests stand
	queues map[queue]*list
}

type queue struct {
	topic string
	id    int32
}

type parked struct {
	Wait
	deadline int64 // ms

	// Of the shard: the neighbours in the queue.
	before, after *parked
	where         place
	refused       bool // set by who takes it out of its queue

	// Of ownersMu: the neighbours among the owner's requests.
	owner      *owner
	prev, next *parked
	counted    bool // it has one of the places
}

// place is where a request stands. Who makes it out brings it to its end.
type place uint8

const (
	coming place = iota // it has its place and is not in its queue yet
	queued
	out
)

// list is the requests that wait for a queue, the oldest first.
type list struct{ first, last *parked }

// New makes a service; Start starts it.
func New(opts Options) *Service {
	opts.Clock = clock.Or(opts.Clock)
	if opts.Limit == 0 {
		opts.Limit = 100_000
	}
	if opts.Runners == 0 {
		opts.Runners = 4
	}
	if opts.Sweep == 0 {
		opts.Sweep = time.Second
	}
	s := &Service{opts: opts, seed: maphash.MakeSeed(), wake: make(chan struct{}, opts.Runners), stop: make(chan struct{}),
		owners: owners{of: map[any]*owner{}}}
	for i := range s.shard {
		s.shard[i].queues = map[queue]*list{}
	}
	return s
}

// Start starts the goroutines.
func (s *Service) Start() {
	s.done.Add(1 + s.opts.Runners)
	go s.sweep()
	for range s.opts.Runners {
		go s.run()
	}
}

// Shutdown stops the goroutines. Parked requests are run first, so that every
// one of them is answered.
func (s *Service) Shutdown() {
	s.each(func(*parked, int64) bool { return true })
	s.readyMu.Lock()
	s.closed = true
	s.readyMu.Unlock()
	close(s.stop)
	s.done.Wait()
}

// Parked is the number of requests that wait.
func (s *Service) Parked() int { return int(s.parked.Load()) }

// Park keeps the request until a message arrives or its time is over. It
// reports false, and keeps nothing, when there is no room for this owner: the
// caller answers at once then, with something that makes the peer wait. One owner
// has a quarter of the places at most; when all are taken the owner with most of
// them, or half as many as that one, loses them, unless nobody has many. A message
// that arrived after the caller looked and before Park wakes the request too.
func (s *Service) Park(w Wait) bool {
	p := &parked{Wait: w, deadline: s.opts.Clock.NowMillis() + w.Timeout.Milliseconds()}
	if !s.enter(p) {
		return false
	}
	q := queue{w.Topic, w.QueueID}
	sh := s.of(q)
	sh.mu.Lock()
	if p.where == coming { // else it has lost its place by now
		l := sh.queues[q]
		if l == nil {
			l = &list{}
			sh.queues[q] = l
		}
		l.append(p)
	}
	sh.mu.Unlock()

	// Look again: the message may have come in between, or the owner gone.
	if s.opts.MaxOffset(w.Topic, w.QueueID) > w.Offset || s.isClosed() || w.Alive != nil && !w.Alive() {
		if sh.take(p, false) {
			s.enqueue(p)
		}
	}
	return true
}

// Forget gives up all requests of an owner that has gone: Drop is called for each,
// or Run when the owner seems to be there still. Its work is that of these requests
// alone, however many others have.
func (s *Service) Forget(owner any) {
	s.ownersMu.Lock()
	lost := s.owners.drop(s.owners.of[owner])
	s.ownersMu.Unlock()
	s.parked.Add(int64(-len(lost)))
	s.takeAll(lost, false)
}

// takeAll brings requests to their end that have no place any more, as far as
// nobody else does.
func (s *Service) takeAll(ps []*parked, refused bool) {
	taken := ps[:0]
	for _, p := range ps {
		if s.of(queue{p.Topic, p.QueueID}).take(p, refused) {
			taken = append(taken, p)
		}
	}
	s.enqueue(taken...)
}

// enter takes a place for a request, from another owner if need be.
func (s *Service) enter(p *parked) bool {
	full := s.parked.Add(1) > int64(s.opts.Limit)
	if p.Owner == nil && !full {
		p.counted = true
		return true
	}
	s.ownersMu.Lock()
	ok, lost := s.owners.enter(p, full, max(s.opts.Limit/ownerPart, fewParked))
	s.ownersMu.Unlock()
	if !ok {
		s.parked.Add(-1)
		return false
	}
	s.parked.Add(int64(-len(lost)))
	s.takeAll(lost, true)
	return true
}

// left gives the places of requests back that were taken out of their queues.
func (s *Service) left(ps []*parked) {
	n := int64(0)
	s.ownersMu.Lock()
	for _, p := range ps {
		if s.owners.leave(p) {
			n++
		}
	}
	s.ownersMu.Unlock()
	s.parked.Add(-n)
}

// Arrived wakes the requests that wait for this message. It is called by the
// store's dispatcher and does not block.
func (s *Service) Arrived(a store.Arrival) {
	if s.parked.Load() == 0 {
		return
	}
	q := queue{a.Topic, a.QueueID}
	sh := s.of(q)
	sh.mu.Lock()
	woken := sh.takeIf(q, func(p *parked) bool {
		return a.QueueOffset >= p.Offset && (p.Match == nil || p.Match(a.TagsCode, a.Properties))
	})
	sh.mu.Unlock()
	s.enqueue(woken...)
}

func (s *Service) of(q queue) *shard {
	h := maphash.String(s.seed, q.topic) + uint64(q.id)*0x9e3779b97f4a7c15
	return &s.shard[(h>>32)%shards]
}

func (l *list) append(p *parked) {
	p.where = queued
	p.before = l.last
	if l.last != nil {
		l.last.after = p
	} else {
		l.first = p
	}
	l.last = p
}

// removeLocked takes a request out of its queue. REQUIRES: sh.mu, and that it is
// in the queue.
func (sh *shard) removeLocked(q queue, l *list, p *parked) {
	if p.before != nil {
		p.before.after = p.after
	} else {
		l.first = p.after
	}
	if p.after != nil {
		p.after.before = p.before
	} else {
		l.last = p.before
	}
	p.before, p.after, p.where = nil, nil, out
	if l.first == nil {
		delete(sh.queues, q)
	}
}

// takeIf takes out the requests of a queue that which chooses. REQUIRES: sh.mu.
func (sh *shard) takeIf(q queue, which func(*parked) bool) (taken []*parked) {
	l := sh.queues[q]
	if l == nil {
		return nil
	}
	for p := l.first; p != nil; {
		after := p.after
		if which(p) {
			sh.removeLocked(q, l, p)
			taken = append(taken, p)
		}
		p = after
	}
	return taken
}

// take takes out one request, also one that is still on its way into its queue. It
// reports false when somebody else has.
func (sh *shard) take(p *parked, refused bool) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	switch p.where {
	case out:
		return false
	case queued:
		q := queue{p.Topic, p.QueueID}
		sh.removeLocked(q, sh.queues[q], p)
	}
	p.where, p.refused = out, refused
	return true
}

func (s *Service) isClosed() bool {
	s.readyMu.Lock()
	defer s.readyMu.Unlock()
	return s.closed
}

func (s *Service) enqueue(ps ...*parked) {
	if len(ps) == 0 {
		return
	}
	s.left(ps)
	s.readyMu.Lock()
	if s.next > len(s.ready)/2 { // what has run makes room for as much, not for each
		rest := copy(s.ready, s.ready[s.next:])
		clear(s.ready[rest:])
		s.ready, s.next = s.ready[:rest], 0
	}
	s.ready = append(s.ready, ps...)
	closed := s.closed
	s.readyMu.Unlock()
	if closed { // the runners may be gone: answer here
		s.drain()
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Service) run() {
	defer s.done.Done()
	for {
		select {
		case <-s.wake:
			s.drain()
		case <-s.stop:
			s.drain()
			return
		}
	}
}

// drain runs ready requests until there are none, a few at a time so that the
// runners share a burst.
func (s *Service) drain() {
	for {
		s.readyMu.Lock()
		n := min(len(s.ready)-s.next, 16)
		batch := append([]*parked(nil), s.ready[s.next:s.next+n]...)
		clear(s.ready[s.next : s.next+n])
		s.next += n
		rest := len(s.ready) - s.next
		if rest == 0 {
			s.ready, s.next = s.ready[:0], 0
			if cap(s.ready) > keepReady {
				s.ready = nil
			}
		}
		s.readyMu.Unlock()
		if n == 0 {
			return
		}
		if rest > 0 {
			select {
			case s.wake <- struct{}{}:
			default:
			}
		}
		for _, p := range batch {
			switch alive := p.Alive == nil || p.Alive(); {
			case alive && p.refused && p.Refuse != nil:
				p.Refuse()
			case alive:
				p.Run()
			case p.Drop != nil:
				p.Drop()
			}
		}
	}
}

func (s *Service) sweep() {
	defer s.done.Done()
	t := s.opts.Clock.NewTicker(s.opts.Sweep)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C():
			now := s.opts.Clock.NowMillis()
			s.each(func(p *parked, max int64) bool {
				// A queue that moved without a match is read again, as Java's
				// sweep does: the answer carries the new offset.
				return now >= p.deadline || max > p.Offset || (p.Alive != nil && !p.Alive())
			})
		}
	}
}

// each takes out the requests that due chooses and makes them ready.
func (s *Service) each(due func(p *parked, maxOffset int64) bool) {
	for i := range s.shard {
		sh := &s.shard[i]
		sh.mu.Lock()
		qs := make([]queue, 0, len(sh.queues))
		for q := range sh.queues {
			qs = append(qs, q)
		}
		sh.mu.Unlock()
		for _, q := range qs {
			max := s.opts.MaxOffset(q.topic, q.id)
			sh.mu.Lock()
			woken := sh.takeIf(q, func(p *parked) bool { return due(p, max) })
			sh.mu.Unlock()
			s.enqueue(woken...)
		}
	}
}
