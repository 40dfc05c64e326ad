package broker

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// producerClient connects a client of producer group P that handles what the
// broker asks.
func (r *rig) producerClient(id string, routes *remoting.Routes) *remoting.Client {
	c := remoting.NewClient(remoting.ClientOptions{Routes: routes})
	r.t.Cleanup(func() { c.Close() })
	hb, err := body.Marshal(&body.HeartbeatData{ClientID: id, ProducerDataSet: []body.ProducerData{{GroupName: "P"}}})
	require.NoError(r.t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	a, err := c.Invoke(ctx, r.Addr(), &wire.Outgoing{Code: int32(protocol.HeartBeat.Code), Version: 401}, hb)
	require.NoError(r.t, err)
	require.Zero(r.t, a.Code)
	return c
}

// ReplyMessageProcessor: the answer to SEND_REPLY_MESSAGE tells how the push went.
func TestReply_PushedToTheClientThatAsked(t *testing.T) {
	r := newRig(t, "")
	type pushed struct {
		header.ReplyMessageRequest
		body string
	}
	got := make(chan pushed, 4)
	var refuse atomic.Bool
	routes := remoting.NewRoutes()
	remoting.On(routes, protocol.PushReplyMessageToClient, &remoting.Lane{Name: "push", Workers: 1, Capacity: 10},
		func(q *remoting.Request, h *header.ReplyMessageRequest) (*remoting.Answer, error) {
			got <- pushed{*h, string(q.Cmd.Body)}
			if refuse.Load() {
				return remoting.Refuse(protocol.SystemError, "no"), nil
			}
			return &remoting.Answer{}, nil
		})
	r.producerClient("asker", routes)
	const replies = "DefaultCluster_REPLY_TOPIC"
	send := func(code protocol.Code, to string) (*wire.Command, header.SendMessageResponse) {
		a := r.call(code, sendHeader(replies, 0, "MSG_TYPE", "reply", "CORRELATION_ID", "1", "REPLY_TO_CLIENT", to), []byte("answer"))
		var h header.SendMessageResponse
		require.NoError(t, h.DecodeFields(a))
		return a, h
	}
	a, h := send(protocol.SendReplyMessageV2.Code, "asker")
	require.Zero(t, a.Code, a.Remark)
	require.Zero(t, h.QueueOffset.V)
	require.Len(t, h.MsgID.V, 32)
	p := <-got
	require.Equal(t, "answer", p.body)
	require.Equal(t, replies, p.Topic.V)
	require.Contains(t, p.BornHost.V, "127.0.0.1:")
	require.Equal(t, r.Addr(), p.StoreHost.V)
	for _, name := range []string{message.PropertyPushReplyTime, message.PropertyMsgRegion, message.PropertyTraceSwitch} {
		_, ok := message.Get([]byte(p.Properties.V), name)
		require.True(t, ok, name)
	}

	a, h = send(protocol.SendReplyMessageV2.Code, "nobody")
	require.Equal(t, protocol.SystemError, protocol.ResponseCode(a.Code))
	require.Equal(t, "push reply message fail, channel of <nobody> not found.", a.Remark)
	require.EqualValues(t, 1, h.QueueOffset.V, "stored all the same, as in Java")

	refuse.Store(true)
	a, _ = send(protocol.SendReplyMessageV2.Code, "asker")
	require.Equal(t, "push reply message to askerfail.", a.Remark)
	<-got
	a = r.call(protocol.SendReplyMessageV2.Code, sendHeader(replies, 0), []byte("x"))
	require.Equal(t, "reply message properties[REPLY_TO_CLIENT] is null", a.Remark)
	a = r.call(protocol.SendReplyMessageV2.Code, sendHeader("SCHEDULE_TOPIC_XXXX", 0), []byte("x"))
	require.Equal(t, protocol.NoPermission, protocol.ResponseCode(a.Code))

	a = r.call(protocol.SendReplyMessageV2.Code, &header.SendMessageRequestV2{QueueID: wire.Some(int32(0))}, []byte("x"))
	require.Equal(t, protocol.InvalidParameter, protocol.ResponseCode(a.Code), "no topic is a blank one")
	lacking := sendHeader(replies, 0, "REPLY_TO_CLIENT", "asker")
	lacking.Flag.Set = false
	a = r.call(protocol.SendReplyMessageV2.Code, lacking, []byte("x"))
	require.Equal(t, "the request has no queueId, sysFlag, bornTimestamp or flag", a.Remark)

	refuse.Store(false)
	require.NoError(t, r.opts.Config.Update(map[string]string{"storeReplyMessageEnable": "false"}))
	a, h = send(protocol.SendReplyMessageV2.Code, "asker")
	require.Zero(t, a.Code, a.Remark)
	require.Equal(t, "0", h.MsgID.V)
	<-got
}

// A transaction over the wire: what sending, the check and the end agree upon. The
// producer that sent the message is gone and another of its group is asked.
func TestTransaction_OverTheWire(t *testing.T) {
	r := newRig(t, "transactionCheckInterval=50\ntransactionTimeOut=50\n")
	asked := make(chan header.CheckTransactionStateRequest, 100)
	routes := remoting.NewRoutes()
	remoting.On(routes, protocol.CheckTransactionState, &remoting.Lane{Name: "check", Workers: 1, Capacity: 10},
		func(_ *remoting.Request, h *header.CheckTransactionStateRequest) (*remoting.Answer, error) {
			asked <- *h
			return nil, nil
		})
	gone := r.producerClient("gone", remoting.NewRoutes())
	rh := r.send("T", 2, "text", "TRAN_MSG", "true", "PGROUP", "P", "UNIQ_KEY", "k")
	require.EqualValues(t, 2, rh.QueueID.V, "the answer names the real queue")
	require.EqualValues(t, 0, rh.QueueOffset.V)
	require.Equal(t, "k", rh.TransactionID.V)
	gone.Close()
	c := r.producerClient("other", routes)
	var q header.CheckTransactionStateRequest
	select {
	case q = <-asked:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was asked")
	}
	require.Equal(t, "k", q.TransactionID.V)
	_, _, ms := r.pull(pullHeader("T", 2, 0, 0))
	require.Empty(t, ms)
	require.NoError(t, c.Oneway(context.Background(), r.Addr(), &wire.Outgoing{Code: int32(protocol.EndTransaction.Code), Version: 401, Header: &header.EndTransactionRequest{
		ProducerGroup: wire.Some("P"), TranStateTableOffset: q.TranStateTableOffset, CommitLogOffset: q.CommitLogOffset, MsgID: q.MsgID,
		TransactionID: q.TransactionID, CommitOrRollback: wire.Some(message.SysFlagCommit), FromTransactionCheck: wire.Some(true),
	}}, nil))
	require.Eventually(t, func() bool { _, _, ms = r.pull(pullHeader("T", 2, 0, 0)); return len(ms) == 1 }, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, "text", string(ms[0].Body))
	r.stop()
	r.start()
	_, _, ms = r.pull(pullHeader("T", 2, 0, 0))
	require.Len(t, ms, 1)

	require.NoError(t, r.opts.Config.Update(map[string]string{"rejectTransactionMessage": "true"}))
	a := r.call(protocol.SendMessageV2.Code, sendHeader("T", 2, "TRAN_MSG", "true"), []byte("x"))
	require.Equal(t, protocol.NoPermission, protocol.ResponseCode(a.Code))
}
