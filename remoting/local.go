package remoting

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/merlinmq/merlin/compat/budget"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/wire"
)

// LocalOptions configure a LocalServer.
type LocalOptions struct {
	Routes *Routes      // nil = every code is answered REQUEST_CODE_NOT_SUPPORTED
	Clock  clock.Clock  // nil = the machine's
	Logger *slog.Logger // nil = discard
	// Budget is charged with what is kept for the callers; nil = nothing is counted.
	Budget *budget.Budget
	// Closed is told when a caller was closed; nil = nobody.
	Closed func(Peer)
}

// LocalServer serves callers inside the process with the routes of a server: the same
// admissions, lanes, handlers and observers, without frames and without a socket. It
// owns no goroutine: a call runs in that of its caller.
type LocalServer struct {
	ep     *endpoint
	closed func(Peer)
}

// NewLocalServer makes a server for callers inside the process.
func NewLocalServer(o LocalOptions) *LocalServer {
	s := &LocalServer{ep: newEndpoint(ServerOptions{Routes: o.Routes, Clock: o.Clock, Logger: o.Logger, Budget: o.Budget}, 1), closed: o.Closed}
	s.ep.drain.zeroed = make(chan struct{}, 1)
	return s
}

// Shutdown refuses new calls and waits for those in work, for which ctx is the bound.
// Calls that are parked somewhere count as in work.
func (s *LocalServer) Shutdown(ctx context.Context) error {
	d := &s.ep.drain
	d.mode.Store(draining)
	for d.busy.Load() > 0 {
		select {
		case <-d.zeroed:
		case <-ctx.Done():
			return fmt.Errorf("remoting: %d local calls in work at shutdown: %w", d.busy.Load(), context.Cause(ctx))
		}
	}
	return nil
}

// LocalConnOptions configure a LocalConn.
type LocalConnOptions struct {
	// Addr stands where the address of a peer does: in messages (bornHost), in lists of
	// clients and in logs. The zero Addr is 0.0.0.0:0.
	Addr netip.AddrPort
	// Language and Version are those of the client that calls; the zero values are
	// Java's and that of this project.
	Language wire.Language
	Version  int32
	// Receive is given what the server asks of the client, and answers; what it returns
	// for one-way requests is dropped. It is called in the goroutine that asks and must
	// not block. nil = one-way requests are dropped and others fail.
	Receive func(c *wire.Command) *wire.Command
}

// LocalConn is a caller inside the process: a connection without a socket. All methods
// may be called from any goroutine.
type LocalConn struct {
	s       *LocalServer
	o       LocalConnOptions
	id      uint64
	account *budget.Account
	dead    atomic.Bool
}

// Connect makes a caller; it must be closed.
func (s *LocalServer) Connect(o LocalConnOptions) *LocalConn {
	if o.Version == 0 {
		o.Version = s.ep.version
	}
	if !o.Addr.IsValid() {
		o.Addr = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	}
	c := &LocalConn{s: s, o: o, id: s.ep.registry.last.Add(1)}
	if s.ep.budget != nil {
		c.account = s.ep.budget.Open(func(error) { c.Close() })
	}
	return c
}

// ID implements Peer.
func (c *LocalConn) ID() uint64 { return c.id }

// RemoteAddr implements Peer.
func (c *LocalConn) RemoteAddr() netip.AddrPort { return c.o.Addr }

// Alive implements Peer.
func (c *LocalConn) Alive() bool { return !c.dead.Load() }

// Account implements Peer.
func (c *LocalConn) Account() *budget.Account { return c.account }

// String implements Peer.
func (c *LocalConn) String() string { return fmt.Sprintf("local #%d %s", c.id, c.o.Addr) }

// Close implements Peer: new calls fail, and the server forgets the caller.
func (c *LocalConn) Close() {
	if !c.dead.CompareAndSwap(false, true) {
		return
	}
	if c.s.closed != nil {
		c.s.closed(c)
	}
	c.account.End()
}

// Oneway implements Peer.
func (c *LocalConn) Oneway(o *wire.Outgoing, body []byte) error {
	out := *o
	out.Flag |= wire.FlagOneway
	_, err := c.receive(&out, body)
	if errors.Is(err, errNoReceiver) {
		return nil
	}
	return err
}

// Invoke implements Peer.
func (c *LocalConn) Invoke(_ context.Context, o *wire.Outgoing, body []byte) (*wire.Command, error) {
	a, err := c.receive(o, body)
	if err == nil && a == nil {
		err = errNoReceiver
	}
	return a, err
}

var errNoReceiver = errors.New("remoting: the local caller answers no requests")

func (c *LocalConn) receive(o *wire.Outgoing, body []byte) (*wire.Command, error) {
	if c.dead.Load() {
		return nil, ErrClosed
	}
	if c.o.Receive == nil {
		return nil, errNoReceiver
	}
	cmd, err := command(o, slices.Clone(body))
	if err != nil {
		return nil, err
	}
	return c.o.Receive(cmd), nil
}

// command is o as a peer would read it.
func command(o *wire.Outgoing, body []byte) (*wire.Command, error) {
	cmd := new(wire.Command)
	if err := wire.Decode(wire.AppendHead(nil, o, 0)[4:], cmd); err != nil {
		return nil, err
	}
	cmd.Body = body
	return cmd, nil
}

