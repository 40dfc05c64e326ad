package remoting

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/wire"
)

func TestServer_AnswersARequest(t *testing.T) {
	_, addr := serve(t, ServerOptions{Routes: echoRoutes(), PoisonFrames: true})
	c := client(t, ClientOptions{PoisonFrames: true})
	a, err := c.Invoke(context.Background(), addr, &wire.Outgoing{Code: 10, Ext: []wire.Field{{Key: "k", Value: "v\u0001"}}}, []byte("body"))
	require.NoError(t, err)
	require.Equal(t, "body", string(a.Body))
	v, _ := a.Lookup("k")
	require.Equal(t, "v\u0001", v)
	require.True(t, a.IsResponse())
	require.Equal(t, int32(479), a.Version)
}

// The answer's remark is that of NettyRemotingAbstract.processRequestCommand.
func TestServer_UnknownCode(t *testing.T) {
	_, addr := serve(t, ServerOptions{})
	p := dialRaw(t, addr)
	for _, code := range []int32{12345, -7, 1023, 200050} {
		p.send(frameOf(code, 5, 0, ""))
		a := p.recv()
		require.Equal(t, int32(3), a.Code)
		require.Equal(t, fmt.Sprintf(" request type %d not supported", code), a.Remark)
		require.Equal(t, int32(5), a.Opaque)
	}
}

func TestServer_AnswersInTheEncodingOfTheRequest(t *testing.T) {
	_, addr := serve(t, ServerOptions{Routes: echoRoutes()})
	p := dialRaw(t, addr)
	o := wire.Outgoing{Code: 10, Opaque: 1, Encoding: wire.Binary, Ext: []wire.Field{{Key: "a", Value: "1"}}}
	p.send(wire.AppendHead(nil, &o, 0))
	a := p.recv()
	require.Equal(t, wire.Binary, a.Encoding)
	v, _ := a.Lookup("a")
	require.Equal(t, "1", v)
}

func TestServer_ErrorsBecomeCodes(t *testing.T) {
	rs := NewRoutes()
	rs.Handle(1, nil, func(*Request) (*Answer, error) {
		return nil, fmt.Errorf("wrapped: %w", protocol.Errorf(17, "no topic %s", "T"))
	})
	rs.Handle(2, nil, func(*Request) (*Answer, error) { return nil, errors.New("two\nlines") })
	rs.Handle(3, nil, func(*Request) (*Answer, error) { panic("boom") })
	rs.HandleBatch(4, nil, func(rs []*Request) {
		rs[0].To().Send(&Answer{Code: 77})
		var none *Answer
		none.Code = 1 // a nil pointer, as a mistake of a handler
	})
	rs.Handle(5, &Lane{Workers: 1}, func(*Request) (*Answer, error) { panic("pooled boom") })
	s, addr := serve(t, ServerOptions{Routes: rs})
	p := dialRaw(t, addr)

	p.send(frameOf(1, 1, 0, ""))
	a := p.recv()
	require.Equal(t, int32(17), a.Code)
	require.Equal(t, "no topic T", a.Remark)

	p.send(frameOf(2, 2, 0, ""))
	a = p.recv()
	require.Equal(t, int32(1), a.Code)
	require.Equal(t, "two lines", a.Remark)

	p.send(frameOf(3, 3, 0, ""))
	a = p.recv()
	require.Equal(t, int32(1), a.Code)
	require.Regexp(t, `^boom, .*TestServer_ErrorsBecomeCodes.*\(basic_test\.go:\d+\)$`, a.Remark)

	p.send(append(frameOf(4, 4, 0, ""), frameOf(4, 5, 0, "")...))
	a, b := p.recv(), p.recv()
	require.Equal(t, []int32{77, 1}, []int32{a.Code, b.Code}, "an answer given before the panic stands")
	require.Contains(t, b.Remark, "nil pointer")

	p.send(frameOf(5, 6, 0, ""))
	require.Contains(t, p.recv().Remark, "pooled boom")
	eventually(t, "no request is in work", func() bool { return s.InFlight() == 0 })
}

