package remoting

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/cloudwego/netpoll"

	"github.com/merlinmq/merlin/protocol/wire"
)

// Client calls servers. It keeps one connection per address, opens it with the
// first call, and opens a new one when a call finds it gone. Calls on one
// connection are pipelined, and those that are made together are written
// together.
type Client struct {
	ep      *endpoint
	connect time.Duration
	lanes   []*Lane
	watch   *watchdog

	mu     sync.Mutex // guards what follows
	peers  map[string]*peer
	closed bool
}

// peer is the connection to one address, or the attempt to make it.
type peer struct {
	ready chan struct{} // closed when conn or err is set
	conn  *Conn
	err   error
}

// NewClient makes a client. Close ends it.
func NewClient(o ClientOptions) *Client {
	ep := newEndpoint(ServerOptions{
		Routes: o.Routes, Clock: o.Clock, Logger: o.Logger, Limits: o.Limits, IdleTimeout: o.IdleTimeout,
		Language: o.Language, Version: o.Version, Events: o.Events, PoisonFrames: o.PoisonFrames,
	}, DefaultClientCalls)
	c := &Client{ep: ep, connect: o.ConnectTimeout, peers: map[string]*peer{}, lanes: ep.routes.lanes()}
	if c.connect == 0 {
		c.connect = DefaultConnectTimeout
	}
	for _, l := range c.lanes {
		l.start()
	}
	c.watch = startWatchdog(ep, c.lanes)
	return c
}

// Invoke sends a request to address (host:port) and waits for the answer, which
// is the caller's own. The call ends with ctx, or after DefaultCallTimeout when
// ctx has no deadline. An answer with any code is no error here.
func (c *Client) Invoke(ctx context.Context, address string, o *wire.Outgoing, body []byte) (*wire.Command, error) {
	conn, err := c.Conn(ctx, address)
	if err != nil {
		return nil, err
	}
	return conn.Invoke(ctx, o, body)
}

// Oneway sends a request that has no answer.
func (c *Client) Oneway(ctx context.Context, address string, o *wire.Outgoing, body []byte) error {
	conn, err := c.Conn(ctx, address)
	if err != nil {
		return err
	}
	return conn.Oneway(o, body)
}

// Go sends a request and calls back once with the answer or the error, from a
// network goroutine: done must not block. When Go itself fails, done is not
// called. Go blocks only while the connection is being made.
func (c *Client) Go(ctx context.Context, address string, o *wire.Outgoing, body []byte, done func(*wire.Command, error)) error {
	conn, err := c.Conn(ctx, address)
	if err != nil {
		return err
	}
	return conn.Go(ctx, o, body, done)
}

// Conn gives the connection to an address, making it when there is none.
func (c *Client) Conn(ctx context.Context, address string) (*Conn, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	p := c.peers[address]
	if p != nil {
		select {
		case <-p.ready:
			if p.err == nil && p.conn.Alive() {
				c.mu.Unlock()
				return p.conn, nil
			}
			p = nil
		default:
		}
	}
	if p == nil {
		p = &peer{ready: make(chan struct{})}
		c.peers[address] = p
		go c.dial(address, p)
	}
	c.mu.Unlock()
	select {
	case <-p.ready:
		return p.conn, p.err
	case <-ctx.Done():
		return nil, fmt.Errorf("remoting: connect to %s: %w", address, context.Cause(ctx))
	}
}

// dial makes the connection of a peer. A failure is told to those who wait for
// it; the next call tries again.
func (c *Client) dial(address string, p *peer) {
	defer close(p.ready)
	conn, err := c.open(address)
	if err != nil {
		p.err = fmt.Errorf("remoting: connect to %s: %w", address, err)
		c.forget(address, p)
		return
	}
	c.mu.Lock()
	closed := c.closed
	p.conn = conn
	c.mu.Unlock()
	if closed {
		conn.Close()
		p.conn, p.err = nil, ErrClosed
		return
	}
	go func() {
		<-conn.gone
		c.forget(address, p)
	}()
}

func (c *Client) open(address string) (*Conn, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, err
	}
	nc, err := netpoll.NewDialer().DialConnection("tcp", address, c.connect)
	if err != nil {
		return nil, err
	}
	conn := newConn(c.ep, nc)
	_ = nc.SetWriteTimeout(c.ep.limits.WriteTimeout)
	if !c.ep.registry.add(conn, 1<<31-1) {
		_ = nc.Close()
		return nil, ErrClosed
	}
	_ = nc.AddCloseCallback(conn.closed)
	if d, ok := nc.(interface {
		SetOnDisconnect(netpoll.OnDisconnect) error
	}); ok {
		_ = d.SetOnDisconnect(func(context.Context, netpoll.Connection) { conn.hup() })
	}
	c.ep.tell(Event{Kind: Connected, Conn: conn})
	ctx := &connCtx{context.Background(), conn}
	_ = nc.SetOnRequest(func(_ context.Context, nc netpoll.Connection) error { return onRequest(ctx, nc) })
	if !nc.IsActive() {
		// It ended before netpoll knew that somebody would care: then only
		// netpoll's Close tells of the end, and it has left epoll already.
		_ = nc.Close()
	}
	return conn, nil
}

// forget drops the entry of a peer unless a newer one has taken its place.
func (c *Client) forget(address string, p *peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peers[address] == p {
		delete(c.peers, address)
	}
}

// Close ends all calls with ErrClosed and closes the connections.
func (c *Client) Close() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	var making []*peer
	for _, p := range c.peers {
		making = append(making, p)
	}
	c.mu.Unlock()
	for _, p := range making {
		<-p.ready // the attempt ends within the connect timeout
	}
	gone := c.ep.registry.seal()
	for _, conn := range c.ep.registry.appendTo(nil) {
		conn.Close()
	}
	<-gone
	c.watch.end()
	for _, l := range c.lanes {
		l.release()
	}
}
