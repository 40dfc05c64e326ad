package remoting

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/budget"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol/wire"
)

// Half frames of many connections add up: the largest go, with the reason, and
// who sends small frames is not disturbed.
func TestBudget_HalfFramesAddUp(t *testing.T) {
	b := budget.New(8<<20, 8<<20)
	var evs events
	s, addr := serve(t, ServerOptions{Routes: echoRoutes(), Budget: b, Events: evs.add})
	honest := dialRaw(t, addr)
	const n = 12
	half := frameOf(10, 1, 0, strings.Repeat("x", 4<<20))
	for i := range n {
		q := dialRaw(t, addr)
		_, _ = q.Write(half[:1<<20+i*4096])
		honest.send(frameOf(10, 2, 0, "small"))
		require.Equal(t, "small", string(honest.recv().Body))
	}
	eventually(t, "the largest are closed", func() bool { return evs.count(Closed) >= 3 && !b.Over() })
	require.ErrorIs(t, evs.firstError(), budget.ErrLimit)
	require.Contains(t, evs.firstError().Error(), "input")
	honest.send(frameOf(10, 3, 0, "still here"))
	require.Equal(t, "still here", string(honest.recv().Body))
	for _, c := range s.Conns() {
		c.Close()
	}
	eventually(t, "everything is given back", func() bool { return b.Used() == 0 })
}

// A byte now and then does not keep half a frame alive: the whole has to come in
// FrameTimeout and a second for each 64 KiB. The same holds for a preamble.
func TestFrameTimeout_Dribble(t *testing.T) {
	ck := clock.NewManual(time.UnixMilli(1_000_000))
	var evs events
	s, addr := serve(t, ServerOptions{Routes: echoRoutes(), Clock: ck, IdleTimeout: -1, Events: evs.add})
	small, large, preamble, whole := dialRaw(t, addr), dialRaw(t, addr), dialRaw(t, addr), dialRaw(t, addr)
	whole.send(frameOf(10, 1, 0, "done"))
	require.Equal(t, "done", string(whole.recv().Body))
	_, _ = preamble.Write([]byte("PROXY "))
	_, _ = small.Write(frameOf(10, 1, 0, strings.Repeat("x", 1000))[:50])
	long := frameOf(10, 1, 0, strings.Repeat("x", 1<<20))
	_, _ = large.Write(long[:50])
	sent := 50
	eventually(t, "three have begun something", func() bool {
		n := 0
		for _, c := range s.Conns() {
			if c.due.Load() != 0 {
				n++
			}
		}
		return n == 3
	})
	step := func(d time.Duration) {
		for range int(d / time.Second) {
			ck.Advance(time.Second)
			_, _ = preamble.Write([]byte("T"))
			_, _ = small.Write([]byte("x"))
			_, _ = large.Write(long[sent : sent+1])
			sent++
			allRead(t, s)
		}
	}
	step(28 * time.Second)
	require.Zero(t, evs.count(Closed), "nobody goes before the time is over")
	step(5 * time.Second)
	eventually(t, "the small frame and the preamble are too late", func() bool { return evs.count(Closed) == 2 })
	require.Contains(t, evs.firstError().Error(), "not complete in time")
	large.send(long[sent:])
	require.NotEmpty(t, large.recv().Body, "who completes it in its time is served")
}

// Requests of a peer that does not take its answers are not worked on in the
// lanes' workers either; when it reads, all are answered.
func TestLane_WaitsForTheReader(t *testing.T) {
	const size, n = 1 << 20, 40
	var built atomic.Int32
	lane := &Lane{Workers: 2}
	rs := NewRoutes()
	rs.Handle(10, lane, func(r *Request) (*Answer, error) {
		built.Add(1)
		return &Answer{Body: make([]byte, size)}, nil
	})
	b := budget.New(1<<30, 1<<30)
	s, addr := serve(t, ServerOptions{Routes: rs, Budget: b, Limits: Limits{WriteTimeout: time.Minute}})
	p := dialRaw(t, addr)
	var all []byte
	for i := range n {
		all = append(all, frameOf(10, int32(i+1), 0, "")...)
	}
	p.send(all)
	eventually(t, "the rest waits", func() bool {
		c := s.Conns()
		if len(c) != 1 {
			return false
		}
		c[0].out.mu.Lock()
		defer c[0].out.mu.Unlock()
		return lane.Queued() == 0 && int(built.Load())+len(c[0].out.stalled) == n
	})
	most := s.Conns()[0].account.Of(budget.Output)
	require.Less(t, int(built.Load()), n/2, "answers that nobody reads are not built")
	require.Less(t, most, int64(n/2*size))
	require.Positive(t, most, "what waits is charged")
	seen := map[int32]bool{}
	for range n {
		a := p.recv()
		require.Len(t, a.Body, size)
		seen[a.Opaque] = true
	}
	require.Len(t, seen, n)
	require.Equal(t, n, int(built.Load()))
	eventually(t, "all is given back", func() bool {
		return lane.bytes.Load() == 0 && s.InFlight() == 0 && s.Conns()[0].account.Of(budget.Output) == 0 &&
			s.Conns()[0].account.Of(budget.Work) == 0 && s.Conns()[0].pooled.Load() == 0
	})
}