func TestServer_OnewayIsNeverAnswered(t *testing.T) {
	seen := make(chan int32, 16)
	lane := &Lane{Workers: 1}
	rs := NewRoutes()
	note := func(r *Request) (*Answer, error) { seen <- r.Cmd.Opaque; return &Answer{Body: []byte("x")}, nil }
	rs.Handle(1, nil, note)
	rs.Handle(2, lane, note)
	rs.Handle(3, nil, func(r *Request) (*Answer, error) { seen <- r.Cmd.Opaque; panic("one-way") })
	rs.HandleBatch(4, nil, func(qs []*Request) {
		for _, q := range qs {
			seen <- q.Cmd.Opaque
			q.To().Send(&Answer{})
		}
	})
	rs.Handle(9, nil, echo)
	s, addr := serve(t, ServerOptions{Routes: rs})
	p := dialRaw(t, addr)
	var b []byte
	for i, code := range []int32{1, 2, 3, 4, 99} {
		b = append(b, frameOf(code, int32(i), wire.FlagOneway, "")...)
	}
	p.send(append(b, frameOf(9, 100, 0, "")...))
	require.Equal(t, int32(100), p.recv().Opaque, "the only answer")
	for range 4 {
		<-seen
	}
	eventually(t, "one-way requests are not in work any more", func() bool { return s.InFlight() == 0 && lane.Busy() == 0 })
}

func TestServer_PipelinedAnswersOutOfOrder(t *testing.T) {
	var mu sync.Mutex
	var parked []ReplyTo
	rs := echoRoutes()
	rs.Handle(11, nil, func(r *Request) (*Answer, error) {
		mu.Lock()
		defer mu.Unlock()
		parked = append(parked, r.To())
		return nil, nil
	})
	s, addr := serve(t, ServerOptions{Routes: rs, PoisonFrames: true})
	p := dialRaw(t, addr)
	const n = 50
	var b []byte
	for i := range n {
		b = append(b, frameOf(11, int32(i), 0, "")...)
	}
	p.send(append(b, frameOf(10, 1000, 0, "now")...))
	require.Equal(t, int32(1000), p.recv().Opaque)
	require.Equal(t, n, s.InFlight())
	mu.Lock()
	defer mu.Unlock()
	for i := n - 1; i >= 0; i-- {
		go parked[i].Send(&Answer{Code: 19})
	}
	got := map[int32]bool{}
	for range n {
		a := p.recv()
		require.Equal(t, int32(19), a.Code)
		got[a.Opaque] = true
	}
	require.Len(t, got, n)
	for _, to := range parked {
		to.Send(&Answer{Code: 20}) // a second answer goes nowhere
	}
	p.send(frameOf(10, 1001, 0, ""))
	require.Equal(t, int32(1001), p.recv().Opaque)
	require.Zero(t, s.InFlight())
}

func TestServer_BatchGetsNeighbours(t *testing.T) {
	var mu sync.Mutex
	var sizes []int
	rs := echoRoutes()
	rs.HandleBatches([]protocol.Code{20, 21}, nil, func(qs []*Request) {
		mu.Lock()
		sizes = append(sizes, len(qs))
		mu.Unlock()
		for _, q := range qs {
			q.To().Send(&Answer{Body: q.Cmd.Body})
		}
	})
	_, addr := serve(t, ServerOptions{Routes: rs, PoisonFrames: true})
	p := dialRaw(t, addr)
	var b []byte
	for i := range 6 {
		code := int32(20 + i%2)
		if i == 4 {
			code = 10 // breaks the row
		}
		b = append(b, frameOf(code, int32(i), 0, strings.Repeat("x", i))...)
	}
	p.send(b)
	for i := range 6 {
		a := p.recv()
		require.Equal(t, int32(i), a.Opaque)
		require.Len(t, a.Body, i)
	}
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []int{4, 1}, sizes)
}

// What comes while a wake-up runs is taken as it lies in many buffers: no byte is
// lost where they meet, and none is in another frame's place.
func TestServer_BurstsOverManyBuffers(t *testing.T) {
	rs := echoRoutes()
	held, hold := make(chan struct{}), make(chan struct{})
	rs.Handle(11, nil, func(r *Request) (*Answer, error) { held <- struct{}{}; <-hold; return &Answer{}, nil })
	rs.HandleBatches([]protocol.Code{20}, nil, func(qs []*Request) {
		for _, q := range qs {
			q.To().Send(&Answer{Body: q.Cmd.Body})
		}
	})
	s, addr := serve(t, ServerOptions{Routes: rs, PoisonFrames: true})
	p := dialRaw(t, addr)
	const rounds, frames = 5, 700
	body := func(i int) string { return strings.Repeat(string(rune('a'+i%26)), i*37%5000) }
	var b []byte
	for i := range frames {
		b = append(b, frameOf(int32(10+i%3/2*10), int32(i), 0, body(i))...)
	}
	for range rounds {
		p.send(frameOf(11, frames, 0, ""))
		<-held
		sent := make(chan error, 1)
		go func() { _, err := p.Write(b); sent <- err }()
		eventually(t, "a burst that waits", func() bool {
			c := s.Conns()
			return len(c) == 1 && c[0].nc.Reader().Len() > inOneAbove
		})
		hold <- struct{}{}
		require.Equal(t, int32(frames), p.recv().Opaque)
		for i := range frames {
			a := p.recv()
			require.Equal(t, int32(i), a.Opaque)
			require.True(t, body(i) == string(a.Body), "body %d", i)
		}
		require.NoError(t, <-sent)
	}
}

