package remoting

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/merlinmq/merlin/compat/budget"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/wire"
)

const (
	// joinBelow is the size up to which a view is copied into the output: netpoll
	// writes at most 32 pieces in one call, and a copy costs less than a piece.
	joinBelow = 4096
	// joinSlow is the same for a peer that has slowWait bytes to read still: a view
	// keeps a larger piece of memory in use than it shows, and for long there.
	joinSlow = 64 << 10
	slowWait = 256 << 10
	// chargeStep is how much output may be added to what is charged before it is
	// charged, too.
	chargeStep = 64 << 10
	// flushPiece is how much is given to the kernel at a time: the write timeout
	// is that of a piece.
	flushPiece = 512 << 10
	// headRoom is more than what a header takes at most times.
	headRoom = 1024
	// corkedMax is the output of a wake-up that is written before its end.
	corkedMax = 256 << 10
)

// view is memory of somebody else that is written at a place of the buffer.
type view struct {
	at      int // bytes of the buffer that go before it
	data    []byte
	release func() // after it was written; may be nil, or be all there is
}

// output is what a connection still has to write.
type output struct {
	mu      sync.Mutex // guards all of it; see docs/LOCKS.md for what happens under it
	drained sync.Cond  // writing went down, or the end; its L is mu

	buf      []byte // frames, without the views
	views    []view
	size     int    // bytes in buf and views
	writing  int    // bytes the flusher has taken and not written yet
	flushing bool   // somebody is the flusher
	corked   bool   // a wake-up is running and will flush at its end
	dead     bool   // nothing is accepted any more
	freed    bool   // netpoll closes the descriptor: it may be another's soon
	orphans  []view // taken, not certainly written: released when netpoll let go

	charged int        // bytes that the account is charged with
	stalled []*Request // of pooled lanes: they wait until the peer has read
}

// chargeLocked lets the account know what waits: at once, or when it is much more
// than it knows. REQUIRES: c.out.mu.
func (c *Conn) chargeLocked(now bool) {
	out := &c.out
	if have := out.size + out.writing; now || have > out.charged+chargeStep {
		c.account.Add(budget.Output, int64(have-out.charged))
		out.charged = have
	}
}

// answer writes an answer to the request with that opaque.
func (c *Conn) answer(a *Answer, opaque int32, enc wire.Encoding) {
	o := wire.Outgoing{
		Code: int32(a.Code), Language: c.ep.language, Version: c.ep.version,
		Opaque: opaque, Flag: wire.FlagResponse, Remark: a.Remark, HasRemark: a.HasRemark,
		Header: a.Header, Ext: a.Ext, Encoding: enc,
	}
	err := c.send(&o, a.Body, a.Views, a.Release)
	if err == nil || err == ErrClosed {
		return
	}
	c.ep.log.Error("answer not sent", "conn", c.String(), "code", int32(a.Code), "opaque", opaque, "err", err)
	if err == ErrBusy {
		return
	}
	o = wire.Outgoing{
		Code: int32(protocol.SystemError), Language: c.ep.language, Version: c.ep.version,
		Opaque: opaque, Flag: wire.FlagResponse, Remark: oneLine(err.Error()), HasRemark: true, Encoding: enc,
	}
	_ = c.send(&o, nil, nil, nil)
}

// send appends a frame to the output and sees to it that it will be written.
// release is called exactly once, whatever becomes of the frame.
func (c *Conn) send(o *wire.Outgoing, body []byte, views [][]byte, release func()) error {
	n := len(body)
	for _, v := range views {
		n += len(v)
	}
	out := &c.out
	out.mu.Lock()
	later, err := c.appendLocked(o, body, views, release, n)
	c.chargeLocked(false)
	kick := err == nil && !out.corked && !out.flushing
	if kick {
		out.flushing = true
	}
	full := err == nil && out.size+out.writing > c.ep.limits.MaxOutput
	out.mu.Unlock()
	if kick { // before anything that may close the connection, which waits for it
		go c.flush(true)
	}
	if !later && release != nil {
		release()
	}
	if full {
		c.fail(fmt.Errorf("the peer does not read: more than %d bytes wait for it", c.ep.limits.MaxOutput))
		err = ErrBusy
	}
	return err
}