// allRead waits until nothing lies in the server's buffers.
func allRead(t *testing.T, s *Server) {
	eventually(t, "the server has read everything", func() bool {
		for _, c := range s.Conns() {
			if c.nc.Reader().Len() > 0 {
				return false
			}
		}
		return true
	})
}

// A connection that is closed while its requests wait gives everything back.
func TestLane_ClosedWhileItWaits(t *testing.T) {
	lane := &Lane{Workers: 2}
	rs := NewRoutes()
	rs.Handle(10, lane, func(r *Request) (*Answer, error) { return &Answer{Body: make([]byte, 1<<20)}, nil })
	b := budget.New(1<<30, 1<<30)
	s, addr := serve(t, ServerOptions{Routes: rs, Budget: b})
	p := dialRaw(t, addr)
	for i := range 40 {
		p.send(frameOf(10, int32(i+1), 0, ""))
	}
	eventually(t, "some wait", func() bool {
		for _, c := range s.Conns() {
			c.out.mu.Lock()
			n := len(c.out.stalled)
			c.out.mu.Unlock()
			return n > 0
		}
		return false
	})
	require.NoError(t, p.Close())
	eventually(t, "all is given back", func() bool {
		return lane.bytes.Load() == 0 && s.InFlight() == 0 && b.Used() == 0 && lane.Busy() == 0
	})
}

// One connection cannot have a pooled lane for itself.
func TestLane_ShareOfAConnection(t *testing.T) {
	hold := make(chan struct{})
	lane := &Lane{Workers: 1, Capacity: 8 * leastShare}
	rs := NewRoutes()
	rs.Handle(10, lane, func(*Request) (*Answer, error) { <-hold; return &Answer{}, nil })
	s, addr := serve(t, ServerOptions{Routes: rs})
	hog, other := dialRaw(t, addr), dialRaw(t, addr)
	one := frameOf(10, 1, wire.FlagOneway, "")
	hog.send([]byte(strings.Repeat(string(one), 6*leastShare)))
	eventually(t, "the hog has its share", func() bool { return lane.Queued() == 2*leastShare-1 })
	other.send(frameOf(10, 7, 0, ""))
	eventually(t, "another one is taken in", func() bool { return lane.Queued() == 2*leastShare })
	close(hold)
	require.Equal(t, int32(7), other.recv().Opaque)
	eventually(t, "all is given back", func() bool { return s.InFlight() == 0 && lane.Busy() == 0 && lane.bytes.Load() == 0 })
}

// What a request takes once it is decoded is counted, not its body alone.
func TestLane_FieldsCount(t *testing.T) {
	hold := make(chan struct{})
	lane := &Lane{Workers: 1}
	rs := NewRoutes()
	rs.Handle(10, lane, func(*Request) (*Answer, error) { <-hold; return &Answer{}, nil })
	s, addr := serve(t, ServerOptions{Routes: rs})
	p := dialRaw(t, addr)
	fields := make([]wire.Field, 1000)
	p.send(frameOf(10, 1, 0, "", fields...))
	eventually(t, "it is with the worker", func() bool { return s.InFlight() == 1 })
	require.GreaterOrEqual(t, lane.bytes.Load(), int64(32*len(fields)))
	close(hold)
	p.recv()
	eventually(t, "all is given back", func() bool { return lane.bytes.Load() == 0 })
}

