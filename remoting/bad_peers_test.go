package remoting

import (
	"encoding/binary"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol/wire"
)

// Java closes the connection on any failure to decode (NettyDecoder.decode), so
// do we; a good frame in front of the bad one is still answered.
func TestServer_ClosesOnBadFrames(t *testing.T) {
	word := func(n uint32, rest ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, n), rest...) }
	for name, bad := range map[string][]byte{
		"no frame at all":         []byte("GET / HTTP/1.1\r\n\r\n"),
		"length zero":             word(0),
		"length three":            word(3, 0, 0, 0),
		"over 16 MiB":             word(wire.MaxFrame - 3),
		"negative length":         word(1 << 31),
		"header beyond frame":     word(8, 0, 0, 0, 200, 1, 2, 3, 4),
		"unknown encoding":        word(8, 9, 0, 0, 4, '{', '}', ' ', ' '),
		"no JSON":                 word(8, 0, 0, 0, 4, 'a', 'b', 'c', 'd'),
		"binary header too short": word(10, 1, 0, 0, 6, 0, 0, 0, 0, 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			var evs events
			s, addr := serve(t, ServerOptions{Routes: echoRoutes(), Events: evs.add, PoisonFrames: true})
			p := dialRaw(t, addr)
			p.send(bad)
			p.closedByPeer()
			eventually(t, "it is told", func() bool { return evs.count(Error) == 1 && evs.count(Closed) == 1 })
			require.Empty(t, s.Conns())

			p = dialRaw(t, addr)
			p.send(append(frameOf(10, 1, 0, "good"), bad...))
			a := p.recv()
			require.Equal(t, "good", string(a.Body))
			p.closedByPeer()
		})
	}
}

func TestServer_LargestFrame(t *testing.T) {
	rs := NewRoutes()
	rs.Handle(10, nil, func(r *Request) (*Answer, error) {
		return &Answer{Ext: []wire.Field{{Key: "n", Value: string(r.Cmd.Body[:3])}}}, nil
	})
	rs.Handle(11, nil, func(r *Request) (*Answer, error) {
		return &Answer{Body: r.Cmd.Body, Ext: []wire.Field{{Key: "more", Value: "header"}}}, nil
	})
	_, addr := serve(t, ServerOptions{Routes: rs, PoisonFrames: true})
	p := dialRaw(t, addr)
	head := len(frameOf(10, 1, 0, ""))
	p.send(frameOf(10, 1, 0, strings.Repeat("x", wire.MaxFrame-head)))
	v, _ := p.recv().Lookup("n")
	require.Equal(t, "xxx", v)
	// The answer has a longer header than the request: no peer would take it.
	p.send(frameOf(11, 2, 0, strings.Repeat("x", wire.MaxFrame-head)))
	a := p.recv()
	require.Equal(t, int32(1), a.Code)
	require.Contains(t, a.Remark, "too large")
	// The first four bytes are enough: it may be closed before all of this is written.
	_, _ = p.Write(frameOf(10, 1, 0, strings.Repeat("x", wire.MaxFrame-head+1))[:1<<20])
	p.closedByPeer()
}

// A peer that sends byte by byte is served, holds no goroutine, and what it has
// sent is taken off netpoll's buffer, which would otherwise call again at once.
func TestServer_SlowLoris(t *testing.T) {
	s, addr := serve(t, ServerOptions{Routes: echoRoutes(), PoisonFrames: true})
	p := dialRaw(t, addr)
	for _, b := range frameOf(10, 1, 0, "slow") {
		p.send([]byte{b})
	}
	require.Equal(t, "slow", string(p.recv().Body))

	before := runtime.NumGoroutine()
	const n = 300
	for range n {
		q := dialRaw(t, addr)
		q.send(frameOf(10, 1, 0, "never complete")[:30])
	}
	eventually(t, "all halves are read", func() bool {
		got := 0
		for _, c := range s.Conns() {
			if c.lastRead.Load() > 0 && c.nc.Reader().Len() == 0 && c.out.unsent() == 0 {
				got++
			}
		}
		return got == n+1
	})
	eventually(t, "nobody waits for the rest", func() bool { return runtime.NumGoroutine() < before+20 })
}

