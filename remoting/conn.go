package remoting

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cloudwego/netpoll"

	"github.com/merlinmq/merlin/compat/budget"
	"github.com/merlinmq/merlin/protocol/wire"
)

// Conn is one connection, of a server or of a client. All methods may be called
// from any goroutine, also when it is closed.
type Conn struct {
	ep     *endpoint
	id     uint64
	nc     netpoll.Connection
	local  netip.AddrPort
	remote atomic.Pointer[netip.AddrPort] // a PROXY preamble changes it
	tls    atomic.Pointer[secure]         // nil on plain connections

	account   *budget.Account // nil without a budget; ends with the connection
	pooled    atomic.Int64    // its requests in queues of lanes and with their workers
	due       atomic.Int64    // ms: when what it has begun must be complete, 0 = nothing is begun
	gate      *gate           // stops the poller from reading; nil where that cannot be
	ahead     atomic.Int64    // bytes that netpoll has read and nobody has taken, as charged
	lastRead  atomic.Int64    // ms of the clock
	lastWrite atomic.Int64    // ms of the clock
	dead      atomic.Bool     // Close, a failure or the peer's end was seen: nothing can be sent
	quit      atomic.Bool     // this side closed it: what was received is not handled any more
	heard     atomic.Bool     // a frame has come
	opened    int64           // ms of the clock
	going     bool            // it makes room for another; of the registry
	gone      chan struct{}

	in    input // of the wake-up alone
	out   output
	calls calls

	mu   sync.Mutex // guards attr; a leaf
	attr any
}

func newConn(ep *endpoint, nc netpoll.Connection) *Conn {
	c := &Conn{ep: ep, id: ep.registry.last.Add(1), nc: nc, local: addrPort(nc.LocalAddr()), gone: make(chan struct{})}
	remote := addrPort(nc.RemoteAddr())
	c.remote.Store(&remote)
	c.out.drained.L = &c.out.mu
	now := ep.clock.NowMillis()
	c.opened = now
	c.lastRead.Store(now)
	c.lastWrite.Store(now)
	c.calls.limit = ep.limits.MaxCalls
	c.in.fresh = ep.server
	if ep.budget != nil {
		c.account = ep.budget.Open(c.fail)
		c.account.Add(budget.Base, baseCharge)
	}
	return c
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	if a == nil {
		return netip.AddrPort{}
	}
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// baseCharge is about what an idle connection keeps: its struct, its entry in the
// registry and in the poller, and the buffer that netpoll reads into.
const baseCharge = 8 << 10

// Account is what the server's budget charges the connection with; nil, which
// counts nothing, without a budget. Who keeps something for the peer adds it there
// and gives it back; what is left ends with the connection.
func (c *Conn) Account() *budget.Account { return c.account }

// ID is unique among the connections of its server or client.
func (c *Conn) ID() uint64 { return c.id }

// RemoteAddr is the peer's address, the one that a PROXY preamble names if there
// was one.
func (c *Conn) RemoteAddr() netip.AddrPort { return *c.remote.Load() }

// LocalAddr is this side's address.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// String is for logs.
func (c *Conn) String() string { return fmt.Sprintf("#%d %s", c.id, c.RemoteAddr()) }

// Alive reports whether the connection is still good as far as is known.
func (c *Conn) Alive() bool { return !c.dead.Load() && c.nc.IsActive() }

// TLS reports whether the connection is encrypted.
func (c *Conn) TLS() bool { return c.tls.Load() != nil }

// Done is closed when the connection is gone.
func (c *Conn) Done() <-chan struct{} { return c.gone }

// Unsent is the number of bytes that wait to be written.
func (c *Conn) Unsent() int { return c.out.unsent() }

// Attr is what SetAttr kept.
func (c *Conn) Attr() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attr
}

// SetAttr keeps a value of the owner with the connection (a channel attribute).
func (c *Conn) SetAttr(v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attr = v
}

// Close closes the connection. Output that is not written yet is lost, and what
// was received is not handled any more. It returns at once; Done tells the end.
//
// It shuts the socket down and leaves the rest to the poller, which sees the
// hang-up, instead of closing by netpoll: that would go on reading without bound
// while a wake-up runs, and when the peer closes at the same moment it may take
// the descriptor out of epoll after somebody else has got its number.
func (c *Conn) Close() {
	c.dead.Store(true)
	c.quit.Store(true)
	c.out.kill()
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if f, ok := c.nc.(netpoll.Conn); ok && !c.out.freed {
		_ = syscall.Shutdown(f.Fd(), syscall.SHUT_RDWR)
	}
}

