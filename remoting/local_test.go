package remoting

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

type (
	sendQ = header.SendMessageRequestV2
	pullQ = header.PullMessageRequest
)

// localRoutes: 310 by a batch handler, 11 parked, 14 by a worker's lane.
func localRoutes(lane *Lane) (*Routes, *atomic.Pointer[ReplyTo]) {
	rs, parked := NewRoutes(), new(atomic.Pointer[ReplyTo])
	rs.HandleBatch(protocol.SendMessageV2.Code, lane, func(qs []*Request) {
		for _, r := range qs {
			var q sendQ
			_ = q.DecodeFields(r.Cmd)
			r.To().Send(&Answer{Header: &header.SendMessageResponse{MsgID: wire.Some("batch " + q.Topic.V)}, Body: r.Cmd.Body})
		}
	})
	On(rs, protocol.PullMessage, lane, func(r *Request, q *pullQ) (*Answer, error) {
		to := r.To()
		parked.Store(&to)
		return nil, nil
	})
	On(rs, protocol.QueryConsumerOffset, &Lane{Workers: 1}, func(r *Request, q *header.QueryConsumerOffsetRequest) (*Answer, error) {
		if !q.Topic.Set {
			return nil, protocol.Errorf(protocol.QueryNotFound, "of %s", r.Peer.RemoteAddr())
		}
		if q.Topic.V == "panic" {
			panic("boom")
		}
		return &Answer{Header: &header.QueryConsumerOffsetResponse{Offset: wire.Some(int64(q.QueueID.V))}}, nil
	})
	return rs, parked
}

func TestLocal_Calls(t *testing.T) {
	lane := &Lane{Inline: true, Capacity: 1}
	rs, parked := localRoutes(lane)
	var seen []Observation
	rs.Observe(func(o Observation) { seen = append(seen, o) })
	s := NewLocalServer(LocalOptions{Routes: rs})
	c := s.Connect(LocalConnOptions{Addr: netip.MustParseAddrPort("10.1.2.3:44")})
	defer c.Close()
	ctx := context.Background()

	a, err := Call(ctx, c, protocol.SendMessageV2, &sendQ{Topic: wire.Some("T")}, []byte("body"))
	require.NoError(t, err)
	require.Equal(t, "batch T", a.Header.MsgID.V, "without a handler of its own it takes the batch's")
	require.Equal(t, "body", string(a.Body))
	OnLocal(rs, protocol.SendMessageV2, func(_ *Request, q *sendQ) (*Answer, error) {
		text := []byte("local " + q.Topic.V)
		defer clear(text)
		return &Answer{Header: &header.SendMessageResponse{MsgID: wire.Some(string(text))}}, nil
	})
	a, err = Call(ctx, c, protocol.SendMessageV2, &sendQ{Topic: wire.Some("T")}, nil)
	require.NoError(t, err)
	require.Equal(t, "local T", a.Header.MsgID.V)

	o, err := Call(ctx, c, protocol.QueryConsumerOffset, &header.QueryConsumerOffsetRequest{Topic: wire.Some("T"), QueueID: wire.Some(int32(7))}, nil)
	require.NoError(t, err)
	require.Equal(t, int64(7), o.Header.Offset.V)
	o, err = Call(ctx, c, protocol.QueryConsumerOffset, &header.QueryConsumerOffsetRequest{}, nil)
	require.NoError(t, err)
	require.ErrorIs(t, o.Err(), &protocol.Error{Code: protocol.QueryNotFound})
	require.Equal(t, "of 10.1.2.3:44", o.Remark)
	o, err = Call(ctx, c, protocol.QueryConsumerOffset, &header.QueryConsumerOffsetRequest{Topic: wire.Some("panic")}, nil)
	require.NoError(t, err)
	require.Contains(t, o.Remark, "boom")
	n, err := Call(ctx, c, protocol.GetMaxOffset, &header.GetMaxOffsetRequest{}, nil)
	require.NoError(t, err)
	require.Equal(t, protocol.RequestCodeNotSupported, n.Code)
	var codes []protocol.ResponseCode
	for _, o := range seen {
		codes = append(codes, o.Response)
	}
	require.Equal(t, []protocol.ResponseCode{0, 0, 0, protocol.QueryNotFound, protocol.SystemError, protocol.RequestCodeNotSupported}, codes)

	// Parked: its views are the caller's until Release.
	released := make(chan struct{})
	got := make(chan *Result[header.PullMessageResponse])
	go func() {
		a, _ := Call(ctx, c, protocol.PullMessage, &pullQ{}, nil)
		got <- a
	}()
	eventually(t, "it is parked", func() bool { return parked.Load() != nil })
	busy, err := Call(ctx, c, protocol.PullMessage, &pullQ{}, nil)
	require.NoError(t, err)
	require.Equal(t, protocol.SystemBusy, busy.Code, "the lane counts local calls, too")
	parked.Load().Send(&Answer{Views: [][]byte{[]byte("record")}, Release: func() { close(released) }})
	p := <-got
	require.Equal(t, "record", string(p.Views[0]))
	select {
	case <-released:
		t.Fatal("released while the caller reads")
	default:
	}
	p.Release()
	<-released
	p.Release()
	eventually(t, "nothing is in work", func() bool { return lane.Busy() == 0 })
}

