package remoting

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/cloudwego/netpoll"

	"github.com/merlinmq/merlin/compat/budget"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/wire"
)

const (
	// maxBatch is the longest slice that a batch handler gets.
	maxBatch = 128
	// keepRequests is how many request structs a wake-up keeps for the next.
	keepRequests = maxBatch
	// keepBelow is the size of a frame up to which the struct it was decoded into
	// is kept.
	keepBelow = 64 << 10
	// inOneAbove is the input from which on it is taken as it lies in buffers.
	inOneAbove = 64 << 10
	// smallInput is the input up to which nothing is charged: the buffers of an idle
	// connection have room for it.
	smallInput = 16 << 10
	// leastRate is the slowest a long frame may come, in bytes a second, once
	// FrameTimeout is over.
	leastRate = 64 << 10
	// maxLate is how many frames are handled after the peer has gone.
	maxLate = 4096
	// maxTurn is how much a wake-up does before it looks at the time: in frames, of
	// which a large one counts for one in each turnBytes.
	maxTurn   = 16
	turnBytes = 2048
	// roundTime is how long all wake-ups that have more than one turn to do may have
	// the processors together before what waits for one gets it: each lets others go
	// first when it has had its part, but at least leastPart. What waits for a
	// processor waits for all wake-ups before it, and the runtime would let each
	// have 10 ms. With few of them nobody stops for nothing.
	roundTime = 2 * time.Millisecond
	leastPart = 30 * time.Microsecond
	// writeTime is after how long a wake-up writes what it has collected.
	writeTime = time.Millisecond
	// heavyAbove is the size of a frame from which on few are handled at a time: it
	// may take long, and what cannot be interrupted has the processor for 10 ms.
	heavyAbove = 128 << 10
)

// input is what a connection's wake-ups remember.
type input struct {
	frames  splitter
	decoder wire.Decoder
	fresh   bool // nothing was read yet: a preamble or TLS may come
	behind  bool // more was read while the last wake-up ran
	head    []byte

	late    int   // frames handled after the peer had gone
	charged int64 // for the beginning of a frame that is kept
	began   int64 // ms: when it came, 0 = none is kept
	size    int   // of the whole frame as known when due was set
}

func (in *input) drop() {
	in.frames.drop()
	in.head = nil
}

// connCtx carries the Conn from OnPrepare to OnRequest.
type connCtx struct {
	context.Context
	conn *Conn
}

// onRequest is one wake-up. It takes everything that was read: what it left
// netpoll would call it again for at once. It never waits for input.
func onRequest(ctx context.Context, nc netpoll.Connection) error {
	growStack(0)
	c := ctx.(*connCtx).conn
	r := nc.Reader()
	n := r.Len()
	if c.tooMuch(n) || c.quit.Load() {
		_ = r.Skip(n)
		return r.Release()
	}
	if err := c.take(r, n); err != nil {
		c.fail(fmt.Errorf("read: %w", err))
		return nil
	}
	c.in.behind = r.Len() > 0
	err := r.Release()
	c.readOn()
	return err
}

// readOn lets the poller read on when it has stopped and the input is worked off.
func (c *Conn) readOn() {
	if c.ahead.Load() != 0 {
		c.noteAhead()
	}
	c.gate.relax()
}

// noteAhead charges the account with what netpoll has read and no wake-up has
// taken. The poller, the wake-up and the watchdog call it.
func (c *Conn) noteAhead() {
	n := int64(c.nc.Reader().Len())
	if n <= smallInput {
		n = 0
	}
	if was := c.ahead.Swap(n); was != n {
		c.account.Add(budget.Input, n-was)
	}
}

// take handles n bytes, more than a few of them piece by piece, as netpoll's
// buffers hold them. Next would copy what stands in more than one, and make those
// to come as large as all of them together: they would grow with every burst, up
// to 8 MiB each.
func (c *Conn) take(r netpoll.Reader, n int) error {
	if c.in.fresh || n <= inOneAbove && !c.in.behind {
		p, err := r.Next(n)
		if err != nil {
			return err
		}
		if c.in.fresh {
			p = c.begin(p)
		}
		if p != nil {
			c.wake(p)
		}
		return nil
	}
	s, err := r.Slice(n)
	if err != nil {
		return err
	}
	pieces := s.(*netpoll.LinkBuffer)
	c.wake(pieces.GetBytes(nil)...)
	return pieces.Close()
}

// tooMuch closes the connection when more input waits than it may. The watchdog
// asks, too: where there is no gate netpoll goes on reading while a wake-up runs.
func (c *Conn) tooMuch(n int) bool {
	if n <= c.ep.limits.MaxInput {
		return false
	}
	c.fail(fmt.Errorf("%d bytes of input wait, limit %d", n, c.ep.limits.MaxInput))
	return true
}

