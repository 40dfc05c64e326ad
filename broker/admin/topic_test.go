package admin

import (
	"testing"

	"github.com/merlinmq/merlin/broker/offset"
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/stretchr/testify/require"
)

func create(name, attributes string) *header.CreateTopicRequest {
	q := &header.CreateTopicRequest{
		Topic: str(name), ReadQueueNums: wire.Some[int32](4), WriteQueueNums: wire.Some[int32](4),
		Perm: wire.Some[int32](6), TopicFilterType: str("SINGLE_TAG"),
	}
	if attributes != "" {
		q.Attributes = str(attributes)
	}
	return q
}

// Pins AdminBrokerProcessor.updateAndCreateTopic: codes and remarks are those of a
// 5.3.3 broker.
func TestUpdateAndCreateTopic_Refusals(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		q      *header.CreateTopicRequest
		code   protocol.ResponseCode
		remark string
	}{
		{create("a b", ""), protocol.InvalidParameter, "The specified topic contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$"},
		{create(" ", ""), protocol.InvalidParameter, "The specified topic is blank."},
		{create("TBW102", ""), protocol.InvalidParameter, "The topic[TBW102] is conflict with system topic."},
		{create("rmq_sys_x", ""), protocol.InvalidParameter, "The topic[rmq_sys_x] is conflict with system topic."},
		{create("t", "+foo=bar"), protocol.SystemError, "unsupported key: foo"},
		{create("t", "+message.type=MIXED"), protocol.InvalidParameter, "MIXED message type is not supported."},
		{create("t", "+message.type=FOO"), protocol.SystemError, "value is not in set: [UNSPECIFIED, TRANSACTION, FIFO, MIXED, DELAY, NORMAL]"},
		{create("t", "+reserve.time=-5"), protocol.SystemError, "value is not in range(-1, 9223372036854775807)"},
		{create("t", "message.type"), protocol.SystemError, "delete attribute format is wrong: message.type"},
		{create("t", "message.type=FIFO"), protocol.SystemError, "add/alter attribute format is wrong: message.type"},
		{create("t", "-message.type"), protocol.SystemError, "only add attribute is supported while creating topic. key: message.type"},
		{&header.CreateTopicRequest{Topic: str("t"), TopicFilterType: str("XX")}, protocol.SystemError, "topicFilterType = [XX] value invalid"},
		{&header.CreateTopicRequest{Topic: str("t")}, protocol.SystemError, "topicFilterType = [null] value invalid"},
	} {
		_, err := w.UpdateAndCreateTopic(bare(""), c.q)
		refused(t, err, c.code, c.remark)
	}
	q := create("t", "")
	q.Perm = wire.Some[int32](99)
	_, err := w.UpdateAndCreateTopic(bare(""), q)
	require.Equal(t, protocol.InvalidParameter, protocol.CodeOf(err))
	q = create("t", "")
	q.ReadQueueNums = wire.Some[int32](-4)
	_, err = w.UpdateAndCreateTopic(bare(""), q)
	require.Equal(t, protocol.InvalidParameter, protocol.CodeOf(err))
	require.Nil(t, w.Topics.Find("t"))
	require.Empty(t, w.changed)
}

func TestUpdateAndCreateTopic_AttributesChange(t *testing.T) {
	w := newWorld(t)
	a, err := w.UpdateAndCreateTopic(bare(""), create("t", "+message.type=FIFO,+queue.type=SimpleCQ"))
	require.Empty(t, ok(t, a, err))
	require.Equal(t, "not set any response code", a.Remark)
	require.Equal(t, map[string]string{"message.type": "FIFO", "queue.type": "SimpleCQ"}, w.Topics.Find("t").Attributes)
	_, err = w.UpdateAndCreateTopic(bare(""), create("t", "+queue.type=BatchCQ"))
	refused(t, err, protocol.SystemError, "attempt to update an unchangeable attribute. key: queue.type")
	_, err = w.UpdateAndCreateTopic(bare(""), create("t", "-cleanup.policy"))
	refused(t, err, protocol.SystemError, "attempt to delete a nonexistent key: cleanup.policy")
	a, err = w.UpdateAndCreateTopic(bare(""), create("t", "-message.type,+reserve.time=5"))
	ok(t, a, err)
	require.Equal(t, map[string]string{"queue.type": "SimpleCQ", "reserve.time": "5"}, w.Topics.Find("t").Attributes)
	version := w.Topics.Version()
	a, err = w.UpdateAndCreateTopic(bare(""), create("t", ""))
	ok(t, a, err)
	require.Equal(t, version, w.Topics.Version(), "an unchanged topic is not written")
	require.Equal(t, []string{"t", "t"}, w.changed, "the name servers are told of each change")
}