func TestLocal_AdmissionsSeeAndChangeTheFields(t *testing.T) {
	rs, _ := localRoutes(nil)
	rs.Admit(func(r *Request) *Answer {
		if topic, _ := r.Cmd.Lookup("topic"); topic == "secret" {
			return Refuse(protocol.NoPermission, r.Peer.String())
		}
		r.Cmd.Set("queueId", "9")
		return nil
	})
	c := NewLocalServer(LocalOptions{Routes: rs}).Connect(LocalConnOptions{})
	defer c.Close()
	q := header.QueryConsumerOffsetRequest{Topic: wire.Some("T"), QueueID: wire.Some(int32(7))}
	a, err := Call(context.Background(), c, protocol.QueryConsumerOffset, &q, nil)
	require.NoError(t, err)
	require.Equal(t, int64(9), a.Header.Offset.V)
	q.Topic = wire.Some("secret")
	a, err = Call(context.Background(), c, protocol.QueryConsumerOffset, &q, nil)
	require.NoError(t, err)
	require.Equal(t, protocol.NoPermission, a.Code)
}

// A caller that gives up leaves nothing behind, whenever the answer comes.
func TestLocal_GivenUpAndClosed(t *testing.T) {
	rs, parked := localRoutes(nil)
	var gone atomic.Pointer[LocalConn]
	s := NewLocalServer(LocalOptions{Routes: rs, Closed: func(p Peer) { gone.Store(p.(*LocalConn)) }})
	c := s.Connect(LocalConnOptions{Receive: func(c *wire.Command) *wire.Command {
		return &wire.Command{Code: c.Code + 1, Body: c.Body}
	}})
	a, err := c.Invoke(context.Background(), &wire.Outgoing{Code: 326}, []byte("x"))
	require.NoError(t, err)
	require.Equal(t, int32(327), a.Code)
	require.NoError(t, c.Oneway(&wire.Outgoing{Code: 40}, nil))

	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("enough"))
	_, err = Call(ctx, c, protocol.PullMessage, &pullQ{}, nil)
	require.ErrorIs(t, err, ErrTimeout)
	require.ErrorContains(t, err, "enough")
	released := false
	late, stop := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer stop()
	require.Error(t, s.Shutdown(late), "it is in work until it is answered")
	parked.Load().Send(&Answer{Views: [][]byte{{1}}, Release: func() { released = true }})
	require.True(t, released)
	require.NoError(t, s.Shutdown(context.Background()))
	_, err = Call(context.Background(), c, protocol.PullMessage, &pullQ{}, nil)
	require.ErrorIs(t, err, ErrClosed)
	c.Close()
	c.Close()
	require.Same(t, c, gone.Load())
	require.False(t, c.Alive())
	require.ErrorIs(t, c.Oneway(&wire.Outgoing{}, nil), ErrClosed)
}
