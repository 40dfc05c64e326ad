package remoting

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cloudwego/netpoll"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/merlinmq/merlin/protocol/wire"
)

// TestMain fails the package when a test leaves a goroutine behind. netpoll's
// pollers live as long as the process.
func TestMain(m *testing.M) {
	if dialForOthers() {
		return
	}
	netpoll.Initialize()
	netpoll.SetLoggerOutput(io.Discard)
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent(),
		goleak.IgnoreTopFunction("github.com/cloudwego/netpoll.EpollWait"),
		goleak.IgnoreAnyFunction("github.com/cloudwego/netpoll.(*defaultPoll).Wait"))
}

const patience = 10 * time.Second

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// events collects what a server tells.
type events struct {
	mu   sync.Mutex
	list []Event
}

func (e *events) add(ev Event) {
	e.mu.Lock()
	e.list = append(e.list, ev)
	e.mu.Unlock()
}

func (e *events) count(k EventKind) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, ev := range e.list {
		if ev.Kind == k {
			n++
		}
	}
	return n
}

func (e *events) firstError() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.list {
		if ev.Kind == Error {
			return ev.Err
		}
	}
	return nil
}

func serve(t testing.TB, o ServerOptions) (*Server, string) {
	t.Helper()
	if testing.Verbose() && os.Getenv("REMOTING_LOG") != "" {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	s := NewServer(o)
	require.NoError(t, s.Start())
	t.Cleanup(func() { stop(t, s) })
	return s, s.Addr().String()
}

func stop(t testing.TB, s *Server) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, s.Shutdown(ctx))
}

func client(t testing.TB, o ClientOptions) *Client {
	c := NewClient(o)
	t.Cleanup(c.Close)
	return c
}

// frameOf encodes a request.
func frameOf(code, opaque, flag int32, body string, ext ...wire.Field) []byte {
	o := wire.Outgoing{Code: code, Opaque: opaque, Flag: flag, Version: 479, Ext: ext}
	return append(wire.AppendHead(nil, &o, len(body)), body...)
}

// peerConn is a bare socket that speaks frames.
type peerConn struct {
	net.Conn
	t testing.TB
}

func dialRaw(t testing.TB, addr string) *peerConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(2*patience)))
	return &peerConn{c, t}
}

func (p *peerConn) send(b []byte) {
	p.t.Helper()
	_, err := p.Write(b)
	require.NoError(p.t, err)
}

func (p *peerConn) recv() *wire.Command {
	p.t.Helper()
	c, err := readFrame(p)
	require.NoError(p.t, err)
	return c
}

func (p *peerConn) closedByPeer() {
	p.t.Helper()
	_, err := io.Copy(io.Discard, p)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		p.t.Fatal("the server did not close the connection")
	}
}

func readFrame(r io.Reader) (*wire.Command, error) {
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(n[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	c := new(wire.Command)
	return c, wire.Decode(b, c)
}

// echo answers with the request's body and extFields.
func echo(r *Request) (*Answer, error) {
	return &Answer{Body: r.Cmd.Body, Ext: r.Cmd.Ext}, nil
}

func echoRoutes() *Routes {
	rs := NewRoutes()
	rs.Handle(10, nil, echo)
	return rs
}

// netDialer dials without the fatal error of dialRaw.
type netDialer struct{}

func (netDialer) dial(addr string) (net.Conn, error) {
	return net.DialTimeout("tcp", addr, time.Second)
}