// A peer that floods and goes does not keep the server busy with all that lies in
// the buffers; what it asked just before still counts.
func TestServer_FloodOfOneWhoLeft(t *testing.T) {
	const n = 5 * maxLate / 2 // what does not fit into the server's buffers hides from it that the peer has left
	flood := wire.AppendHead(nil, &wire.Outgoing{Code: 10, Opaque: 1, Flag: wire.FlagOneway, Encoding: wire.Binary}, 0)
	var handled atomic.Int32
	entered, left := make(chan struct{}), make(chan struct{})
	rs := NewRoutes()
	rs.Handle(10, nil, func(*Request) (*Answer, error) {
		if handled.Add(1) == 1 {
			close(entered)
			<-left
		}
		return &Answer{}, nil
	})
	var evs events
	s, addr := serve(t, ServerOptions{Routes: rs, Events: evs.add})
	p := dialRaw(t, addr)
	p.send([]byte(strings.Repeat(string(flood), n)))
	<-entered
	require.NoError(t, p.Close())
	eventually(t, "the server knows that it left", func() bool { return !s.Conns()[0].Alive() })
	close(left)
	eventually(t, "it is over", func() bool { return evs.count(Closed) == 1 })
	require.GreaterOrEqual(t, int(handled.Load()), maxLate)
	require.Less(t, int(handled.Load()), n*2/3)
}

// A TLS handshake that stalls has the time of a frame, however it dribbles.
func TestFrameTimeout_Handshake(t *testing.T) {
	ck := clock.NewManual(time.UnixMilli(1_000_000))
	var evs events
	s, addr := serve(t, ServerOptions{Routes: echoRoutes(), Clock: ck, IdleTimeout: -1, Events: evs.add, TLS: SelfSigned(nil, rand.Reader)})
	p := dialRaw(t, addr)
	hello := []byte{tlsHandshake, 3, 1, 0, 0, 1}
	binary.BigEndian.PutUint16(hello[3:], 16000)
	p.send(hello)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i := 0; ctx.Err() == nil && evs.count(Closed) == 0; i++ {
		ck.Advance(time.Second)
		if i < 1000 {
			_, _ = p.Write([]byte{0})
		}
		allRead(t, s)
	}
	require.Equal(t, 1, evs.count(Closed))
	require.Contains(t, evs.firstError().Error(), "not complete in time")
}

// Requests that wait because their peer does not read take no room in the lane:
// some peers that read nothing would keep everybody else out of it.
func TestLane_StalledAreAside(t *testing.T) {
	const n = 30
	lane := &Lane{Workers: 2, Capacity: 3*n + 1}
	rs := NewRoutes()
	var built atomic.Int32
	rs.Handle(10, lane, func(*Request) (*Answer, error) {
		built.Add(1)
		return &Answer{Body: make([]byte, 1<<20)}, nil
	})
	rs.Handle(11, lane, func(*Request) (*Answer, error) { return &Answer{}, nil })
	s, addr := serve(t, ServerOptions{Routes: rs, Budget: budget.New(1<<30, 1<<30), Limits: Limits{WriteTimeout: time.Minute}})
	stalled := func() (all int) {
		for _, c := range s.Conns() {
			c.out.mu.Lock()
			all += len(c.out.stalled)
			c.out.mu.Unlock()
		}
		return all
	}
	var peers []*peerConn
	for i := range 8 {
		p := dialRaw(t, addr)
		var all []byte
		for k := range n {
			all = append(all, frameOf(10, int32(k+1), 0, "")...)
		}
		p.send(all)
		peers = append(peers, p)
		eventually(t, "they wait", func() bool { return lane.Busy() == 0 && int(built.Load())+stalled() == (i+1)*n })
	}
	require.Greater(t, stalled(), lane.Capacity, "more than the lane has room for")
	honest := dialRaw(t, addr)
	honest.send(frameOf(11, 1, 0, ""))
	require.Zero(t, honest.recv().Code)
	for _, p := range peers {
		for range n {
			require.NotNil(t, p.recv())
		}
	}
	eventually(t, "nothing is left over", func() bool { return lane.Busy() == 0 && lane.bytes.Load() == 0 && s.InFlight() == 0 })
	for _, c := range s.Conns() {
		require.Zero(t, c.account.Of(budget.Work))
		require.Zero(t, c.pooled.Load())
	}
}

