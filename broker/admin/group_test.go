package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/merlinmq/merlin/broker/client"
	"github.com/merlinmq/merlin/broker/offset"
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/stretchr/testify/require"
)

// defaultGroup is code 352's body for a group with Java's defaults.
const defaultGroup = `{"attributes":{},"brokerId":0,"consumeBroadcastEnable":true,"consumeEnable":true,"consumeFromMinEnable":true,` +
	`"consumeMessageOrderly":false,"consumeTimeoutMinute":15,"groupName":"g0","groupRetryPolicy":{"type":"CUSTOMIZED"},"groupSysFlag":0,` +
	`"notifyConsumerIdsChangedEnable":true,"retryMaxTimes":16,"retryQueueNums":1,"whichBrokerWhenConsumeSlowly":1}`

func TestGroups_ArePutReadAndDeleted(t *testing.T) {
	w := newWorld(t)
	a, err := w.GetSubscriptionGroupConfig(bare(""), &header.GetSubscriptionGroupConfigRequest{Group: str("g0")})
	require.Equal(t, defaultGroup, ok(t, a, err), "made on the way, as in Java")

	a, err = w.UpdateAndCreateSubscriptionGroup(bare(`{"groupName":"g1","consumeEnable":false,"retryMaxTimes":3}`), nil)
	require.Empty(t, ok(t, a, err))
	g := w.Groups.Find("g1")
	require.False(t, g.ConsumeEnable)
	require.Equal(t, int32(3), g.RetryMaxTimes)
	require.Equal(t, int32(1), g.RetryQueueNums)

	for _, bad := range []string{`{"groupName":""}`, `{"groupName":"` + strings.Repeat("g", 256) + `"}`, `{`, ``, `{"groupName":"g","retryQueueNums":2147483647}`} {
		_, err = w.UpdateAndCreateSubscriptionGroup(bare(bad), nil)
		require.Error(t, err, bad)
	}
	_, err = w.UpdateAndCreateSubscriptionGroup(bare(`{"groupName":"g","attributes":{"+x":"y"}}`), nil)
	refused(t, err, protocol.SystemError, "unsupported key: x")

	a, err = w.UpdateAndCreateSubscriptionGroup(bare(`{"groupName":"a b@c/../d"}`), nil)
	ok(t, a, err)
	require.NotNil(t, w.Groups.Find("a b@c/../d"), "any characters, as in Java")

	_, err = w.UpdateAndCreateSubscriptionGroupList(bare(`{"groupConfigList":[{"groupName":"g2"},{"groupName":""}]}`), nil)
	require.Equal(t, protocol.InvalidParameter, protocol.CodeOf(err))
	require.Nil(t, w.Groups.Find("g2"), "all or nothing")
	_, err = w.UpdateAndCreateSubscriptionGroupList(bare(`{}`), nil)
	require.Error(t, err)
	a, err = w.UpdateAndCreateSubscriptionGroupList(bare(`{"groupConfigList":[{"groupName":"g2"},{"groupName":"g3"}]}`), nil)
	ok(t, a, err)
	require.NotNil(t, w.Groups.Find("g3"))

	a, err = w.GetAllSubscriptionGroupConfig(bare(""), nil)
	text := ok(t, a, err)
	require.Contains(t, text, `"forbiddenTable":{},"subscriptionGroupTable":{`)
	require.Contains(t, text, `"g0":`+defaultGroup)

	w.Offsets.Commit("t", "g0", 0, 5)
	w.Stats.Item(stats.GroupGetNums, stats.TopicGroupKey("t", "g0")).Add(1, 1)
	a, err = w.DeleteSubscriptionGroup(bare(""), &header.DeleteSubscriptionGroupRequest{GroupName: str("g0")})
	ok(t, a, err)
	require.Nil(t, w.Groups.Find("g0"))
	require.Equal(t, int64(5), w.Offsets.Query("t", "g0", 0))
	_, counted := w.Stats.Lookup(stats.GroupGetNums, stats.TopicGroupKey("t", "g0"))
	require.False(t, counted)
	a, err = w.DeleteSubscriptionGroup(bare(""), &header.DeleteSubscriptionGroupRequest{GroupName: str("g0"), CleanOffset: true})
	ok(t, a, err)
	require.Equal(t, offset.None, w.Offsets.Query("t", "g0", 0))
	_, err = w.DeleteSubscriptionGroup(bare(""), &header.DeleteSubscriptionGroupRequest{})
	require.Error(t, err)
}