// Netty closes a half-closed connection; so does netpoll. What was asked before
// is handled, and its answer may be lost.
func TestServer_HalfClosedPeer(t *testing.T) {
	var handled atomic.Int32
	rs := NewRoutes()
	parked := make(chan ReplyTo, 1)
	rs.Handle(10, nil, func(r *Request) (*Answer, error) { handled.Add(1); return &Answer{}, nil })
	rs.Handle(11, nil, func(r *Request) (*Answer, error) { parked <- r.To(); return nil, nil })
	var evs events
	s, addr := serve(t, ServerOptions{Routes: rs, Events: evs.add})
	p := dialRaw(t, addr)
	p.send(append(frameOf(11, 1, 0, ""), frameOf(10, 2, 0, "")...))
	require.NoError(t, p.Conn.(*net.TCPConn).CloseWrite())
	p.closedByPeer()
	eventually(t, "it is closed", func() bool { return evs.count(Closed) == 1 })
	require.Equal(t, int32(1), handled.Load())
	var released atomic.Int32
	(<-parked).Send(&Answer{Views: [][]byte{make([]byte, 9999)}, Release: func() { released.Add(1) }})
	require.Equal(t, int32(1), released.Load(), "a late answer is dropped and its views released")
	require.Zero(t, s.InFlight())
}

// A peer that asks and never reads: the answers stop at the high-water mark, and
// the write timeout closes it. Every view is released once.
func TestServer_NeverReadingPeer(t *testing.T) {
	const size = 100 << 10
	var taken, released atomic.Int64
	block := make([]byte, size)
	rs := NewRoutes()
	rs.Handle(10, nil, func(r *Request) (*Answer, error) {
		taken.Add(1)
		var once atomic.Bool
		return &Answer{Views: [][]byte{block}, Release: func() {
			if !once.CompareAndSwap(false, true) {
				panic("released twice")
			}
			released.Add(1)
		}}, nil
	})
	var evs events
	s, addr := serve(t, ServerOptions{Routes: rs, Events: evs.add,
		Limits: Limits{WriteTimeout: 300 * time.Millisecond, HighWater: 1 << 20, MaxOutput: 8 << 20}})
	p := dialRaw(t, addr)
	var b []byte
	for i := range 2000 {
		b = append(b, frameOf(10, int32(i), 0, "")...)
	}
	p.send(b)
	eventually(t, "it is closed", func() bool { return evs.count(Closed) == 1 })
	require.ErrorContains(t, evs.firstError(), "write")
	require.Less(t, taken.Load(), int64(2000), "handling stops while nobody reads")
	eventually(t, "all views are back", func() bool { return released.Load() == taken.Load() })
	require.Zero(t, s.InFlight())
}

// Answers of others that pile up for a peer that does not read end at MaxOutput.
func TestServer_OutputIsBounded(t *testing.T) {
	parked := make(chan *Request, 1)
	rs := NewRoutes()
	rs.Handle(10, nil, func(r *Request) (*Answer, error) {
		parked <- &Request{Conn: r.Conn, to: r.To()}
		return nil, nil
	})
	var evs events
	_, addr := serve(t, ServerOptions{Routes: rs, Events: evs.add,
		Limits: Limits{WriteTimeout: time.Minute, MaxOutput: 16 << 20}})
	p := dialRaw(t, addr)
	p.send(frameOf(10, 1, 0, ""))
	r := <-parked
	var err error
	for range 1000 {
		if err = r.Conn.send(&wire.Outgoing{Code: 1}, make([]byte, 1<<20), nil, nil); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, ErrBusy)
	eventually(t, "it is closed", func() bool { return evs.count(Closed) == 1 })
	require.ErrorContains(t, evs.firstError(), "does not read")
	r.to.Send(&Answer{})
}

