package remoting

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merlinmq/merlin/compat/budget"
	"github.com/merlinmq/merlin/protocol"
)

// DefaultLaneBytes is the MaxBytes of a lane that sets none.
const DefaultLaneBytes = 256 << 20

// DefaultLaneCapacity is the Capacity of a lane that sets none
// (sendThreadPoolQueueCapacity).
const DefaultLaneCapacity = 10000

// Lane bounds the work of a class of requests (a thread pool and its queue in
// Java). Several routes, and several servers, may share a lane. Its exported
// fields must not change once a server uses it.
type Lane struct {
	Name string
	// Inline lanes run their handlers in the goroutine that read the request:
	// the handlers must not block. Other lanes copy the request and queue it for
	// Workers.
	Inline  bool
	Workers int // of a pooled lane; 0 = 4
	// Capacity is how many requests may be in work at a time: taken from the
	// network and, unless they are one-way, not answered yet. For a pooled lane
	// those in the queue count too. More are answered SYSTEM_BUSY.
	// 0 = DefaultLaneCapacity.
	Capacity int
	// MaxBytes is how many bytes of requests the queue of a pooled lane may hold,
	// those in the hands of workers included. More are answered SYSTEM_BUSY.
	// 0 = DefaultLaneBytes.
	MaxBytes int64
	// MaxWait gives the longest time that a request may wait in the queue of a
	// pooled lane (waitTimeMillsIn…Queue); older ones are answered SYSTEM_BUSY.
	// It is asked often and may change its mind. nil or 0 = no limit.
	MaxWait func() time.Duration

	busy  atomic.Int64 // requests in work
	bytes atomic.Int64 // of the requests in the queue and with workers

	mu      sync.Mutex // guards what follows; a leaf
	ready   sync.Cond  // a task or the end; its L is mu
	queue   []*Request // ring
	head, n int
	users   int // servers and clients that are running
	stop    bool
	workers sync.WaitGroup
}

// Busy is the number of requests in work.
func (l *Lane) Busy() int { return int(l.busy.Load()) }

// Queued is the number of requests that wait for a worker.
func (l *Lane) Queued() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// HeadWait is how long the oldest queued request waits by now (in ms of the
// clock), 0 when none does (sendThreadPoolQueueHeadWaitTimeMills).
func (l *Lane) HeadWait(now int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == 0 {
		return 0
	}
	return max(0, now-l.queue[l.head].Arrived)
}

func (l *Lane) capacity() int {
	if l.Capacity == 0 {
		return DefaultLaneCapacity
	}
	return l.Capacity
}

// reserve takes room for n requests and says for how many there was.
func (l *Lane) reserve(n int) int {
	over := int(l.busy.Add(int64(n))) - l.capacity()
	if over <= 0 {
		return n
	}
	over = min(over, n)
	l.busy.Add(int64(-over))
	return n - over
}

// start begins the workers for the first user.
func (l *Lane) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.users++
	if l.users > 1 || l.Inline {
		return
	}
	l.ready.L = &l.mu
	l.stop = false
	workers := l.Workers
	if workers <= 0 {
		workers = 4
	}
	l.workers.Add(workers)
	for range workers {
		go l.work()
	}
}

// release ends the workers with the last user. Requests still queued are
// dropped: their connections are closed by then.
func (l *Lane) release() {
	l.mu.Lock()
	l.users--
	last := l.users == 0 && !l.Inline
	var left []*Request
	if last {
		l.stop = true
		for l.n > 0 {
			left = append(left, l.popLocked())
		}
		l.ready.Broadcast()
	}
	l.mu.Unlock()
	for _, r := range left {
		r.leave()
		r.finish(Refuse(protocol.SystemBusy, remarkOverload))
	}
	if last {
		l.workers.Wait()
	}
}

// leastShare is how many requests one connection may always have in pooled lanes;
// a quarter of a lane's capacity when that is more.
const leastShare = 1000

// push queues a copy of a request whose room is reserved. It reports false when
// the requests in the lane are too large together, when the connection has more
// of them than its share or the peer keeps as much as it may, or when the lane is
// not running.
func (l *Lane) push(c *Conn, in *Request) bool {
	limit := l.MaxBytes
	if limit == 0 {
		limit = DefaultLaneBytes
	}
	r := &Request{Peer: c, Conn: c, Arrived: in.Arrived, to: in.to, route: in.route, size: sizeOf(in)}
	l.bytes.Add(r.size)
	mine := c.pooled.Add(1)
	if l.bytes.Load() > limit || mine > int64(max(leastShare, l.capacity()/4)) || !c.account.Fits(r.size) {
		l.bytes.Add(-r.size)
		c.pooled.Add(-1)
		return false
	}
	c.account.Add(budget.Work, r.size)
	r.Cmd = in.Cmd.Clone()
	if !l.queueUp(r) {
		r.leave()
		return false
	}
	return true
}

// sizeOf is about what a copy of a request takes.
func sizeOf(r *Request) int64 {
	const fixed, field = 512, 32
	n := fixed + len(r.Cmd.Body) + len(r.Cmd.Remark) + field*len(r.Cmd.Ext)
	for _, f := range r.Cmd.Ext {
		n += len(f.Key) + len(f.Value)
	}
	return int64(n)
}

