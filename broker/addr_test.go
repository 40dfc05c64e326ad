package broker

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

// With listenPort=0 the answers that name the broker name the port that was free.
func TestAnswers_NameThePortThatIsListenedOn(t *testing.T) {
	r := newRig(t, "")
	require.NotContains(t, r.Addr(), ":0")

	a := r.call(protocol.QueryTopicsByConsumer.Code, &header.QueryTopicsByConsumerRequest{Group: wire.Some("g")}, nil)
	var topics body.TopicList
	require.NoError(t, body.Unmarshal(a.Body, &topics))
	require.Equal(t, r.Addr(), topics.BrokerAddr)

	a = r.call(protocol.GetBrokerConsumeStats.Code, &header.GetConsumeStatsInBroker{}, nil)
	var stats body.ConsumeStatsList
	require.NoError(t, body.Unmarshal(a.Body, &stats))
	require.Equal(t, r.Addr(), stats.BrokerAddr)
}