// appendLocked encodes the frame. It reports whether release was put off until
// views are written. A header that cannot be encoded, or a frame that no peer
// would take, leaves the output as it was. REQUIRES: c.out.mu.
func (c *Conn) appendLocked(o *wire.Outgoing, body []byte, views [][]byte, release func(), n int) (later bool, err error) {
	out := &c.out
	if out.dead {
		return false, ErrClosed
	}
	if out.buf == nil {
		out.buf = getBuf(0)
	}
	start, held := len(out.buf), len(out.views)
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("encode frame of code %d: %v", o.Code, v)
		}
		if err != nil {
			out.buf, out.views, later = out.buf[:start], out.views[:held], false
		}
	}()
	room, join := len(body)+headRoom, joinBelow
	if out.size+out.writing > slowWait {
		join = joinSlow
	}
	for _, v := range views {
		if len(v) <= join {
			room += len(v)
		}
	}
	out.buf = growBuf(out.buf, room)
	out.buf = wire.AppendHead(out.buf, o, n)
	if size := len(out.buf) - start + n; size > c.ep.limits.MaxFrame {
		return false, fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, size, c.ep.limits.MaxFrame)
	}
	out.buf = append(out.buf, body...)
	size := len(out.buf) - start + n - len(body)
	for _, v := range views {
		if len(v) <= join {
			out.buf = append(out.buf, v...)
		} else {
			out.views = append(out.views, view{at: len(out.buf), data: v})
			later = true
		}
	}
	if later && release != nil {
		out.views = append(out.views, view{at: len(out.buf), release: release})
	}
	out.size += size
	return later, nil
}

// cork begins a wake-up: answers wait for its end. It blocks while the peer has
// too much to read still; that ends because the flusher writes, or fails and with
// it the connection.
func (c *Conn) cork() {
	c.out.mu.Lock()
	c.waitLocked()
	c.out.corked = true
	c.out.mu.Unlock()
}

// uncork writes what the wake-up has collected, unless a flusher is at work,
// which will take it.
func (c *Conn) uncork() {
	out := &c.out
	out.mu.Lock()
	out.corked = false
	own := out.size > 0 && !out.flushing && !out.dead
	if own {
		out.flushing = true
	}
	out.mu.Unlock()
	if own {
		c.flush(false)
	}
}

// relieve writes a wake-up's output early when it has grown large, and waits as
// cork does.
func (c *Conn) relieve() {
	if c.ep.budget.Over() {
		c.ep.budget.Relieve()
	}
	c.flushEarly(corkedMax)
}

// flushEarly writes a wake-up's output when it is more than so many bytes.
func (c *Conn) flushEarly(above int) {
	out := &c.out
	out.mu.Lock()
	own := out.size > above && !out.flushing && !out.dead
	if own {
		out.flushing = true
	} else {
		c.waitLocked()
	}
	out.mu.Unlock()
	if own {
		c.flush(false)
	}
}

// waitLocked waits while more than HighWater is unsent, or requests of pooled
// lanes wait for that. REQUIRES: c.out.mu.
func (c *Conn) waitLocked() {
	out := &c.out
	for !out.dead && out.flushing && (out.size+out.writing > c.ep.limits.HighWater || len(out.stalled) > 0) {
		out.drained.Wait()
	}
}

// stall keeps a request of a pooled lane until the peer has read what waits for
// it. It reports false when there is room for its answer now, or nobody will read
// it any more.
func (c *Conn) stall(r *Request) bool {
	out := &c.out
	out.mu.Lock()
	defer out.mu.Unlock()
	if out.dead || out.size+out.writing <= c.ep.limits.HighWater {
		return false
	}
	out.stalled = append(out.stalled, r)
	r.aside(-1)
	return true
}