// leave gives back what push has charged.
func (r *Request) leave() {
	r.route.lane.bytes.Add(-r.size)
	r.Conn.pooled.Add(-1)
	r.Conn.account.Add(budget.Work, -r.size)
}

// aside takes a stalled request out of what its lane counts (-1), or brings it back
// (1): peers that do not read fill no lane. Its connection and the peer's account
// go on to count it.
func (r *Request) aside(n int64) {
	l := r.route.lane
	l.busy.Add(n)
	l.bytes.Add(n * r.size)
}

// again queues a request that was taken out of the queue and could not be handled
// yet. When the lane has stopped it is dropped as release does.
func (l *Lane) again(r *Request) {
	if !l.queueUp(r) {
		r.leave()
		r.finish(Refuse(protocol.SystemBusy, remarkOverload))
	}
}

// queueUp appends to the queue; false when the lane is not running.
func (l *Lane) queueUp(r *Request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users == 0 || l.stop {
		return false
	}
	if l.n == len(l.queue) {
		// It grows to the capacity, as push follows reserve, and by those that were
		// stalled and come back together.
		grown := make([]*Request, max(16, 2*len(l.queue)))
		for i := range l.n {
			grown[i] = l.queue[(l.head+i)%len(l.queue)]
		}
		l.queue, l.head = grown, 0
	}
	l.queue[(l.head+l.n)%len(l.queue)] = r
	l.n++
	l.ready.Signal()
	return true
}

// popLocked takes the oldest request. REQUIRES: l.mu, l.n > 0.
func (l *Lane) popLocked() *Request {
	r := l.queue[l.head]
	l.queue[l.head] = nil
	l.head = (l.head + 1) % len(l.queue)
	l.n--
	return r
}

func (l *Lane) work() {
	defer l.workers.Done()
	for {
		l.mu.Lock()
		for l.n == 0 && !l.stop {
			l.ready.Wait()
		}
		if l.n == 0 {
			l.mu.Unlock()
			return
		}
		r := l.popLocked()
		l.mu.Unlock()
		r.runPooled()
	}
}

// runPooled handles a request in a worker, also when its connection is gone by
// now, as Java does: a one-way commit still counts; but not one that nobody has a use
// for. A request whose answer the peer does not take, because it has not taken those
// before, waits aside. While it is handled the peer is charged with the largest
// answer that its route gave lately.
func (r *Request) runPooled() {
	oneway := r.Cmd.IsOneway()
	if !oneway && r.useless() {
		r.leave()
		r.finish(Refuse(protocol.SystemBusy, remarkOverload))
		return
	}
	if !oneway && r.Conn.stall(r) {
		return
	}
	defer r.leave()
	if cost := r.route.cost.Load(); cost > 0 && !oneway {
		r.Conn.account.Add(budget.Work, cost)
		defer r.Conn.account.Add(budget.Work, -cost)
		r.Conn.ep.makeRoom()
	}
	if r.size > heavyAbove || r.route.large {
		r.Conn.ep.heavyPooled <- struct{}{}
		defer func() { <-r.Conn.ep.heavyPooled }()
		if !oneway && r.useless() { // by now
			r.finish(Refuse(protocol.SystemBusy, remarkOverload))
			return
		}
	}
	if r.route.batch != nil {
		r.runBatch([]*Request{r})
	} else {
		r.call(r.route.handler)
	}
	if oneway {
		r.finish(nil)
	}
}

// useless reports whether nobody wants the request to be worked on: this side has
// thrown its peer out, or it only reads, and the peer has gone.
func (r *Request) useless() bool {
	return r.Conn.quit.Load() || r.route.reads && r.Conn.dead.Load()
}

// runBatch hands requests with this one's route to their batch handler. After a
// panic those that were not answered yet are.
func (r *Request) runBatch(rs []*Request) {
	defer func() {
		if v := recover(); v != nil {
			stack := debug.Stack()
			r.endpoint().log.Error("batch handler panicked", "conn", r.Peer.String(), "code", r.Cmd.Code,
				"requests", len(rs), "panic", fmt.Sprint(v), "stack", string(stack))
			for _, q := range rs {
				q.to.Send(answerOfPanic(v, stack))
			}
		}
	}()
	r.route.batch(rs)
}

// expire answers the requests at the head of the queue that waited too long
// (BrokerFastFailure).
func (l *Lane) expire(now int64) {
	if l.Inline || l.MaxWait == nil {
		return
	}
	limit := l.MaxWait().Milliseconds()
	if limit <= 0 {
		return
	}
	for {
		l.mu.Lock()
		if l.n == 0 || now-l.queue[l.head].Arrived < limit {
			l.mu.Unlock()
			return
		}
		r := l.popLocked()
		left := l.n
		l.mu.Unlock()
		r.leave()
		r.finish(Refuse(protocol.SystemBusy, fmt.Sprintf(
			"[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: %dms, size of queue: %d",
			now-r.Arrived, left)))
	}
}