// wakeup is the scratch of one wake-up, lent by a pool so that idle connections
// have none.
type wakeup struct {
	conn  *Conn
	now   int64
	turn  int        // what it has done since it looked at the time
	long  bool       // it is one of those that have more than a turn to do
	since time.Time  // it has the processor, as far as it knows
	wrote time.Time  // when it has written last, or was found to be long
	heavy bool       // it is one of the few that handle a long frame
	route *route     // of batch
	batch []*Request // neighbouring requests of one batch route
	spare []*Request // requests that may be used again
	each  func(frame []byte) error
}

var wakeups = sync.Pool{New: func() any {
	w := new(wakeup)
	w.each = w.frame
	return w
}}

// wake handles the frames that the pieces complete. They are not used after it
// returns.
func (c *Conn) wake(pieces ...[]byte) {
	if c.quit.Load() {
		return
	}
	came := 0
	for _, p := range pieces {
		came += len(p)
	}
	if c.ahead.Load() != 0 {
		c.noteAhead()
	}
	if came > smallInput { // it stays in memory until the wake-up ends, however long that takes
		c.account.Add(budget.Input, int64(came))
	}
	c.cork()
	w := wakeups.Get().(*wakeup)
	w.conn, w.now, w.turn = c, c.ep.clock.NowMillis(), 0
	c.lastRead.Store(w.now)
	c.in.frames.limit = c.ep.limits.MaxFrame
	var err error
	for i := 0; i < len(pieces) && err == nil; i++ {
		err = c.in.frames.split(pieces[i], w.each)
		w.runBatch()
		if c.ep.poison {
			poison(pieces[i])
			poison(c.in.frames.full)
		}
		c.in.frames.done()
	}
	c.noteBegun(w.now)
	if w.long {
		w.long = false
		c.ep.long.Add(-1)
	}
	w.conn = nil
	wakeups.Put(w)
	c.uncork()
	if came > smallInput {
		c.account.Add(budget.Input, -int64(came))
	}
	if err != nil {
		c.fail(err)
	}
}

// noteBegun charges the beginning of a frame that is kept, and says until when
// the rest has to come.
func (c *Conn) noteBegun(now int64) {
	in := &c.in
	s := &in.frames
	if kept := int64(cap(s.partial)); kept != in.charged {
		c.account.Add(budget.Input, kept-in.charged)
		in.charged = kept
	}
	switch {
	case len(s.partial) == 0:
		if in.began != 0 {
			in.began, in.size = 0, 0
			c.due.Store(0)
		}
	case s.begun || in.began == 0:
		in.began, in.size = now, s.size
		c.setDue()
	case in.size != s.size:
		in.size = s.size
		c.setDue()
	}
	s.begun = false
}

// setDue sets the time by which what was begun must be complete.
func (c *Conn) setDue() {
	if d := c.ep.limits.FrameTimeout; d > 0 {
		c.due.Store(c.in.began + d.Milliseconds() + int64(c.in.size)*1000/leastRate)
	}
}

// overdue closes the connection when what it has begun takes too long. A byte now
// and then does not help: the whole must be there. Nothing is said while received
// bytes wait for a busy wake-up: the rest may be among them.
func (c *Conn) overdue(now int64, waiting int) {
	if due := c.due.Load(); due != 0 && now > due && waiting == 0 {
		c.fail(fmt.Errorf("a frame, a preamble or a TLS handshake was begun and is not complete in time"))
	}
}

// poison overwrites a frame nobody may look at any more.
func poison(p []byte) {
	for i := range p {
		p[i] = 0xDB
	}
}

// frame is given each frame.
func (w *wakeup) frame(frame []byte) error {
	c := w.conn
	if c.quit.Load() {
		return nil // a handler closed it: what follows is not handled any more
	}
	if c.dead.Load() {
		// The peer has gone. What it asked before still counts, but not without
		// end: it would keep the server busy long after it left.
		if c.in.late++; c.in.late > maxLate {
			c.quit.Store(true)
			return nil
		}
	}
	if w.turn > maxTurn {
		w.yield()
	}
	if !c.heard.Load() {
		c.heard.Store(true)
	}
	w.turn += 1 + len(frame)/turnBytes
	if len(frame) <= heavyAbove {
		return w.handle(frame)
	}
	w.runBatch()
	c.ep.heavy <- struct{}{}
	w.heavy = true
	defer w.light()
	err := w.handle(frame)
	w.runBatch()
	return err
}

// light lets another wake-up handle a long frame. It is called before anything that
// waits for the peer.
func (w *wakeup) light() {
	if w.heavy {
		w.heavy = false
		<-w.conn.ep.heavy
	}
}

