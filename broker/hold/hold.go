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
	"runtime"
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
	// Bounds of the number of runners: what they run may wait for the disk.
	leastRunners = 4
	mostRunners  = 32
)

// AnyQueue stands for all queues of a topic.
const AnyQueue int32 = -1

// Key is a queue, or with AnyQueue all queues of a topic.
type Key struct {
	Topic   string
	QueueID int32
	// Offset is the queue offset that is wanted: a message at it, or after it. Any
	// message counts at AnyQueue.
	Offset int64
}

// Wait says what a request waits for. The strings are the wait's own.
type Wait struct {
	// Key is what a message has to arrive at to wake the request, and More are further
	// ones: the first that it matches, anywhere, wakes it.
	Key
	More []Key
	// Due is the request's own rule of when to run although nothing has woken it; nil
	// means when one of its queues has more than the request has seen, which says nothing
	// of AnyQueue: who waits there needs a rule, or misses what came between its look and
	// Park. It is asked when the request was parked and then each Sweep, without a lock,
	// and must not block.
	Due func() bool
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
	// Runners is the number of goroutines that run woken requests, 0 means two for each
	// processor, at least 4 and at most 32.
	Runners int
	// Sweep is the time between looks at deadlines, 0 means 1 s (Java: 5 s).
	Sweep time.Duration
}

// Service parks and wakes.
type Service struct {
	opts   Options
	seed   maphash.Seed
	parked atomic.Int64
	whole  atomic.Int64 // keys of parked requests that stand for all queues of a topic
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
	mu     sync.Mutex // guards queues and the links of the nodes in them
	queues map[queue]*list
}

type queue struct {
	topic string
	id    int32
}

type parked struct {
	Wait
	deadline int64       // ms
	out      atomic.Bool // who sets it brings the request to its end
	refused  bool        // set by who takes it out
	first    node
	more     []node // of Wait.More
	whole    int64  // how many of them stand for all queues of a topic

	// Of ownersMu: the neighbours among the owner's requests.
	owner      *owner
	prev, next *parked
	counted    bool // it has one of the places
}

// node is a request at one of its keys. Its links are those of the key's shard.
type node struct {
	p             *parked
	at            queue
	offset        int64
	before, after *node
	linked        bool
}

// nodes walks the nodes of a request.
func (p *parked) nodes(f func(*node)) {
	f(&p.first)
	for i := range p.more {
		f(&p.more[i])
	}
}

// list is the requests that wait for a key, the oldest first.
type list struct{ first, last *node }