// What is not honoured is not taken: a message in a batch queue, or in a compacted
// topic, would be lost without a word.
func TestUpdateAndCreateTopic_RefusesWhatIsNotThere(t *testing.T) {
	w := newWorld(t)
	_, err := w.UpdateAndCreateTopic(bare(""), create("t", "+queue.type=BatchCQ"))
	refused(t, err, protocol.SystemError, "queue.type=BatchCQ is not supported: there are no batch queues yet")
	_, err = w.UpdateAndCreateTopic(bare(""), create("t", "+cleanup.policy=COMPACTION"))
	refused(t, err, protocol.SystemError, "cleanup.policy=COMPACTION is not supported: topics are not compacted yet, messages would be deleted with their files")
	require.Nil(t, w.Topics.Find("t"))
}

// Java takes any number; updateTopic -r 100000 is used.
func TestUpdateAndCreateTopic_ManyQueues(t *testing.T) {
	w := newWorld(t)
	q := create("t", "")
	q.ReadQueueNums, q.WriteQueueNums = wire.Some[int32](100_000), wire.Some[int32](100_000)
	a, err := w.UpdateAndCreateTopic(bare(""), q)
	ok(t, a, err)
	require.EqualValues(t, 100_000, w.Topics.Find("t").ReadQueueNums)
	q.ReadQueueNums = wire.Some[int32](1<<17 + 1)
	_, err = w.UpdateAndCreateTopic(bare(""), q)
	require.Equal(t, protocol.InvalidParameter, protocol.CodeOf(err))
}

func TestUpdateAndCreateTopicList_AllOrNothing(t *testing.T) {
	w := newWorld(t)
	_, err := w.UpdateAndCreateTopicList(bare(`{"topicConfigList":[{"topicName":"l1"},{"topicName":"TBW102"}]}`), nil)
	refused(t, err, protocol.InvalidParameter, "The topic[TBW102] is conflict with system topic.")
	require.Nil(t, w.Topics.Find("l1"))
	a, err := w.UpdateAndCreateTopicList(bare(`{"topicConfigList":[{"topicName":"l1"},{"topicName":"l2","perm":4}]}`), nil)
	ok(t, a, err)
	require.Equal(t, int32(16), w.Topics.Find("l1").ReadQueueNums)
	require.Equal(t, int32(4), w.Topics.Find("l2").Perm)
	a, err = w.UpdateAndCreateTopicList(bare(`{"topicConfigList":[{"topicName":"l1"},{"topicName":"l3"}]}`), nil)
	ok(t, a, err)
	require.NotNil(t, w.Topics.Find("l3"), "an unchanged topic does not stop the rest")
	for _, bad := range []string{"", "{}", "{", `{"topicConfigList":3}`} {
		_, err = w.UpdateAndCreateTopicList(bare(bad), nil)
		require.Error(t, err, bad)
	}
}

func TestDeleteTopicInBroker(t *testing.T) {
	w := newWorld(t)
	_, err := w.DeleteTopicInBroker(bare(""), &header.DeleteTopicRequest{})
	refused(t, err, protocol.InvalidParameter, "The specified topic is blank.")
	_, err = w.DeleteTopicInBroker(bare(""), &header.DeleteTopicRequest{Topic: str("DefaultCluster")})
	refused(t, err, protocol.InvalidParameter, "The topic[DefaultCluster] is conflict with system topic.")

	w.topicOf("t")
	w.topicOf("%RETRY%g+t")
	w.topicOf("%RETRY%g_t")
	w.topicOf("%RETRY%g")
	w.Offsets.Commit("t", "g", 0, 5)
	w.Stats.Item(stats.TopicPutNums, "t").Add(1, 1)
	a, err := w.DeleteTopicInBroker(bare(""), &header.DeleteTopicRequest{Topic: str("t")})
	ok(t, a, err)
	require.Equal(t, []string{"t", "%RETRY%g+t", "%RETRY%g_t"}, w.store.deleted)
	require.Nil(t, w.Topics.Find("t"))
	require.Nil(t, w.Topics.Find("%RETRY%g_t"))
	require.NotNil(t, w.Topics.Find("%RETRY%g"))
	require.Equal(t, offset.None, w.Offsets.Query("t", "g", 0))
	_, counted := w.Stats.Lookup(stats.TopicPutNums, "t")
	require.False(t, counted)
	a, err = w.DeleteTopicInBroker(bare(""), &header.DeleteTopicRequest{Topic: str("unknown")})
	ok(t, a, err)
}