// handle decodes a frame and brings it on its way.
func (w *wakeup) handle(frame []byte) error {
	c := w.conn
	if c.quit.Load() {
		return nil
	}
	r := w.get()
	r.once = len(frame) > keepBelow
	if err := w.conn.in.decoder.Decode(frame, &r.own); err != nil {
		w.put(r)
		return err
	}
	if r.own.IsResponse() {
		c.answered(&r.own)
		w.put(r)
		return nil
	}
	rt := c.ep.routes.find(r.own.Code)
	if !c.ep.drain.admit(c, &r.own, rt == c.ep.routes.fallback) {
		w.put(r)
		return nil
	}
	r.Peer, r.Conn, r.Cmd, r.Arrived, r.route = c, c, &r.own, w.now, rt
	if len(c.ep.routes.admissions) > 0 && !r.admitted(c.ep.routes) {
		w.put(r)
		return nil
	}
	if rt.batch != nil && rt.lane.Inline {
		if rt != w.route || len(w.batch) == maxBatch {
			w.runBatch()
			w.route = rt
		}
		w.batch = append(w.batch, r)
		return nil
	}
	w.runBatch()
	w.runOne(r)
	return nil
}

// yield lets others have the processor when the wake-up has had its part, and now
// and then writes what it has collected before.
func (w *wakeup) yield() {
	w.turn = 0
	ep := w.conn.ep
	now := ep.clock.Now()
	if !w.long {
		w.long, w.since, w.wrote = true, now, now
		ep.long.Add(1)
		return
	}
	if now.Sub(w.since) < part(ep.procs, ep.long.Load()) {
		return
	}
	if now.Sub(w.wrote) >= writeTime {
		w.runBatch()
		w.conn.flushEarly(0)
		w.wrote = now
	}
	runtime.Gosched()
	w.since = ep.clock.Now()
}

// part is how long one of so many long wake-ups has a processor before others.
func part(procs int, long int64) time.Duration {
	return max(roundTime*time.Duration(procs)/time.Duration(max(long, 1)), leastPart)
}

// answered brings an answer to the call that waits for it.
func (c *Conn) answered(cmd *wire.Command) {
	k := c.calls.take(cmd.Opaque)
	if k == nil {
		c.ep.log.Debug("answer to no call", "conn", c.String(), "opaque", cmd.Opaque)
		return
	}
	k.done(cmd.Clone(), nil)
}

// runOne handles a request that is not part of a batch: here, or in a worker.
func (w *wakeup) runOne(r *Request) {
	c, lane, oneway := r.Conn, r.route.lane, r.Cmd.IsOneway()
	defer w.put(r)
	if lane.reserve(1) == 0 {
		r.reject()
		return
	}
	c.ep.drain.add(1)
	r.to = newReplyTo(c, lane, r)
	if !lane.Inline {
		if !lane.push(c, r) {
			r.finish(Refuse(protocol.SystemBusy, remarkOverload))
		}
		return
	}
	if r.route.cost.Load() > 0 {
		c.ep.makeRoom()
	}
	r.call(r.route.handler)
	if oneway {
		lane.busy.Add(-1)
		c.ep.drain.done(1)
	}
	w.light()
	c.relieve()
}

// runBatch hands the collected requests to their batch handler.
func (w *wakeup) runBatch() {
	if len(w.batch) == 0 {
		return
	}
	rs := w.batch
	c, lane := w.conn, w.route.lane
	n := lane.reserve(len(rs))
	c.ep.drain.add(int64(n))
	oneways := int64(0)
	for _, r := range rs[:n] {
		if r.to = newReplyTo(c, lane, r); r.Cmd.IsOneway() {
			oneways++
		}
	}
	for _, r := range rs[n:] {
		r.reject()
	}
	if n > 0 {
		rs[0].runBatch(rs[:n])
	}
	if oneways > 0 {
		lane.busy.Add(-oneways)
		c.ep.drain.done(oneways)
	}
	for i, r := range rs {
		w.put(r)
		rs[i] = nil
	}
	w.batch, w.route = rs[:0], nil
	w.light()
	c.relieve()
}

func (w *wakeup) get() *Request {
	if n := len(w.spare); n > 0 {
		r := w.spare[n-1]
		w.spare = w.spare[:n-1]
		return r
	}
	return new(Request)
}

func (w *wakeup) put(r *Request) {
	r.Peer, r.Conn, r.Cmd, r.route, r.to, r.after = nil, nil, nil, nil, ReplyTo{}, nil
	if len(w.spare) < keepRequests && !r.once {
		w.spare = append(w.spare, r)
	}
}
