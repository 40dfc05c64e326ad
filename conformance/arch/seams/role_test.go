package seams

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/role"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// A broker that becomes a slave delivers no delayed messages any more, as the master
// does that, and goes on when it is the master again.
func TestRole_ASlaveDeliversNothing(t *testing.T) {
	dir := t.TempDir()
	cfg, _, err := config.Parse(fmt.Appendf(nil, "brokerName=b\nbindAddress=127.0.0.1\nbrokerIP1=127.0.0.1\nlistenPort=0\n"+
		"storePathRootDir=%s\nstorePathCommitLog=%s/commitlog\nmappedFileSizeCommitLog=1048576\nmaxHashSlotNum=1000\nmaxIndexNum=4000\n", dir, dir), "test.conf")
	require.NoError(t, err)
	clk := clock.NewManual(time.UnixMilli(1_700_000_000_000))
	b, err := broker.New(broker.Options{Config: config.NewHolder(cfg, config.HolderOptions{}), Rand: rand.IntN, Clock: clk})
	require.NoError(t, err)
	require.ErrorIs(t, b.Become(role.Snapshot{Kind: role.Slave}), role.ErrStopped)
	require.NoError(t, b.Start())
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	stopped := false
	defer func() {
		if !stopped {
			_ = b.Shutdown(ctx)
		}
	}()
	require.True(t, b.Role().IsMaster())
	c, err := b.Connect(remoting.LocalConnOptions{})
	require.NoError(t, err)
	defer c.Close()
	send := func(topic string, props ...string) {
		q := sendTo(topic, 0)
		var text []byte
		for i := 0; i < len(props); i += 2 {
			text = message.AppendProperty(text, props[i], props[i+1])
		}
		q.Properties = wire.Some(string(text))
		_, err := c.Send(ctx, q, []byte("x"))
		require.NoError(t, err)
	}
	end := func(topic string) int64 {
		r, err := remoteMax(ctx, b, topic)
		require.NoError(t, err)
		return r
	}
	pass := func(d time.Duration) {
		for range d / (100 * time.Millisecond) {
			clk.Advance(100 * time.Millisecond)
		}
	}

	require.NoError(t, b.Become(role.Snapshot{Kind: role.Slave, BrokerID: 1, Epoch: 2, Master: "127.0.0.1:1"}))
	require.False(t, b.Role().IsMaster())
	send("T", "DELAY", "1")
	send("now")
	require.Eventually(t, func() bool { return end("now") == 1 && end("SCHEDULE_TOPIC_XXXX") == 1 }, 10*time.Second, time.Millisecond)
	pass(5 * time.Second)
	require.Zero(t, end("T"), "its time is over, and this is a slave")
	require.ErrorContains(t, b.Become(role.Snapshot{Epoch: 1}), "older")

	require.NoError(t, b.Become(role.Snapshot{Epoch: 3}))
	require.Eventually(t, func() bool { clk.Advance(100 * time.Millisecond); return end("T") == 1 }, 10*time.Second, time.Millisecond)

	require.NoError(t, b.Become(role.Snapshot{Kind: role.Slave, Epoch: 4}))
	require.NoError(t, b.Shutdown(ctx), "paused services stop, too")
	stopped = true
	require.ErrorIs(t, b.Become(role.Snapshot{Epoch: 5}), role.ErrStopped)
}

// remoteMax is the end of queue 0 of a topic.
func remoteMax(ctx context.Context, b *broker.Broker, topic string) (int64, error) {
	c := remoting.NewClient(remoting.ClientOptions{})
	defer c.Close()
	q := &header.GetMaxOffsetRequest{QueueID: wire.Some(int32(0))}
	q.Topic = wire.Some(topic)
	a, err := c.Invoke(ctx, b.Addr(), &wire.Outgoing{Code: int32(protocol.GetMaxOffset.Code), Header: q}, nil)
	if err != nil {
		return 0, err
	}
	var h header.GetMaxOffsetResponse
	err = h.DecodeFields(a)
	return h.Offset.V, err
}
