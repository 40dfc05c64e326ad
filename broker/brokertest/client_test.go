package brokertest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker/local"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

func TestClient_SendsPullsAndWaits(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, flush := range []string{"ASYNC_FLUSH", "SYNC_FLUSH"} {
		c := Start(t, "flushDiskType="+flush)
		cl, err := c.Client("G")
		require.NoError(t, err)
		defer cl.Close()
		for i, text := range []string{"one", strings.Repeat("x", 100_000), "three"} {
			at, err := cl.Send(ctx, "T", text, "TAGS", "a")
			require.NoError(t, err)
			require.EqualValues(t, i, at)
		}
		var got []Message
		for len(got) < 3 {
			ms, err := cl.Pull(ctx, "T", int64(len(got)))
			require.NoError(t, err)
			got = append(got, ms...)
		}
		require.Equal(t, "one", got[0].Body)
		require.Len(t, got[1].Body, 100_000)
		require.Equal(t, "a", got[2].Properties["TAGS"])
		require.NotEmpty(t, got[2].Properties["UNIQ_KEY"], "the broker makes an id")

		waiting := make(chan []Message)
		go func() {
			ms, _ := cl.Pull(ctx, "T", 3)
			waiting <- ms
		}()
		_, err = cl.Send(ctx, "T", "late")
		require.NoError(t, err)
		require.Equal(t, "late", (<-waiting)[0].Body)

		_, err = cl.Send(ctx, "T", "bad", "DELAY", "soon")
		require.ErrorIs(t, err, &protocol.Error{Code: protocol.SystemError})
	}
}

// What a client inside the process says of itself and asks of others goes the same way.
func TestClient_HeartbeatAndOffsets(t *testing.T) {
	ctx := context.Background()
	c := Start(t)
	told := make(chan int32, 10)
	l, err := c.broker.Connect(remoting.LocalConnOptions{Receive: func(c *wire.Command) *wire.Command { told <- c.Code; return nil }})
	require.NoError(t, err)
	defer l.Close()
	beat := func(l *local.Client, id string) {
		hb, err := body.Marshal(&body.HeartbeatData{ClientID: id, ConsumerDataSet: []body.ConsumerData{{
			GroupName: "G", ConsumeType: body.ConsumePassively, MessageModel: body.Clustering, ConsumeFromWhere: "CONSUME_FROM_LAST_OFFSET",
			SubscriptionDataSet: []body.SubscriptionData{{Topic: "T", SubString: "*", ExpressionType: "TAG"}}}}})
		require.NoError(t, err)
		_, err = local.Call(ctx, l, protocol.HeartBeat, &header.HeartbeatRequest{}, hb)
		require.NoError(t, err)
	}
	beat(l, "first")
	cl, err := c.Client("G")
	require.NoError(t, err)
	beat(cl.Client, "second")
	require.Equal(t, int32(protocol.NotifyConsumerIDsChanged.Code), <-told)
	list := func() string {
		r, err := local.Call(ctx, l, protocol.GetConsumerListByGroup, &header.GetConsumerListByGroupRequest{ConsumerGroup: wire.Some("G")}, nil)
		require.NoError(t, err)
		return string(r.Body)
	}
	require.Contains(t, list(), "second")
	cl.Close()
	require.NotContains(t, list(), "second", "a closed client is none of its group")
	_, err = cl.Send(ctx, "T", "x")
	require.ErrorIs(t, err, remoting.ErrClosed)

	_, err = local.Call(ctx, l, protocol.QueryConsumerOffset, &header.QueryConsumerOffsetRequest{ConsumerGroup: wire.Some("G")}, nil)
	require.ErrorIs(t, err, &protocol.Error{Code: protocol.SystemError})
}