func TestConn_ServerCallsClient(t *testing.T) {
	back := NewRoutes()
	notes := make(chan string, 1)
	back.Handle(39, nil, func(r *Request) (*Answer, error) {
		return &Answer{Body: append([]byte("re:"), r.Cmd.Body...)}, nil
	})
	back.Handle(40, nil, func(r *Request) (*Answer, error) { notes <- string(r.Cmd.Body); return nil, nil })
	conns := make(chan *Conn, 1)
	rs := NewRoutes()
	rs.Handle(34, nil, func(r *Request) (*Answer, error) { conns <- r.Conn; return &Answer{}, nil })
	_, addr := serve(t, ServerOptions{Routes: rs})
	c := client(t, ClientOptions{Routes: back})
	_, err := c.Invoke(context.Background(), addr, &wire.Outgoing{Code: 34}, nil)
	require.NoError(t, err)
	conn := <-conns
	require.True(t, conn.Alive())
	a, err := conn.Invoke(context.Background(), &wire.Outgoing{Code: 39}, []byte("check"))
	require.NoError(t, err)
	require.Equal(t, "re:check", string(a.Body))
	require.NoError(t, conn.Oneway(&wire.Outgoing{Code: 40}, []byte("ids changed")))
	require.Equal(t, "ids changed", <-notes)
	a, err = conn.Invoke(context.Background(), &wire.Outgoing{Code: 41}, nil)
	require.NoError(t, err)
	require.Equal(t, int32(3), a.Code)

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.Close()
	select {
	case <-conn.Done():
	case <-ctx.Done():
		t.Fatal("the connection stays")
	}
	_, err = conn.Invoke(ctx, &wire.Outgoing{Code: 39}, nil)
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, conn.Oneway(&wire.Outgoing{Code: 40}, nil), ErrClosed)
}

func TestClient_TimesOutReconnectsAndCalls(t *testing.T) {
	rs := echoRoutes()
	rs.Handle(11, nil, func(r *Request) (*Answer, error) { return nil, nil }) // never answers
	rs.Handle(12, nil, func(r *Request) (*Answer, error) { r.Conn.Close(); return nil, nil })
	s, addr := serve(t, ServerOptions{Routes: rs, Limits: Limits{MaxCalls: 7}})
	c := client(t, ClientOptions{Limits: Limits{MaxCalls: 2}})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	_, err := c.Invoke(ctx, addr, &wire.Outgoing{Code: 11}, nil)
	require.ErrorIs(t, err, ErrTimeout)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	_, err = c.Invoke(context.Background(), addr, &wire.Outgoing{Code: 12}, nil)
	require.ErrorIs(t, err, ErrClosed)
	_, err = c.Invoke(context.Background(), addr, &wire.Outgoing{Code: 10}, []byte("again"))
	require.NoError(t, err)

	late := make(chan error, 2)
	short, cancel2 := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel2()
	for range 2 {
		require.NoError(t, c.Go(short, addr, &wire.Outgoing{Code: 11}, nil, func(_ *wire.Command, err error) { late <- err }))
	}
	require.ErrorIs(t, c.Go(short, addr, &wire.Outgoing{Code: 11}, nil, nil), ErrBusy)
	require.ErrorIs(t, <-late, ErrTimeout)
	require.ErrorIs(t, <-late, ErrTimeout)

	_, err = c.Invoke(context.Background(), "127.0.0.1:1", &wire.Outgoing{Code: 10}, nil)
	require.ErrorContains(t, err, "127.0.0.1:1")
	_, err = c.Invoke(context.Background(), "nonsense", &wire.Outgoing{Code: 10}, nil)
	require.Error(t, err)
	for _, conn := range s.Conns() { // the requests of code 11 stay in work for ever
		conn.Close()
	}
	s.ep.drain.busy.Store(0)
}