// What a connection asked for is not worked on when this side has closed it: who
// is thrown out for asking too much would keep the workers busy for long.
func TestLane_NothingForWhoIsThrownOut(t *testing.T) {
	const n = 50
	var built atomic.Int32
	lane := &Lane{Workers: 1}
	rs := NewRoutes()
	rs.Handle(10, lane, func(*Request) (*Answer, error) {
		built.Add(1)
		return &Answer{Body: make([]byte, 1<<20)}, nil
	})
	s, addr := serve(t, ServerOptions{Routes: rs, Budget: budget.New(1<<30, 1<<30), Limits: Limits{WriteTimeout: time.Minute}})
	p := dialRaw(t, addr)
	for k := range n {
		p.send(frameOf(10, int32(k+1), 0, ""))
	}
	eventually(t, "the rest waits", func() bool { return lane.Busy() == 0 && int(built.Load())+s.InFlight() == n })
	did := built.Load()
	for _, c := range s.Conns() {
		c.fail(budget.ErrLimit)
	}
	eventually(t, "all have ended", func() bool { return s.InFlight() == 0 })
	require.Equal(t, did, built.Load())
	require.Zero(t, lane.Busy())
	require.Zero(t, lane.bytes.Load())
}

// A connection that never sent a frame makes room for another one when there are
// as many as there may be; one that works never does.
func TestMaxConns_SilentOnesGoFirst(t *testing.T) {
	const most = 8
	ck := clock.NewManual(time.UnixMilli(1_000_000))
	var evs events
	s, addr := serve(t, ServerOptions{Routes: echoRoutes(), Clock: ck, IdleTimeout: -1, MaxConns: most, Events: evs.add})
	works := func(p *peerConn) {
		p.send(frameOf(10, 1, 0, "x"))
		require.Equal(t, "x", string(p.recv().Body))
	}
	var peers []*peerConn
	for range most {
		dialRaw(t, addr)
	}
	eventually(t, "all are in", func() bool { return len(s.Conns()) == most })
	for i := range most {
		ck.Advance(2 * time.Second)
		p := dialRaw(t, addr)
		works(p)
		peers = append(peers, p)
		eventually(t, "a silent one has gone", func() bool { return evs.count(Closed) == i+1 && len(s.Conns()) == most })
		require.ErrorIs(t, evs.firstError(), errSpare)
	}
	ck.Advance(2 * time.Second)
	late := dialRaw(t, addr)
	_ = late.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, err := late.Read(make([]byte, 1))
	require.Error(t, err, "nobody goes who works")
	for _, p := range peers {
		works(p)
	}
}

// A request that only reads is not worked on when its peer has gone; one that may
// change something is.
func TestLane_ReadsForNobody(t *testing.T) {
	var read, changed atomic.Int32
	hold := make(chan struct{})
	lane := &Lane{Workers: 1}
	rs := NewRoutes()
	rs.Handle(9, lane, func(*Request) (*Answer, error) { <-hold; return &Answer{}, nil })
	rs.Handle(10, lane, func(*Request) (*Answer, error) { read.Add(1); return &Answer{}, nil })
	rs.Handle(11, lane, func(*Request) (*Answer, error) { changed.Add(1); return &Answer{}, nil })
	rs.Reads(10)
	rs.Large(10)
	s, addr := serve(t, ServerOptions{Routes: rs})
	p := dialRaw(t, addr)
	for i, code := range []int32{9, 10, 11, 10, 11} {
		p.send(frameOf(code, int32(i+1), 0, ""))
	}
	eventually(t, "they wait", func() bool { return lane.Busy() == 5 && lane.Queued() == 4 })
	require.NoError(t, p.Close())
	eventually(t, "it is gone", func() bool { return len(s.Conns()) == 0 })
	close(hold)
	eventually(t, "all have ended", func() bool { return s.InFlight() == 0 && lane.Busy() == 0 })
	require.Zero(t, read.Load())
	require.EqualValues(t, 2, changed.Load())
}

// Answers that may be megabytes are built a few at a time, from the first on: no
// account can be charged with what nobody knows yet.
func TestLane_LargeAnswersFewAtATime(t *testing.T) {
	var now, most atomic.Int32
	lane := &Lane{Workers: 32}
	rs := NewRoutes()
	rs.Handle(10, lane, func(*Request) (*Answer, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
		}
		b := make([]byte, 4<<20)
		runtime.Gosched()
		return &Answer{Body: b}, nil
	})
	rs.Large(10)
	s, addr := serve(t, ServerOptions{Routes: rs, Budget: budget.New(1<<30, 1<<30)})
	for range 20 {
		dialRaw(t, addr).send(frameOf(10, 1, 0, ""))
	}
	eventually(t, "all are answered", func() bool { return s.InFlight() == 0 && most.Load() > 0 && lane.Busy() == 0 })
	require.LessOrEqual(t, int(most.Load()), max(1, runtime.GOMAXPROCS(0)/2))
}