func TestServer_ClosesSilentConnections(t *testing.T) {
	ck := clock.NewManual(time.UnixMilli(1_000_000))
	var evs events
	s, addr := serve(t, ServerOptions{Routes: echoRoutes(), Clock: ck, Events: evs.add})
	silent, busy := dialRaw(t, addr), dialRaw(t, addr)
	eventually(t, "both are in", func() bool { return len(s.Conns()) == 2 })
	for range 3 {
		ck.Advance(50 * time.Second)
		busy.send(frameOf(10, 1, 0, ""))
		busy.recv()
	}
	eventually(t, "one is closed", func() bool {
		ck.Advance(20 * time.Millisecond)
		return evs.count(Idle) == 1 && evs.count(Closed) == 1
	})
	silent.closedByPeer()
	busy.send(frameOf(10, 1, 0, ""))
	busy.recv()
}

func TestServer_MaxConns(t *testing.T) {
	s, addr := serve(t, ServerOptions{Routes: echoRoutes(), MaxConns: 2})
	a, b := dialRaw(t, addr), dialRaw(t, addr)
	eventually(t, "two are in", func() bool { return len(s.Conns()) == 2 })
	dialRaw(t, addr).closedByPeer()
	a.Close()
	eventually(t, "one is out", func() bool { return len(s.Conns()) == 1 })
	c := dialRaw(t, addr)
	c.send(frameOf(10, 1, 0, "in"))
	require.Equal(t, "in", string(c.recv().Body))
	b.send(frameOf(10, 1, 0, ""))
	b.recv()
}

// A connection that dies at any moment takes nothing along: no panic, no leaked
// goroutine, all requests accounted for, every view released once.
func TestServer_PeersThatVanish(t *testing.T) {
	var owed atomic.Int64
	rs := echoRoutes()
	rs.Handle(11, &Lane{Workers: 4}, func(r *Request) (*Answer, error) {
		owed.Add(1)
		return &Answer{Views: [][]byte{make([]byte, 20<<10), []byte("small")}, Release: func() { owed.Add(-1) }}, nil
	})
	rs.Handle(12, nil, func(r *Request) (*Answer, error) {
		to := r.To()
		owed.Add(1)
		go to.Send(&Answer{Views: [][]byte{make([]byte, 5<<10)}, Release: func() { owed.Add(-1) }})
		return nil, nil
	})
	var evs events
	s, addr := serve(t, ServerOptions{Routes: rs, PoisonFrames: true, Events: evs.add})
	var b []byte
	for i := range 60 {
		b = append(b, frameOf(int32(10+i%3), int32(i), 0, strings.Repeat("y", i*10))...)
	}
	var wg sync.WaitGroup
	const n = 64
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, err := net.Dial("tcp", addr)
			if err != nil {
				return
			}
			_, _ = c.Write(b[:len(b)*(i+1)/n])
			switch i % 3 {
			case 0:
				_ = c.(*net.TCPConn).SetLinger(0) // reset
			case 1:
				_, _ = readFrame(c)
			}
			c.Close()
		}()
	}
	wg.Wait()
	eventually(t, "all are gone", func() bool {
		return evs.count(Connected) > 0 && evs.count(Closed) == evs.count(Connected) && len(s.Conns()) == 0
	})
	eventually(t, "nothing is owed", func() bool { return s.InFlight() == 0 && owed.Load() == 0 })
}

func TestConn_CloseFromAnyPlace(t *testing.T) {
	rs := echoRoutes()
	rs.Handle(11, nil, func(r *Request) (*Answer, error) {
		r.Conn.Close()
		r.Conn.Close()
		return &Answer{}, nil
	})
	rs.Handle(12, nil, func(r *Request) (*Answer, error) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Add(1)
			go func() { defer wg.Done(); r.Conn.Close() }()
		}
		wg.Wait()
		return &Answer{}, nil
	})
	var evs events
	_, addr := serve(t, ServerOptions{Routes: rs, Events: evs.add})
	for _, code := range []int32{11, 12} {
		p := dialRaw(t, addr)
		p.send(append(frameOf(code, 1, 0, ""), frameOf(10, 2, 0, "")...))
		p.closedByPeer()
	}
	eventually(t, "closed once each", func() bool { return evs.count(Closed) == 2 })
	require.Zero(t, evs.count(Error))
}
