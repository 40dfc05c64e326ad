package seams

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/local"
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/broker/view"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
	"github.com/merlinmq/merlin/store"
	"github.com/merlinmq/merlin/store/vfs"
)

// scrape reads everything that the view shows.
type scrape struct {
	topics  []view.Topic
	groups  []view.Group
	lags    []view.Lag
	lanes   []view.Lane
	clients view.Clients
	log     view.Log
	memory  view.Memory
	took    []stats.Latency
}

func read(v *view.View) scrape {
	return scrape{slices.Collect(v.Topics()), slices.Collect(v.Groups()), slices.Collect(v.Lags()), slices.Collect(v.Lanes()),
		v.Clients(), v.Log(), v.Memory(), slices.Collect(v.Latencies())}
}

// A scrape shows what there is, and ends while a send stands in the middle of its write,
// with every lock that it takes for itself.
func TestView_WhileASendHoldsItsLocks(t *testing.T) {
	dir := t.TempDir()
	cfg, _, err := config.Parse(fmt.Appendf(nil, "brokerName=b\nbindAddress=127.0.0.1\nbrokerIP1=127.0.0.1\nlistenPort=0\n"+
		"storePathRootDir=%s\nstorePathCommitLog=%s/commitlog\nmappedFileSizeCommitLog=1048576\nmaxHashSlotNum=1000\nmaxIndexNum=4000\n", dir, dir), "test.conf")
	require.NoError(t, err)
	var stuck atomic.Bool
	entered, leave := make(chan struct{}), make(chan struct{})
	disk := &vfs.Inject{FS: vfs.OS(), Fail: func(op vfs.Op) error {
		if strings.HasPrefix(op.Name, "Write") && strings.Contains(op.Path, "commitlog") && stuck.CompareAndSwap(true, false) {
			close(entered)
			<-leave
		}
		return nil
	}}
	b, err := broker.New(broker.Options{Config: config.NewHolder(cfg, config.HolderOptions{}), Rand: rand.IntN, Store: store.Options{FS: disk}})
	require.NoError(t, err)
	require.NoError(t, b.Start())
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	defer func() { require.NoError(t, b.Shutdown(ctx)) }()
	c, err := b.Connect(remoting.LocalConnOptions{})
	require.NoError(t, err)
	defer c.Close()
	send := func() {
		_, err := c.Send(ctx, sendTo("T", 0), []byte("x"))
		require.NoError(t, err)
	}
	send()
	send()
	q := &header.UpdateConsumerOffsetRequest{ConsumerGroup: wire.Some("TOOLS_CONSUMER"), QueueID: wire.Some(int32(0)), CommitOffset: wire.Some(int64(1))}
	q.Topic = wire.Some("T")
	_, err = local.Call(ctx, c, protocol.UpdateConsumerOffset, q, nil)
	require.NoError(t, err)

	stuck.Store(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		send()
	}()
	<-entered
	behind := make(chan struct{})
	go func() {
		defer close(behind)
		send()
	}()
	read1 := make(chan scrape)
	go func() { read1 <- read(b.View()) }()
	var s scrape
	select {
	case s = <-read1:
	case <-time.After(10 * time.Second):
		t.Error("the scrape waits for the send")
	}
	select {
	case <-behind:
		t.Error("the lock is not held: another send went through")
	default:
	}
	close(leave)
	<-done
	<-behind
	if t.Failed() {
		return
	}
	at := slices.IndexFunc(s.topics, func(x view.Topic) bool { return x.Config.TopicName == "T" })
	require.GreaterOrEqual(t, at, 0)
	require.Eventually(t, func() bool {
		s := read(b.View())
		at := slices.IndexFunc(s.topics, func(x view.Topic) bool { return x.Config.TopicName == "T" })
		return slices.Equal(s.topics[at].Queues, []view.Queue{{ID: 0, Min: 0, Max: 4}}) && len(s.lags) == 1 && s.lags[0].Behind() == 3
	}, 10*time.Second, time.Millisecond)
	require.Equal(t, "TOOLS_CONSUMER", s.lags[0].Group)
	require.NotEmpty(t, s.groups)
	require.Len(t, s.lanes, 10)
	require.Equal(t, "send", s.lanes[0].Name)
	require.Positive(t, s.lanes[0].Busy, "the one that stands in its write")
	require.Positive(t, s.log.Max)
	require.NoError(t, s.log.Refuses)
	require.Zero(t, s.clients.Parked)
	i := slices.IndexFunc(s.took, func(l stats.Latency) bool { return l.Code == protocol.SendMessageV2.Code })
	require.GreaterOrEqual(t, i, 0)
	require.EqualValues(t, 2, s.took[i].Count)
	require.True(t, b.View().Role().IsMaster())
}