// offsetOfZone is the difference of local time at the epoch, in ms.
func offsetOfZone() int64 {
	_, sec := time.UnixMilli(0).Zone()
	return int64(sec) * 1000
}

func TestUpdateAndGetGroupForbidden(t *testing.T) {
	w := newWorld(t)
	ask := func(readable wire.Opt[bool]) string {
		a, err := w.UpdateAndGetGroupForbidden(bare(""), &header.UpdateGroupForbiddenRequest{Group: str("g0"), Topic: str("t1"), Readable: readable})
		text := ok(t, a, err)
		require.True(t, a.HasRemark)
		return text
	}
	require.Equal(t, `{"group":"g0","readable":true,"topic":"t1"}`, ask(wire.Opt[bool]{}))
	require.Equal(t, `{"group":"g0","readable":false,"topic":"t1"}`, ask(wire.Some(false)))
	require.True(t, w.Groups.ReadForbidden("g0", "t1"))
	require.Equal(t, `{"group":"g0","readable":false,"topic":"t1"}`, ask(wire.Opt[bool]{}))
	require.Equal(t, `{"group":"g0","readable":true,"topic":"t1"}`, ask(wire.Some(true)))
}

func TestConnections(t *testing.T) {
	w := newWorld(t)
	_, err := w.GetConsumerConnectionList(bare(""), &header.GetConsumerConnectionListRequest{ConsumerGroup: str("g")})
	refused(t, err, protocol.ConsumerNotOnline, "the consumer group[g] not online")
	_, err = w.GetProducerConnectionList(bare(""), &header.GetProducerConnectionListRequest{ProducerGroup: str("g")})
	refused(t, err, protocol.SystemError, "the producer group[g] not exist")
	a, err := w.GetAllProducerInfo(bare(""), nil)
	require.Equal(t, `{"data":{}}`, ok(t, a, err))

	w.online("g", &fakePeer{id: 7}, "c@1", 479, "t")
	a, err = w.GetConsumerConnectionList(bare(""), &header.GetConsumerConnectionListRequest{ConsumerGroup: str("g")})
	require.Equal(t, `{"connectionSet":[{"clientAddr":"10.1.2.3:7","clientId":"c@1","language":"JAVA","version":479}],`+
		`"consumeType":"CONSUME_PASSIVELY","messageModel":"CLUSTERING","subscriptionTable":{"t":{"classFilterMode":false,"codeSet":[],`+
		`"expressionType":"TAG","subString":"*","subVersion":1,"tagsSet":[],"topic":"t"}}}`, ok(t, a, err))

	w.Producers.Register("p", &client.Channel{Peer: &fakePeer{id: 9}, ClientID: "pc", Version: 317, Language: wire.Go})
	a, err = w.GetProducerConnectionList(bare(""), &header.GetProducerConnectionListRequest{ProducerGroup: str("p")})
	require.Equal(t, `{"connectionSet":[{"clientAddr":"10.1.2.3:9","clientId":"pc","language":"GO","version":317}]}`, ok(t, a, err))
	a, err = w.GetAllProducerInfo(bare(""), nil)
	require.Equal(t, `{"data":{"p":[{"clientId":"pc","language":"GO","lastUpdateTimestamp":100000,"remoteIP":"/10.1.2.3:9","version":317}]}}`, ok(t, a, err))
}

