package remoting

import (
	"context"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/wire"
)

// styles are the three ways a request is dispatched: 1 alone in place, 2 by a worker,
// 3 with its neighbours in place, 4 with its neighbours by a worker. Each answers with
// the fields it has seen.
func styles(seen func(*Request)) *Routes {
	answer := func(r *Request) *Answer {
		seen(r)
		return &Answer{Code: 7, Ext: append([]wire.Field(nil), r.Cmd.Ext...)}
	}
	single := func(r *Request) (*Answer, error) { return answer(r), nil }
	batch := func(rs []*Request) {
		for _, r := range rs {
			r.To().Send(answer(r))
		}
	}
	pooled := &Lane{Workers: 1}
	rs := NewRoutes()
	rs.Handle(1, nil, single)
	rs.Handle(2, pooled, single)
	rs.HandleBatch(3, nil, batch)
	rs.HandleBatch(4, pooled, batch)
	return rs
}

func field(key, value string) wire.Field { return wire.Field{Key: key, Value: value} }

func TestAdmit_RefusesAndRewritesEveryStyle(t *testing.T) {
	var mu sync.Mutex
	var handled []int32
	rs := styles(func(r *Request) {
		mu.Lock()
		defer mu.Unlock()
		handled = append(handled, r.Cmd.Opaque)
	})
	rs.Admit(func(r *Request) *Answer {
		if user, _ := r.Cmd.Lookup("user"); user != string(r.Cmd.Body) {
			return Refuse(protocol.NoPermission, "not "+string(r.Cmd.Body))
		}
		r.Cmd.Set("topic", "physical")
		r.Cmd.Remove("user")
		r.OnAnswer(func(a *Answer) { a.Ext = append(a.Ext, field("inner", strconv.Itoa(len(a.Ext)))) })
		return nil
	})
	rs.Admit(func(r *Request) *Answer {
		if topic, _ := r.Cmd.Lookup("topic"); topic != "physical" {
			return Refuse(protocol.SystemError, "the second sees what the first made of it")
		}
		if _, panics := r.Cmd.Lookup("panic"); panics {
			panic("admission")
		}
		r.OnAnswer(func(a *Answer) { a.Ext = append(a.Ext, field("outer", strconv.Itoa(len(a.Ext)))) })
		return nil
	})
	s, addr := serve(t, ServerOptions{Routes: rs, PoisonFrames: true})
	p := dialRaw(t, addr)
	for code := int32(1); code <= 4; code++ {
		p.send(frameOf(code, 10*code, 0, "me", field("topic", "logical"), field("user", "me")))
		a := p.recv()
		require.Equal(t, int32(7), a.Code, code)
		require.Equal(t, []wire.Field{field("topic", "physical"), field("outer", "1"), field("inner", "2")}, a.Ext, code)

		p.send(frameOf(code, 10*code+1, 0, "me", field("topic", "logical"), field("user", "you")))
		a = p.recv()
		require.Equal(t, int32(protocol.NoPermission), a.Code, code)
		require.Equal(t, "not me", a.Remark)

		p.send(frameOf(code, 10*code+2, 0, "me", field("user", "me"), field("panic", "")))
		a = p.recv()
		require.Equal(t, int32(protocol.SystemError), a.Code, code)
		require.Contains(t, a.Remark, "admission")
	}
	p.send(frameOf(99, 990, 0, "me", field("user", "you")))
	require.Equal(t, int32(protocol.NoPermission), p.recv().Code, "a code without a route")
	p.send(append(frameOf(1, 5, wire.FlagOneway, "me", field("user", "you")), frameOf(1, 6, wire.FlagOneway, "me", field("user", "me"))...))
	p.send(frameOf(1, 7, 0, "me", field("user", "me")))
	require.Equal(t, int32(7), p.recv().Opaque, "one-way requests get no answer, refused or not")
	mu.Lock()
	require.Equal(t, []int32{10, 20, 30, 40, 6, 7}, handled, "no handler sees what was refused")
	mu.Unlock()
	eventually(t, "nothing is in work", func() bool { return s.InFlight() == 0 })
}

