package remoting

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol/wire"
)

const overload = "[OVERLOAD]system busy, start flow control for a while"

func TestLane_FullIsAnAnswer(t *testing.T) {
	var mu sync.Mutex
	var parked []ReplyTo
	park := func(r *Request) (*Answer, error) {
		mu.Lock()
		defer mu.Unlock()
		parked = append(parked, r.To())
		return nil, nil
	}
	inline := &Lane{Inline: true, Capacity: 3}
	batch := &Lane{Inline: true, Capacity: 3}
	pooled := &Lane{Workers: 2, Capacity: 3}
	rs := NewRoutes()
	rs.Handle(10, inline, park)
	rs.HandleBatch(11, batch, func(qs []*Request) {
		for _, q := range qs {
			_, _ = park(q)
		}
	})
	rs.Handle(12, pooled, park)
	_, addr := serve(t, ServerOptions{Routes: rs})
	p := dialRaw(t, addr)
	for _, code := range []int32{10, 11, 12} {
		var b []byte
		for i := range 5 {
			b = append(b, frameOf(code, int32(i), 0, "")...)
		}
		p.send(append(b, frameOf(code, 9, wire.FlagOneway, "")...))
		for want := int32(3); want < 5; want++ {
			a := p.recv()
			require.Equal(t, int32(2), a.Code)
			require.Equal(t, overload, a.Remark)
			require.Equal(t, want, a.Opaque)
		}
		eventually(t, "three are parked", func() bool { mu.Lock(); defer mu.Unlock(); return len(parked) == 3 })
		mu.Lock()
		for _, to := range parked {
			to.Send(&Answer{})
		}
		parked = nil
		mu.Unlock()
		for range 3 {
			require.Zero(t, p.recv().Code)
		}
	}
	for _, l := range []*Lane{inline, batch, pooled} {
		require.Zero(t, l.Busy())
	}
}

func TestLane_BytesAreBounded(t *testing.T) {
	hold := make(chan struct{})
	lane := &Lane{Workers: 1, MaxBytes: 2100} // a request takes about 512 bytes beside its body
	rs := NewRoutes()
	rs.Handle(10, lane, func(r *Request) (*Answer, error) { <-hold; return &Answer{}, nil })
	s, addr := serve(t, ServerOptions{Routes: rs})
	p := dialRaw(t, addr)
	p.send(frameOf(10, 1, 0, strings.Repeat("x", 600)))
	p.send(frameOf(10, 2, 0, strings.Repeat("x", 600)))
	a := p.recv()
	require.Equal(t, []any{int32(2), int32(2), overload}, []any{a.Opaque, a.Code, a.Remark})
	p.send(frameOf(10, 3, wire.FlagOneway, strings.Repeat("x", 400)))
	eventually(t, "it waits", func() bool { return lane.Queued() == 1 })
	close(hold)
	require.Equal(t, int32(1), p.recv().Opaque)
	eventually(t, "all is given back", func() bool { return lane.bytes.Load() == 0 && s.InFlight() == 0 })
}

// BrokerFastFailure.cleanExpiredRequestInQueue.
func TestLane_OldRequestsLeaveTheQueue(t *testing.T) {
	ck := clock.NewManual(time.UnixMilli(1_000_000))
	hold := make(chan struct{})
	lane := &Lane{Workers: 1, MaxWait: func() time.Duration { return 200 * time.Millisecond }}
	rs := NewRoutes()
	rs.Handle(10, lane, func(r *Request) (*Answer, error) { <-hold; return &Answer{}, nil })
	s, addr := serve(t, ServerOptions{Routes: rs, Clock: ck})
	p := dialRaw(t, addr)
	p.send(frameOf(10, 1, 0, ""))
	eventually(t, "the worker is busy", func() bool { return s.InFlight() == 1 && lane.Queued() == 0 })
	p.send(append(frameOf(10, 2, 0, ""), frameOf(10, 3, wire.FlagOneway, "")...))
	eventually(t, "two wait", func() bool { return lane.Queued() == 2 })
	ck.Advance(150 * time.Millisecond)
	p.send(frameOf(10, 4, 0, ""))
	eventually(t, "three wait", func() bool { return lane.Queued() == 3 })
	require.Equal(t, int64(150), lane.HeadWait(ck.NowMillis()))
	eventually(t, "the old ones are gone", func() bool {
		if lane.Queued() == 3 {
			ck.Advance(20 * time.Millisecond)
		}
		return lane.Queued() == 1
	})
	a := p.recv()
	require.Equal(t, int32(2), a.Code)
	require.Equal(t, int32(2), a.Opaque)
	require.Regexp(t, `^\[TIMEOUT_CLEAN_QUEUE\]broker busy, start flow control for a while, period in queue: 2\d\dms, size of queue: 2$`, a.Remark)
	close(hold)
	require.Zero(t, p.recv().Code)
	require.Zero(t, p.recv().Code)
	eventually(t, "nothing is in work", func() bool { return s.InFlight() == 0 && lane.Busy() == 0 })
}