// resumableLocked gives the stalled requests when they may go on.
// REQUIRES: c.out.mu.
func (c *Conn) resumableLocked() []*Request {
	out := &c.out
	if len(out.stalled) == 0 || !out.dead && out.size+out.writing > c.ep.limits.HighWater {
		return nil
	}
	rs := out.stalled
	out.stalled = nil
	return rs
}

// resume brings stalled requests back into their lanes. They may be more than the
// lanes have room for: those that came meanwhile are not sent away for it.
func resume(rs []*Request) {
	for _, r := range rs {
		r.aside(1)
		r.route.lane.again(r)
	}
}

// flush writes until the output is empty. REQUIRES: the caller has set
// c.out.flushing. With yield it first lets other goroutines run, whose answers
// then leave with the same write.
func (c *Conn) flush(yield bool) {
	out := &c.out
	for {
		if yield {
			runtime.Gosched()
		}
		out.mu.Lock()
		if out.size == 0 || out.dead {
			out.flushing = false
			out.drained.Broadcast()
			c.chargeLocked(true)
			stalled := c.resumableLocked()
			out.mu.Unlock()
			resume(stalled)
			return
		}
		buf, views := out.buf, out.views
		out.buf, out.views = nil, nil
		out.writing, out.size = out.size, 0
		c.chargeLocked(false)
		out.mu.Unlock()

		err := c.write(buf, views)
		c.lastWrite.Store(c.ep.clock.NowMillis())

		if err != nil {
			c.flushFailed(views, err)
			return
		}
		out.mu.Lock()
		out.writing = 0
		out.drained.Broadcast()
		if out.charged > chargeStep {
			c.chargeLocked(true)
		}
		stalled := c.resumableLocked()
		out.mu.Unlock()
		resume(stalled)
		releaseViews(views)
		putBuf(buf)
	}
}

// flushFailed ends the flusher and the connection after a failed write. netpoll
// may still be in the middle of another write of the same bytes, so their views
// go to the orphans until it has let go of the connection.
func (c *Conn) flushFailed(views []view, err error) {
	c.fail(fmt.Errorf("write: %w", err))
	out := &c.out
	out.mu.Lock()
	defer out.mu.Unlock()
	out.orphans = append(out.orphans, views...)
	out.writing, out.flushing = 0, false
	out.drained.Broadcast()
}

// kill lets the output accept nothing more and wakes who waits for it. What was
// not taken by the flusher will never be written.
func (out *output) kill() {
	out.mu.Lock()
	never := out.killLocked()
	stalled := out.stalled
	out.stalled = nil
	out.mu.Unlock()
	resume(stalled)
	releaseViews(never)
}

// killLocked gives the views that will never be written. REQUIRES: out.mu.
func (out *output) killLocked() []view {
	views := out.views
	out.dead = true
	out.buf, out.views, out.size = nil, nil, 0
	out.drained.Broadcast()
	return views
}

// finish waits for the flusher and releases what it could not write. It runs
// when netpoll is closing the connection and before it frees its buffers; the
// flusher is past its last write soon, because netpoll has failed that write.
func (out *output) finish() {
	out.kill()
	out.mu.Lock()
	for out.flushing {
		out.drained.Wait()
	}
	out.freed = true
	views := out.orphans
	out.orphans = nil
	out.mu.Unlock()
	releaseViews(views)
}

func releaseViews(views []view) {
	for i := range views {
		if views[i].release != nil {
			views[i].release()
		}
		views[i] = view{}
	}
}

// unsent is the number of bytes that wait to be written.
func (out *output) unsent() int {
	out.mu.Lock()
	defer out.mu.Unlock()
	return out.size + out.writing
}