// Pins the bodies of codes 351, 305, 202 as a 5.3.3 broker writes them, but for
// the order in maps.
func TestTopicBodies(t *testing.T) {
	w := newWorld(t)
	w.topicOf("t")
	a, err := w.GetTopicConfig(bare(""), &header.GetTopicConfigRequest{Topic: str("t")})
	require.Equal(t, `{"attributes":{},"order":false,"perm":6,"readQueueNums":2,"topicFilterType":"SINGLE_TAG","topicName":"t","topicSysFlag":0,"writeQueueNums":2}`, ok(t, a, err))
	_, err = w.GetTopicConfig(bare(""), &header.GetTopicConfigRequest{Topic: str("tx")})
	refused(t, err, protocol.TopicNotExist, "No topic in this broker. topic: tx")

	a, err = w.GetSystemTopicListFromBroker(bare(""), nil)
	require.ElementsMatch(t, []any{
		"RMQ_SYS_TRANS_HALF_TOPIC", "BenchmarkTest", "TRANS_CHECK_MAX_TIME_TOPIC", "OFFSET_MOVED_EVENT", "TBW102",
		"rmq_sys_REVIVE_LOG_DefaultCluster", "SELF_TEST_TOPIC", "DefaultCluster", "SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRACE_TOPIC",
		"DefaultCluster_REPLY_TOPIC", "CHECKPOINT_TOPIC", "rmq_sys_SYNC_BROKER_MEMBER_broker-a", "RMQ_SYS_TRANS_OP_HALF_TOPIC", "broker-a",
	}, asMap(t, ok(t, a, err))["topicList"], "Java's list, without rmq_sys_wheel_timer")

	_, err = w.GetTopicStatsInfo(bare(""), &header.GetTopicStatsInfoRequest{Topic: str("tx")})
	refused(t, err, protocol.TopicNotExist, "topic[tx] not exist")
	w.store.bounds[w.key("t", 1)] = [2]int64{3, 9}
	a, err = w.GetTopicStatsInfo(bare(""), &header.GetTopicStatsInfoRequest{Topic: str("t")})
	text := ok(t, a, err)
	require.Contains(t, text, `{"brokerName":"broker-a","queueId":0,"topic":"t"}:{"lastUpdateTimestamp":0,"maxOffset":0,"minOffset":0}`)
	require.Contains(t, text, `{"brokerName":"broker-a","queueId":1,"topic":"t"}:{"lastUpdateTimestamp":1008,"maxOffset":9,"minOffset":3}`)
	require.Contains(t, text, `"topicPutTps":0.0}`)

	a, err = w.GetAllTopicConfig(bare(""), nil)
	text = ok(t, a, err)
	require.Contains(t, text, `{"dataVersion":{"counter":1,`)
	require.Contains(t, text, `"t":{"attributes":{},`)
	require.Contains(t, text, `"topicQueueMappingDetailMap":{},"topicQueueMappingInfoMap":{}}`)
}

func TestWhoConsumes(t *testing.T) {
	w := newWorld(t)
	a, err := w.QueryTopicConsumeByWho(bare(""), &header.QueryTopicConsumeByWhoRequest{Topic: str("t")})
	require.Equal(t, `{"groupList":[]}`, ok(t, a, err))
	w.Offsets.Commit("t", "offline", 0, 1)
	w.Offsets.Commit("t", "both", 0, 1)
	w.online("both", &fakePeer{id: 1}, "c", 400, "t")
	w.online("online", &fakePeer{id: 1}, "c", 400, "t")
	a, err = w.QueryTopicConsumeByWho(bare(""), &header.QueryTopicConsumeByWhoRequest{Topic: str("t")})
	require.ElementsMatch(t, []any{"both", "offline", "online"}, asMap(t, ok(t, a, err))["groupList"])

	a, err = w.QueryTopicsByConsumer(bare(""), &header.QueryTopicsByConsumerRequest{Group: str("offline")})
	require.Equal(t, `{"brokerAddr":"127.0.0.1:10911","topicList":["t"]}`, ok(t, a, err))
	a, err = w.QueryTopicsByConsumer(bare(""), &header.QueryTopicsByConsumerRequest{Group: str("none")})
	require.Equal(t, `{"brokerAddr":"127.0.0.1:10911","topicList":[]}`, ok(t, a, err))
	a, err = w.QuerySubscriptionByConsumer(bare(""), &header.QuerySubscriptionByConsumerRequest{Group: str("offline"), Topic: str("t")})
	require.Equal(t, `{"group":"offline","topic":"t"}`, ok(t, a, err))
	a, err = w.QuerySubscriptionByConsumer(bare(""), &header.QuerySubscriptionByConsumerRequest{Group: str("online"), Topic: str("t")})
	require.Contains(t, ok(t, a, err), `"subString":"*"`)
}