func TestAnswer_Views(t *testing.T) {
	var released atomic.Int32
	rnd := rand.New(rand.NewPCG(1, 2))
	var want []byte
	var views [][]byte
	for range 150 { // more pieces than netpoll writes in one call
		v := make([]byte, rnd.IntN(12000))
		for i := range v {
			v[i] = byte(rnd.Uint32())
		}
		views = append(views, v)
		want = append(want, v...)
	}
	rs := echoRoutes()
	rs.Handle(11, nil, func(r *Request) (*Answer, error) {
		return &Answer{Body: []byte("head"), Views: views, Release: func() { released.Add(1) }}, nil
	})
	rs.Handle(12, nil, func(r *Request) (*Answer, error) {
		return &Answer{Views: [][]byte{[]byte("tiny")}, Release: func() { released.Add(1) }}, nil
	})
	_, addr := serve(t, ServerOptions{Routes: rs, PoisonFrames: true})
	p := dialRaw(t, addr)
	p.send(bytes.Join([][]byte{frameOf(11, 1, 0, ""), frameOf(10, 2, 0, "between"), frameOf(12, 3, 0, ""), frameOf(11, 4, 0, "")}, nil))
	require.Equal(t, append([]byte("head"), want...), p.recv().Body)
	require.Equal(t, "between", string(p.recv().Body))
	require.Equal(t, "tiny", string(p.recv().Body))
	require.Equal(t, append([]byte("head"), want...), p.recv().Body)
	eventually(t, "each is released once", func() bool { return released.Load() == 3 })
	p.send(frameOf(11, 5, wire.FlagOneway, ""))
	eventually(t, "also of a one-way request", func() bool { return released.Load() == 4 })
}

// Many goroutines answer one connection at the same time: netpoll refuses
// concurrent flushes, the output serialises them.
func TestConn_AnswersFromEverywhere(t *testing.T) {
	rs := echoRoutes()
	rs.Handle(11, nil, func(r *Request) (*Answer, error) {
		to, n := r.To(), int(r.Cmd.Opaque)
		go to.Send(&Answer{Body: []byte(fmt.Sprint(n, strings.Repeat("z", n%5000)))})
		return nil, nil
	})
	_, addr := serve(t, ServerOptions{Routes: rs, PoisonFrames: true})
	c := client(t, ClientOptions{PoisonFrames: true})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := range 250 {
				code := int32(10 + (i+j)%2)
				a, err := c.Invoke(context.Background(), addr, &wire.Outgoing{Code: code}, []byte("b"))
				if err != nil || a.Code != 0 || len(a.Body) == 0 {
					t.Errorf("call %d/%d: %v %v", i, j, a, err)
					return
				}
			}
		}()
	}
	wg.Wait()
	require.Len(t, c.ep.registry.appendTo(nil), 1, "one connection for all")
}

// A handler that keeps an alias of a frame sees it change; the copies of a
// pooled lane stay.
func TestPoisonFrames(t *testing.T) {
	kept := make(chan *wire.Command, 4)
	var alias atomic.Pointer[string]
	rs := echoRoutes()
	rs.Handle(11, nil, func(r *Request) (*Answer, error) {
		v, _ := r.Cmd.Lookup("key")
		alias.Store(&v)
		return &Answer{}, nil
	})
	rs.Handle(12, &Lane{Workers: 1}, func(r *Request) (*Answer, error) { kept <- r.Cmd; return &Answer{}, nil })
	_, addr := serve(t, ServerOptions{Routes: rs, PoisonFrames: true})
	p := dialRaw(t, addr)
	f := wire.Field{Key: "key", Value: "value"}
	p.send(append(frameOf(11, 1, 0, "", f), frameOf(12, 2, 0, "body", f)...))
	p.recv()
	p.recv()
	p.send(frameOf(10, 3, 0, ""))
	p.recv() // the first wake-up is over
	require.NotEqual(t, "value", *alias.Load())
	own := <-kept
	v, _ := own.Lookup("key")
	require.Equal(t, "value", v)
	require.Equal(t, "body", string(own.Body))
}