// Every request is told once, whichever way it ended.
func TestObserve_EveryStyle(t *testing.T) {
	var mu sync.Mutex
	got := map[int32][]Observation{}
	rs := styles(func(*Request) {})
	var late []ReplyTo
	keep := func(r *Request) (*Answer, error) {
		mu.Lock()
		defer mu.Unlock()
		late = append(late, r.To())
		return nil, nil
	}
	rs.Handle(5, nil, keep)
	rs.Handle(6, &Lane{Inline: true, Capacity: 1}, keep)
	rs.Handle(8, nil, func(*Request) (*Answer, error) { panic("boom") })
	rs.Admit(func(r *Request) *Answer {
		if string(r.Cmd.Body) == "refuse" {
			return Refuse(protocol.NoPermission, "")
		}
		return nil
	})
	rs.Observe(func(o Observation) {
		mu.Lock()
		defer mu.Unlock()
		require.LessOrEqual(t, o.Arrived, o.Answered)
		require.NotZero(t, o.Arrived)
		require.NotZero(t, o.Peer)
		got[int32(o.Code)] = append(got[int32(o.Code)], o)
	})
	_, addr := serve(t, ServerOptions{Routes: rs})
	p := dialRaw(t, addr)
	var b []byte
	for code := int32(1); code <= 4; code++ {
		b = append(b, frameOf(code, code, 0, "")...)
		b = append(b, frameOf(code, code, wire.FlagOneway, "")...)
		b = append(b, frameOf(code, code, 0, "refuse")...)
	}
	b = append(b, frameOf(5, 0, 0, "")...)
	b = append(b, frameOf(5, 0, wire.FlagOneway, "")...)
	b = append(b, frameOf(6, 0, 0, "")...)
	b = append(b, frameOf(6, 0, 0, "")...) // no room in its lane
	b = append(b, frameOf(8, 0, 0, "")...)
	b = append(b, frameOf(99, 0, 0, "")...)
	p.send(b)
	for range 11 {
		p.recv()
	}
	mu.Lock()
	waiting := late
	mu.Unlock()
	for _, to := range waiting {
		to.Send(&Answer{Code: 9})
		to.Send(&Answer{Code: 10})
	}
	responses := func(code int32) (out []int) {
		mu.Lock()
		defer mu.Unlock()
		for _, o := range got[code] {
			n := int(o.Response)
			if o.Oneway {
				n = -n
			}
			out = append(out, n)
		}
		return out
	}
	for code := int32(1); code <= 4; code++ {
		eventually(t, "three of each style", func() bool { return len(responses(code)) == 3 })
		require.ElementsMatch(t, []int{7, -7, int(protocol.NoPermission)}, responses(code))
	}
	require.ElementsMatch(t, []int{9, -9}, responses(5), "late answers, once")
	require.ElementsMatch(t, []int{9, int(protocol.SystemBusy)}, responses(6))
	require.Equal(t, []int{int(protocol.SystemError)}, responses(8))
	require.Equal(t, []int{int(protocol.RequestCodeNotSupported)}, responses(99))
}

// A table without admissions and observers allocates nothing more for a request, and
// one with an observer nothing for it.
func TestObserve_AllocatesNothing(t *testing.T) {
	var n int
	var last Observation
	rs := NewRoutes()
	rs.Observe(func(o Observation) { n++; last = o })
	ep := newEndpoint(ServerOptions{Routes: rs}, 1)
	c := &Conn{ep: ep, id: 3}
	c.out.dead = true
	lane := &Lane{Inline: true}
	r := &Request{Conn: c, Cmd: &wire.Command{Code: 10}, Arrived: 5}
	a := &Answer{Code: 1, At: 9}
	require.Zero(t, testing.AllocsPerRun(100, func() { newReplyTo(c, lane, r).Send(a) }))
	require.Equal(t, 101, n)
	require.Equal(t, Observation{Code: 10, Response: 1, Arrived: 5, Answered: 9, Peer: 3}, last)
}

// An admission that panics or refuses gives back what the request had, also when
// requests of one wake-up are refused in the middle of neighbours.
func TestAdmit_InTheMiddleOfNeighbours(t *testing.T) {
	var sizes []int
	rs := NewRoutes()
	rs.HandleBatch(3, nil, func(qs []*Request) {
		sizes = append(sizes, len(qs))
		for _, q := range qs {
			q.To().Send(&Answer{})
		}
	})
	rs.Admit(func(r *Request) *Answer {
		if r.Cmd.Opaque == 2 {
			return Refuse(protocol.NoPermission, "")
		}
		return nil
	})
	s, addr := serve(t, ServerOptions{Routes: rs})
	p := dialRaw(t, addr)
	var b []byte
	for i := range int32(5) {
		b = append(b, frameOf(3, i, 0, "")...)
	}
	p.send(b)
	codes := map[int32]int32{}
	for range 5 {
		a := p.recv()
		codes[a.Opaque] = a.Code
	}
	require.Equal(t, map[int32]int32{0: 0, 1: 0, 2: int32(protocol.NoPermission), 3: 0, 4: 0}, codes)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, s.Shutdown(ctx))
	require.Equal(t, []int{4}, sizes)
}