func TestGetConsumeStats(t *testing.T) {
	w := newWorld(t)
	w.topicOf("t1")
	w.topicOf("t2")
	w.store.bounds[w.key("t1", 1)] = [2]int64{0, 9}
	w.Offsets.Commit("t1", "g", 1, 5)
	w.Offsets.CommitPull("t1", "g", 1, 7)
	w.Offsets.Commit("t2", "g", 0, 0)
	w.Offsets.Commit("gone", "g", 0, 0)
	ask := func(q header.GetConsumeStatsRequest) string {
		q.ConsumerGroup = str("g")
		a, err := w.GetConsumeStats(bare(""), &q)
		return ok(t, a, err)
	}
	text := ask(header.GetConsumeStatsRequest{Topic: str("t1")})
	require.Contains(t, text, `{"brokerName":"broker-a","queueId":1,"topic":"t1"}:{"brokerOffset":9,"consumerOffset":5,"lastTimestamp":1004,"pullOffset":7}`)
	require.Contains(t, text, `{"brokerName":"broker-a","queueId":0,"topic":"t1"}:{"brokerOffset":0,"consumerOffset":0,"lastTimestamp":0,"pullOffset":0}`)
	require.NotContains(t, text, `"t2"`)
	text = ask(header.GetConsumeStatsRequest{})
	require.Contains(t, text, `"t1"`)
	require.Contains(t, text, `"t2"`)
	require.NotContains(t, text, `"gone"`)
	w.online("g", &fakePeer{id: 1}, "c", 400, "t2")
	require.NotContains(t, ask(header.GetConsumeStatsRequest{}), `"t1"`, "the online group does not subscribe to it")
	require.Equal(t, `{"consumeTps":0.0,"offsetTable":{}}`, ask(header.GetConsumeStatsRequest{Topic: str("t1")}))
	require.Contains(t, ask(header.GetConsumeStatsRequest{TopicList: str("t1;none;")}), `"t1"`)
	_, err := w.GetConsumeStats(bare(""), &header.GetConsumeStatsRequest{})
	require.Error(t, err)
}

func TestGetBrokerConsumeStats(t *testing.T) {
	w := newWorld(t)
	w.topicOf("t1")
	c := *w.Topics.Find("t1")
	c.TopicName, c.Order = "ordered", true
	require.NoError(t, w.Topics.Put(c))
	w.store.bounds[w.key("t1", 1)] = [2]int64{0, 9}
	w.Offsets.Commit("t1", "TOOLS_CONSUMER", 1, 5)
	w.Offsets.Commit("ordered", "TOOLS_CONSUMER", 1, 0)
	a, err := w.GetBrokerConsumeStats(bare(""), &header.GetConsumeStatsInBroker{})
	text := ok(t, a, err)
	require.Contains(t, text, `{"brokerAddr":"127.0.0.1:10911","consumeStatsList":[`)
	require.Contains(t, text, `{"SELF_TEST_C_GROUP":[]}`)
	require.Contains(t, text, `{"brokerOffset":9,"consumerOffset":5,"lastTimestamp":1004,"pullOffset":0}`)
	require.Contains(t, text, `],"totalDiff":4,"totalInflightDiff":-5}`, "Java's totalInflightDiff without pull offsets")
	a, err = w.GetBrokerConsumeStats(bare(""), &header.GetConsumeStatsInBroker{IsOrder: true})
	text = ok(t, a, err)
	require.NotContains(t, text, `"t1"`)
	require.Contains(t, text, `"ordered"`)
}

func TestQueryConsumeTimeSpan(t *testing.T) {
	w := newWorld(t)
	_, err := w.QueryConsumeTimeSpan(bare(""), &header.QueryConsumeTimeSpanRequest{Topic: str("t"), Group: str("g")})
	refused(t, err, protocol.TopicNotExist, "topic[t] not exist")
	w.topicOf("t")
	w.store.bounds[w.key("t", 1)] = [2]int64{2, 9}
	w.Offsets.Commit("t", "g", 1, 5)
	a, err := w.QueryConsumeTimeSpan(bare(""), &header.QueryConsumeTimeSpanRequest{Topic: str("t"), Group: str("g")})
	var b body.QueryConsumeTimeSpanBody
	require.NoError(t, body.Unmarshal([]byte(ok(t, a, err)), &b))
	require.Len(t, b.ConsumeTimeSpanSet, 2)
	s := b.ConsumeTimeSpanSet[1]
	require.Equal(t, "1970-01-01#00:00:01:002", human(s.MinTimeStamp-offsetOfZone()))
	require.Equal(t, human(1004), s.ConsumeTimeStampStr)
	require.Equal(t, [4]int64{1002, 1008, 1004, 100_000 - 1005}, [4]int64{s.MinTimeStamp, s.MaxTimeStamp, s.ConsumeTimeStamp, s.DelayTime})
}