func TestServer_ShutdownWaitsAndSaysGoAway(t *testing.T) {
	parked := make(chan ReplyTo, 1)
	rs := echoRoutes()
	rs.Handle(11, nil, func(r *Request) (*Answer, error) { parked <- r.To(); return nil, nil })
	s := NewServer(ServerOptions{Routes: rs, GoAway: true})
	require.NoError(t, s.Start())
	require.Error(t, s.Start())
	addr := s.Addr().String()
	p := dialRaw(t, addr)
	p.send(frameOf(11, 1, 0, ""))
	to := <-parked
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	eventually(t, "it drains", func() bool { return s.ep.drain.mode.Load() == drainingGoAway })

	p.send(frameOf(10, 2, 0, ""))
	a := p.recv()
	require.Equal(t, int32(1500), a.Code)
	require.Equal(t, "please go away", a.Remark)
	old := wire.Outgoing{Code: 10, Opaque: 3, Version: 475}
	p.send(append(wire.AppendHead(nil, &old, 3), "old"...))
	require.Equal(t, "old", string(p.recv().Body), "a client that does not know the code is served")
	p.send(frameOf(99, 4, 0, ""))
	require.Equal(t, int32(3), p.recv().Code)
	eventually(t, "nobody gets in", func() bool {
		c, err := (&netDialer{}).dial(addr)
		if err != nil {
			return true
		}
		c.Close()
		return false
	})
	select {
	case <-done:
		t.Fatal("it did not wait for the parked request")
	default:
	}
	to.Send(&Answer{Body: []byte("last")})
	require.Equal(t, "last", string(p.recv().Body))
	require.NoError(t, <-done)
	p.closedByPeer()
	require.NoError(t, s.Shutdown(context.Background()), "a second time does nothing")
}

func TestServer_ShutdownGivesUpWithItsContext(t *testing.T) {
	parked := make(chan ReplyTo, 1)
	rs := echoRoutes()
	rs.Handle(11, &Lane{Workers: 1}, func(r *Request) (*Answer, error) { parked <- r.To(); return nil, nil })
	s := NewServer(ServerOptions{Routes: rs})
	require.NoError(t, s.Start())
	p := dialRaw(t, s.Addr().String())
	p.send(frameOf(11, 1, 0, ""))
	to := <-parked
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Shutdown(ctx), context.DeadlineExceeded)
	p.closedByPeer()
	to.Send(&Answer{})
}

func TestServer_LanesAreShared(t *testing.T) {
	lane := &Lane{Workers: 1}
	rs := NewRoutes()
	rs.Handle(10, lane, echo)
	_, one := serve(t, ServerOptions{Routes: rs})
	two := NewServer(ServerOptions{Routes: rs})
	require.NoError(t, two.Start())
	for _, addr := range []string{one, two.Addr().String()} {
		p := dialRaw(t, addr)
		p.send(frameOf(10, 1, 0, "x"))
		p.recv()
	}
	stop(t, two)
	p := dialRaw(t, one)
	p.send(frameOf(10, 1, 0, "still"))
	require.Equal(t, "still", string(p.recv().Body))
}

// The more wake-ups have much to do, the shorter is what each has the processor for;
// one that has it alone is hardly stopped.
func TestPart(t *testing.T) {
	require.Equal(t, 2*roundTime, part(2, 1))
	require.Equal(t, roundTime/4, part(2, 8))
	require.Equal(t, leastPart, part(2, 10_000))
}

// A wake-up with much to do writes what it has before its end, lets others go on, and
// is counted as long as it lasts.
func TestWakeup_WritesWhileItWorks(t *testing.T) {
	var n, long atomic.Int64
	hold := make(chan struct{})
	const last = 20_000
	rs := NewRoutes()
	rs.Handle(10, nil, func(r *Request) (*Answer, error) {
		if n.Add(1) == last {
			long.Store(r.Conn.ep.long.Load())
			<-hold
		}
		for began := time.Now(); time.Since(began) < 2*time.Microsecond; {
		}
		return &Answer{}, nil
	})
	s, addr := serve(t, ServerOptions{Routes: rs})
	p := dialRaw(t, addr)
	ask := frameOf(10, 1, 0, "")
	go func() { _, _ = p.Write([]byte(strings.Repeat(string(ask), last))) }()
	for range last / 2 {
		p.recv()
	}
	eventually(t, "it has come to the last", func() bool { return n.Load() == last })
	require.EqualValues(t, 1, long.Load())
	close(hold)
	for range last / 2 {
		p.recv()
	}
	eventually(t, "nobody is counted any more", func() bool { return s.ep.long.Load() == 0 })
}