// Result is the answer to a local call.
type Result[R any] struct {
	Code      protocol.ResponseCode
	Remark    string
	HasRemark bool
	Header    R            // the zero R when the answer has none
	Ext       []wire.Field // further fields
	Body      []byte
	// Views follow Body, as they lie in the server: they may be read until Release.
	Views [][]byte

	release func()
}

// Release gives the views back. It must be called once when there are any, and may be
// called always.
func (r *Result[R]) Release() {
	if f := r.release; f != nil {
		r.release, r.Views = nil, nil
		f()
	}
}

// Err is nil for SUCCESS, else the code and the remark as a *protocol.Error.
func (r *Result[R]) Err() error {
	if r.Code == protocol.Success {
		return nil
	}
	return &protocol.Error{Code: r.Code, Remark: r.Remark}
}

// take copies what an answer owns only until Send returns.
func (r *Result[R]) take(a *Answer) {
	r.Code, r.Remark, r.HasRemark = a.Code, strings.Clone(a.Remark), a.HasRemark
	r.Ext, r.Body = slices.Clone(a.Ext), slices.Clone(a.Body)
	switch h := any(a.Header).(type) {
	case nil:
	case *R:
		r.Header = *h
		own(reflect.ValueOf(&r.Header).Elem())
	default: // an answer with another header than the table of calls says
		if d, ok := any(&r.Header).(wire.FieldDecoder); ok {
			if c, err := command(&wire.Outgoing{Header: a.Header}, nil); err == nil {
				_ = d.DecodeFields(c)
			}
		}
	}
	if len(a.Views) > 0 {
		r.Views, r.release = a.Views, a.Release
		return
	}
	a.release()
}

// own gives the texts of a header memory of their own.
func own(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(strings.Clone(v.String()))
	case reflect.Struct:
		for i := range v.NumField() {
			own(v.Field(i))
		}
	}
}

// localCall waits for its answer. state says who ends it.
type localCall struct {
	state atomic.Int32 // 0, answered or givenUp
	take  func(*Answer)
	done  chan struct{}
}

const (
	answered = 1
	givenUp  = 2
)

// answer hands an answer over, or releases it when nobody waits any more.
func (k *localCall) answer(a *Answer) {
	if !k.state.CompareAndSwap(0, answered) {
		a.release()
		return
	}
	k.take(a)
	close(k.done)
}

// Call makes a request from inside the process and waits for its answer: the route's
// handler gets q itself, and the answer's header and views come as they are. With
// admissions q is written into fields first, which they see and may change, and read
// again. The result is an error only when there is no answer: the caller or the server
// is closed (ErrClosed), or ctx has ended before a parked request was answered. q and
// body belong to the handler until Call returns, for ctx's end until the handler is
// done.
func Call[Q, R any](ctx context.Context, c *LocalConn, call protocol.Call[Q, R], q *Q, body []byte) (*Result[R], error) {
	rs := c.s.ep.routes
	rt := rs.find(int32(call.Code))
	typed, direct := rs.typed[call.Code].(func(*Request, *Q) (*Answer, error))
	o := wire.Outgoing{Code: int32(call.Code), Language: c.o.Language, Version: c.o.Version}
	cmd := &wire.Command{Code: o.Code, Language: o.Language, Version: o.Version, Body: body}
	run := func(r *Request) (*Answer, error) { return typed(r, q) }
	if !direct || len(rs.admissions) > 0 {
		o.Header, _ = any(q).(wire.FieldEncoder)
		var err error
		if cmd, err = command(&o, body); err != nil {
			return nil, err
		}
		run = rt.handler
	}
	res := new(Result[R])
	k := &localCall{take: res.take, done: make(chan struct{})}
	if err := c.call(rt, cmd, run, k); err != nil {
		return nil, err
	}
	select {
	case <-k.done:
	case <-ctx.Done():
		if k.state.CompareAndSwap(0, givenUp) {
			return nil, fmt.Errorf("%w: %w", ErrTimeout, context.Cause(ctx))
		}
		<-k.done
	}
	return res, nil
}

// call brings a request to its handler. The answer goes to k, now or later.
func (c *LocalConn) call(rt *route, cmd *wire.Command, run Handler, k *localCall) error {
	ep := c.s.ep
	ep.drain.add(1)
	if c.dead.Load() || ep.drain.mode.Load() != serving {
		ep.drain.done(1)
		return ErrClosed
	}
	r := &Request{Peer: c, Cmd: cmd, Arrived: ep.clock.NowMillis(), route: rt}
	t := &ticket{owed: owed{ep: ep, call: k, peer: c.id, arrived: r.Arrived, code: cmd.Code}}
	r.to = ReplyTo{t: t, gen: t.gen.Add(1)}
	if a := r.ask(ep.routes); a != nil {
		r.to.Send(a)
		return nil
	}
	if rt.lane.reserve(1) == 0 {
		r.to.Send(Refuse(protocol.SystemBusy, remarkOverload))
		return nil
	}
	t.lane, t.after = rt.lane, r.after
	if run == nil {
		r.runBatch([]*Request{r})
	} else {
		r.call(run)
	}
	return nil
}
