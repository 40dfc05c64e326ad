package remoting

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/cloudwego/netpoll"
)

// Server accepts connections and answers requests by its routes.
type Server struct {
	ep       *endpoint
	opts     ServerOptions
	maxConns int
	gateless sync.Once

	mu       sync.Mutex // guards what follows; Start and Shutdown hold it briefly
	ln       *listener
	loop     netpoll.EventLoop
	served   chan struct{}
	lanes    []*Lane
	watch    *watchdog
	started  bool
	stopping bool
}

// NewServer makes a server; Start opens it.
func NewServer(o ServerOptions) *Server {
	s := &Server{ep: newEndpoint(o, DefaultServerCalls), opts: o, maxConns: o.MaxConns}
	s.ep.server = true
	s.ep.drain.zeroed = make(chan struct{}, 1)
	if s.maxConns == 0 {
		s.maxConns = DefaultMaxConns
	}
	return s
}

// Start listens and serves in the background. It may be called once.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return errors.New("remoting: the server was started before")
	}
	address := s.opts.Listen
	if address == "" {
		address = "127.0.0.1:0"
	}
	ln, err := listen(address, s.opts.Listener, s.room)
	if err != nil {
		return err
	}
	loop, err := netpoll.NewEventLoop(onRequest,
		netpoll.WithOnPrepare(s.prepare),
		netpoll.WithOnDisconnect(func(ctx context.Context, _ netpoll.Connection) { ctx.(*connCtx).conn.hup() }),
		netpoll.WithWriteTimeout(s.ep.limits.WriteTimeout))
	if err != nil {
		_ = ln.Close()
		return fmt.Errorf("remoting: %w", err)
	}
	s.ln, s.loop, s.started = ln, loop, true
	s.lanes = s.ep.routes.lanes()
	for _, l := range s.lanes {
		l.start()
	}
	s.watch = startWatchdog(s.ep, s.lanes)
	s.served = make(chan struct{})
	go func() {
		defer close(s.served)
		if err := loop.Serve(ln); err != nil && !ln.closed.Load() {
			s.ep.log.Error("serving ended", "listen", ln.Addr().String(), "err", err)
		}
	}()
	return nil
}

// errSpare closes a connection that never sent a frame when there is no room for
// another one.
var errSpare = errors.New("there is no room for more connections and this one has said nothing yet")

// room says whether another connection may come in, and makes room for it if that
// is possible.
func (s *Server) room() bool {
	ok, spare := s.ep.registry.room(s.maxConns, s.ep.clock.NowMillis())
	if spare != nil {
		spare.fail(errSpare)
	}
	return ok
}

// prepare runs in the poller before the first bytes of a connection are read.
func (s *Server) prepare(nc netpoll.Connection) context.Context {
	c := newConn(s.ep, nc)
	ctx := &connCtx{context.Background(), c}
	var err error
	if c.gate, err = openGate(c); err != nil {
		s.gateless.Do(func() {
			s.ep.log.Warn("input cannot be stopped from coming, only closed when it is too much", "err", err)
		})
	}
	if !s.ep.registry.add(c, s.maxConns) {
		c.dead.Store(true)
		c.account.End()
		_ = nc.Close()
		return ctx
	}
	_ = nc.AddCloseCallback(c.closed)
	s.ep.tell(Event{Kind: Connected, Conn: c})
	return ctx
}

// Addr is the address it listens on, nil before Start.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ln == nil {
		return nil
	}
	return s.ln.Addr()
}

// Conns are the open connections, in no order.
func (s *Server) Conns() []*Conn { return s.ep.registry.appendTo(nil) }

// InFlight is the number of requests in work.
func (s *Server) InFlight() int { return int(s.ep.drain.busy.Load()) }

// Shutdown stops accepting, waits for the requests in work and for their answers
// to be written, and closes everything. New requests are told to go away with
// Options.GoAway, else they are not handled. When ctx ends first it closes what
// is left and returns the cause. Requests that are parked somewhere count as in
// work: their owner should answer them before or meanwhile.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.started || s.stopping {
		s.mu.Unlock()
		return nil
	}
	s.stopping = true
	s.mu.Unlock()

	s.ln.stop()
	mode := int32(draining)
	if s.opts.GoAway {
		mode = drainingGoAway
	}
	s.ep.drain.mode.Store(mode)
	err := s.drain(ctx)
	gone := s.ep.registry.seal()
	for _, c := range s.ep.registry.appendTo(nil) {
		c.Close()
	}
	if !waitFor(gone, stuckAfter) {
		// A handler does not return. Its connection, and the lanes it may be in,
		// cannot be taken down under it.
		return errors.Join(err, fmt.Errorf("remoting: %d connections have handlers that do not return", s.ep.registry.len()))
	}
	s.watch.end()
	for _, l := range s.lanes {
		l.release()
	}
	// netpoll has let go of the listener when serving ends; only then may the
	// descriptor be closed and its number become another's.
	waitFor(s.served, stuckAfter)
	_ = s.loop.Shutdown(context.Background()) // no connection is left
	<-s.served
	return err
}

// stuckAfter is how long Shutdown waits for inline handlers to return after it
// has closed their connections.
const stuckAfter = 5 * time.Second

func waitFor(c <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c:
		return true
	case <-t.C:
		return false
	}
}

// drain waits until nothing is in work and nothing is unsent.
func (s *Server) drain(ctx context.Context) error {
	// The machine's clock, not the injected one: ctx lives on it.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s.ep.drain.busy.Load() > 0 || s.unsent() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("remoting: %d requests in work at shutdown: %w", s.InFlight(), context.Cause(ctx))
		case <-s.ep.drain.zeroed:
		case <-tick.C:
		}
	}
	return nil
}

func (s *Server) unsent() bool {
	for _, c := range s.ep.registry.appendTo(nil) {
		if c.Alive() && c.out.unsent() > 0 {
			return true
		}
	}
	return false
}