// fail closes the connection for a reason that is logged and told, unless it was
// closed before.
func (c *Conn) fail(err error) {
	if c.dead.CompareAndSwap(false, true) {
		c.ep.log.Warn("connection closed", "conn", c.String(), "err", err)
		c.ep.tell(Event{Kind: Error, Conn: c, Err: err})
	}
	c.Close()
}

// hup runs in the poller when the peer has closed, perhaps while a wake-up is
// running: nothing more can be sent, but what it asked before is still done.
func (c *Conn) hup() {
	c.dead.Store(true)
	c.out.kill()
}

// closed runs once, after the last wake-up and before netpoll frees its buffers.
func (c *Conn) closed(netpoll.Connection) error {
	c.dead.Store(true)
	c.out.finish()
	c.in.drop()
	c.calls.failAll(ErrClosed)
	c.account.End()
	c.ep.registry.remove(c)
	c.ep.tell(Event{Kind: Closed, Conn: c})
	close(c.gone)
	return nil
}

// Oneway sends a request that has no answer. o's Opaque, Flag, and, when zero,
// Language and Version are filled in. It does not block: a peer that reads too
// slowly gives ErrBusy.
func (c *Conn) Oneway(o *wire.Outgoing, body []byte) error {
	if c.out.unsent() > c.ep.limits.HighWater {
		return ErrBusy
	}
	out := c.prepare(o, wire.FlagOneway)
	out.Opaque = c.calls.nextOpaque()
	return c.send(&out, body, nil, nil)
}

// Invoke sends a request and waits for its answer, which is the caller's own. The
// call ends with ctx, or after DefaultCallTimeout when ctx has no deadline. It
// must not be called from an inline handler of the same connection: the answer
// could not be read.
func (c *Conn) Invoke(ctx context.Context, o *wire.Outgoing, body []byte) (*wire.Command, error) {
	done := make(chan callResult, 1)
	opaque, err := c.start(ctx, o, body, func(cmd *wire.Command, err error) { done <- callResult{cmd, err} })
	if err != nil {
		return nil, err
	}
	select {
	case r := <-done:
		return r.cmd, r.err
	case <-ctx.Done():
		if c.calls.take(opaque) == nil {
			r := <-done // it was being answered at the same moment
			return r.cmd, r.err
		}
		return nil, fmt.Errorf("%w: %w", ErrTimeout, context.Cause(ctx))
	}
}

type callResult struct {
	cmd *wire.Command
	err error
}

// Go sends a request and calls back with the answer or the error, once, from a
// network goroutine: done must not block. The deadline of ctx counts (to about
// 0.1 s), its cancelling does not. When Go itself fails done is not called.
func (c *Conn) Go(ctx context.Context, o *wire.Outgoing, body []byte, done func(*wire.Command, error)) error {
	_, err := c.start(ctx, o, body, done)
	return err
}

func (c *Conn) start(ctx context.Context, o *wire.Outgoing, body []byte, done func(*wire.Command, error)) (int32, error) {
	deadline := c.ep.clock.Now().Add(DefaultCallTimeout)
	if d, ok := ctx.Deadline(); ok {
		deadline = d
	}
	out := c.prepare(o, 0)
	opaque, err := c.calls.add(&call{done: done, deadline: deadline.UnixMilli()})
	if err != nil {
		return 0, err
	}
	out.Opaque = opaque
	if err := c.send(&out, body, nil, nil); err != nil {
		if c.calls.take(opaque) == nil {
			// The connection died and its end has called done already.
			return opaque, nil
		}
		return 0, err
	}
	if c.dead.Load() {
		// It may have died between the entry and the send, after its calls were
		// failed: nobody else would end this one.
		if k := c.calls.take(opaque); k != nil {
			return 0, ErrClosed
		}
	}
	return opaque, nil
}

func (c *Conn) prepare(o *wire.Outgoing, flag int32) wire.Outgoing {
	out := *o
	out.Flag = flag
	if out.Language == 0 {
		out.Language = c.ep.language
	}
	if out.Version == 0 {
		out.Version = c.ep.version
	}
	return out
}
