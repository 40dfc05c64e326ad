// Package hold parks requests that wait for a message (long polling) and is the
// only place where a request runs a second time. It knows nothing of pulling:
// a parked request is a Wait, a value with a function to run.
//
// Goroutines: one sweeper and a few runners, started by Start and joined by
// Shutdown. Locks: one per shard, leaves; nothing is called under them but
// Wait.Match. ownersMu is a leaf, too.
package hold

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/store"
)

// shards spreads the parked requests; a power of two.
const shards = 64

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

const (
	// ownerPart is which part of all the places one owner may have.
	ownerPart = 4
	// fewParked is what every owner may keep when places run out.
	fewParked = 64
)

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

	ownersMu sync.Mutex  // guards owners; a leaf
	owners   map[any]int // how many requests each has parked

	readyMu sync.Mutex // guards ready and closed
	ready   []*parked
	closed  bool
	wake    chan struct{} // a token per bunch of ready work

	stop chan struct{}
	done sync.WaitGroup
}

type shard struct {
	mu     sync.Mutex // guards queues
	queues map[queue][]*parked
}

type queue struct {
	topic string
	id    int32
}

type parked struct {
	Wait
	deadline int64 // ms
	refused  bool  // set by who takes it out of its queue
}

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
		owners: map[any]int{}}
	for i := range s.shard {
		s.shard[i].queues = map[queue][]*parked{}
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
// them loses them, unless nobody has many. A message that arrived after the caller
// looked and before Park wakes the request too.
func (s *Service) Park(w Wait) bool {
	if !s.enter(w.Owner) {
		return false
	}
	p := &parked{Wait: w, deadline: s.opts.Clock.NowMillis() + w.Timeout.Milliseconds()}
	q := queue{w.Topic, w.QueueID}
	sh := s.of(q)
	sh.mu.Lock()
	sh.queues[q] = append(sh.queues[q], p)
	sh.mu.Unlock()

	// Look again: the message may have come in between.
	if s.opts.MaxOffset(w.Topic, w.QueueID) > w.Offset || s.isClosed() {
		if sh.remove(q, p) {
			s.enqueue(p)
		}
	}
	return true
}

// enter takes a place for a request of an owner, from another one if need be.
func (s *Service) enter(owner any) bool {
	full := s.parked.Add(1) > int64(s.opts.Limit)
	if owner == nil && !full {
		return true
	}
	s.ownersMu.Lock()
	var hog any
	most, mine := 0, s.owners[owner]
	ok := owner == nil || mine < max(s.opts.Limit/ownerPart, fewParked)
	if ok && full {
		for o, n := range s.owners {
			if n > most {
				hog, most = o, n
			}
		}
		ok = most > fewParked && most > mine
	}
	if ok && owner != nil {
		s.owners[owner] = mine + 1
	}
	s.ownersMu.Unlock()
	if !ok {
		s.parked.Add(-1)
		return false
	}
	if full {
		s.each(func(p *parked, _ int64) bool {
			p.refused = p.Owner == hog
			return p.refused
		})
	}
	return true
}

// left gives the place of a request back.
func (s *Service) left(p *parked) {
	s.parked.Add(-1)
	if p.Owner == nil {
		return
	}
	s.ownersMu.Lock()
	defer s.ownersMu.Unlock()
	if s.owners[p.Owner]--; s.owners[p.Owner] <= 0 {
		delete(s.owners, p.Owner)
	}
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
	waiting, ok := sh.queues[q]
	if !ok {
		sh.mu.Unlock()
		return
	}
	kept := waiting[:0]
	var woken []*parked
	for _, p := range waiting {
		if a.QueueOffset >= p.Offset && (p.Match == nil || p.Match(a.TagsCode, a.Properties)) {
			woken = append(woken, p)
		} else {
			kept = append(kept, p)
		}
	}
	sh.keep(q, waiting, kept)
	sh.mu.Unlock()
	s.enqueue(woken...)
}

func (s *Service) of(q queue) *shard {
	h := maphash.String(s.seed, q.topic) + uint64(q.id)*0x9e3779b97f4a7c15
	return &s.shard[(h>>32)%shards]
}

// keep stores what is left of a queue's list. REQUIRES: sh.mu.
func (sh *shard) keep(q queue, before, kept []*parked) {
	for i := len(kept); i < len(before); i++ {
		before[i] = nil
	}
	if len(kept) == 0 {
		delete(sh.queues, q)
	} else {
		sh.queues[q] = kept
	}
}

func (sh *shard) remove(q queue, p *parked) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	list := sh.queues[q]
	for i, x := range list {
		if x == p {
			kept := append(list[:i], list[i+1:]...)
			sh.keep(q, list, kept)
			return true
		}
	}
	return false
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
	s.readyMu.Lock()
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
		n := min(len(s.ready), 16)
		batch := append([]*parked(nil), s.ready[:n]...)
		rest := copy(s.ready, s.ready[n:])
		clear(s.ready[rest:])
		s.ready = s.ready[:rest]
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
			s.left(p)
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
			list := sh.queues[q]
			kept := list[:0]
			var woken []*parked
			for _, p := range list {
				if due(p, max) {
					woken = append(woken, p)
				} else {
					kept = append(kept, p)
				}
			}
			sh.keep(q, list, kept)
			sh.mu.Unlock()
			s.enqueue(woken...)
		}
	}
}
