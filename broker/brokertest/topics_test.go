package brokertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// makeTopics makes topics of 8 queues one by one (UPDATE_AND_CREATE_TOPIC, 17).
func makeTopics(tb testing.TB, c *Cluster, from, to int) {
	cl := remoting.NewClient(remoting.ClientOptions{})
	defer cl.Close()
	n := int32(8)
	for i := from; i < to; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		a, err := cl.Invoke(ctx, c.Broker, &wire.Outgoing{Code: int32(protocol.UpdateAndCreateTopic.Code), Header: &header.CreateTopicRequest{
			Topic: wire.Some(fmt.Sprintf("many-%d", i)), DefaultTopic: wire.Some("TBW102"), ReadQueueNums: wire.Some(n), WriteQueueNums: wire.Some(n),
			Perm: wire.Some(int32(6)), TopicFilterType: wire.Some("SINGLE_TAG"), TopicSysFlag: wire.Some(int32(0)), Order: wire.Some(false),
		}}, nil)
		cancel()
		require.NoError(tb, err)
		require.EqualValues(tb, protocol.Success, a.Code, a.Remark)
	}
}

// BenchmarkTopics makes b.N topics one by one, each durable and known to the name
// server before the next: go test -bench Topics -benchtime 6000x ./broker/brokertest
func BenchmarkTopics(b *testing.B) {
	c := Start(b)
	b.ResetTimer()
	makeTopics(b, c, 0, b.N)
}
