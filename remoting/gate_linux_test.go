package remoting

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/budget"
	"github.com/merlinmq/merlin/protocol/wire"
)

// netpoll is as the gate takes it to be: the fields are there, and epoll knows a
// socket by the word that the gate gives, before and after it was shut.
func TestGate_FitsNetpoll(t *testing.T) {
	s, addr := serve(t, ServerOptions{Routes: echoRoutes()})
	p := dialRaw(t, addr)
	p.send(frameOf(10, 1, 0, "x"))
	require.Equal(t, "x", string(p.recv().Body))
	g := s.Conns()[0].gate
	require.NotNil(t, g, "an upgrade of netpoll has to be looked at, see gate_linux.go")
	known := func() string {
		b, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", g.epoll))
		require.NoError(t, err)
		for line := range strings.Lines(string(b)) {
			// tfd: 9 events: 2019 data: c000123456 ...
			f := strings.Fields(line)
			if len(f) > 5 && f[0] == "tfd:" && f[1] == fmt.Sprint(g.fd) {
				return strings.Join(f[2:6], " ")
			}
		}
		return "nothing"
	}
	before := known()
	g.set(true)
	shut := known()
	require.NotEqual(t, before, shut)
	require.Equal(t, strings.Fields(before)[3], strings.Fields(shut)[3], "the word is the same")
	p.send(frameOf(10, 2, 0, "y"))
	g.set(false)
	require.Equal(t, before, known())
	require.Equal(t, "y", string(p.recv().Body))
}

// busyServer has a handler that is held: 10 waits for hold, 11 is counted.
func busyServer(t *testing.T, o ServerOptions) (s *Server, addr string, hold chan struct{}, count *atomic.Int64) {
	hold, count = make(chan struct{}), new(atomic.Int64)
	rs := NewRoutes()
	rs.Handle(10, nil, func(*Request) (*Answer, error) { <-hold; return &Answer{}, nil })
	rs.Handle(11, nil, func(*Request) (*Answer, error) { count.Add(1); return &Answer{}, nil })
	o.Routes = rs
	s, addr = serve(t, o)
	return s, addr, hold, count
}

// flood writes a frame until the other side takes no more, and gives how often.
func flood(t *testing.T, p *peerConn, frame []byte) (frames int64) {
	var rest []byte
	for {
		_ = p.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := p.Write(frame)
		if err != nil {
			require.ErrorIs(t, err, os.ErrDeadlineExceeded, "it is not closed")
			rest = frame[n:]
			break
		}
		frames++
	}
	_ = p.SetWriteDeadline(time.Now().Add(patience))
	go func() { _, _ = p.Write(rest) }()
	return frames + 1
}

// What comes while a handler is busy is read up to a bound, charged, and waits in
// the sender's socket from then on. Nothing of it is lost.
func TestServer_InputIsBounded(t *testing.T) {
	b := budget.New(64<<20, 64<<20)
	var evs events
	s, addr, hold, count := busyServer(t, ServerOptions{Budget: b, Events: evs.add})
	p := dialRaw(t, addr)
	p.send(frameOf(10, 1, 0, ""))
	eventually(t, "the handler is busy", func() bool { return s.InFlight() == 1 })
	n := flood(t, p, frameOf(11, 2, wire.FlagOneway, strings.Repeat("x", 64<<10)))
	c := s.Conns()[0]
	waits := c.nc.Reader().Len()
	require.LessOrEqual(t, waits, readAhead+readOnce)
	require.Greater(t, waits, readAhead/2)
	require.GreaterOrEqual(t, c.account.Of(budget.Input), int64(waits), "it is charged")
	close(hold)
	p.recv()
	eventually(t, "all have come", func() bool { return count.Load() == n })
	eventually(t, "all is given back", func() bool { return c.account.Of(budget.Input) == 0 })
	require.Zero(t, evs.count(Closed))
}

// Answers go out while nothing is read, also those for which netpoll has to wait
// until the socket takes more.
func TestGate_WritesWhileShut(t *testing.T) {
	const size, asks = 1 << 20, 30
	rs := NewRoutes()
	rs.Handle(10, nil, func(*Request) (*Answer, error) { return &Answer{Body: make([]byte, size)}, nil })
	rs.Handle(11, nil, func(*Request) (*Answer, error) { return nil, nil })
	var evs events
	s, addr := serve(t, ServerOptions{Routes: rs, Events: evs.add, Limits: Limits{WriteTimeout: time.Minute}})
	p := dialRaw(t, addr)
	p.send([]byte(strings.Repeat(string(frameOf(10, 1, 0, "")), asks)))
	eventually(t, "the wake-up waits for the reader", func() bool {
		cs := s.Conns()
		return len(cs) == 1 && cs[0].Unsent() > DefaultHighWater
	})
	flood(t, p, frameOf(11, 2, wire.FlagOneway, strings.Repeat("x", 64<<10)))
	c := s.Conns()[0]
	require.True(t, c.gate.holds())
	for range asks {
		require.Len(t, p.recv().Body, size)
	}
	eventually(t, "it reads on", func() bool { return !c.gate.holds() && s.InFlight() == 0 })
	require.Zero(t, evs.count(Closed))
}