// New makes a service; Start starts it.
func New(opts Options) *Service {
	opts.Clock = clock.Or(opts.Clock)
	if opts.Limit == 0 {
		opts.Limit = 100_000
	}
	if opts.Runners == 0 {
		opts.Runners = min(max(leastRunners, 2*runtime.GOMAXPROCS(0)), mostRunners)
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
	s.each(func(*node, int64) bool { return true }, nil)
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
	p := newParked(w, s.opts.Clock.NowMillis())
	s.whole.Add(p.whole)
	if !s.enter(p) {
		s.whole.Add(-p.whole)
		return false
	}
	p.nodes(func(n *node) {
		sh := s.of(n.at)
		sh.mu.Lock()
		if !p.out.Load() { // else it has been woken, or lost its place, by now
			sh.append(n)
		}
		sh.mu.Unlock()
	})

	// Look again: the message may have come in between, or the owner gone.
	if s.dueNow(p) || s.isClosed() || w.Alive != nil && !w.Alive() {
		if s.take(p, false) {
			s.enqueue(p)
		}
	}
	return true
}

func newParked(w Wait, now int64) *parked {
	p := &parked{Wait: w, deadline: now + w.Timeout.Milliseconds()}
	p.first = node{p: p, at: queue{w.Topic, w.QueueID}, offset: w.Offset}
	if len(w.More) > 0 {
		p.more = make([]node, len(w.More))
		for i, k := range w.More {
			p.more[i] = node{p: p, at: queue{k.Topic, k.QueueID}, offset: k.Offset}
		}
	}
	p.nodes(func(n *node) {
		if n.at.id == AnyQueue {
			p.whole++
		}
	})
	return p
}

// dueNow asks the request's rule.
func (s *Service) dueNow(p *parked) (due bool) {
	if p.Due != nil {
		return p.Due()
	}
	p.nodes(func(n *node) {
		due = due || n.at.id != AnyQueue && s.opts.MaxOffset(n.at.topic, n.at.id) > n.offset
	})
	return due
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
		if s.take(p, refused) {
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
	s.wakeAt(queue{a.Topic, a.QueueID}, &a)
	if s.whole.Load() > 0 {
		s.wakeAt(queue{a.Topic, AnyQueue}, &a)
	}
}

// wakeAt wakes the requests at a key that a message is for.
func (s *Service) wakeAt(q queue, a *store.Arrival) {
	s.enqueue(s.takeIf(q, func(n *node) bool {
		return (q.id == AnyQueue || a.QueueOffset >= n.offset) && (n.p.Match == nil || n.p.Match(a.TagsCode, a.Properties))
	})...)
}

func (s *Service) of(q queue) *shard {
	h := maphash.String(s.seed, q.topic) + uint64(q.id)*0x9e3779b97f4a7c15
	return &s.shard[(h>>32)%shards]
}

// append puts a node at the end of its list. REQUIRES: sh.mu.
func (sh *shard) append(n *node) {
	l := sh.queues[n.at]
	if l == nil {
		l = &list{}
		sh.queues[n.at] = l
	}
	n.linked, n.before = true, l.last
	if l.last != nil {
		l.last.after = n
	} else {
		l.first = n
	}
	l.last = n
}

// remove takes a node out of its list, if it is there. REQUIRES: sh.mu.
func (sh *shard) remove(n *node) {
	if !n.linked {
		return
	}
	l := sh.queues[n.at]
	if n.before != nil {
		n.before.after = n.after
	} else {
		l.first = n.after
	}
	if n.after != nil {
		n.after.before = n.before
	} else {
		l.last = n.before
	}
	n.before, n.after, n.linked = nil, nil, false
	if l.first == nil {
		delete(sh.queues, n.at)
	}
}

// takeIf takes out the requests at a key that which, asked under the shard's lock,
// chooses and nobody else has taken.
func (s *Service) takeIf(q queue, which func(*node) bool) (taken []*parked) {
	sh := s.of(q)
	sh.mu.Lock()
	if l := sh.queues[q]; l != nil {
		for n := l.first; n != nil; {
			after := n.after
			if which(n) && n.p.out.CompareAndSwap(false, true) {
				sh.remove(n)
				taken = append(taken, n.p)
			}
			n = after
		}
	}
	sh.mu.Unlock()
	for _, p := range taken {
		if len(p.more) > 0 {
			s.unlink(p)
		} else {
			s.whole.Add(-p.whole)
		}
	}
	return taken
}

// take takes out one request, also one that is still on its way to its keys. It
// reports false when somebody else has.
func (s *Service) take(p *parked, refused bool) bool {
	if !p.out.CompareAndSwap(false, true) {
		return false
	}
	p.refused = refused
	s.unlink(p)
	return true
}

// unlink takes the nodes of a request that is out from their lists.
func (s *Service) unlink(p *parked) {
	s.whole.Add(-p.whole)
	p.nodes(func(n *node) {
		sh := s.of(n.at)
		sh.mu.Lock()
		sh.remove(n)
		sh.mu.Unlock()
	})
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
			s.each(func(n *node, max int64) bool {
				// A queue that moved without a match is read again, as Java's
				// sweep does: the answer carries the new offset.
				p := n.p
				return now >= p.deadline || p.Due == nil && n.at.id != AnyQueue && max > n.offset || (p.Alive != nil && !p.Alive())
			}, func(p *parked) bool { return p.Due() })
		}
	}
}

// each takes out the requests that due chooses under the shard's lock, and those with
// a rule of their own that rule chooses without it, and makes them ready.
func (s *Service) each(due func(n *node, maxOffset int64) bool, rule func(*parked) bool) {
	for i := range s.shard {
		sh := &s.shard[i]
		sh.mu.Lock()
		qs := make([]queue, 0, len(sh.queues))
		for q := range sh.queues {
			qs = append(qs, q)
		}
		sh.mu.Unlock()
		for _, q := range qs {
			end := int64(0)
			if q.id != AnyQueue {
				end = s.opts.MaxOffset(q.topic, q.id)
			}
			var own []*parked
			s.enqueue(s.takeIf(q, func(n *node) bool {
				if due(n, end) {
					return true
				}
				if n.p.Due != nil && n == &n.p.first {
					own = append(own, n.p)
				}
				return false
			})...)
			for _, p := range own {
				if rule(p) && s.take(p, false) {
					s.enqueue(p)
				}
			}
		}
	}
}
