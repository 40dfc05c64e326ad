package seams

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/broker/brokertest"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// guard is access control in miniature: who asks stands in a field, and what is asked
// for stands in the table of calls. Users may do what they like to topics and groups
// that begin with their name.
func guard(r *remoting.Request) *remoting.Answer {
	row := protocol.RowOf(protocol.Code(r.Cmd.Code))
	if row == nil || r.Peer.RemoteAddr().Port() == 0 { // callers inside the process are trusted here
		return nil
	}
	user, _ := r.Cmd.Lookup("AccessKey")
	for _, f := range row.ACLFields {
		value, _ := r.Cmd.Lookup(f.Key)
		for name := range f.Names(value) {
			if f.Resource&(protocol.ResourceTopic|protocol.ResourceGroup) != 0 && (user == "" || !strings.HasPrefix(name, user)) {
				return remoting.Refuse(protocol.NoPermission, "User:"+user+" has no permission to access "+name)
			}
		}
	}
	return nil
}

// static is a static topic in miniature: queue 5 of alice-logical is queue 0 of
// alice-physical here, where its offset 0 is offset 1000 of the logical queue.
func static(r *remoting.Request) *remoting.Answer {
	topicKey, queueKey := "topic", "queueId"
	if protocol.Code(r.Cmd.Code) == protocol.SendMessageV2.Code {
		topicKey, queueKey = "b", "e"
	}
	topic, _ := r.Cmd.Lookup(topicKey)
	queue, _ := r.Cmd.Lookup(queueKey)
	if topic != "alice-logical" || queue != "5" {
		return nil
	}
	r.Cmd.Set(topicKey, "alice-physical")
	r.Cmd.Set(queueKey, "0")
	r.OnAnswer(func(a *remoting.Answer) {
		switch h := a.Header.(type) {
		case *header.SendMessageResponse:
			h.QueueID, h.QueueOffset = wire.Some(int32(5)), wire.Some(h.QueueOffset.V+1000)
		case *header.GetMaxOffsetResponse:
			h.Offset.V += 1000
		}
	})
	return nil
}

func sendTo(topic string, queue int32) *header.SendMessageRequestV2 {
	return &header.SendMessageRequestV2{
		ProducerGroup: wire.Some("P"), Topic: wire.Some(topic), DefaultTopic: wire.Some("TBW102"), DefaultTopicQueueNums: wire.Some(int32(1)),
		QueueID: wire.Some(queue), SysFlag: wire.Some(int32(0)), BornTimestamp: wire.Some(int64(1)), Flag: wire.Some(int32(0)),
		Properties: wire.Some(string(message.AppendProperty(nil, "KEYS", "k"))),
	}
}

// Access control refuses and a static topic is rewritten, for sends (in place, with
// their neighbours), offset queries (by a worker) and calls inside the process; and
// what became of each is observed.
func TestAdmission_AccessControlAndStaticTopics(t *testing.T) {
	var mu sync.Mutex
	seen := map[protocol.Code]map[protocol.ResponseCode]int{}
	c := brokertest.StartWith(t, []brokertest.Option{
		brokertest.Admit(guard), brokertest.Admit(static),
		brokertest.Observe(func(o remoting.Observation) {
			mu.Lock()
			defer mu.Unlock()
			if seen[o.Code] == nil {
				seen[o.Code] = map[protocol.ResponseCode]int{}
			}
			seen[o.Code][o.Response]++
		}),
	})
	client := remoting.NewClient(remoting.ClientOptions{})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ask := func(user string, call protocol.Row, h wire.FieldEncoder, body string) *wire.Command {
		a, err := client.Invoke(ctx, c.Broker, &wire.Outgoing{Code: int32(call.Code), Header: h,
			Ext: []wire.Field{{Key: "AccessKey", Value: user}}}, []byte(body))
		require.NoError(t, err)
		return a
	}
	a := ask("bob", protocol.SendMessageV2.Row, sendTo("alice-logical", 5), "x")
	require.Equal(t, int32(protocol.NoPermission), a.Code)
	require.Equal(t, "User:bob has no permission to access alice-logical", a.Remark)

	a = ask("alice", protocol.SendMessageV2.Row, sendTo("alice-logical", 5), "x")
	require.Equal(t, int32(protocol.Success), a.Code, a.Remark)
	var sent header.SendMessageResponse
	require.NoError(t, sent.DecodeFields(a))
	require.EqualValues(t, 5, sent.QueueID.V)
	require.EqualValues(t, 1000, sent.QueueOffset.V)

	require.Eventually(t, func() bool {
		q := &header.GetMaxOffsetRequest{QueueID: wire.Some(int32(5))}
		q.Topic = wire.Some("alice-logical")
		a = ask("alice", protocol.GetMaxOffset.Row, q, "")
		var max header.GetMaxOffsetResponse
		require.NoError(t, max.DecodeFields(a))
		return max.Offset.V == 1001
	}, 10*time.Second, time.Millisecond)
	a = ask("bob", protocol.GetMaxOffset.Row, &header.GetMaxOffsetRequest{Topic: wire.Some("alice-logical"), QueueID: wire.Some(int32(5))}, "")
	require.Equal(t, int32(protocol.NoPermission), a.Code)

	inside, err := c.Client("P")
	require.NoError(t, err)
	defer inside.Close()
	s, err := inside.Client.Send(ctx, sendTo("alice-logical", 5), []byte("y"))
	require.NoError(t, err)
	require.EqualValues(t, 1001, s.QueueOffset.V, "calls inside the process are rewritten, too")
	ms, err := inside.Pull(ctx, "alice-physical", 1)
	require.NoError(t, err)
	require.Equal(t, "y", ms[0].Body)

	count := func(code protocol.Code, r protocol.ResponseCode) int {
		mu.Lock()
		defer mu.Unlock()
		return seen[code][r]
	}
	require.Eventually(t, func() bool {
		return count(310, protocol.Success) == 2 && count(310, protocol.NoPermission) == 1 &&
			count(30, protocol.Success) > 0 && count(30, protocol.NoPermission) == 1 && count(11, protocol.Success) == 1
	}, 10*time.Second, time.Millisecond)
}