// A peer that sends and hangs up while nothing is read of it: that is noticed, and
// what it has sent still counts.
func TestGate_LeavesWhileShut(t *testing.T) {
	var evs events
	s, addr, hold, count := busyServer(t, ServerOptions{Events: evs.add})
	p := dialRaw(t, addr)
	p.send(frameOf(10, 1, wire.FlagOneway, ""))
	eventually(t, "the handler is busy", func() bool { return s.InFlight() == 1 })
	const n = 10 // more than is read, and no more than the kernel has room for: what lies with the sender hides its end
	for range n {
		p.send(frameOf(11, 2, wire.FlagOneway, strings.Repeat("x", 32<<10)))
	}
	c := s.Conns()[0]
	eventually(t, "it is not read", func() bool { return c.gate.holds() })
	require.NoError(t, p.Close())
	eventually(t, "the server knows that it left", func() bool { return !c.Alive() })
	close(hold)
	eventually(t, "it is over", func() bool { return evs.count(Closed) == 1 })
	require.EqualValues(t, n, count.Load())
}

// A connection that this side closes while nothing is read of it ends, and nothing
// more of it is read.
func TestGate_ClosedWhileShut(t *testing.T) {
	var evs events
	s, addr, hold, count := busyServer(t, ServerOptions{Events: evs.add})
	p := dialRaw(t, addr)
	p.send(frameOf(10, 1, 0, ""))
	eventually(t, "the handler is busy", func() bool { return s.InFlight() == 1 })
	flood(t, p, frameOf(11, 2, wire.FlagOneway, strings.Repeat("x", 64<<10)))
	c := s.Conns()[0]
	require.True(t, c.gate.holds())
	waits := c.nc.Reader().Len()
	c.Close()
	p.closedByPeer()
	require.LessOrEqual(t, c.nc.Reader().Len(), waits)
	close(hold)
	eventually(t, "it is gone", func() bool { return evs.count(Closed) == 1 })
	require.Zero(t, count.Load())
}

// While the memory for peers is used up nothing is read of a connection that keeps
// more than little; others are served, and it goes on when there is room.
func TestGate_WaitsForRoom(t *testing.T) {
	b := budget.New(4<<20, 4<<20)
	s, addr := serve(t, ServerOptions{Routes: echoRoutes(), Budget: b})
	p, small := dialRaw(t, addr), dialRaw(t, addr)
	whole := frameOf(10, 1, 0, strings.Repeat("x", 512<<10))
	p.send(whole[:200<<10])
	eventually(t, "the half is kept", func() bool { return b.Used() > 200<<10 })
	other := b.Open(func(error) {}) // it is closed and gives nothing back yet
	other.Add(budget.Work, 7<<20)
	eventually(t, "it is thrown out", func() bool { return !b.Over() && b.Crowded() })
	go func() { _, _ = p.Write(whole[200<<10:]) }()
	held := func() (c *Conn) {
		for _, x := range s.Conns() {
			if x.gate.holds() {
				c = x
			}
		}
		return c
	}
	eventually(t, "it is not read on", func() bool { return held() != nil })
	small.send(frameOf(10, 1, 0, "small"))
	require.Equal(t, "small", string(small.recv().Body))
	require.NotNil(t, held())
	other.End()
	require.Len(t, p.recv().Body, 512<<10)
}

// Floods, slow readers, peers that leave and connections that are closed, all at
// once: nothing is lost that should come, nothing hangs and nothing is kept.
func TestGate_Storm(t *testing.T) {
	b := budget.New(1<<30, 1<<30)
	rs := echoRoutes()
	var oneways atomic.Int64
	rs.Handle(11, nil, func(*Request) (*Answer, error) { oneways.Add(1); time.Sleep(10 * time.Microsecond); return nil, nil })
	s, addr := serve(t, ServerOptions{Routes: rs, Budget: b})
	end := time.Now().Add(2 * time.Second)
	var wg sync.WaitGroup
	var want atomic.Int64
	for i := range 24 {
		wg.Go(func() {
			for time.Now().Before(end) {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					continue
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				burst := strings.Repeat(string(frameOf(11, 2, wire.FlagOneway, strings.Repeat("x", 1+rand.IntN(4096)))), 200)
				switch i % 4 {
				case 0: // it goes when all has been taken
					n, _ := c.Write([]byte(burst))
					if n == len(burst) {
						want.Add(200)
					}
				case 1: // it asks for more than it reads, then reads
					ask := frameOf(10, 3, 0, strings.Repeat("y", 64<<10))
					go func() { _, _ = c.Write([]byte(strings.Repeat(string(ask), 20))) }()
					for range 20 {
						if a, err := readFrame(c); err != nil || len(a.Body) != 64<<10 {
							t.Error("an answer is lost: ", err)
							break
						}
					}
				case 2: // it goes in the middle
					_ = c.(*net.TCPConn).SetLinger(0)
					_, _ = c.Write([]byte(burst[:rand.IntN(len(burst))]))
				case 3: // it is thrown out
					_, _ = c.Write([]byte(burst))
					for _, x := range s.Conns() {
						if x.RemoteAddr().String() == c.LocalAddr().String() {
							x.Close()
						}
					}
				}
				_ = c.Close()
			}
		})
	}
	wg.Wait()
	eventually(t, "all have gone", func() bool { return len(s.Conns()) == 0 })
	require.GreaterOrEqual(t, oneways.Load(), want.Load())
	require.Positive(t, want.Load())
	eventually(t, "all is given back", func() bool { return b.Used() == 0 })
}
